package measure

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Run executes a command, decodes the JSON that it prints into result, and returns its peak
// resident memory in bytes, as reported by Linux.
func Run(ctx context.Context, stderr io.Writer, result any, name string,
	args ...string) (peak int64, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	if err := json.Unmarshal(out, result); err != nil {
		return 0, fmt.Errorf("%s: want JSON, got %.60q: %w", filepath.Base(name), out, err)
	}
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10, nil
}

// Self executes this program again, as PROGRAM -child TASK with the task as JSON, and returns as
// [Run] does. A new process has separate memory and library settings, and its crash is an error
// here.
func Self(ctx context.Context, stderr io.Writer, task, result any) (peak int64, err error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	text, err := json.Marshal(task)
	if err != nil {
		return 0, err
	}
	return Run(ctx, stderr, result, program, "-child", string(text))
}

// Child reports whether args are those of a process that [Self] started, and decodes its task.
func Child(args []string, task any) (bool, error) {
	if len(args) != 2 || args[0] != "-child" {
		return false, nil
	}
	return true, json.Unmarshal([]byte(args[1]), task)
}
