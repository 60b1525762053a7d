package imagerun

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"momentum/internal/rundir"
	"momentum/internal/runlist"
	"momentum/internal/runtest"
)

// runFolder writes what ReadOutcome reads.
func runFolder(t *testing.T, state rundir.State, rows ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"state": string(state) + "\n", "config.json": "{}",
		"metrics.jsonl": strings.Join(append(rows, ""), "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	runtest.Seal(t, dir)
	return dir
}

func TestOutcome(t *testing.T) {
	rows := []string{
		`{"step":0,"epoch":0,"loss":2,"train_accuracy":0.5,"test_accuracy":0.25,"rate":1}`,
		`{"step":3,"epoch":1,"loss":0.5,"train_accuracy":1,"rate":1}`,
		`{"step":6,"epoch":2,"loss":0.25,"train_accuracy":0.75,"test_accuracy":0.5,"rate":1}`,
		`{"step":9,"epoch":3,"loss":0.125,"train_accuracy":1,"test_accuracy":0.75}`,
	}
	o, err := ReadOutcome(t.Context(), runFolder(t, rundir.Done, rows...))
	if err != nil {
		t.Fatal(err)
	}
	if o.Diverged || o.Last("test_accuracy") != 0.75 || !math.IsNaN(o.Last("rate")) {
		t.Errorf("diverged %v, accuracy %v, rate %v; want false, 0.75 and NaN", o.Diverged,
			o.Last("test_accuracy"), o.Last("rate"))
	}
	if !o.Fitted() || o.ZeroError() != 1 {
		t.Errorf("fitted %v, zero error at epoch %d; want true and 1", o.Fitted(), o.ZeroError())
	}
	// The loss of epoch 1 is low enough, but nothing was evaluated then. From 2 to 0.25 are three
	// halvings.
	for _, tt := range []struct{ level, want float64 }{{3, 0.25}, {2, 0.25}, {1, 0.25 + 0.25/3},
		{0.5, 0.25 + 0.5/3}, {0.25, 0.5}, {0.125, 0.75}, {0.1, math.NaN()}} {
		got := o.AtLoss(tt.level, "test_accuracy")
		if !(math.Abs(got-tt.want) < 1e-15) && !(math.IsNaN(got) && math.IsNaN(tt.want)) {
			t.Errorf("at a loss of %v: %v, want %v", tt.level, got, tt.want)
		}
	}
	// The least loss need not be the last one.
	risen := Outcome{Rows: append(slices.Clone(o.Rows[:3]), o.Rows[0])}
	if a, b := o.LeastLoss("test_accuracy"), risen.LeastLoss("test_accuracy"); a != 0.125 ||
		b != 0.25 {
		t.Errorf("least losses %v and %v, want 0.125 and 0.25", a, b)
	}
	epochs, values := o.Series("test_accuracy")
	if !slices.Equal(epochs, []float64{0, 2, 3}) || !slices.Equal(values,
		[]float64{0.25, 0.5, 0.75}) {
		t.Errorf("series %v, %v", epochs, values)
	}

	o, err = ReadOutcome(t.Context(), runFolder(t, rundir.Diverged, rows[0]))
	if err != nil {
		t.Fatal(err)
	}
	if !o.Diverged || !math.IsNaN(o.Last("loss")) || o.Fitted() || o.ZeroError() != -1 {
		t.Errorf("diverged %v, loss %v, fitted %v, zero error at epoch %d; want true, NaN, false "+
			"and -1", o.Diverged, o.Last("loss"), o.Fitted(), o.ZeroError())
	}
}

// A folder without a result has no outcome.
func TestNoOutcome(t *testing.T) {
	for _, tt := range []struct{ folder, want string }{
		{runFolder(t, rundir.Running), `: state is "running", want "done": let the run end`},
		{runFolder(t, rundir.Done), ": no metrics"},
		{runFolder(t, rundir.Done, `{"step":1}`, `{"step":0}`), "metrics.jsonl:2: "},
		{t.TempDir(), "state"},
	} {
		if _, err := ReadOutcome(t.Context(), tt.folder); err == nil ||
			!strings.Contains(err.Error(), tt.folder) ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.folder, err, tt.want)
		}
	}
}

// The share of a run under way is that of its last whole row: 3 of 12 epochs. A run without a row
// has none, and neither has one of another kind.
func TestShare(t *testing.T) {
	run := runlist.Run{Settings: []byte(`{"epochs":12,"lr":0.1}`)}
	folder := runFolder(t, rundir.Running, `{"step":0,"epoch":0}`, `{"step":6,"epoch":3}`,
		`{"step":8,"epoch":4`)
	metrics := filepath.Join(folder, "metrics.jsonl")
	torn := strings.TrimSuffix(runtest.Read(t, metrics), "\n")
	if err := os.WriteFile(metrics, []byte(torn), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := Share(run, folder); got != 0.25 {
		t.Errorf("after 3 of 12 epochs: %v, want 0.25", got)
	}
	for _, folder := range []string{t.TempDir(), runFolder(t, rundir.Running)} {
		if got := Share(run, folder); got != 0 {
			t.Errorf("before the first row: %v, want 0", got)
		}
	}
	run.Settings = []byte(`{"steps":12}`)
	if got := Share(run, folder); got != 0 {
		t.Errorf("of a run without epochs: %v, want 0", got)
	}
}
