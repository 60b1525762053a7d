// Package smalldisk gives a test a small disk, to fill it up.
package smalldisk

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Run calls the rest of a test with the path of a small disk: a tmpfs of a size such as "1m". Since
// the tmpfs needs a mount namespace of its own, Run starts the test again, alone, in another
// process, with which the namespace ends. Where namespaces are not available, Run skips the test.
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
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
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
