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

// process says whether a process of this machine runs, and when it was started, in clock ticks
// since boot (0 where there is no /proc).
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

// parseStat reads the content of /proc/PID/stat: "PID (name) STATE ...", with the start as field
// 22. The name may hold spaces and brackets. A process that has ended and waits for its parent
// (state Z or X) does not run.
func parseStat(s string) (start uint64, running bool) {
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:]) // from field 3, the state, on
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return 0, false
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	return start, err == nil
}
