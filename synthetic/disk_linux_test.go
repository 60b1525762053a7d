package main

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

// On a disk that is full the run stops with one line. When there is room again it goes on and ends with the same bytes. The disk is a tmpfs in
// a mount namespace of its own, which ends with the process.
func TestFullDisk(t *testing.T) {
	const variable = "MOMENTUM_TEST_DISK"
	disk := os.Getenv(variable)
	if disk == "" {
		t.Parallel()
		cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
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
		return
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	calm, root, ballast := t.TempDir(), filepath.Join(disk, "runs"), filepath.Join(disk, "ballast")
	succeed(t, small(calm, "-T=10")...)
	var stops []string
	for pages := 0; ; pages += 2 { // of 4 KiB that are free
		os.WriteFile(ballast, make([]byte, 1<<20), 0o666) // fails, and leaves what fits
		info, err := os.Stat(ballast)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(ballast, max(0, info.Size()-int64(4096*pages))); err != nil {
			t.Fatal(err)
		}
		status, _, stderr := synthetic(t.Context(), small(root, "-T=10", "-checkpoint-every=0s")...)
		if status == cli.Done {
			break
		}
		if status != cli.Failed || !strings.Contains(stderr, "no space left on device") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%d free pages: status %d, %q", pages, status, stderr)
		}
		if pages > 200 {
			t.Fatal("no progress")
		}
		stops = append(stops, stderr)
	}
	t.Logf("stopped %d times:\n%s", len(stops), strings.Join(slices.Compact(stops), ""))
	if len(stops) < 3 {
		t.Errorf("stopped %d times only", len(stops))
	}
	sameResult(t, folder(t, root), folder(t, calm))
}
