package lockfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// process reports whether a process of this machine is running, and when it started, in clock ticks
// since boot (0 on systems without /proc).
func process(pid int) (start uint64, running bool) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		p, err := os.FindProcess(pid)
		if err != nil {
			return 0, false
		}
		err = p.Signal(syscall.Signal(0))
		return 0, err == nil || errors.Is(err, fs.ErrPermission)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	return parseStat(string(b))
}

// parseStat parses the content of /proc/PID/stat: "PID (name) STATE ...", where field 22 is the
// start. The name may contain spaces and brackets. A process that has ended and waits for its
// parent (state Z or X) is not running.
func parseStat(s string) (start uint64, running bool) {
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:]) // begins with field 3, the state
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return 0, false
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	return start, err == nil
}
