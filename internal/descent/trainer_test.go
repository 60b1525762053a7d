package descent

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/models"
)

// Law: the gradient over unequal chunks equals that over one chunk, and no image is dropped.
func TestChunksDoNotChangeTheResult(t *testing.T) {
	b := goBackend(t)
	rule := Rule{Form: Undamped, Gamma: 0.9}
	one := trainer(t, b, images(t, b, 7, 7), tiny, rule)
	want := steps(t, one, 3, 0.1)
	for _, chunk := range []int{3, 2} { // 3+3+1 and 2+2+2+1 images
		many := trainer(t, b, images(t, b, 7, chunk), tiny, rule)
		got := steps(t, many, 3, 0.1)
		if e := distance(want, got); e > 1e-12 {
			t.Errorf("chunks of %d: losses %v, want %v of one chunk", chunk, got, want)
		}
		if e := distance(one.weights(), many.weights()); e > 1e-12 {
			t.Errorf("chunks of %d: weights differ by %g", chunk, e)
		}
	}
}

// The loss of a full-batch step is the mean of the losses of single images, taken one by one
// without accumulation.
func TestLossIsTheMeanOverImages(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 5, 2)
	tr := trainer(t, b, d, tiny, Rule{Form: Undamped})
	sum := 0.0
	for i := range d.N {
		s, err := tr.StepOn(t.Context(), []int32{int32(i)}, 0)
		if err != nil {
			t.Fatal(err)
		}
		sum += s.Loss
	}
	whole, err := tr.Step(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	evaluated, err := tr.Evaluate(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if want := sum / 5; math.Abs(whole.Loss-want) > 1e-12 ||
		math.Abs(evaluated.Loss-want) > 1e-12 || evaluated.Correct != whole.Correct {
		t.Errorf("step %+v, evaluation %+v, want the mean %v and equally many correct images",
			whole, evaluated, want)
	}
}

// Law: damped at η takes the steps of undamped at (1−γ)η.
func TestDampedIsUndampedAtLowerRate(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 4, 4)
	const gamma, eta = 0.8, 0.5
	damped := trainer(t, b, d, tiny, Rule{Form: Damped, Gamma: gamma, WeightDecay: 0.01})
	undamped := trainer(t, b, d, tiny, Rule{Form: Undamped, Gamma: gamma, WeightDecay: 0.01})
	for step := range 5 {
		x, y := steps(t, damped, 1, eta), steps(t, undamped, 1, (1-gamma)*eta)
		if e := distance(x, y); e > 1e-12 {
			t.Errorf("step %d: losses %v and %v", step, x, y)
		}
		if e := distance(damped.weights(), undamped.weights()); e > 1e-12 {
			t.Errorf("step %d: weights differ by %g", step, e)
		}
	}
}

// Law: γ = 0 is GD exactly, and GD and GD+M start from the same weights.
func TestWithoutMomentumIsGD(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 4, 2)
	gd := trainer(t, b, d, tiny, Rule{Form: Undamped})
	gdm := trainer(t, b, d, tiny, Rule{Form: Damped, Gamma: 0.9})
	if !slices.Equal(gd.weights(), gdm.weights()) {
		t.Error("GD and GD+M start from different weights")
	}
	before := gd.weights()
	damped := trainer(t, b, d, tiny, Rule{Form: Damped, Gamma: 0})
	if !slices.Equal(steps(t, gd, 3, 0.2), steps(t, damped, 3, 0.2)) ||
		!slices.Equal(gd.weights(), damped.weights()) {
		t.Error("γ = 0 differs from GD")
	}
	// One step of GD is w − η∇L, with the norms in the stats.
	fresh := trainer(t, b, d, tiny, Rule{Form: Undamped})
	s, err := fresh.Step(t.Context(), 0.2)
	if err != nil {
		t.Fatal(err)
	}
	moved, norm := 0.0, 0.0
	for i, w := range fresh.weights() {
		moved += (w - before[i]) * (w - before[i])
		norm += before[i] * before[i]
	}
	if math.Abs(math.Sqrt(moved)-0.2*s.GradNorm) > 1e-12 ||
		math.Abs(s.UpdateNorm-0.2*s.GradNorm) > 1e-12 ||
		math.Abs(s.ParamNorm-math.Sqrt(norm)) > 1e-12 {
		t.Errorf("moved by %v from norm %v, stats %+v", math.Sqrt(moved), math.Sqrt(norm), s)
	}
}

