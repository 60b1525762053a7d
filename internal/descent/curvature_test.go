package descent

import (
	"math"
	"testing"

	"momentum/internal/seeds"
	"momentum/models"
)

// The product with the Hessian agrees with central differences of the gradient along a random
// direction, (∇L(w+εv) − ∇L(w−εv)) / 2ε, for every kind of layer, and the Hessian is symmetric:
// uᵀHv = vᵀHu.
func TestHessianProduct(t *testing.T) {
	b := goBackend(t)
	d := images(t, b, 3, 3)
	for _, c := range []models.Config{
		{Model: "resnet18", Width: 1, Norm: "none"},
		{Model: "resnet18", Width: 1, Norm: "weights"},
		{Model: "resnet18", Width: 1, Norm: "batch"},
		{Model: "wrn16-1", Width: 2, Norm: "none", Initialization: "skipinit"},
		{Model: "wrn16-1", Width: 2, Norm: "weights"},
		{Model: "wrn16-1", Width: 2, Norm: "batch"},
		{Model: "vgg19", Width: 1, Norm: "none"},
		{Model: "vgg19", Width: 1, Norm: "batch"},
	} {
		t.Run(c.Model+"/"+c.Norm+c.Initialization, func(t *testing.T) {
			tr := trainer(t, b, d, c, Rule{Form: Undamped})
			rng := seeds.Stream(7, "hessian")
			random := func(size float64) []float64 {
				v := make([]float64, tr.net.NumParams())
				for i := range v {
					v[i] = size * rng.NormFloat64()
				}
				return v
			}
			at := add(tr.weights(), random(0.1), 1) // off the kinks, where biases of 0 are
			move := func(w []float64) {
				if err := tr.SetValues(w); err != nil {
					t.Fatal(err)
				}
			}
			gradient := func(w []float64) (g []float64) {
				move(w)
				for _, x := range tr.gradients(t) {
					g = append(g, x...)
				}
				return g
			}
			product := func(v []float64) []float64 {
				move(at)
				hv, err := tr.HessianProduct(t.Context(), d, v)
				if err != nil {
					t.Fatal(err)
				}
				return hv
			}
			u, v := random(1), random(1)
			hu, hv := product(u), product(v)
			const epsilon = 1e-7
			want := add(gradient(add(at, v, epsilon)), gradient(add(at, v, -epsilon)), -1)
			for i := range want {
				want[i] /= 2 * epsilon
			}
			if off := distance(want, hv); off > 1e-5 {
				t.Errorf("the product is off by %.2g of the largest finite difference", off)
			}
			if x, y := dot(u, hv), dot(v, hu); math.Abs(x-y) > 1e-9*math.Abs(x) {
				t.Errorf("uᵀHv = %v, vᵀHu = %v", x, y)
			}
		})
	}
}

// Chunks of any size and any number of devices give the same product.
func TestHessianProductOverChunks(t *testing.T) {
	var want []float64
	for _, devices := range []int{1, 2} {
		b := goDevices(t, devices)
		for _, chunk := range []int{5, 2} {
			d := images(t, b, 5, chunk)
			tr := trainer(t, b, d, tiny, Rule{Form: Undamped})
			v := make([]float64, tr.net.NumParams())
			for i := range v {
				v[i] = math.Sin(float64(i))
			}
			got, err := tr.HessianProduct(t.Context(), d, v)
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
			}
			if off := distance(want, got); off > 1e-12 {
				t.Errorf("%d devices, chunks of %d: off by %v", devices, chunk, off)
			}
		}
	}
	b := goBackend(t)
	d := images(t, b, 2, 2)
	if _, err := trainer(t, b, d, tiny, Rule{Form: Undamped}).HessianProduct(t.Context(), d,
		[]float64{1}); err == nil {
		t.Error("a vector of one value is no error")
	}
}

// What was read can be written back, and weights of another size are refused.
func TestSetValues(t *testing.T) {
	b := goDevices(t, 2)
	tr := trainer(t, b, images(t, b, 4, 1), tiny, Rule{Form: Undamped})
	want, err := tr.Values()
	if err != nil || len(want) != tr.net.NumParams() {
		t.Fatalf("%d values, %v", len(want), err)
	}
	for i := range want {
		want[i] += float64(i)
	}
	if err := tr.SetValues(want); err != nil {
		t.Fatal(err)
	}
	if got, err := tr.Values(); err != nil || distance(want, got) != 0 {
		t.Errorf("other values come back: %v", err)
	}
	if distance(want, tr.weights()) != 0 || tr.SetValues(want[1:]) == nil {
		t.Error("the weights are not those, or too few are accepted")
	}
}

// add is v + f·w.
func add(v, w []float64, f float64) []float64 {
	sum := make([]float64, len(v))
	for i := range v {
		sum[i] = v[i] + f*w[i]
	}
	return sum
}

func dot(v, w []float64) (sum float64) {
	for i := range v {
		sum += v[i] * w[i]
	}
	return sum
}
