package models

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// Weights returns the node of a parameter by its name.
type Weights func(name string) *Node

// normEpsilon is added to the variance in batch normalization, as PyTorch's default does.
const normEpsilon = 1e-5

// standardizationEpsilon is the least sum of squares by which weights are divided in weight
// standardization, that of Brock et al. (2021).
const standardizationEpsilon = 1e-4

// Logits builds the graph of the network, from x [N, 32, 32, 3], normalized pixels, to the logits
// [N, Classes].
//
// Convolutions are computed in the type of x: weights of another type are converted, so that
// bfloat16 images with float32 weights mean bfloat16 compute. The mean over the pixels, the head
// and the logits are computed in the weights' type.
//
// With Norm "weights" each convolution has, in place of its weights W,
//
//	γ g (W − mean(W)) / √(fan-in var(W)),
//
// with mean and variance over the weights of an output channel, its learned gain g, and γ² =
// 2/(1−1/π) after a ReLU, 1 in the stem: scaled weight standardization (Brock et al., 2021). Each
// residual branch is multiplied by a learned number.
func (n *Network) Logits(weights Weights, x *Node) *Node {
	f := forward{Network: n, weights: weights}
	x = f.conv(n.stem, x)
	if n.kind != wideResNet {
		x = relu(x)
	}
	for _, b := range n.blocks {
		switch n.kind {
		case resNet:
			x = f.residualBlock(b, x)
		case wideResNet:
			x = f.preActivationBlock(b, x)
		case vgg:
			x = f.plainBlock(b, x)
		}
	}
	if n.kind == wideResNet {
		x = relu(f.norm("norm", x))
	}
	w := weights(n.head.name + "/weights")                   // [in, classes]
	features := ReduceMean(ConvertDType(x, w.DType()), 1, 2) // [N, in]
	// [N, classes]
	return Add(Dot(features, w).Product(), InsertAxes(weights(n.head.name+"/biases"), 0))
}

// forward is a network together with its weights.
type forward struct {
	*Network
	weights Weights
}

// residualBlock is ResNet's block: relu(shortcut(x) + conv2(relu(conv1(x)))).
func (f forward) residualBlock(b block, x *Node) *Node {
	shortcut := x
	if b.shortcut != nil {
		shortcut = f.conv(*b.shortcut, x)
	}
	h := f.conv(b.convs[1], relu(f.conv(b.convs[0], x)))
	return relu(Add(shortcut, f.gain(b, h)))
}

// preActivationBlock is WideResNet's block: shortcut + conv2(relu(conv1(h))) with h = relu(x). The
// shortcut is x or, where the shape changes, a convolution of h.
func (f forward) preActivationBlock(b block, x *Node) *Node {
	h := relu(f.norm(b.name+"/norm1", x))
	shortcut := x
	if b.shortcut != nil {
		shortcut = f.conv(*b.shortcut, h)
	}
	return Add(shortcut, f.gain(b, f.conv(b.convs[1], relu(f.conv(b.convs[0], h)))))
}

// gain multiplies the result of a residual branch by its learned number, if it has one. The product
// is computed in the weights' type, so that the number's gradient, a sum over images, pixels and
// channels, is too.
func (f forward) gain(b block, h *Node) *Node {
	if !f.hasGain() {
		return h
	}
	gain := f.weights(b.name + "/gain") // [1]
	return ConvertDType(Mul(ConvertDType(h, gain.DType()), Reshape(gain, 1, 1, 1, 1)), h.DType())
}

// plainBlock is VGG's block, [N, s, s, in] → [N, s/2, s/2, out]: convolutions with ReLU, then the
// maximum of each 2×2 pixels.
func (f forward) plainBlock(b block, x *Node) *Node {
	for _, c := range b.convs {
		x = relu(f.conv(c, x))
	}
	return maxPool(x)
}

// maxPool is [N, s, s, c] → [N, s/2, s/2, c]. Where pixels tie for the maximum, the first in
// reading order receives the whole gradient, as in PyTorch and JAX; ReduceMax would give it to each
// of them.
func maxPool(x *Node) *Node { return MaxPool(x).Window(2).Strides(2).NoPadding().Done() }

