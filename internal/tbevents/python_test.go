package tbevents_test

import (
	"errors"
	"math"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"momentum/internal/runtest"
	"momentum/internal/tbevents"
)

// The Python package tensorboard reads what Writer wrote, also across a resume.
func TestPython(t *testing.T) {
	// The package is found, not imported, because importing it takes two seconds.
	python := runtest.Python(t, "tensorboard",
		`import importlib.util as u; assert u.find_spec("tensorboard"), "no tensorboard"`)
	dir := t.TempDir()
	path := filepath.Join(dir, "events.out.tfevents.0")
	write := func(keep, from, to int64, start time.Time, scalars ...tbevents.Scalar) {
		w, err := tbevents.Open(path, keep)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		for s := from; s <= to; s++ {
			if err := w.Scalars(s, start.Add(time.Duration(s)*time.Second), scalars); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(-1, 0, 5, time.Unix(100, 0), tbevents.Scalar{Tag: "loss", Value: 0.5})
	write(2, 3, 4, time.Unix(200, 0), tbevents.Scalar{Tag: "loss", Value: math.NaN()},
		tbevents.Scalar{Tag: "test/accuracy", Value: 0.5})
	const script = `
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
a = EventAccumulator(sys.argv[1]).Reload()
for tag in a.Tags()["scalars"]:
    for e in a.Scalars(tag):
        print(tag, e.step, e.wall_time, e.value)
`
	out, err := exec.Command(python, "-c", script, dir).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	const want = `loss 0 100.0 0.5
loss 1 101.0 0.5
loss 2 102.0 0.5
loss 3 203.0 nan
loss 4 204.0 nan
test/accuracy 3 203.0 0.5
test/accuracy 4 204.0 0.5
`
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Error(diff)
	}
}
