// Package models holds the networks of the paper as graph functions of named weights: ResNet-18,
// WideResNet-16-k and VGG-19 for 32×32 images.
//
// A [Network] is plain data (which layers, of what shape), made by [New]. Everything is derived
// from it: the parameters and their initial values ([Network.Params], [Network.Init]), the cost
// ([Network.FLOPs]) and the graph ([Network.Logits]).
//
// Images are [N, height, width, channels], convolution weights [height, width, in, out] (HWIO),
// dense weights [in, out].
package models

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"momentum/internal/seeds"
)

// ImageSize is the height and width of the images, in pixels.
const ImageSize = 32

// Config says which network to build.
type Config struct {
	// Model is "resnet18", "vgg19", or "wrn16-K" with K the widening factor of WideResNet-16, for
	// example "wrn16-4".
	Model string
	// Width is the number of channels of the stem, the first convolution; see [DefaultWidth]. The
	// stages have Width·(1, 2, 4, 8) channels in ResNet-18, Width·(1, 2, 4, 8, 8) in VGG-19 and
	// K·Width·(1, 2, 4) in WideResNet-16-K.
	Width int
	// Norm is "none" (the paper's setting) or "batch": batch normalization by the statistics of the
	// images of one call, in training and in evaluation alike.
	Norm string
	// Classes is the number of labels: 10 or 100 for CIFAR.
	Classes int
	// BranchScale multiplies the initial weights of the last convolution of each residual branch; 0
	// means 1/√L for L residual blocks, see [Network.Init]. VGG-19 has no branches: 0.
	BranchScale float64
}

// Network is a convolutional network: stem, blocks, mean over the pixels, dense head.
type Network struct {
	Config
	stem   conv
	blocks []block
	head   dense
	kind   kind
}

// kind says how the layers of a block are put together, and whether normalization and ReLU come
// after each convolution or before it.
type kind int

const (
	resNet     kind = iota // residual, after
	wideResNet             // residual, before
	vgg                    // one layer after the other and then a max pooling, after
)

// conv is a k×k convolution with zero padding (k−1)/2. It has a bias where the network does not
// normalize.
type conv struct {
	name    string
	norm    string // name of the batch normalization of its output, "" where none comes next
	in, out int
	k       int
	stride  int
	size    int     // height and width of its output
	std     float64 // of the initial weights
}

// block is a stage of VGG, or a residual block: two convolutions and a shortcut around them.
type block struct {
	name     string
	convs    []conv
	shortcut *conv // nil: the identity, or in VGG none
}

// dense maps [N, in] to [N, out] with a bias.
type dense struct {
	name    string
	in, out int
	std     float64
}

// New builds the description of a network. It refuses unknown models and impossible sizes.
func New(c Config) (*Network, error) {
	if c.Width < 1 || c.Width > 4096 {
		return nil, fmt.Errorf("models: width must be in [1, 4096], got %d", c.Width)
	}
	if c.Classes < 2 {
		return nil, fmt.Errorf("models: classes must be at least 2, got %d", c.Classes)
	}
	if c.Norm != "none" && c.Norm != "batch" {
		return nil, fmt.Errorf("models: norm must be none or batch, got %q", c.Norm)
	}
	if c.BranchScale < 0 || math.IsNaN(c.BranchScale) || math.IsInf(c.BranchScale, 0) {
		return nil, fmt.Errorf("models: branch scale must be finite and not negative, got %v",
			c.BranchScale)
	}
	n := &Network{Config: c}
	n.stem = conv{name: "stem", norm: "stem/norm", in: 3, out: c.Width, k: 3, stride: 1,
		size: ImageSize, std: he(3 * 9)}
	switch k, isWRN := strings.CutPrefix(c.Model, "wrn16-"); {
	case c.Model == "resnet18":
		n.addResidual(resNet, c.Width, 2*c.Width, 4*c.Width, 8*c.Width)
	case c.Model == "vgg19":
		if c.BranchScale != 0 {
			return nil, fmt.Errorf("models: vgg19 has no residual branches to scale, got a "+
				"branch scale of %v: leave it 0", c.BranchScale)
		}
		n.addVGG()
	case isWRN:
		widen, err := strconv.Atoi(k)
		if err != nil || widen < 1 || widen > 64 {
			return nil, fmt.Errorf(
				"models: %q: the widening factor must be a whole number in [1, 64]", c.Model)
		}
		n.stem.norm = ""
		n.addResidual(wideResNet, widen*c.Width, 2*widen*c.Width, 4*widen*c.Width)
	default:
		return nil, fmt.Errorf(
			"models: unknown model %q, want resnet18, vgg19 or wrn16-K (such as wrn16-4)", c.Model)
	}
	last := n.blocks[len(n.blocks)-1].convs
	in := last[len(last)-1].out
	n.head = dense{name: "head", in: in, out: c.Classes, std: 1 / math.Sqrt(float64(in))}
	return n, nil
}