// conv is [N, s, s, in] → [N, s/stride, s/stride, out], followed by batch normalization or, in a
// network without it, by a bias.
func (f forward) conv(c conv, x *Node) *Node {
	y := f.convolve(x, ConvertDType(f.kernel(c), x.DType()), c.stride)
	if f.Norm != "batch" {
		// The sum is computed in the biases' type, so that their gradient, a sum over images and
		// pixels, is too.
		biases := f.weights(c.name + "/biases")
		y = ConvertDType(Add(ConvertDType(y, biases.DType()), Reshape(biases, 1, 1, 1, c.out)),
			x.DType())
	}
	y.AssertDims(-1, c.size, c.size, c.out)
	return f.norm(c.norm, y)
}

// kernel are the weights of a convolution [k, k, in, out]. With weight standardization those of each
// output channel are shifted and scaled to mean 0 and variance 1/fan-in, then multiplied by the
// channel's gain and by what makes up for a ReLU before the convolution.
func (f forward) kernel(c conv) *Node {
	w := f.weights(c.name + "/weights")
	if f.Norm != "weights" {
		return w
	}
	w = Sub(w, ReduceAndKeep(w, ReduceMean, 0, 1, 2))
	variance := ReduceAndKeep(Square(w), ReduceMean, 0, 1, 2)
	scale := Inverse(Sqrt(MaxScalar(MulScalar(variance, float64(c.fanIn())),
		standardizationEpsilon)))
	if c.name != f.stem.name {
		// The variance of relu(z), z normal with variance 1, is (1−1/π)/2.
		scale = MulScalar(scale, math.Sqrt(2/(1-1/math.Pi)))
	}
	return Mul(w, Mul(scale, Reshape(f.weights(c.name+"/gain"), 1, 1, 1, c.out)))
}

// norm is batch normalization over the images and pixels of x, then scale and offset. It is the
// identity in a network without it and where the name is empty. The statistics are computed in the
// weights' type.
func (f forward) norm(name string, x *Node) *Node {
	if f.Norm != "batch" || name == "" {
		return x
	}
	channels := x.Shape().Dimensions[3]
	scale := Reshape(f.weights(name+"/scale"), 1, 1, 1, channels)
	offset := Reshape(f.weights(name+"/offset"), 1, 1, 1, channels)
	y := ConvertDType(x, scale.DType())
	y = Sub(y, ReduceAndKeep(y, ReduceMean, 0, 1, 2))
	variance := ReduceAndKeep(Square(y), ReduceMean, 0, 1, 2)
	y = Mul(y, Div(scale, Sqrt(AddScalar(variance, normEpsilon))))
	return ConvertDType(Add(y, offset), x.DType())
}

// relu is max(x, 0) with derivative 0 at 0, as in PyTorch and JAX.
func relu(x *Node) *Node {
	return Where(GreaterThan(x, ScalarZero(x.Graph(), x.DType())), x, ZerosLike(x))
}

// Normalize turns pixels [N, 32, 32, 3] from 0 to 255 into (pixel/255 − mean)/std, per channel, in
// the given type.
func Normalize(pixels *Node, mean, std [3]float32, dtype dtypes.DType) *Node {
	g := pixels.Graph()
	scale, offset := make([]float64, 3), make([]float64, 3)
	for c := range 3 {
		scale[c] = 1 / (255 * float64(std[c]))
		offset[c] = float64(mean[c]) / float64(std[c])
	}
	// At least float32: bfloat16 has 8 bits of precision, no more than a pixel.
	exact := dtypes.Float32
	if dtype == dtypes.Float64 {
		exact = dtypes.Float64
	}
	channel := func(v []float64) *Node { return Reshape(ConstAsDType(g, exact, v), 1, 1, 1, 3) }
	x := ConvertDType(pixels, exact)
	return ConvertDType(Sub(Mul(x, channel(scale)), channel(offset)), dtype)
}
