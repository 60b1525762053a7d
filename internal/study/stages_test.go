package study

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"momentum/internal/rundir"
	"momentum/internal/runlist"
	"momentum/internal/runtest"
	"momentum/internal/sweep"
)

// What keeps a stage from being collected is said with its reason: of a damaged run the file, what
// is wrong with it, and the remedy.
func TestReasonOfAMissingRun(t *testing.T) {
	root := t.TempDir()
	dir, err := rundir.Open(rundir.Spec{Root: root, Label: "run", Settings: struct{}{}})
	if err == nil {
		err = errors.Join(dir.AppendRow(rundir.Row{Step: 0}), dir.Seal(rundir.Done), dir.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	l := &sweep.List{Dir: "final", Root: root,
		Runs: []runlist.Run{{Name: "run-0000000000"}, {Name: dir.Name()}}}
	i := &invocation{Figure: tiny()}
	const missing = "final: %d of %d runs are missing: %s, line %d, is %s, want every run done: " +
		"go run ./scripts/figure run executes the missing runs%s, retry the failed ones"
	err = i.complete(t.Context(), "final", l)
	if want := fmt.Sprintf(missing, 1, 2, "run-0000000000", 1, "pending", ""); !errors.Is(err,
		errMissing) || err.Error() != want {
		t.Errorf("a pending run: %v, want %s", err, want)
	}

	metrics := dir.Path("metrics.jsonl")
	text := strings.Replace(runtest.Read(t, metrics), "0", "1", 1)
	if err := os.WriteFile(metrics, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	l.Runs = l.Runs[1:]
	_, damage := rundir.Check(dir.Path())
	if damage == nil {
		t.Fatal("the run is not damaged")
	}
	reason := strings.TrimPrefix(damage.Error(), "rundir: ")
	err = i.complete(t.Context(), "final", l)
	want := fmt.Sprintf(missing, 1, 1, dir.Name(), 1, "damaged ("+reason+")",
		", sets the folders of damaged ones aside and executes them again")
	if !errors.Is(err, errMissing) || err.Error() != want ||
		!strings.HasPrefix(reason, metrics+": has SHA-256 ") {
		t.Errorf("a damaged run: %v, want %s", err, want)
	}
}
