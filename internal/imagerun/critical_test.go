package imagerun

import (
	"errors"
	"math"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/runtest"
)

// On the loss 1 − sc + hc²/2 of a quadratic the critical step is 2s/h. Uphill there is none.
func TestCriticalStep(t *testing.T) {
	for _, want := range []float64{1e-4, 0.3, 0.99, 1.01, 7, 1e5} {
		calls := 0
		got, err := criticalStep(func(c float64) (float64, error) {
			calls++
			return 1 - want*c + c*c, nil
		})
		if err != nil || got > want || got < want/criticalRatio || calls > 35 {
			t.Errorf("%v, %v after %d evaluations, want %v", got, err, calls, want)
		}
	}
	for _, slope := range []float64{1, -1} {
		c, err := criticalStep(func(c float64) (float64, error) { return slope * c, nil })
		if !errors.Is(err, errNoCriticalStep) {
			t.Errorf("the loss %vc has the critical step %v, %v", slope, c, err)
		}
	}
	broken := errors.New("broken")
	if _, err := criticalStep(func(c float64) (float64, error) {
		return c, map[bool]error{true: broken}[c > 0 && c < 1]
	}); !errors.Is(err, broken) {
		t.Errorf("%v, want the error of the loss", err)
	}
}

// The critical sharpness of GD is 2 over the critical rate; it is of the size of the curvature
// along the step; and it changes no other number.
func TestCriticalSharpness(t *testing.T) {
	plain, root := t.TempDir(), t.TempDir()
	succeed(t, testArgs(plain, "-opt=gd", "-epochs=2")...)
	succeed(t, testArgs(root, "-opt=gd", "-epochs=2", "-diagnose=critical,sharpness",
		"-diagnose-every=1")...)
	want := runtest.Metrics(t, folder(t, plain))
	for i, row := range runtest.Metrics(t, folder(t, root)) {
		for _, v := range want[i].Values {
			if got := get(row, v.Name); got != v.X {
				t.Errorf("row %d: %s is %v with a diagnosis and %v without", i, v.Name, got, v.X)
			}
		}
		if i == 2 {
			continue // no step follows
		}
		step, got := get(row, "critical_step"), get(row, "critical_sharpness")
		if rate := step * get(row, "rate"); math.Abs(got*rate-2) > 1e-3 {
			t.Errorf("row %d: critical sharpness %v, want 2 / %v", i, got, rate)
		}
		if along := get(row, "sharpness_update"); !(got > along/5 && got < 5*along) {
			t.Errorf("row %d: critical sharpness %v, curvature along the step %v", i, got, along)
		}
	}
	c := parse(t, backend.Go, "-diagnose=groups,critical,sharpness,critical", "-small-margin=0.1")
	if c.Diagnose != "sharpness,critical,groups" {
		t.Errorf("-diagnose is %q, want one order", c.Diagnose)
	}
}
