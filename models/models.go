// Package models holds the networks of the paper as graph functions of named weights: ResNet-18,
// WideResNet-16-k and VGG-19 for 32×32 images.
//
// [New] describes a [Network] as plain data: its layers and their shapes. Everything else is
// derived from this description: the parameters and their initial values ([Network.Params],
// [Network.Init]), the cost ([Network.FLOPs]) and the graph ([Network.Logits]).
//
// Images are [N, height, width, channels], convolution weights [height, width, in, out] (HWIO),
// dense weights [in, out].
package models

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ImageSize is the height and width of the images, in pixels.
const ImageSize = 32

// Config selects a network.
type Config struct {
	// Model is "resnet18", "vgg19", or "wrn16-K" with K the widening factor of WideResNet-16, for
	// example "wrn16-4".
	Model string
	// Width is the number of channels of the stem, the first convolution; see [DefaultWidth]. The
	// stages have Width·(1, 2, 4, 8) channels in ResNet-18, Width·(1, 2, 4, 8, 8) in VGG-19 and
	// K·Width·(1, 2, 4) in WideResNet-16-K.
	Width int
	// Norm is "none" (the paper's setting); "batch": batch normalization with the statistics of the
	// images of one call, in training and in evaluation alike; or "weights": scaled weight
	// standardization (Brock et al., 2021), see [Network.Logits].
	Norm string
	// Initialization is one of [Inits]; empty means "centered". See [Network.Init].
	Initialization string
	// Classes is the number of labels: 10 or 100 for CIFAR.
	Classes int
	// BranchScale is the size of each residual branch at the start; nil means
	// [DefaultBranchScale]. It is the initial value of the branch's gain where the branch has one
	// (norm "weights", init "skipinit"). Elsewhere the initial weights of the branch's last
	// convolution are multiplied by it. VGG-19 has no branches: nil or 0.
	BranchScale *float64
}

// Norms lists the values of Config.Norm.
func Norms() []string { return []string{"none", "batch", "weights"} }

// Inits lists the values of Config.Initialization.
func Inits() []string { return []string{centered, "he", pytorch, fixup, skipInit} }

const (
	centered = "centered"
	pytorch  = "pytorch"
	fixup    = "fixup"
	skipInit = "skipinit"
)

// DefaultBranchScale is the usual size of residual branches at the start: 0.2 with weight
// standardization, 1/√L in L blocks whose weights are centered, 0 with Fixup and SkipInit, 1
// otherwise. It is 0 in a network without branches.
func DefaultBranchScale(model, norm, init string) float64 {
	switch {
	case !hasBranches(model):
		return 0
	case norm == "weights":
		return 0.2
	case init == "he" || init == pytorch:
		return 1
	case init == fixup || init == skipInit:
		return 0
	}
	return 1 / math.Sqrt(float64(numBlocks(model)))
}

func hasBranches(model string) bool { return model != "vgg19" }

// numBlocks is the number L of residual blocks.
func numBlocks(model string) int {
	if strings.HasPrefix(model, "wrn") {
		return 6
	}
	return 8
}

// Title is the usual name of a network.
func Title(model string) string {
	if title, ok := map[string]string{"resnet18": "ResNet-18", "vgg19": "VGG-19"}[model]; ok {
		return title
	}
	return "WideResNet-" + strings.TrimPrefix(model, "wrn")
}

// DefaultWidth is the width of the stem in the original network: 16 for WideResNet (Zagoruyko and
// Komodakis, 2016), 64 for ResNet-18 and VGG-19.
func DefaultWidth(model string) int {
	if strings.HasPrefix(model, "wrn") {
		return 16
	}
	return 64
}

// Network is a convolutional network: stem, blocks, mean over the pixels, dense head.
type Network struct {
	Config
	// ForCPU makes [Network.Logits] choose forms of the convolutions that are faster in XLA on a
	// CPU, in float32 and float64. The result differs by rounding.
	ForCPU bool

	stem   conv
	blocks []block
	head   dense
	kind   kind
}

// kind is the structure of a network's blocks.
type kind int

const (
	resNet     kind = iota // residual; normalization and ReLU after each convolution
	wideResNet             // residual; normalization and ReLU before each convolution
	vgg                    // convolutions, each with normalization and ReLU, then a max pooling
)

// conv is a k×k convolution with zero padding (k−1)/2. It has a bias in networks without batch
// normalization.
type conv struct {
	name    string
	norm    string // name of the batch normalization of its output, "" without one
	in, out int
	k       int
	stride  int
	size    int // height and width of its output
}

