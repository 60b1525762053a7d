package models

import (
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend/backendtest"
	"momentum/internal/seeds"
)

// convShapes are layers of the networks: each of the forms in conv.go, and sizes on both sides of
// the limits between them.
var convShapes = []struct {
	form                             string
	images, size, in, out, k, stride int
}{
	{"stem, 2×4 pixels at once", 2, 32, 3, 8, 3, 1},
	{"stem, 2×2 pixels at once", 2, 32, 3, 16, 3, 1},
	{"2×4 pixels at once", 2, 8, 4, 4, 3, 1},
	{"2×2 pixels at once", 2, 8, 8, 8, 3, 1},
	{"1×2 pixels at once", 2, 4, 16, 16, 3, 1},
	{"other tiles backward", 2, 4, 8, 16, 3, 1},
	{"an odd size", 2, 5, 8, 8, 3, 1},
	{"one pixel", 2, 1, 8, 8, 3, 1},
	{"32 channels", 2, 8, 32, 48, 3, 1},
	{"stride 2", 2, 8, 8, 16, 3, 2},
	{"shortcut", 2, 8, 8, 16, 1, 2},
	{"1×1", 2, 4, 8, 16, 1, 1},
}

// The forms of convolutions for a CPU give what XLA's convolution gives, and so do their gradients
// in the input and the kernel: in float64 to 1e-12 of the largest value.
func TestConvolveForms(t *testing.T) {
	b := backendtest.Open(t)
	rng := seeds.Stream(1, "conv")
	for _, c := range convShapes {
		x := noise(rng, c.images*c.size*c.size*c.in, 1)
		kernel := noise(rng, c.k*c.k*c.in*c.out, 1)
		s := c.size / c.stride
		dy := noise(rng, c.images*s*s*c.out, 1)
		compute := func(n *Network, dtype dtypes.DType) []*tensors.Tensor {
			return MustNewExec(b.Backend, func(in []*Node) []*Node {
				for i := range in {
					in[i] = ConvertDType(in[i], dtype)
				}
				y := n.convolve(in[0], in[1], c.stride)
				y.AssertDims(c.images, s, s, c.out)
				results := append([]*Node{y},
					Gradient(ReduceAllSum(Mul(y, in[2])), in[0], in[1])...)
				for i, r := range results {
					results[i] = ConvertDType(r, dtypes.Float64)
				}
				return results
			}).MustCall(tensors.FromFlatDataAndDimensions(x, c.images, c.size, c.size, c.in),
				tensors.FromFlatDataAndDimensions(kernel, c.k, c.k, c.in, c.out),
				tensors.FromFlatDataAndDimensions(dy, c.images, s, s, c.out))
		}
		want := compute(&Network{}, dtypes.Float64)
		exact := compute(&Network{ForCPU: true}, dtypes.Float64)
		fast := compute(&Network{ForCPU: true}, dtypes.Float32)
		for i, name := range []string{"result", "gradient in the input", "gradient in the kernel"} {
			if e := relativeError(exact[i], want[i]); e > 1e-12 {
				t.Errorf("%s: the %s is off by %.1e", c.form, name, e)
			}
			// Here XLA's convolution is off by up to 9e-7 itself.
			if e := relativeError(fast[i], want[i]); e > 2e-6 {
				t.Errorf("%s: in float32 the %s is off by %.1e", c.form, name, e)
			}
		}
	}
}

// relativeError is the largest difference, relative to the largest value.
func relativeError(got, want *tensors.Tensor) float64 {
	difference, largest := 0.0, 0.0
	w := tensors.MustCopyFlatData[float64](want)
	for i, g := range tensors.MustCopyFlatData[float64](got) {
		difference = max(difference, math.Abs(g-w[i]))
		largest = max(largest, math.Abs(w[i]))
	}
	return difference / largest
}

// ResNet-18 of width 8 with the forms for a CPU has the loss, the gradients and the logits of the
// native one, in float64. Its layers have tiles of 2×2 and 1×2 pixels, and single pixels.
func TestForCPU(t *testing.T) {
	b := backendtest.Open(t)
	const n = 4
	net := network(t, Config{Model: "resnet18", Width: 8, Norm: "none", Classes: n})
	rng := seeds.Stream(1, "resnet18")
	inputs := []any{tensors.FromFlatDataAndDimensions(noise(rng, n*ImageSize*ImageSize*3, 1), n,
		ImageSize, ImageSize, 3)}
	params := net.Params()
	for i, initial := range net.Init(1) {
		values := noise(rng, len(initial), 0.1) // so that biases are not 0
		for j := range initial {
			values[j] += float64(initial[j])
		}
		inputs = append(inputs, tensors.FromFlatDataAndDimensions(values, params[i].Shape...))
	}
	want := MustNewExec(b.Backend, lossGraph(net)).MustCall(inputs...)
	net.ForCPU = true
	got := MustNewExec(b.Backend, lossGraph(net)).MustCall(inputs...)
	for i := range want {
		if e := relativeError(got[i], want[i]); e > 1e-11 {
			t.Errorf("output %d is off by %.1e", i, e)
		}
	}
}