// Law: a mini-batch of all images, in any order, is the full batch.
func TestStepOnAllIsStep(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 5, 2)
	rule := Rule{Form: Undamped, Gamma: 0.5}
	full, mini := trainer(t, b, d, tiny, rule), trainer(t, b, d, tiny, rule)
	for range 2 {
		if _, err := full.Step(t.Context(), 0.1); err != nil {
			t.Fatal(err)
		}
		if _, err := mini.StepOn(t.Context(), []int32{4, 2, 0, 1, 3}, 0.1); err != nil {
			t.Fatal(err)
		}
	}
	if e := distance(full.weights(), mini.weights()); e > 1e-12 {
		t.Errorf("weights differ by %g", e)
	}
}

// The sums of zero, to which the first chunk of each part is added, are made once: steps, products
// and the noise do not give them up, and leave them at zero.
func TestZerosAreMadeOnce(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 11, 2)
	tr := trainer(t, b, d, tiny, Rule{Form: Undamped, Gamma: 0.9})
	r := tr.replicas[0]
	steps(t, tr, 1, 0.1)
	zeros := slices.Clone(r.zeros)
	steps(t, tr, 2, 0.1)
	_, err1 := tr.HessianProduct(t.Context(), d, tr.weights())
	_, err2 := tr.GradientNoise(t.Context(), d)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if len(zeros) != len(tr.params)+1 || !slices.Equal(r.zeros, zeros) {
		t.Errorf("%d sums of zero, made again: %v", len(zeros), !slices.Equal(r.zeros, zeros))
	}
	for i, x := range zeros {
		if values := backend.Floats(x); slices.ContainsFunc(values, func(v float64) bool {
			return v != 0
		}) {
			t.Errorf("sum %d is no longer zero", i)
		}
	}
}

func TestBadInput(t *testing.T) {
	b := goBackend(t)
	set := imageSet(2)
	d := uploaded(t, b, set, Layout{Chunk: 1})
	net, err := models.New(models.Config{Model: "resnet18", Width: 1, Norm: "none", Classes: 3})
	if err != nil {
		t.Fatal(err)
	}
	_, gammaErr := NewTrainer(b, net, Rule{Form: Undamped, Gamma: 1}, d, Options{})
	tr, err := NewTrainer(b, net, Rule{Form: Undamped}, d, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, batchErr := tr.StepOn(t.Context(), []int32{1}, 0)
	_, chunkErr := NewData(b, set, Layout{})
	set.Pixels = set.Pixels[1:]
	_, pixelsErr := NewData(b, set, Layout{Chunk: 1})
	for _, c := range []struct {
		err  error
		want string
	}{
		{gammaErr, "gamma must be in [0, 1), got 1"},
		{batchErr, "needs training images with random access"},
		{chunkErr, "chunk must be at least 1"},
		{pixelsErr, "want 3072 bytes for each label"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%v, want an error with %q", c.err, c.want)
		}
	}
}

// BenchmarkStep takes full-batch steps of GD+M on 64 images in chunks of 32, with ResNet-18 of
// width 16, on the default backend.
func BenchmarkStep(b *testing.B) {
	be := backendtest.Open(b)
	net, err := models.New(models.Config{Model: "resnet18", Width: 16, Norm: "none", Classes: 3})
	if err != nil {
		b.Fatal(err)
	}
	d := images(b, be, 64, 32)
	tr, err := NewTrainer(be, net, Rule{Form: Undamped, Gamma: 0.9}, d,
		Options{Precision: F32, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	step := func() {
		if _, err := tr.Step(b.Context(), 1e-3); err != nil {
			b.Fatal(err)
		}
	}
	step() // compiles
	for b.Loop() {
		step()
	}
	b.ReportMetric(float64(b.N*d.N)/b.Elapsed().Seconds(), "images/s")
}

// Until sees the score at the weights before each step, and the step that it ends is not taken.
func TestUntil(t *testing.T) {
	b := goDevices(t, 2)
	d := images(t, b, 6, 2)
	want := steps(t, trainer(t, b, d, tiny, Rule{Form: Undamped, Gamma: 0.5}), 3, 0.1)
	tr := trainer(t, b, d, tiny, Rule{Form: Undamped, Gamma: 0.5})
	var seen []float64
	tr.Until = func(s Score) bool {
		seen = append(seen, s.Loss)
		return len(seen) == 3
	}
	steps(t, tr, 2, 0.1)
	before := tr.weights()
	s, err := tr.Step(t.Context(), 0.1)
	if err != nil || !s.Ended || s.Loss != want[2] || !slices.Equal(seen, want) {
		t.Errorf("%+v, %v; losses %v, want the end at the last of %v", s, err, seen, want)
	}
	if !slices.Equal(before, tr.weights()) {
		t.Error("the step that was ended has changed the weights")
	}
}
