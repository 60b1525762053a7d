package descent

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
)

// Law: the gradients of two groups of images, both divided by the number of all images, add up to
// the gradient of all; and the momentum buffer is the sum of all gradients so far, those of k steps
// ago times γᵏ.
func TestGradientOfGroups(t *testing.T) {
	const decay, gamma, eta = 0.1, 0.5, 0.05
	set := imageSet(7)
	groups := [][]int{{0, 3, 5}, {1, 2, 4, 6}}
	var bits []float64 // of the first gradient on one device
	for _, devices := range []int{1, 2} {
		b := goDevices(t, devices)
		all := uploaded(t, b, set, Layout{Chunk: 2})
		tr := trainer(t, b, all, tiny, Rule{Form: Undamped, Gamma: gamma, WeightDecay: decay})
		gradient := func(d *Data) []float64 {
			g, err := tr.Gradient(t.Context(), d, set.N())
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		buffer := make([]float64, tr.net.NumParams())
		for step := range 3 {
			want := gradient(all)
			if step == 0 && devices == 1 {
				bits = want
			} else if step == 0 && !slices.Equal(want, bits) {
				t.Errorf("another gradient on %d devices", devices)
			}
			sum := make([]float64, len(want))
			for _, indices := range groups {
				floats.Add(sum, gradient(uploaded(t, b, set.Select(indices), Layout{Chunk: 2})))
			}
			if e := distance(want, sum); e > 1e-12 {
				t.Errorf("step %d: the groups' gradients differ from that of all by %g", step, e)
			}
			before := tr.weights()
			steps(t, tr, 1, eta)
			floats.Scale(gamma, buffer)
			floats.Add(buffer, want)
			floats.AddScaled(buffer, decay, before)
			got, err := tr.Momentum()
			if err != nil {
				t.Fatal(err)
			}
			if e := distance(buffer, got); e > 1e-12 {
				t.Errorf("step %d: the momentum differs by %g", step, e)
			}
		}
	}
}

// Law: with γ set to 0, a rule with momentum takes the steps of GD, in both forms; with γ set back
// and the buffer set to zero, those of a new trainer with momentum.
func TestSetGamma(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 5, 5)
	for _, form := range []Form{Damped, Undamped} {
		rule := Rule{Form: form, Gamma: 0.9, WeightDecay: 0.1}
		changed := trainer(t, b, d, tiny, rule)
		gd := trainer(t, b, d, tiny, Rule{Form: form, WeightDecay: 0.1})
		set := func(tr *Trainer, gamma float64) {
			if err := tr.SetGamma(gamma); err != nil {
				t.Fatal(err)
			}
		}
		set(changed, 0)
		steps(t, changed, 2, 0.1)
		steps(t, gd, 2, 0.1)
		if !slices.Equal(changed.weights(), gd.weights()) {
			t.Errorf("%s: γ = 0 is not GD", form)
		}
		if got := changed.Rule().Gamma; got != 0 {
			t.Errorf("%s: the rule has γ = %v after SetGamma(0)", form, got)
		}
		set(changed, 0.9)
		if err := changed.SetMomentum(make([]float64, changed.net.NumParams())); err != nil {
			t.Fatal(err)
		}
		again := trainer(t, b, d, tiny, rule)
		if err := again.SetValues(gd.weights()); err != nil {
			t.Fatal(err)
		}
		steps(t, changed, 2, 0.1)
		steps(t, again, 2, 0.1)
		if !slices.Equal(changed.weights(), again.weights()) {
			t.Errorf("%s: γ = 0.9 with an empty buffer is not a new start", form)
		}
		if gd.SetGamma(0.5) == nil || gd.SetMomentum(nil) == nil || changed.SetGamma(1) == nil {
			t.Errorf("%s: momentum without a buffer, or γ = 1, is no error", form)
		}
	}
}

// The logits give the loss and the correct images that an evaluation gives, on any devices.
func TestLogits(t *testing.T) {
	set := imageSet(7)
	set.SmallMargin = []bool{true, false, false, true, false, true, false}
	for _, devices := range []int{1, 2} {
		b := goDevices(t, devices)
		d := uploaded(t, b, set, Layout{Chunk: 2})
		tr := trainer(t, b, d, tiny, Rule{Form: Undamped})
		want, err1 := tr.Evaluate(t.Context(), d)
		logits, err2 := tr.Logits(t.Context(), d)
		if err1 != nil || err2 != nil || len(logits) != 7 {
			t.Fatal(err1, err2, len(logits))
		}
		var loss float64
		correct := 0
		for i, x := range logits {
			loss += (floats.LogSumExp(x) - x[set.Labels[i]]) / 7
			if floats.MaxIdx(x) == int(set.Labels[i]) {
				correct++
			}
		}
		if math.Abs(loss-want.Loss) > 1e-12 || correct != want.Correct {
			t.Errorf("%d devices: loss %v, %d correct, want %+v", devices, loss, correct, want)
		}
		margins, small := d.Margins(logits)
		for i, m := range margins {
			if (m > 0) != (floats.MaxIdx(logits[i]) == int(set.Labels[i])) {
				t.Errorf("image %d of label %d: margin %v of the logits %v", i, set.Labels[i], m,
					logits[i])
			}
		}
		if !slices.Equal(small, set.SmallMargin) {
			t.Errorf("small margins %v, want %v", small, set.SmallMargin)
		}
	}
}

// A margin by hand: 3 for the label less 1.5, the larger of the others.
func TestMargins(t *testing.T) {
	set := imageSet(2) // labels 0 and 1
	d := uploaded(t, goBackend(t), set, Layout{Chunk: 2})
	margins, small := d.Margins([][]float64{{3, 1.5, -2}, {4, 1, 0}})
	if !slices.Equal(margins, []float64{1.5, -3}) || slices.Contains(small, true) {
		t.Error(margins, small)
	}
}
