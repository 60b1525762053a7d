// Package sweeptest has a sweep of tiny runs of the real command, for tests that execute sweeps.
package sweeptest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"momentum/internal/imagerun"
	"momentum/internal/runlist"
	"momentum/internal/runtest"
	"momentum/internal/sweep"
)

// Build builds cifar and returns its path.
func Build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cifar")
	out, err := exec.Command("go", "build", "-o", path, "momentum/cifar").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// Failing is the number of the run that fails, in a list of at least 3.
const Failing = 2

// Plan plans a sweep of runs on the Go backend, each of which takes a second. Its folders are its
// own, and their paths have blanks. The runs train 788 parameters on 7 images, and differ in their
// seeds and epochs. Run Failing wants CIFAR-10 in a folder that does not exist.
func Plan(t *testing.T, epochs ...int) *sweep.List {
	t.Helper()
	root := filepath.Join(t.TempDir(), "all runs")
	var runs []runlist.Run
	for i, n := range epochs {
		c := imagerun.Preset("tiny", "gdm")
		c.Backend, c.Offline, c.Runs = "go", true, root
		c.Model, c.Width, c.Images, c.Holdout, c.Chunk, c.EvalEvery = "wrn16-1", 1, 7, 5, 5, 50
		c.Rate, c.Epochs, c.Seed = 0.1, n, uint64(i+1)
		if i == Failing {
			c.Data, c.DataDir = "cifar10", "/nowhere"
		}
		c.Normalize()
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		run, err := c.Run()
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	l, err := sweep.Plan(filepath.Join(t.TempDir(), "a sweep"), root, runs)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Rows is the number of rows that a run has written so far.
func Rows(t *testing.T, l *sweep.List, index int) (n int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(l.Folder(index), "metrics.jsonl"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, b := range text {
		if b == '\n' {
			n++
		}
	}
	return n
}

// SameResults compares two sweeps of the same runs: the status of each run, and the metrics of each
// run that is done.
func SameResults(t *testing.T, got, want *sweep.List) {
	t.Helper()
	statuses := func(l *sweep.List) []sweep.Status {
		all, err := l.Status()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	all := statuses(want)
	for i, s := range statuses(got) {
		if s.State != all[i].State || s.Reason != all[i].Reason {
			t.Errorf("run %d is %s (%s), want %s (%s)", i, s.State, s.Reason, all[i].State,
				all[i].Reason)
		}
		if s.State == sweep.Done && runtest.Read(t, got.Folder(i), "metrics.jsonl") !=
			runtest.Read(t, want.Folder(i), "metrics.jsonl") {
			t.Errorf("the metrics of run %d differ", i)
		}
		if (s.State == sweep.Done) != (i != Failing) {
			t.Errorf("run %d is %s, want all but run %d done", i, s.State, Failing)
		}
	}
}
