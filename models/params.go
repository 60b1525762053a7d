package models

import (
	"math"
	"strings"

	"momentum/internal/seeds"
)

// Param describes one parameter tensor.
type Param struct {
	Name  string // such as "stage1/block2/conv1/weights"
	Shape []int

	fill, std float64 // initial values are drawn from N(fill, std²)
	uniform   bool    // they are drawn from [−√3 std, √3 std], which has this deviation, instead
	centered  bool    // they are then shifted to sum to 0 for each output channel
}

// Size is the number of values.
func (p Param) Size() int {
	size := 1
	for _, d := range p.Shape {
		size *= d
	}
	return size
}

// Params lists the parameters in the order of the forward pass.
func (n *Network) Params() []Param {
	var params []Param
	norm := func(name string, channels int) {
		params = append(params, Param{Name: name + "/scale", Shape: []int{channels}, fill: 1},
			Param{Name: name + "/offset", Shape: []int{channels}})
	}
	batch := n.Norm == "batch"
	addConv := func(c conv) {
		weights := n.initial(c)
		weights.Name, weights.Shape = c.name+"/weights", []int{c.k, c.k, c.in, c.out}
		params = append(params, weights)
		if n.Norm == "weights" {
			params = append(params, Param{Name: c.name + "/gain", Shape: []int{c.out}, fill: 1})
		}
		if !batch {
			params = append(params, n.biases(c.name, c.fanIn(), c.out))
		} else if c.norm != "" {
			norm(c.norm, c.out)
		}
	}
	addConv(n.stem)
	for _, b := range n.blocks {
		if batch && n.kind == wideResNet {
			norm(b.name+"/norm1", b.convs[0].in)
		}
		for _, c := range b.convs {
			addConv(c)
		}
		if b.shortcut != nil {
			addConv(*b.shortcut)
		}
		if n.hasGain() {
			gain := *n.BranchScale
			if n.Initialization == fixup {
				gain = 1
			}
			params = append(params, Param{Name: b.name + "/gain", Shape: []int{1}, fill: gain})
		}
	}
	if batch && n.kind == wideResNet {
		norm("norm", n.head.in)
	}
	head := Param{std: math.Sqrt(1 / float64(n.head.in)), centered: n.Initialization == centered}
	switch n.Initialization {
	case pytorch:
		head = uniform(n.head.in)
	case fixup:
		head = Param{}
	}
	head.Name, head.Shape = n.head.name+"/weights", []int{n.head.in, n.head.out}
	return append(params, head, n.biases(n.head.name, n.head.in, n.head.out))
}

// hasGain reports whether each residual branch is multiplied by a learned number.
func (n *Network) hasGain() bool {
	return n.kind != vgg && (n.Norm == "weights" || n.Initialization == skipInit || n.Initialization == fixup)
}

// initial is how the weights of a convolution are drawn.
func (n *Network) initial(c conv) Param {
	if n.Initialization == pytorch {
		p := uniform(c.fanIn())
		if n.isLast(c) && !n.hasGain() {
			p.std *= *n.BranchScale
		}
		return p
	}
	p := Param{std: he(c.fanIn()), centered: n.Initialization == centered && c.name != n.stem.name}
	switch {
	case n.Norm == "weights": // the graph standardizes them
	case n.kind == vgg && p.centered:
		p.std = centeredHe(c.fanIn())
	case n.Initialization == fixup && strings.HasSuffix(c.name, "/conv1"):
		p.std /= math.Sqrt(float64(len(n.blocks)))
	case n.isLast(c) && n.Initialization != skipInit:
		p.std *= *n.BranchScale
	}
	return p
}

// isLast reports whether a convolution is the last one of a residual branch.
func (n *Network) isLast(c conv) bool {
	return n.kind != vgg && strings.HasSuffix(c.name, "/conv2")
}

// biases are those of a layer, 0 at the start but for PyTorch's.
func (n *Network) biases(name string, fanIn, out int) Param {
	p := Param{}
	if n.Initialization == pytorch {
		p = uniform(fanIn)
	}
	p.Name, p.Shape = name+"/biases", []int{out}
	return p
}

// uniform is how PyTorch draws the weights and the biases of a layer: from [−b, b] with
// b = 1/√fan-in.
func uniform(fanIn int) Param {
	return Param{std: 1 / math.Sqrt(3*float64(fanIn)), uniform: true}
}

