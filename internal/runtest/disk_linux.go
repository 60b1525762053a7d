package runtest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"momentum/internal/cli"
)

// SmallDisk calls the rest of a test with a small disk: a tmpfs of a size such as "1m" in a mount namespace of its own, which ends with the
// process. For that the test runs once more, alone, in another process. It skips where there are no namespaces.
func SmallDisk(t *testing.T, size string, rest func(disk string)) {
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

// FillUp runs a command again and again on a disk of 1 MB that is full but for so many pages of 4 KiB more each time, until it is done. Each
// time before, it must fail with one line that names the full disk. FillUp returns how often it did.
func FillUp(t *testing.T, disk string, pages int, run func() (status int, stderr string)) (stops int) {
	t.Helper()
	ballast := filepath.Join(disk, "ballast")
	var lines []string
	for free := 0; ; free += pages {
		os.WriteFile(ballast, make([]byte, 1<<20), 0o666) // fails, and leaves what fits
		info, err := os.Stat(ballast)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(ballast, max(0, info.Size()-int64(4096*free))); err != nil {
			t.Fatal(err)
		}
		status, stderr := run()
		if status == cli.Done {
			break
		}
		if status != cli.Failed || !strings.Contains(stderr, "no space left on device") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%d free pages: status %d, %q", free, status, stderr)
		}
		if free > 200 {
			t.Fatal("no progress")
		}
		lines = append(lines, stderr)
	}
	t.Logf("stopped %d times:\n%s", len(lines), strings.Join(slices.Compact(lines), ""))
	return len(lines)
}
