package descent

import (
	"math"
	"slices"
	"testing"

	"momentum/internal/seeds"
	"momentum/models"
)

// The gradient of every parameter of every layer type agrees with central differences of the loss,
// along a random direction for each parameter tensor: (L(w+εd) − L(w−εd)) / 2ε against ⟨∇L, d⟩.
func TestGradientAgainstFiniteDifferences(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 3, 3)
	for _, c := range []models.Config{
		{Model: "resnet18", Width: 1, Norm: "none"}, {Model: "resnet18", Width: 1, Norm: "batch"},
		{Model: "wrn16-1", Width: 2, Norm: "none"}, {Model: "wrn16-1", Width: 2, Norm: "batch"},
		{Model: "vgg19", Width: 1, Norm: "none"}, {Model: "vgg19", Width: 1, Norm: "batch"},
		{Model: "resnet18", Width: 1, Norm: "weights"},
		{Model: "wrn16-1", Width: 2, Norm: "weights"},
		{Model: "vgg19", Width: 1, Norm: "weights"},
		{Model: "resnet18", Width: 1, Norm: "none", Initialization: "skipinit"},
		{Model: "wrn16-1", Width: 2, Norm: "none", Initialization: "fixup"},
	} {
		t.Run(c.Model+"/"+c.Norm+c.Initialization, func(t *testing.T) {
			tr := trainer(t, b, d, c, Rule{Form: Undamped})
			// Biases of 0 put many pixels on the kink of the ReLU: move all parameters off it.
			rng := seeds.Stream(7, "finite differences")
			for i := range tr.params {
				w := tr.values(i)
				for j := range w {
					w[j] += 0.1 * rng.NormFloat64()
				}
				tr.set(i, w)
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
				w := tr.values(i)
				direction := make([]float64, len(w))
				slope := 0.0
				for j := range direction {
					direction[j] = rng.NormFloat64()
					slope += direction[j] * gradients[i][j]
				}
				tr.set(i, along(w, direction, epsilon))
				up := loss()
				tr.set(i, along(w, direction, -epsilon))
				down := loss()
				tr.set(i, w)
				got := (up - down) / (2 * epsilon)
				if math.Abs(got-slope) > 1e-6+1e-5*math.Abs(slope) {
					t.Errorf("%s: finite difference %v, gradient %v", p.Name, got, slope)
				}
			}
		})
	}
}

// along returns w + ε·direction.
func along(w, direction []float64, epsilon float64) []float64 {
	moved := slices.Clone(w)
	for i := range moved {
		moved[i] += epsilon * direction[i]
	}
	return moved
}

// gradients returns the gradient of the loss at the present weights: the weights before a step of
// GD at rate 1 minus those after it.
func (t *Trainer) gradients(tb testing.TB) [][]float64 {
	tb.Helper()
	var before, gradients [][]float64
	for i := range t.params {
		before = append(before, t.values(i))
	}
	if _, err := t.Step(tb.Context(), 1); err != nil {
		tb.Fatal(err)
	}
	for i := range t.params {
		g := t.values(i)
		for j := range g {
			g[j] = before[i][j] - g[j]
		}
		gradients = append(gradients, g)
		t.set(i, before[i])
	}
	return gradients
}
