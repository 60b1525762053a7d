package models

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
)

// Feedforward is a teacher or student network of the paper's Table 1. It maps points in R^d to a
// number whose sign is the label: k hidden layers with ReLU and biases, either dense (k-MLP) or 1-D
// convolutions over the d coordinates (k-CNN), and a dense output with a bias. With k = 0 it is
// linear. A convolution has stride 1 and no padding, so it shortens its input by Size−1.
//
// Its graph computes many networks at once, the lanes: a leading axis of the weights.
type Feedforward struct {
	Conv   bool // the hidden layers are convolutions
	Hidden int  // k
	D      int  // d
	Width  int  // units of a hidden layer, or filters of a convolution
	Size   int  // coordinates that a filter sees
}

// ParseFeedforward returns the network of a name: linear, k-mlp with hidden layers of the given
// width, or k-cnn with filters of the given number and size.
func ParseFeedforward(name string, d, width, filters, size int) (Feedforward, error) {
	f := Feedforward{D: d}
	if name != "linear" {
		number, kind, _ := strings.Cut(name, "-")
		hidden, err := strconv.Atoi(number)
		if err != nil || hidden < 1 || kind != "mlp" && kind != "cnn" {
			return f, fmt.Errorf("models: unknown network %q, want linear, or a number of hidden "+
				"layers and their kind, such as 1-mlp or 2-cnn", name)
		}
		f.Hidden, f.Width = hidden, width
		if kind == "cnn" {
			f.Conv, f.Width, f.Size = true, filters, size
		}
	}
	switch {
	case d < 1:
		return f, fmt.Errorf("models: %s: dimension must be at least 1, got %d", name, d)
	case f.Hidden > 0 && f.Width < 1:
		return f, fmt.Errorf("models: %s: width must be at least 1, got %d", name, f.Width)
	case f.Conv && (f.Size < 1 || d-f.Hidden*(f.Size-1) < 1):
		return f, fmt.Errorf("models: %s: %d filter(s) of size %d in a row do not fit into %d "+
			"coordinates", name, f.Hidden, f.Size, d)
	}
	return f, nil
}

// features is the number of inputs of the output layer.
func (f Feedforward) features() int {
	switch {
	case f.Hidden == 0:
		return f.D
	case f.Conv:
		return f.Width * (f.D - f.Hidden*(f.Size-1))
	}
	return f.Width
}

// Params lists the parameters of one network from input to output. Weights are [out, in] and biases
// [out]. In a convolution, in is Size times the channels of the layer below: all channels at a
// filter's first coordinate, then all at its second, and so on. The output layer takes its inputs
// in the order [channels, positions].
func (f Feedforward) Params() []Param {
	var params []Param
	layer := func(name string, in, out int, gain float64) {
		params = append(params,
			Param{Name: name + "/weights", Shape: []int{out, in},
				std: math.Sqrt(gain / float64(in))},
			Param{Name: name + "/biases", Shape: []int{out}})
	}
	channels, size := f.D, 1
	if f.Conv {
		channels, size = 1, f.Size
	}
	for k := range f.Hidden {
		layer(fmt.Sprintf("hidden%d", k+1), size*channels, f.Width, 2)
		channels = f.Width
	}
	layer("output", f.features(), 1, 1)
	return params
}

// Init draws initial values in the order of [Feedforward.Params]: weights of hidden layers from
// N(0, 2/in), as He et al. (2015) do for ReLU, those of the output from N(0, 1/in), and biases 0.
func (f Feedforward) Init(rng *rand.Rand) [][]float32 {
	var values [][]float32
	for _, p := range f.Params() {
		v := make([]float32, p.Size())
		if p.std > 0 {
			for i := range v {
				v[i] = float32(p.std * rng.NormFloat64())
			}
		}
		values = append(values, v)
	}
	return values
}

// Activations is the number of values in the hidden layers for one point.
func (f Feedforward) Activations() int {
	total := 0
	for k := range f.Hidden {
		if f.Conv {
			total += f.Width * (f.D - (k+1)*(f.Size-1))
		} else {
			total += f.Width
		}
	}
	return total
}

// Logits builds the networks of S lanes: every parameter has a leading axis [S], points x are [G,
// n, d], and the result is [S, n]. G divides S: the first S/G lanes see x[0], the next ones x[1],
// and so on.
//
// Activations are [S, channels, positions, n] (a dense layer has one position), so that each layer
// is a product from the left and points are contiguous in memory.
func (f Feedforward) Logits(weights Weights, x *Node) *Node {
	groups, n := x.Shape().Dim(0), x.Shape().Dim(1)
	h := Reshape(Transpose(x, 1, 2), groups, f.D, 1, n)
	if f.Conv {
		h = Reshape(h, groups, 1, f.D, n)
	}
	for k := range f.Hidden {
		if f.Conv {
			h = windows(h, f.Size)
		}
		name := fmt.Sprintf("hidden%d", k+1)
		h = relu(Add(product(weights(name+"/weights"), h),
			InsertAxes(weights(name+"/biases"), -1, -1)))
	}
	h = Reshape(h, h.Shape().Dim(0), f.features(), 1, n)
	h = product(weights("output/weights"), h)               // [S, 1, 1, n]
	return Add(Reshape(h, -1, n), weights("output/biases")) // [S, n]
}

// windows lists what a filter sees at each position: [G, channels, positions, n] to
// [G, size·channels, positions−size+1, n].
func windows(h *Node, size int) *Node {
	positions := h.Shape().Dim(2) - size + 1
	var shifted []*Node
	for i := range size {
		shifted = append(shifted, Slice(h, AxisRange(), AxisRange(), AxisRange(i, i+positions)))
	}
	return Concatenate(shifted, 1)
}

// product applies weights [S, out, in] at each position: h [G, in, positions, n] to
// [S, out, positions, n]. The weights of the lanes that see the same input form one matrix.
func product(w, h *Node) *Node {
	lanes, out, in := w.Shape().Dim(0), w.Shape().Dim(1), w.Shape().Dim(2)
	groups, positions, n := h.Shape().Dim(0), h.Shape().Dim(2), h.Shape().Dim(3)
	w = Reshape(w, groups, lanes/groups*out, in)
	y := DotGeneral(w, []int{2}, []int{0}, Reshape(h, groups, in, positions*n), []int{1}, []int{0})
	return Reshape(y, lanes, out, positions, n)
}
