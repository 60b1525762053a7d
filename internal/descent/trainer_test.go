package descent

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/internal/seeds"
	"momentum/models"
)

// images are n random images with labels in turn: what the laws below need, and no more.
func images(t testing.TB, b *backend.Backend, n int) *Data {
	t.Helper()
	rng := seeds.Stream(1, "test images")
	pixels, labels := make([]uint8, n*3072), make([]uint8, n)
	for i := range pixels {
		pixels[i] = uint8(rng.UintN(256))
	}
	for i := range labels {
		labels[i] = uint8(i % 3)
	}
	d, err := NewData(b.Backend, pixels, labels, [3]float32{0.5, 0.45, 0.4},
		[3]float32{0.25, 0.2, 0.3})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// trainer is a small network on the given images, in float64 so that laws can be told from
// rounding.
func trainer(t *testing.T, b *backend.Backend, d *Data, c models.Config, rule Rule,
	chunk int) *Trainer {
	t.Helper()
	c.Classes = 3
	net, err := models.New(c)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := NewTrainer(b, net, rule, d, Options{Precision: F64, Chunk: chunk, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

var small = models.Config{Model: "wrn16-1", Width: 2, Norm: "none"}

func steps(t *testing.T, tr *Trainer, n int, eta float64) (losses []float64) {
	t.Helper()
	for range n {
		s, err := tr.Step(t.Context(), eta)
		if err != nil {
			t.Fatalf("%+v", err)
		}
		losses = append(losses, s.Loss)
	}
	return losses
}

// values are a variable's values.
func (t *Trainer) values(path string) []float64 {
	return floats(t.store.GetVariable(path).MustValue())
}

// weights are all parameters in a row.
func (t *Trainer) weights() (all []float64) {
	for _, p := range t.params {
		all = append(all, t.values("/model/"+p.Name)...)
	}
	return all
}

// distance is the largest relative difference of two lists, relative to the largest value.
func distance(a, b []float64) float64 {
	largest, difference := 0.0, 0.0
	for i := range a {
		largest = max(largest, math.Abs(a[i]))
		difference = max(difference, math.Abs(a[i]-b[i]))
	}
	return difference / largest
}

// Law: the gradient over unequal chunks is that over one chunk, and no image is dropped.
func TestChunksDoNotChangeTheResult(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 7)
	rule := Rule{Form: Undamped, Gamma: 0.9}
	one := trainer(t, b, d, small, rule, 7)
	want := steps(t, one, 3, 0.1)
	for _, chunk := range []int{3, 2} { // 3+3+1 and 2+2+2+1 images
		many := trainer(t, b, d, small, rule, chunk)
		got := steps(t, many, 3, 0.1)
		if e := distance(want, got); e > 1e-12 {
			t.Errorf("chunks of %d: losses %v, want %v of one chunk", chunk, got, want)
		}
		if e := distance(one.weights(), many.weights()); e > 1e-12 {
			t.Errorf("chunks of %d: weights differ by %g", chunk, e)
		}
	}
}

// The loss of the initial weights is the mean over the images one by one: what "exact" means,
// without the accumulation.
func TestLossIsTheMeanOverImages(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 5)
	tr := trainer(t, b, d, small, Rule{Form: Undamped}, 2)
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
	if want := sum / 5; math.Abs(whole.Loss-want) > 1e-12 || math.Abs(evaluated.Loss-want) >
		1e-12 || evaluated.Correct != whole.Correct {
		t.Errorf("step %+v, evaluation %+v, want the mean %v and equally many correct images",
			whole, evaluated, want)
	}
}

// Law: the marked images and the others add up to all, each part scores what its images score
// alone, and chunks of them, in a step and in an evaluation, change neither that nor the step.
func TestMarkedImages(t *testing.T) {
	b := goBackend(t)
	rule := Rule{Form: Undamped, Gamma: 0.9}
	all, marked := images(t, b, 7), images(t, b, 7)
	if err := marked.SetSmallMargin([]bool{true, false, false, true, false, true, false}); err != nil {
		t.Fatal(err)
	}
	plain := trainer(t, b, all, small, rule, 7)
	alone := func(indices ...int32) Stats {
		// A trainer of its own, so that the momentum of plain stays; a rate of 0 leaves the
		// weights.
		tr := trainer(t, b, all, small, rule, 7)
		for _, p := range plain.params {
			tr.set(p.Name, plain.values("/model/"+p.Name))
		}
		s, err := tr.StepOn(t.Context(), indices, 0)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// 3+3+1 images
	whole, three := trainer(t, b, marked, small, rule, 7), trainer(t, b, marked, small, rule, 3)
	for step := range 3 {
		part, rest := alone(0, 3, 5), alone(1, 2, 4, 6)
		want, err := plain.Step(t.Context(), 0.1)
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range []*Trainer{whole, three} {
			evaluated, err := tr.Evaluate(t.Context(), marked)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tr.Step(t.Context(), 0.1)
			if err != nil {
				t.Fatal(err)
			}
			if e := distance([]float64{want.Loss, want.GradNorm, want.UpdateNorm, want.ParamNorm},
				[]float64{got.Loss, got.GradNorm, got.UpdateNorm, got.ParamNorm}); e > 1e-12 {
				t.Errorf("step %d, chunks of %d: marks change it from %+v to %+v", step, tr.Chunk,
					want, got)
			}
			for _, s := range []Score{got.Score, evaluated} {
				if math.Abs(s.SmallMarginLoss*7/3-part.Loss) > 1e-12 ||
					math.Abs((s.Loss-s.SmallMarginLoss)*7/4-rest.Loss) > 1e-12 ||
					s.SmallMarginCorrect != part.Correct || s.Correct-s.SmallMarginCorrect != rest.Correct {
					t.Errorf("step %d, chunks of %d: %+v, want the marked images' %+v and the "+
						"others' %+v", step, tr.Chunk, s, part.Score, rest.Score)
				}
			}
		}
	}
	// A mini-batch has its own part, here images 5 and 0 of four; and unmarked images can be
	// evaluated too.
	s, err := three.StepOn(t.Context(), []int32{5, 1, 0, 6}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if part := alone(0, 5); math.Abs(s.SmallMarginLoss*4/2-part.Loss) > 1e-12 || s.SmallMarginCorrect !=
		part.Correct {
		t.Errorf("mini-batch: %+v, want the marked images' %+v", s, part)
	}
	if s, err := three.Evaluate(t.Context(), all); err != nil || s.SmallMarginLoss != 0 ||
		s.SmallMarginCorrect != 0 {
		t.Errorf("unmarked images: %+v, %v", s, err)
	}
	if err := all.SetSmallMargin(make([]bool, 6)); err == nil ||
		!strings.Contains(err.Error(), "6 marks, want one for each of the 7 images") {
		t.Error(err)
	}
}

// Law: damped at η takes the steps of undamped at (1−γ)η.
func TestDampedIsUndampedAtLowerRate(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 4)
	const gamma, eta = 0.8, 0.5
	damped := trainer(t, b, d, small, Rule{Form: Damped, Gamma: gamma, WeightDecay: 0.01}, 4)
	undamped := trainer(t, b, d, small, Rule{Form: Undamped, Gamma: gamma, WeightDecay: 0.01}, 4)
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
	d := images(t, b, 4)
	gd := trainer(t, b, d, small, Rule{Form: Undamped}, 2)
	if gdm := trainer(t, b, d, small, Rule{Form: Damped, Gamma: 0.9},
		2); !slices.Equal(gd.weights(), gdm.weights()) {
		t.Error("GD and GD+M start from different weights")
	}
	before := gd.weights()
	damped := trainer(t, b, d, small, Rule{Form: Damped, Gamma: 0}, 2)
	if !slices.Equal(steps(t, gd, 3, 0.2), steps(t, damped, 3, 0.2)) ||
		!slices.Equal(gd.weights(), damped.weights()) {
		t.Error("γ = 0 differs from GD")
	}
	// And one step of GD is w − η∇L, with the norms that the stats say.
	fresh := trainer(t, b, d, small, Rule{Form: Undamped}, 2)
	s, err := fresh.Step(t.Context(), 0.2)
	if err != nil {
		t.Fatal(err)
	}
	moved, norm := 0.0, 0.0
	for i, w := range fresh.weights() {
		moved += (w - before[i]) * (w - before[i])
		norm += before[i] * before[i]
	}
	if math.Abs(math.Sqrt(moved)-0.2*s.GradNorm) > 1e-12 || math.Abs(s.UpdateNorm-0.2*s.GradNorm) >
		1e-12 || math.Abs(s.ParamNorm-math.Sqrt(norm)) > 1e-12 {
		t.Errorf("moved by %v from norm %v, stats %+v", math.Sqrt(moved), math.Sqrt(norm), s)
	}
}

// A mini-batch is the images that its indices name.
func TestStepOnAllIsStep(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 5)
	rule := Rule{Form: Undamped, Gamma: 0.5}
	full, mini := trainer(t, b, d, small, rule, 2), trainer(t, b, d, small, rule, 2)
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

// The gradient of every parameter of every layer type agrees with central differences of the loss,
// along a random direction for each parameter tensor: (L(w+εd) − L(w−εd)) / 2ε against ⟨∇L, d⟩.
func TestGradientAgainstFiniteDifferences(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 3)
	for _, c := range []models.Config{
		{Model: "resnet18", Width: 1, Norm: "none"}, {Model: "resnet18", Width: 1, Norm: "batch"},
		{Model: "wrn16-1", Width: 2, Norm: "none"}, {Model: "wrn16-1", Width: 2, Norm: "batch"},
		{Model: "vgg19", Width: 1, Norm: "none"}, {Model: "vgg19", Width: 1, Norm: "batch"},
	} {
		t.Run(c.Model+"/"+c.Norm, func(t *testing.T) {
			tr := trainer(t, b, d, c, Rule{Form: Undamped}, 3)
			// Biases of 0 put many pixels on the kink of the ReLU: move all parameters off it.
			rng := seeds.Stream(7, "finite differences")
			for _, p := range tr.params {
				w := tr.values("/model/" + p.Name)
				for i := range w {
					w[i] += 0.1 * rng.NormFloat64()
				}
				tr.set(p.Name, w)
			}
			gradients := tr.gradients(t)
			loss := func() float64 {
				s, err := tr.Evaluate(t.Context(), d)
				if err != nil {
					t.Fatal(err)
				}
				return s.Loss
			}
			const epsilon = 1e-8
			for i, p := range tr.params {
				w := tr.values("/model/" + p.Name)
				direction := make([]float64, len(w))
				slope := 0.0
				for j := range direction {
					direction[j] = rng.NormFloat64()
					slope += direction[j] * gradients[i][j]
				}
				tr.set(p.Name, along(w, direction, epsilon))
				up := loss()
				tr.set(p.Name, along(w, direction, -epsilon))
				down := loss()
				tr.set(p.Name, w)
				if got := (up - down) / (2 * epsilon); math.Abs(got-slope) >
					1e-6+1e-5*math.Abs(slope) {
					t.Errorf("%s: finite difference %v, gradient %v", p.Name, got, slope)
				}
			}
		})
	}
}

func along(w, direction []float64, epsilon float64) []float64 {
	moved := slices.Clone(w)
	for i := range moved {
		moved[i] += epsilon * direction[i]
	}
	return moved
}

// set replaces the values of a parameter.
func (t *Trainer) set(name string, values []float64) {
	v := t.store.GetVariable("/model/" + name)
	setValue(v, tensors.FromFlatDataAndDimensions(values, v.Shape().Dimensions...))
}

// gradients are those of the loss at the present weights: the weights before a step of GD at rate 1
// minus those after it.
func (t *Trainer) gradients(tb testing.TB) [][]float64 {
	tb.Helper()
	var before, gradients [][]float64
	for _, p := range t.params {
		before = append(before, t.values("/model/"+p.Name))
	}
	if _, err := t.Step(tb.Context(), 1); err != nil {
		tb.Fatal(err)
	}
	for i, p := range t.params {
		g := t.values("/model/" + p.Name)
		for j := range g {
			g[j] = before[i][j] - g[j]
		}
		gradients = append(gradients, g)
		t.set(p.Name, before[i])
	}
	return gradients
}

// A checkpoint gives back the state to the bit: the run goes on as if it had not been interrupted.
func TestSaveAndLoad(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 4)
	rule := Rule{Form: Undamped, Gamma: 0.9}
	tr := trainer(t, b, d, small, rule, 2)
	steps(t, tr, 2, 0.1)
	dir := t.TempDir()
	// which JSON has no number for
	if err := tr.Save(dir, map[string]float64{"loss_sum": 1.0 / 3,
		"eval_loss": math.Inf(1)}); err != nil {
		t.Fatal(err)
	}
	want := steps(t, tr, 2, 0.1)

	again := trainer(t, b, d, small, rule, 2)
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

	// What does not fit is refused, with the place, and changes nothing.
	other := trainer(t, b, d, models.Config{Model: "wrn16-1", Width: 3, Norm: "none"}, rule, 2)
	before := other.weights()
	if _, _, err := other.Load(dir); err == nil ||
		!strings.Contains(err.Error(), "/model/stem/weights") {
		t.Errorf("loading into another network: %v", err)
	}
	if !slices.Equal(before, other.weights()) {
		t.Error("a failed load changed the weights")
	}
}

// The backend that runs use agrees with the Go backend in float64, as far as the digits of each
// precision go, over unequal chunks.
func TestPrecisions(t *testing.T) {
	exact := goBackend(t)
	want := steps(t, trainer(t, exact, images(t, exact, 5), small, Rule{Form: Undamped, Gamma: 0.9},
		5), 3, 0.05)

	b := backendtest.Open(t)
	d := images(t, b, 5)
	// on a CPU TF32 is float32
	for p, tolerance := range map[Precision]float64{F32: 1e-5, TF32: 1e-5, BF16: 0.03} {
		if p == BF16 && b.Kind == backend.Go {
			t.Log("bf16 is not checked: the Go backend has no bfloat16 convolution")
			continue
		}
		c := small
		c.Classes = 3
		net, err := models.New(c)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := NewTrainer(b, net, Rule{Form: Undamped, Gamma: 0.9}, d,
			Options{Precision: p, Chunk: 2, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := steps(t, tr, 3, 0.05); distance(want, got) > tolerance {
			t.Errorf("losses in %s: %v, want %v", p, got, want)
		}
	}
}

func TestBadInput(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 2)
	net, err := models.New(models.Config{Model: "resnet18", Width: 1, Norm: "none", Classes: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewTrainer(b, net, Rule{Form: Undamped, Gamma: 1}, d, Options{Chunk: 1}); err ==
		nil || !strings.Contains(err.Error(), "gamma must be in [0, 1), got 1") {
		t.Error(err)
	}
	if _, err := NewTrainer(b, net, Rule{Form: Undamped}, d, Options{}); err == nil ||
		!strings.Contains(err.Error(), "chunk must be at least 1") {
		t.Error(err)
	}
	if _, err := NewData(b.Backend, make([]uint8, 3071), make([]uint8, 1), [3]float32{},
		[3]float32{}); err == nil || !strings.Contains(err.Error(),
		"want 3072 bytes for each label") {
		t.Error(err)
	}
}

func TestNotFinite(t *testing.T) {
	for _, c := range []struct {
		s    Stats
		want string
	}{
		{Stats{Score: Score{Loss: 1}, GradNorm: 2, UpdateNorm: 3, ParamNorm: 4}, ""},
		{Stats{Score: Score{Loss: math.NaN()}}, "train loss"},
		{Stats{GradNorm: math.Inf(1)}, "gradient norm"},
		{Stats{UpdateNorm: math.Inf(1)}, "update norm"},
		{Stats{ParamNorm: math.NaN()}, "parameter norm"},
	} {
		if got, _ := c.s.NotFinite(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.s, got, c.want)
		}
	}
}

// One full-batch step of GD+M on 64 images in chunks of 32, ResNet-18 of width 16, on the backend
// that runs use.
func BenchmarkStep(b *testing.B) {
	be := backendtest.Open(b)
	net, err := models.New(models.Config{Model: "resnet18", Width: 16, Norm: "none", Classes: 3})
	if err != nil {
		b.Fatal(err)
	}
	d := images(b, be, 64)
	tr, err := NewTrainer(be, net, Rule{Form: Undamped, Gamma: 0.9}, d,
		Options{Precision: F32, Chunk: 32, Seed: 1})
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