// addResidual adds stages of two residual blocks, with the given numbers of channels. All but the
// first stage halve height and width.
func (n *Network) addResidual(kind kind, widths ...int) {
	n.kind = kind
	if n.BranchScale == 0 {
		n.BranchScale = 1 / math.Sqrt(float64(2*len(widths)))
	}
	in, size := n.stem.out, ImageSize
	for s, out := range widths {
		for b := range 2 {
			stride := 1
			if s > 0 && b == 0 {
				stride = 2
				size /= 2
			}
			name := fmt.Sprintf("stage%d/block%d", s+1, b+1)
			conv1 := conv{name: name + "/conv1", norm: name + "/norm1", in: in, out: out, k: 3,
				stride: stride, size: size, std: he(9 * in)}
			conv2 := conv{name: name + "/conv2", norm: name + "/norm2", in: out, out: out, k: 3,
				stride: 1, size: size, std: he(9*out) * n.BranchScale}
			shortcut := &conv{name: name + "/shortcut", norm: name + "/norm3", in: in, out: out,
				k: 1, stride: stride, size: size, std: he(in)}
			if kind == wideResNet { // norm1 is that of the block's input
				conv1.norm, conv2.norm, shortcut.norm = name+"/norm2", "", ""
			}
			if stride == 1 && in == out {
				shortcut = nil
			}
			n.blocks = append(n.blocks, block{name: name, convs: []conv{conv1, conv2},
				shortcut: shortcut})
			in = out
		}
	}
}

// addVGG adds the five stages of VGG's configuration E, which each end in a pooling that halves
// height and width: from 32 to 1 pixel, so that the mean before the head is over one. The stem is
// the first convolution of the first stage. In place of the three dense layers for images of
// 224×224 there is the head alone, as is usual for CIFAR.
func (n *Network) addVGG() {
	n.kind = vgg
	in, size := n.stem.out, ImageSize
	for s, convs := range []int{2, 2, 4, 4, 4} {
		b := block{name: fmt.Sprintf("stage%d", s+1)}
		out := n.Width << min(s, 3)
		for i := range convs {
			if s == 0 && i == 0 {
				continue // the stem
			}
			name, norm := fmt.Sprintf("%s/conv%d", b.name, i+1),
				fmt.Sprintf("%s/norm%d", b.name, i+1)
			b.convs = append(b.convs, conv{name: name, norm: norm, in: in, out: out, k: 3,
				stride: 1, size: size, std: centeredHe(9 * in)})
			in = out
		}
		n.blocks = append(n.blocks, b)
		size /= 2
	}
}

// he is the standard deviation √(2/fan-in) of He et al. (2015), which keeps the variance of a layer
// that a ReLU follows.
func he(fanIn int) float64 { return math.Sqrt(2 / float64(fanIn)) }

// centeredHe is √(2.93/fan-in), which does so for weights that sum to 0. They see the variance of
// what comes out of a ReLU, (1−1/π)/2 for a normal input of variance 1, and not its mean square,
// 1/2 (Brock et al., 2021).
func centeredHe(fanIn int) float64 { return he(fanIn) / math.Sqrt(1-1/math.Pi) }

// convs returns all convolutions in the order of the forward pass.
func (n *Network) convs() []conv {
	all := []conv{n.stem}
	for _, b := range n.blocks {
		all = append(all, b.convs...)
		if b.shortcut != nil {
			all = append(all, *b.shortcut)
		}
	}
	return all
}

