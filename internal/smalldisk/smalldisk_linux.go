// Package smalldisk gives tests and torture a small disk, to fill it up.
package smalldisk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Run calls the rest of a test with the path of a small disk: a tmpfs of a size such as "1m". The
// test may mount it anew, since Run starts the test again, alone, in another process with a mount
// namespace of its own, with which the tmpfs ends. Where namespaces are not available, Run skips
// the test.
func Run(t *testing.T, size string, rest func(disk string)) {
	t.Helper()
	const variable = "MOMENTUM_TEST_DISK"
	disk := os.Getenv(variable)
	if disk != "" {
		if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size="+size); err != nil {
			t.Skipf("a small disk cannot be mounted: %v", err)
		}
		rest(disk)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"="+t.TempDir())
	cmd.SysProcAttr = namespace()
	out, err := cmd.CombinedOutput()
	switch {
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("%s", out)
	case errors.As(err, new(*os.SyscallError)) || errors.As(err, new(*os.PathError)):
		t.Skipf("no namespaces here, so no small disk can be mounted: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	default:
		t.Logf("%s", out)
	}
}

// namespace starts a process in a mount namespace of its own, in which it may mount.
func namespace() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// Mount mounts a tmpfs of a size such as "1m" for other processes too, and returns its path and a
// function that ends it. No rights are needed: the tmpfs is in the mount namespace of a process
// that does nothing else, and the path leads through that process.
func Mount(size string) (path string, unmount func() error, err error) {
	dir, err := os.MkdirTemp("", "smalldisk")
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("no small disk can be mounted: %w", err), os.Remove(dir))
		}
	}()
	if dir, err = filepath.Abs(dir); err != nil {
		return "", nil, err
	}
	var stderr bytes.Buffer
	holder := exec.Command("sh", "-c", `mount -t tmpfs -o "size=$1" tmpfs "$2" && echo ok && cat`,
		"sh", size, dir)
	holder.Stderr = &stderr
	holder.SysProcAttr = namespace()
	stdin, err := holder.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	stdout, err := holder.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := holder.Start(); err != nil {
		return "", nil, err
	}
	end := func() error { return errors.Join(stdin.Close(), holder.Wait()) }
	if _, err := io.ReadFull(stdout, make([]byte, len("ok\n"))); err != nil {
		return "", nil, fmt.Errorf("%w: %s", errors.Join(end(), err), strings.TrimSpace(
			stderr.String()))
	}
	return fmt.Sprintf("/proc/%d/root%s", holder.Process.Pid, dir),
		func() error { return errors.Join(end(), os.Remove(dir)) }, nil
}