// fanIn is the number of inputs of an output.
func (c conv) fanIn() int { return c.k * c.k * c.in }

// block is a stage of VGG, or a residual block: two convolutions and a shortcut around them.
type block struct {
	name     string
	convs    []conv
	shortcut *conv // nil for the identity, and in VGG
}

// dense maps [N, in] to [N, out] with a bias.
type dense struct {
	name    string
	in, out int
}

// MaxWidth is the largest width of a network.
const MaxWidth = 4096

// New describes the network of a configuration. It refuses unknown models and impossible sizes.
func New(c Config) (*Network, error) {
	if c.Width < 1 || c.Width > MaxWidth {
		return nil, fmt.Errorf("models: width must be in [1, %d], got %d", MaxWidth, c.Width)
	}
	if c.Classes < 2 {
		return nil, fmt.Errorf("models: classes must be at least 2, got %d", c.Classes)
	}
	if c.Initialization == "" {
		c.Initialization = centered
	}
	if err := c.checkParameterization(); err != nil {
		return nil, err
	}
	n := &Network{Config: c}
	n.stem = conv{name: "stem", norm: "stem/norm", in: 3, out: c.Width, k: 3, stride: 1,
		size: ImageSize}
	switch k, isWRN := strings.CutPrefix(c.Model, "wrn16-"); {
	case c.Model == "resnet18":
		n.addResidual(resNet, c.Width, 2*c.Width, 4*c.Width, 8*c.Width)
	case c.Model == "vgg19":
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
	n.head = dense{name: "head", in: in, out: c.Classes}
	if n.BranchScale == nil {
		scale := DefaultBranchScale(c.Model, n.Norm, n.Initialization)
		n.BranchScale = &scale
	}
	return n, nil
}

// checkParameterization refuses norms, initializations and branch scales that are unknown or
// contradict each other.
func (c Config) checkParameterization() error {
	if !slices.Contains(Norms(), c.Norm) {
		return fmt.Errorf("models: norm must be one of %s, got %q", strings.Join(Norms(), ", "),
			c.Norm)
	}
	if !slices.Contains(Inits(), c.Initialization) {
		return fmt.Errorf("models: init must be one of %s, got %q", strings.Join(Inits(), ", "),
			c.Initialization)
	}
	if c.Initialization == fixup || c.Initialization == skipInit {
		if c.Norm != "none" {
			return fmt.Errorf("models: init %s is for networks without normalization, got norm "+
				"%s: use norm none, or init centered", c.Initialization, c.Norm)
		}
		if !hasBranches(c.Model) {
			return fmt.Errorf("models: init %s is for residual branches, and %s has none: use "+
				"init centered", c.Initialization, c.Model)
		}
	}
	if c.BranchScale == nil {
		return nil
	}
	scale := *c.BranchScale
	if !(scale >= 0) || math.IsInf(scale, 0) {
		return fmt.Errorf("models: branch scale must be finite and not negative, got %v", scale)
	}
	if scale != 0 && !hasBranches(c.Model) {
		return fmt.Errorf("models: %s has no residual branches to scale, got a branch scale of "+
			"%v: leave it out", c.Model, scale)
	}
	return nil
}

// addResidual adds stages of two residual blocks each, with the given numbers of channels. All
// stages but the first halve the height and the width.
func (n *Network) addResidual(kind kind, widths ...int) {
	n.kind = kind
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
				stride: stride, size: size}
			conv2 := conv{name: name + "/conv2", norm: name + "/norm2", in: out, out: out, k: 3,
				stride: 1, size: size}
			shortcut := &conv{name: name + "/shortcut", norm: name + "/norm3", in: in, out: out,
				k: 1, stride: stride, size: size}
			if kind == wideResNet { // norm1 normalizes the block's input
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

// addVGG adds the five stages of VGG's configuration E. Each ends in a pooling that halves the
// height and the width, from 32 pixels to 1, so that the mean before the head is over one pixel.
// The stem is the first convolution of the first stage. The head replaces the three dense layers
// for images of 224×224, as is usual for CIFAR.
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
			b.convs = append(b.convs, conv{name: fmt.Sprintf("%s/conv%d", b.name, i+1),
				norm: fmt.Sprintf("%s/norm%d", b.name, i+1), in: in, out: out, k: 3, stride: 1,
				size: size})
			in = out
		}
		n.blocks = append(n.blocks, b)
		size /= 2
	}
}