// Param describes one parameter tensor.
type Param struct {
	Name  string // such as "stage1/block2/conv1/weights"
	Shape []int

	fill, std float64 // initial values are N(fill, std²)
	centered  bool    // and then shifted to sum to 0 for each output channel
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
		params = append(params, Param{Name: c.name + "/weights",
			Shape: []int{c.k, c.k, c.in, c.out}, std: c.std, centered: c.name != n.stem.name})
		if !batch {
			params = append(params, Param{Name: c.name + "/biases", Shape: []int{c.out}})
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
	}
	if batch && n.kind == wideResNet {
		norm("norm", n.head.in)
	}
	return append(params,
		Param{Name: n.head.name + "/weights", Shape: []int{n.head.in, n.head.out}, std: n.head.std,
			centered: true},
		Param{Name: n.head.name + "/biases", Shape: []int{n.head.out}})
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
// Weights are normal with mean 0 and variance 2/fan-in (He et al., 2015), 1/fan-in in the head;
// biases are 0. Two rules keep a network without normalization trainable by full-batch descent at
// useful rates:
//
//   - The last convolution of each residual branch is multiplied by BranchScale. Plain He
//     initialization doubles the variance in every block,
//     and a ResNet-18 then starts from a loss above 10. With 1/√L it grows by a factor of (1+1/L)^L
//     < e through all L blocks.
//   - The weights of each output channel are shifted to sum to 0, but in the stem. What comes out
//     of a ReLU is positive, so a channel whose
//     weights have a mean adds the same number to all images, more in each layer, and that common
//     direction makes the loss sharp. (Huang et
//     al., 2017, and Brock et al., 2021, center weights at all times; here only the start is
//     centered.) Of 64 images, GD+M fits
//     all in 120 steps with it and 14 without (ResNet-18, width 16, η = 0.01 undamped, γ = 0.9,
//     cosine, BranchScale 0.3, one seed).
//
// VGG-19 has no shortcuts, so each of its 16 convolutions must keep the variance: all but the stem
// have 2.93/fan-in, see [centeredHe]. With 2/fan-in the logits' spread over images would be 0.015
// and all gradients a tenth or less; so it is 0.2 to 0.4, and the loss starts at 2.3 to 2.5 (ln 10
// = 2.30) at widths 4 to 64. After 100 steps on 64 images, at the best of six rates, the loss is
// 0.008 with GD and below 0.0005 with GD+M, where plain He initialization, not centered, leaves
// 0.33 and 0.76 (width 8, undamped, γ = 0.9, cosine, one seed).
//
// Each parameter has its own stream, so that the weights of a layer depend on the seed, its name
// and its shape alone.
func (n *Network) Init(seed uint64) [][]float32 {
	values := make([][]float32, 0, len(n.Params()))
	for _, p := range n.Params() {
		v := make([]float64, p.Size())
		rng := seeds.Stream(seed, "init/"+p.Name)
		for i := range v {
			v[i] = p.fill + p.std*rng.NormFloat64()
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

// center shifts the weights of each of the out channels, the last axis, to sum to 0.
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

// FLOPs returns the floating-point operations of one image's forward pass, and of its forward and
// backward pass together, counting 2 for each multiply-add of convolutions and the head and nothing
// else. The backward pass costs the forward pass twice, but for the stem, whose input needs no
// gradient. Padding is counted as if it were computed, as is usual.
func (n *Network) FLOPs() (forward, step float64) {
	for _, c := range n.convs() {
		f := 2 * float64(c.size*c.size) * float64(c.k*c.k) * float64(c.in) * float64(c.out)
		forward += f
		step += 3 * f
		if c.name == n.stem.name {
			step -= f
		}
	}
	f := 2 * float64(n.head.in) * float64(n.head.out)
	return forward + f, step + 3*f
}

// ActivationValues is the number of convolution outputs of one image, a scale for the memory that
// the backward pass needs.
func (n *Network) ActivationValues() int {
	total := 0
	for _, c := range n.convs() {
		total += c.size * c.size * c.out
	}
	return total
}
