package models

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// Weights returns the node of a parameter by its name.
type Weights func(name string) *Node

// normEpsilon is added to the variance in batch normalization, as PyTorch's default does.
const normEpsilon = 1e-5

// Logits builds the graph of the network, from x [N, 32, 32, 3], normalized pixels, to the logits
// [N, Classes].
//
// Convolutions are computed in the type of x: weights of another type are converted, so that
// bfloat16 images with float32 weights mean bfloat16 compute. The mean over the pixels, the head
// and the logits are computed in the weights' type.
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
	return relu(Add(shortcut, h))
}

// preActivationBlock is WideResNet's block: shortcut + conv2(relu(conv1(h))) with h = relu(x). The
// shortcut is x or, where the shape changes, a convolution of h.
func (f forward) preActivationBlock(b block, x *Node) *Node {
	h := relu(f.norm(b.name+"/norm1", x))
	shortcut := x
	if b.shortcut != nil {
		shortcut = f.conv(*b.shortcut, h)
	}
	return Add(shortcut, f.conv(b.convs[1], relu(f.conv(b.convs[0], h))))
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
// of them. XLA on a GPU refuses this gradient under --xla_gpu_deterministic_ops, although the order
// of its sums does not matter here, where windows do not overlap.
func maxPool(x *Node) *Node { return MaxPool(x).Window(2).Strides(2).NoPadding().Done() }

// conv is [N, s, s, in] → [N, s/stride, s/stride, out], followed by normalization or, in a network
// without normalization, by a bias.
func (f forward) conv(c conv, x *Node) *Node {
	kernel := ConvertDType(f.weights(c.name+"/weights"), x.DType())
	y := f.convolve(x, kernel, c.stride)
	if f.Norm == "none" {
		// The sum is computed in the biases' type, so that their gradient, a sum over images and
		// pixels, is too.
		biases := f.weights(c.name + "/biases")
		y = ConvertDType(Add(ConvertDType(y, biases.DType()), Reshape(biases, 1, 1, 1, c.out)),
			x.DType())
	}
	y.AssertDims(-1, c.size, c.size, c.out)
	return f.norm(c.norm, y)
}

// norm is batch normalization over the images and pixels of x, then scale and offset. It is the
// identity in a network without normalization and where the name is empty. The statistics are
// computed in the weights' type.
func (f forward) norm(name string, x *Node) *Node {
	if f.Norm == "none" || name == "" {
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
