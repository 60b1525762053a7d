package study

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/runtest"
	"momentum/internal/sweep"
)

// goesOn checks that a study that has ended with 2 seeds goes on with a third one in its folder,
// and that the next command knows it.
func goesOn(t *testing.T, root string) {
	t.Helper()
	final := filepath.Join(root, "out", "final")
	before, err := sweep.Read(final, filepath.Join(root, "runs"))
	if err != nil {
		t.Fatal(err)
	}
	want := final + ": 8 of 12 runs are planned: go run ./scripts/figure with the same flags " +
		"adds the others"
	if _, err := start(t.Context(), root, "collect", "-seeds=3"); err == nil ||
		err.Error() != want {
		t.Errorf("collecting a seed that was not planned: %v, want %s", err, want)
	}
	if stdout, err := start(t.Context(), root, "-seeds=3"); err != nil ||
		!strings.Contains(stdout, "final     12 runs, 4 to execute\n") {
		t.Fatalf("a third seed: %v\n%s", err, stdout)
	}
	if stdout, err := start(t.Context(), root); err != nil ||
		!strings.Contains(stdout, "final     12 runs, 0 to execute\n") {
		t.Errorf("without the flag: %v\n%s", err, stdout)
	}
	after, err := sweep.Read(final, filepath.Join(root, "runs"))
	if err != nil || len(after.Runs) != 12 {
		t.Fatalf("%d runs, %v; want 12", len(after.Runs), err)
	}
	for i, r := range before.Runs {
		if after.Runs[i].Name != r.Name {
			t.Errorf("task %d is %s, it was %s", i, after.Runs[i].Name, r.Name)
		}
	}
	// A study of three seeds from the start has the same table.
	out, extended := filepath.Join(root, "out"), filepath.Join(root, "extended")
	if err := os.Rename(out, extended); err != nil {
		t.Fatal(err)
	}
	if stdout, err := start(t.Context(), root, "-seeds=3"); err != nil {
		t.Fatal(err, stdout)
	}
	for _, ending := range []string{".md", ".csv", ".json"} {
		if runtest.Read(t, extended, "table"+ending) != runtest.Read(t, out, "table"+ending) {
			t.Errorf("table%s of a study that was extended differs", ending)
		}
	}
}
