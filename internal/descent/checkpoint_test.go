package descent

import (
	"math"
	"slices"
	"strings"
	"testing"

	"momentum/internal/safetensors"
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

// Weights that were read go back to the bit, in any order. Those of another network are refused,
// and change nothing.
func TestSetWeights(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 4, 2)
	tr := trainer(t, b, d, tiny, Rule{Form: Undamped})
	stored, err := tr.Weights()
	if err != nil {
		t.Fatal(err)
	}
	want := tr.weights()
	for i, x := range want { // weights on disk are float32
		want[i] = float64(float32(x))
	}
	steps(t, tr, 1, 0.1)
	slices.Reverse(stored)
	if err := tr.SetWeights(stored); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(tr.weights(), want) {
		t.Error("other weights than those that were set")
	}

	name := stored[0].Name
	for _, tt := range []struct {
		change func(list []safetensors.Tensor) []safetensors.Tensor
		want   string
	}{
		{func(l []safetensors.Tensor) []safetensors.Tensor { return l[1:] },
			"descent: no weights " + name + ", want shape "},
		{func(l []safetensors.Tensor) []safetensors.Tensor { l[0].Shape = []int{1, 1}; return l },
			"descent: weights " + name + " of shape [1 1], want "},
		{func(l []safetensors.Tensor) []safetensors.Tensor {
			return append(l, safetensors.Tensor{Name: "tail"})
		}, "descent: weights tail, which the network does not have"},
	} {
		err := tr.SetWeights(tt.change(slices.Clone(stored)))
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	if !slices.Equal(tr.weights(), want) {
		t.Error("weights that were refused changed the network")
	}
}

// A lazy trainer takes the steps of any other.
func TestLazy(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 4, 2)
	want := trainer(t, b, d, tiny, Rule{Form: Undamped})
	lazy, err := NewTrainer(b, want.net, want.rule, d, Options{Precision: F64, Seed: want.Seed,
		Lazy: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := steps(t, lazy, 2, 0.1), steps(t, want, 2, 0.1); !slices.Equal(got, want) {
		t.Errorf("losses %v, want %v", got, want)
	}
}
