package imagerun

import (
	"math"
	"strings"
	"testing"

	"momentum/internal/rundir"
	"momentum/internal/runtest"
	"momentum/models"
)

// Weights (3, 4) and (0, 12) of a stage have the length 13. A step by (0, 3) and (4, 0) has the
// length 5. The biases are 0, so that their step has no relative length.
func TestStepsByLayer(t *testing.T) {
	params := []models.Param{{Name: "stem/weights", Shape: []int{1}},
		{Name: "stem/biases", Shape: []int{1}}, {Name: "stage1/conv1/weights", Shape: []int{2}},
		{Name: "stage1/conv2/weights", Shape: []int{1, 2}}, {Name: "norm/scale", Shape: []int{1}},
		{Name: "stage1/block1/gain", Shape: []int{1}}}
	got := stepsByLayer(params, []float64{2, 0, 3, 4, 0, 12, 4, 3},
		[]float64{1, 1, 3, 7, 4, 12, 4, 2})
	want := []rundir.Value{{Name: "relative_step_stem", X: 0.5},
		{Name: "relative_step_stage1", X: 5.0 / 13}, {Name: "relative_step_gains", X: 0.2}}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i].Name != want[i].Name || math.Abs(got[i].X-want[i].X) > 1e-15 {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
}

// -diagnose=layers changes no other number. Its columns stand at the diagnosed epochs but the last
// row, which no step follows; none of them says more than the whole step can be.
func TestDiagnoseLayers(t *testing.T) {
	plain, root := t.TempDir(), t.TempDir()
	args := []string{"-opt=gdm", "-epochs=3", "-norm=weights"}
	succeed(t, testArgs(plain, args...)...)
	succeed(t, testArgs(root, append(args, "-diagnose=layers", "-diagnose-every=2")...)...)
	want := runtest.Metrics(t, folder(t, plain))
	for i, row := range runtest.Metrics(t, folder(t, root)) {
		for _, v := range want[i].Values {
			if got := get(row, v.Name); got != v.X {
				t.Errorf("row %d: %s is %v with a diagnosis and %v without", i, v.Name, got, v.X)
			}
		}
		layers := 0
		smallest, largest := math.Inf(1), 0.0
		for _, v := range row.Values {
			if strings.HasPrefix(v.Name, relativeStep) {
				layers++
				smallest, largest = min(smallest, v.X), max(largest, v.X)
			}
		}
		switch whole := get(row, "update_norm") / get(row, "param_norm"); {
		case i == 1 || i == 3:
			if layers != 0 {
				t.Errorf("row %d has %d columns of layers", i, layers)
			}
		// The stem, three stages, the head, and all gains; the biases are 0 at first.
		case layers < 6 || smallest > whole || largest < whole && i > 0:
			t.Errorf("row %d: %d layers, from %v to %v, beside %v of all weights", i, layers,
				smallest, largest, whole)
		}
	}
	if !strings.Contains(header(t, folder(t, root)), ",relative_step_stage3") {
		t.Errorf("metrics.csv has the columns %s", header(t, folder(t, root)))
	}
}
