package descent

import (
	"math"
	"slices"
	"strings"
	"testing"

	"momentum/models"
)

// A checkpoint restores the state to the bit: the run goes on as if it had not been interrupted.
func TestSaveAndLoad(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 4, 2)
	rule := Rule{Form: Undamped, Gamma: 0.9}
	tr := trainer(t, b, d, tiny, rule)
	steps(t, tr, 2, 0.1)
	dir := t.TempDir()
	// JSON has no number for infinity.
	numbers := map[string]float64{"loss_sum": 1.0 / 3, "eval_loss": math.Inf(1)}
	if err := tr.Save(dir, numbers); err != nil {
		t.Fatal(err)
	}
	want := steps(t, tr, 2, 0.1)

	again := trainer(t, b, d, tiny, rule)
	step, extra, err := again.Load(dir)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	if step != 2 || extra["loss_sum"] != 1.0/3 || extra["eval_loss"] != math.Inf(1) {
		t.Errorf("step %d, extra %v, want 2, 1/3 and +Inf", step, extra)
	}
	if got := steps(t, again, 2, 0.1); !slices.Equal(got, want) ||
		!slices.Equal(tr.weights(), again.weights()) {
		t.Errorf("losses %v after loading, want %v", got, want)
	}

	// A checkpoint of another network is refused, with the place, and changes nothing.
	other := trainer(t, b, d, models.Config{Model: "wrn16-1", Width: 3, Norm: "none"}, rule)
	before := other.weights()
	if _, _, err := other.Load(dir); err == nil ||
		!strings.Contains(err.Error(), "/model/stem/weights") {
		t.Errorf("loading into another network: %v", err)
	}
	if !slices.Equal(before, other.weights()) {
		t.Error("a failed load changed the weights")
	}
}
