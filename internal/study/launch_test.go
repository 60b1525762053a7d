package study

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"momentum/internal/lockfile"
	"momentum/internal/runtest"
)

// While a study is worked on another start is refused, before it builds or writes anything.
func TestLocked(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "out"), 0o777); err != nil {
		t.Fatal(err)
	}
	lock, err := lockfile.Acquire(filepath.Join(root, "out", "study.lock"))
	if err != nil {
		t.Fatal(err)
	}
	before := runtest.Files(t, root)
	if _, err = start(t.Context(), root); err == nil ||
		!strings.Contains(err.Error(), "is worked on already, wait for it or stop it") {
		t.Errorf("error %v", err)
	}
	if !equalFiles(runtest.Files(t, root), before) {
		t.Error("files were written all the same")
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
}

// What killed processes have left is removed, and nothing else.
func TestTidyUp(t *testing.T) {
	out := t.TempDir()
	killed := exec.Command(os.Args[0], "-test.run=^$")
	if err := killed.Run(); err != nil {
		t.Fatal(err)
	}
	half := fmt.Sprintf(".table.md.tmp-%d", killed.Process.Pid)
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{half, "trials-1/" + half, "table.md", "trials-1/runs.jsonl",
		"trials-1/sweep.lock"} { // an empty lock is nobody's
		path := filepath.Join(out, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777),
			os.WriteFile(path, nil, 0o666), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tidyUp(out); err != nil {
		t.Fatal(err)
	}
	left := slices.Sorted(maps.Keys(runtest.Files(t, out)))
	if want := []string{"table.md", "trials-1/runs.jsonl"}; !slices.Equal(left, want) {
		t.Errorf("left: %q, want %q", left, want)
	}
}
