// Package runtest holds what the tests of several commands need: reading run folders, and running
// on a disk that is full.
package runtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"momentum/internal/rundir"
)

// Read reads a file.
func Read(t testing.TB, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// Files reads all files below a folder, by their paths in it.
func Files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all[path] = Read(t, dir, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Metrics reads the rows of a run folder.
func Metrics(t testing.TB, dir string) []rundir.Row {
	t.Helper()
	rows, err := rundir.ReadMetrics(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// HalfWritten lists the checkpoints without their final name in the run folders of root.
func HalfWritten(root string) []string {
	found, _ := filepath.Glob(filepath.Join(root, "*", "checkpoints", ".*.tmp-*"))
	return found
}

// File writes a file of this content into a folder of its own and returns its path.
func File(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}