// NumParams is the number of trained values.
func (n *Network) NumParams() int {
	total := 0
	for _, p := range n.Params() {
		total += p.Size()
	}
	return total
}

// Init draws the initial values of the parameters, in the order of [Network.Params].
//
// Init "he": weights are normal with mean 0 and variance 2/fan-in (He et al., 2015), 1/fan-in in
// the head. Biases are 0. The others change this.
//
// Init "pytorch" is the default of PyTorch's layers: weights and biases are uniform in ±1/√fan-in.
// It has a sixth of He's variance.
//
// Init "fixup" (Zhang et al., 2019): in each of the L branches the first convolution is divided by
// √L, the last one is 0, and so is the head; a learned number, 1 at the start, multiplies the
// branch. Fixup's scalar biases are our biases of each channel.
//
// Init "skipinit" (De and Smith, 2020): a learned number, 0 at the start, multiplies each branch.
//
// With weight standardization the graph gives the weights their mean and variance, and those drawn
// here matter only by their size: the larger, the smaller their relative steps.
//
// Init "centered", the default, has two rules that keep a network without normalization trainable by full-batch descent at
// useful rates:
//
//   - The last convolution of each residual branch is multiplied by BranchScale. Plain He
//     initialization doubles the variance in every block, and a ResNet-18 then starts from a loss
//     above 10. With 1/√L the variance grows by a factor of (1+1/L)^L < e through all L blocks.
//   - The weights of each output channel are shifted to sum to 0, except in the stem. The output of
//     a ReLU is not negative, so a channel whose weights have a nonzero mean adds the same number
//     to all images, more in each layer, and this common direction makes the loss sharp. Huang et
//     al. (2017) and Brock et al. (2021) center the weights throughout training; here only the
//     initial weights are centered. In 120 steps, GD+M fits all of 64 images with centered weights
//     and 14 of them without (ResNet-18, width 16, η = 0.01 undamped, γ = 0.9, cosine, BranchScale
//     0.3, one seed).
//
// VGG-19 has no shortcuts, so each of its 16 convolutions must preserve the variance: all but the
// stem have the variance 2.93/fan-in, see [centeredHe]. The logits then have a spread over images
// of 0.2 to 0.4, and the loss starts at 2.3 to 2.5 (ln 10 = 2.30) at widths 4 to 64. With 2/fan-in
// the spread would be 0.015, and all gradients would be smaller by a factor of 10 or more. After
// 100 steps on 64 images, at the best of six rates, the loss is 0.008 with GD and below 0.0005 with
// GD+M. Plain He initialization, not centered, leaves 0.33 and 0.76 (width 8, undamped, γ = 0.9,
// cosine, one seed).
//
// Each parameter has a random stream of its own, so that the weights of a layer depend only on the
// seed, its name and its shape.
func (n *Network) Init(seed uint64) [][]float32 {
	values := make([][]float32, 0, len(n.Params()))
	for _, p := range n.Params() {
		v := make([]float64, p.Size())
		rng := seeds.Stream(seed, "init/"+p.Name)
		for i := range v {
			if p.uniform {
				v[i] = math.Sqrt(3) * p.std * (2*rng.Float64() - 1)
			} else {
				v[i] = p.fill + p.std*rng.NormFloat64()
			}
		}
		if p.centered {
			center(v, p.Shape[len(p.Shape)-1])
		}
		narrow := make([]float32, len(v))
		for i, x := range v {
			narrow[i] = float32(x)
		}
		values = append(values, narrow)
	}
	return values
}

// center shifts the weights of each output channel, along the last axis of size out, to sum to 0.
func center(v []float64, out int) {
	for c := range out {
		sum := 0.0
		for i := c; i < len(v); i += out {
			sum += v[i]
		}
		mean := sum / float64(len(v)/out)
		for i := c; i < len(v); i += out {
			v[i] -= mean
		}
	}
}

// he is the standard deviation √(2/fan-in) of He et al. (2015), which preserves the variance
// through a layer that is followed by a ReLU.
func he(fanIn int) float64 { return math.Sqrt(2 / float64(fanIn)) }

// centeredHe is √(2.93/fan-in), which does so for weights that sum to 0. Such weights see the
// variance of a ReLU's output, (1−1/π)/2 for a normal input of variance 1, and not its mean square,
// 1/2 (Brock et al., 2021).
func centeredHe(fanIn int) float64 { return he(fanIn) / math.Sqrt(1-1/math.Pi) }
