package smalldisk

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The disk has the size, ends with its process, and leaves nothing in this process's file system.
func TestMount(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	disk, unmount, err := Mount("64k")
	if err != nil {
		t.Skip(err)
	}
	file := filepath.Join(disk, "file")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o666); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a file of 1 MB on a disk of 64 KB: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Size() > 64<<10 || info.Size() < 32<<10 {
		t.Errorf("a file of %d bytes on a disk of 64 KB, %v", info.Size(), err)
	}
	if err := unmount(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the disk is still there: %v", err)
	}
}

// What cannot be mounted is an error that says why, and leaves nothing behind.
func TestBadSize(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	if _, _, err := Mount("small"); err == nil {
		t.Error("a disk of a size of \"small\"")
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
