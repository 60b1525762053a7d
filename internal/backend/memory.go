package backend

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// FreeMemory is the memory in bytes that new work can take on this machine, if it is known. In a
// container or a job of Slurm it is what the limits of its control groups leave, if that is less.
func FreeMemory() (bytes float64, known bool) { return freeMemory("/") }

// freeMemory is [FreeMemory] of a system whose files are below root. Of control groups it knows
// version 2.
func freeMemory(root string) (bytes float64, known bool) {
	available := field(filepath.Join(root, "proc/meminfo"), "MemAvailable", ":")
	kB, err := strconv.ParseFloat(strings.TrimSuffix(available, " kB"), 64)
	if err != nil {
		return 0, false
	}
	free := 1024 * kB
	group := strings.TrimPrefix(field(filepath.Join(root, "proc/self/cgroup"), "0", ":"), ":")
	for filepath.IsAbs(group) { // the limit may be that of a group around it
		free = min(free, leftOf(filepath.Join(root, "sys/fs/cgroup", group)))
		if group == "/" {
			break
		}
		group = filepath.Dir(group)
	}
	return free, true
}

// leftOf is the memory in bytes that the limit of a control group leaves: +∞ without one. The
// kernel gives up cached files when memory runs short, so they do not count.
func leftOf(folder string) float64 {
	number := func(text string) (float64, error) {
		return strconv.ParseFloat(strings.TrimSpace(text), 64)
	}
	read := func(name string) (float64, error) {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return 0, err
		}
		return number(string(text))
	}
	limit, err1 := read("memory.max") // or the word max
	current, err2 := read("memory.current")
	if err1 != nil || err2 != nil {
		return math.Inf(1)
	}
	for _, key := range []string{"active_file", "inactive_file"} {
		cached, err := number(field(filepath.Join(folder, "memory.stat"), key, " "))
		if err == nil {
			current -= cached
		}
	}
	return max(0, limit-current)
}

// field returns the first value of a key in a file of lines of key, separator and value, or "".
func field(file, key, separator string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if k, value, _ := strings.Cut(line, separator); strings.TrimSpace(k) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
