package models

import (
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
	return forward{Network: n, weights: weights}.logits(x).value
}

// LogitsAlong is [Network.Logits], with the derivative of the logits along a direction, which has a
// value for each of the weights. The gradient of a function of both in the weights is exact: it is
// a gradient of first order.
func (n *Network) LogitsAlong(weights, direction Weights, x *Node) (logits, slope *Node) {
	d := forward{Network: n, weights: weights, direction: direction}.logits(x)
	return d.value, d.tangent
}

// logits is the network.
func (f forward) logits(pixels *Node) dual {
	x := f.conv(f.stem, dual{value: pixels})
	if f.kind != wideResNet {
		x = x.relu()
	}
	for _, b := range f.blocks {
		switch f.kind {
		case resNet:
			x = f.residualBlock(b, x)
		case wideResNet:
			x = f.preActivationBlock(b, x)
		case vgg:
			x = f.plainBlock(b, x)
		}
	}
	if f.kind == wideResNet {
		x = f.norm("norm", x).relu()
	}
	w := f.param(f.head.name + "/weights") // [in, classes]
	// [N, in]
	features := x.convert(w.value.DType()).linear(func(x *Node) *Node {
		return ReduceMean(x, 1, 2)
	})
	biases := f.param(f.head.name + "/biases").linear(func(b *Node) *Node {
		return InsertAxes(b, 0)
	})
	// [N, classes]
	return features.product(w, func(x, w *Node) *Node { return Dot(x, w).Product() }).plus(biases)
}

// forward is a network together with its weights and, if not nil, a direction.
type forward struct {
	*Network
	weights, direction Weights
}

// param is a parameter, with its direction.
func (f forward) param(name string) dual {
	d := dual{value: f.weights(name)}
	if f.direction != nil {
		d.tangent = f.direction(name)
	}
	return d
}

// perChannel is a parameter [n] as [1, 1, 1, n].
func (f forward) perChannel(name string) dual {
	return f.param(name).linear(func(x *Node) *Node { return Reshape(x, 1, 1, 1, -1) })
}

// residualBlock is ResNet's block: relu(shortcut(x) + conv2(relu(conv1(x)))).
func (f forward) residualBlock(b block, x dual) dual {
	shortcut := x
	if b.shortcut != nil {
		shortcut = f.conv(*b.shortcut, x)
	}
	h := f.conv(b.convs[1], f.conv(b.convs[0], x).relu())
	return shortcut.plus(f.gain(b, h)).relu()
}

// preActivationBlock is WideResNet's block: shortcut + conv2(relu(conv1(h))) with h = relu(x). The
// shortcut is x or, where the shape changes, a convolution of h.
func (f forward) preActivationBlock(b block, x dual) dual {
	h := f.norm(b.name+"/norm1", x).relu()
	shortcut := x
	if b.shortcut != nil {
		shortcut = f.conv(*b.shortcut, h)
	}
	return shortcut.plus(f.gain(b, f.conv(b.convs[1], f.conv(b.convs[0], h).relu())))
}

// gain multiplies the result of a residual branch by its learned number, if it has one. The product
// is computed in the weights' type, so that the number's gradient, a sum over images, pixels and
// channels, is too.
func (f forward) gain(b block, h dual) dual {
	if !f.hasGain() {
		return h
	}
	gain := f.perChannel(b.name + "/gain") // [1, 1, 1, 1]
	return h.convert(gain.value.DType()).times(gain).convert(h.value.DType())
}

// plainBlock is VGG's block, [N, s, s, in] → [N, s/2, s/2, out]: convolutions with ReLU, then the
// maximum of each 2×2 pixels.
func (f forward) plainBlock(b block, x dual) dual {
	for _, c := range b.convs {
		x = f.conv(c, x).relu()
	}
	return x.maxPool()
}

// conv is [N, s, s, in] → [N, s/stride, s/stride, out], followed by batch normalization or, in a
// network without it, by a bias.
func (f forward) conv(c conv, x dual) dual {
	dtype := x.value.DType()
	y := x.product(f.kernel(c).convert(dtype), func(x, kernel *Node) *Node {
		return f.convolve(x, kernel, c.stride)
	})
	if f.Norm != "batch" {
		// The sum is computed in the biases' type, so that their gradient, a sum over images and
		// pixels, is too.
		biases := f.perChannel(c.name + "/biases")
		y = y.convert(biases.value.DType()).plus(biases).convert(dtype)
	}
	y.value.AssertDims(-1, c.size, c.size, c.out)
	return f.norm(c.norm, y)
}

// kernel are the weights of a convolution [k, k, in, out]. With weight standardization those of
// each output channel are shifted and scaled to mean 0 and variance 1/fan-in, then multiplied by
// the channel's gain and by what makes up for a ReLU before the convolution.
func (f forward) kernel(c conv) dual {
	w := f.param(c.name + "/weights")
	if f.Norm != "weights" {
		return w
	}
	w = w.minus(w.meanOver(0, 1, 2))
	scale := w.variance(0, 1, 2).linear(func(v *Node) *Node {
		return MulScalar(v, float64(c.fanIn()))
	}).atLeast(standardizationEpsilon).inverseRoot()
	if c.name != f.stem.name {
		scale = scale.linear(func(s *Node) *Node { return MulScalar(s, reluFactor()) })
	}
	return w.times(scale.times(f.perChannel(c.name + "/gain")))
}

// norm is batch normalization over the images and pixels of x, then scale and offset. It is the
// identity in a network without it and where the name is empty. The statistics are computed in the
// weights' type.
func (f forward) norm(name string, x dual) dual {
	if f.Norm != "batch" || name == "" {
		return x
	}
	scale, offset := f.perChannel(name+"/scale"), f.perChannel(name+"/offset")
	y := x.convert(scale.value.DType())
	y = y.minus(y.meanOver(0, 1, 2))
	variance := y.variance(0, 1, 2)
	variance.value = AddScalar(variance.value, normEpsilon)
	return y.times(scale.times(variance.inverseRoot())).plus(offset).convert(x.value.DType())
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
