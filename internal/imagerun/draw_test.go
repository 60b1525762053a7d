package imagerun

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"momentum/internal/cli"
	"momentum/internal/figure"
	"momentum/internal/progress"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
)

// A run that saves each step is stopped in epoch 2: its curves are those of the first row, for the
// next checkpoint came less than half a minute later. Then a folder lies in their place. The run
// warns of that, goes on, and ends as any other once the folder is away.
func TestCurvesOfARunUnderWay(t *testing.T) {
	calm, root := t.TempDir(), t.TempDir()
	succeed(t, testArgs(calm)...)
	args := testArgs(root, "-checkpoint-every=0s")
	stop := func(epochs int) (stderr string) {
		// An epoch asks twice in its evaluation and 3 times in its step.
		ctx := &runtest.Countdown{Context: t.Context(), Calls: 5*epochs + 1}
		status, _, stderr := cifar(t, ctx, args...)
		if status != cli.Stopped {
			t.Fatalf("status %d, %s", status, stderr)
		}
		return stderr
	}
	stop(2)
	dir, first := folder(t, root), t.TempDir()
	row, _, _ := strings.Cut(runtest.Read(t, dir, "metrics.jsonl"), "\n")
	for name, content := range map[string]string{"metrics.jsonl": row + "\n",
		"config.json": runtest.Read(t, dir, "config.json")} {
		if err := os.WriteFile(filepath.Join(first, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := figure.Curves(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"curves.svg", "curves.png"} {
		if runtest.Read(t, dir, name) != runtest.Read(t, first, name) {
			t.Errorf("%s is not that of the first row", name)
		}
	}

	svg := filepath.Join(dir, "curves.svg")
	os.Remove(svg)
	if err := os.Mkdir(svg, 0o777); err != nil {
		t.Fatal(err)
	}
	stderr := stop(1)
	if lines := strings.SplitAfter(stderr, "\n"); len(lines) != 3 ||
		!strings.HasPrefix(lines[0], "warning: the curves are not drawn: ") {
		t.Errorf("stderr %q, want a warning and that it was stopped", stderr)
	}
	os.Remove(svg)
	succeed(t, args...)
	sameResult(t, dir, folder(t, calm))
}

// Curves are drawn again half a minute later or, if that took long, a hundred times as long later.
func TestDrawsNowAndThen(t *testing.T) {
	dir, err := rundir.Open(rundir.Spec{Root: t.TempDir(), Label: "run", Settings: struct{}{},
		Derived: struct{}{}, Execution: struct{}{}})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	r := &experiment{stepsPerEpoch: 2, stdout: t.Output(), stderr: t.Output()}
	tr := &training{experiment: r, dir: dir, bar: progress.Steps(t.Output(), "images", 1)}
	defer tr.bar.Close()
	path := dir.Path("curves.svg")

	tr.position.step = 1
	tr.draw(t.Context())
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("within the first epoch: %v, want no curves", err)
	}
	for i, tt := range []struct {
		ago, took time.Duration
		drawn     bool
	}{
		{time.Hour, 0, true},
		{29 * time.Second, 0, false},
		{30 * time.Second, 0, true},
		{99 * time.Second, time.Second, false},
		{100 * time.Second, time.Second, true},
	} {
		row := rundir.Row{Step: int64(2 * i), Values: []rundir.Value{
			{Name: epochColumn, X: float64(i)}, {Name: lossColumn, X: 1}}}
		if err := dir.AppendRow(row); err != nil {
			t.Fatal(err)
		}
		os.Remove(path)
		tr.position.step = 2*i + 2
		tr.drawn, tr.drawing = time.Now().Add(-tt.ago), tt.took
		tr.draw(t.Context())
		if _, err := os.Stat(path); (err == nil) != tt.drawn {
			t.Errorf("%v after curves that took %v: %v, want drawn: %v", tt.ago, tt.took, err,
				tt.drawn)
		}
		if tt.drawn && (time.Since(tr.drawn) > time.Minute || tr.drawing <= 0) {
			t.Errorf("drawn %v ago in %v", time.Since(tr.drawn), tr.drawing)
		}
	}
}
