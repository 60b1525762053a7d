package table1

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/rundir"
)

func openDir(t *testing.T, s Settings) *rundir.Dir {
	t.Helper()
	dir, err := rundir.Open(rundir.Spec{Root: t.TempDir(), Label: "table1", Settings: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

// goBackend needs no time to compile.
func goBackend(t *testing.T) *backend.Backend {
	t.Helper()
	be, err := backend.Open(t.Context(), "go", backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return be
}

// runTable runs the table and returns the lanes of each student.
func runTable(t *testing.T, be *backend.Backend, s Settings) (*rundir.Dir, map[string][]Lane) {
	t.Helper()
	dir := openDir(t, s)
	if err := Run(t.Context(), be, s, dir, nil); err != nil {
		t.Fatal(err)
	}
	students := map[string][]Lane{}
	for _, student := range s.Students {
		lanes, err := s.readLanes(dir.Path(student + ".json"))
		if err != nil {
			t.Fatal(err)
		}
		students[student] = lanes
	}
	return dir, students
}

// A stopped run that is called again, and a run that has lost a student's file, end at the bytes of
// an uninterrupted run.
func TestResume(t *testing.T) {
	s, be := tiny(), goBackend(t)
	whole, _ := runTable(t, be, s)
	files := []string{"linear.json", "2-cnn.json", "table1.json", "table1.csv", "table1.md"}
	same := func(dir *rundir.Dir) {
		t.Helper()
		for _, name := range files {
			a, errA := os.ReadFile(whole.Path(name))
			b, errB := os.ReadFile(dir.Path(name))
			if errA != nil || errB != nil || !bytes.Equal(a, b) {
				t.Errorf("%s differs: %v, %v", name, errA, errB)
			}
		}
	}
	dir := openDir(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	total := len(s.Students) * s.Networks() * s.Epochs
	err := Run(ctx, be, s, dir, func(done, got int) {
		if got != total {
			t.Errorf("total %d, want %d", got, total)
		}
		if done > total*3/4 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir.Path("table1.md")); err == nil {
		t.Error("half a run has a table")
	}
	var calls []int
	err = Run(t.Context(), be, s, dir, func(done, _ int) { calls = append(calls, done) })
	if err != nil {
		t.Fatal(err)
	}
	// The first call reads all lanes of the linear student.
	if first, last := calls[0], calls[len(calls)-1]; first != total/2 || last != total {
		t.Errorf("progress from %d to %d, want %d to %d", first, last, total/2, total)
	}
	same(dir)
	if err := os.Remove(dir.Path("linear.json")); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), be, s, dir, nil); err != nil {
		t.Fatal(err)
	}
	same(dir)
	if err := os.WriteFile(dir.Path("linear.json"), []byte("[]"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), be, s, dir, nil); err == nil ||
		!strings.Contains(err.Error(), "linear.json: 0 lanes, want 32: remove it") {
		t.Error(err)
	}
}
