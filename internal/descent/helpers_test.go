package descent

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend"
	"momentum/internal/seeds"
	"momentum/models"
)

// goBackend opens the Go backend, which runs on every machine.
func goBackend(t *testing.T) *backend.Backend {
	t.Helper()
	b, err := backend.Open(t.Context(), "go", backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// images returns n random images with the labels 0, 1, 2, 0, ….
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

// trainer trains a network on the given images in float64, so that an error stands out from
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

// tiny is the smallest network with a block of each kind.
var tiny = models.Config{Model: "wrn16-1", Width: 2, Norm: "none"}

// steps takes n steps and returns their losses.
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

// values returns the values of a variable.
func (t *Trainer) values(path string) []float64 {
	return backend.Floats(t.store.GetVariable(path).MustValue())
}

// weights returns all parameters, one after the other.
func (t *Trainer) weights() (all []float64) {
	for _, p := range t.params {
		all = append(all, t.values(weightPath+p.Name)...)
	}
	return all
}

// set replaces the values of a parameter.
func (t *Trainer) set(name string, values []float64) {
	v := t.store.GetVariable(weightPath + name)
	setValue(v, tensors.FromFlatDataAndDimensions(values, v.Shape().Dimensions...))
}

// distance is the largest difference of two lists, relative to the largest value of a.
func distance(a, b []float64) float64 {
	largest, difference := 0.0, 0.0
	for i := range a {
		largest = max(largest, math.Abs(a[i]))
		difference = max(difference, math.Abs(a[i]-b[i]))
	}
	return difference / largest
}
