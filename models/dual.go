package models

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// dual is a value in a graph and its derivative along a direction of the weights. A nil tangent is
// 0: without a direction there are no tangents, and the operations below are the usual ones.
type dual struct{ value, tangent *Node }

// linear applies a linear map.
func (d dual) linear(f func(x *Node) *Node) dual {
	y := dual{value: f(d.value)}
	if d.tangent != nil {
		y.tangent = f(d.tangent)
	}
	return y
}

// convert converts to another type.
func (d dual) convert(dtype dtypes.DType) dual {
	return d.linear(func(x *Node) *Node { return ConvertDType(x, dtype) })
}

// plus is the sum, with broadcasting.
func (d dual) plus(e dual) dual {
	y := dual{value: Add(d.value, e.value), tangent: addTangents(d.tangent, e.tangent)}
	if y.tangent != nil { // one of them alone may be smaller
		y.tangent = BroadcastToDims(y.tangent, y.value.Shape().Dimensions...)
	}
	return y
}

// addTangents is the sum of tangents, which may be nil.
func addTangents(s, t *Node) *Node {
	switch {
	case s == nil:
		return t
	case t == nil:
		return s
	}
	return Add(s, t)
}

// minus is the difference, with broadcasting.
func (d dual) minus(e dual) dual { return d.plus(e.linear(Neg)) }

// product is bilinear in d and e.
func (d dual) product(e dual, bilinear func(x, y *Node) *Node) dual {
	var first, second *Node
	if d.tangent != nil {
		first = bilinear(d.tangent, e.value)
	}
	if e.tangent != nil {
		second = bilinear(d.value, e.tangent)
	}
	return dual{bilinear(d.value, e.value), addTangents(first, second)}
}

// times is the product of the elements, with broadcasting.
func (d dual) times(e dual) dual { return d.product(e, Mul) }

// meanOver is the mean over some axes, which stay with size 1.
func (d dual) meanOver(axes ...int) dual {
	return d.linear(func(x *Node) *Node { return ReduceAndKeep(x, ReduceMean, axes...) })
}

// variance is the mean square over some axes of what has mean 0 there.
func (d dual) variance(axes ...int) dual { return d.times(d).meanOver(axes...) }

// inverseRoot is 1/√x for positive x.
func (d dual) inverseRoot() dual {
	y := dual{value: Inverse(Sqrt(d.value))}
	if d.tangent != nil {
		y.tangent = MulScalar(Mul(Div(y.value, d.value), d.tangent), -0.5)
	}
	return y
}

// atLeast is max(x, least).
func (d dual) atLeast(least float64) dual {
	y := dual{value: MaxScalar(d.value, least)}
	if d.tangent != nil {
		above := GreaterThan(d.value, Scalar(d.value.Graph(), d.value.DType(), least))
		y.tangent = Where(above, d.tangent, ZerosLike(d.tangent))
	}
	return y
}

// relu is max(x, 0) with derivative 0 at 0, as in PyTorch and JAX.
func (d dual) relu() dual {
	y := dual{value: relu(d.value)}
	if d.tangent != nil {
		positive := GreaterThan(d.value, ScalarZero(d.value.Graph(), d.value.DType()))
		y.tangent = Where(positive, d.tangent, ZerosLike(d.tangent))
	}
	return y
}

// relu is [dual.relu] of a value alone.
func relu(x *Node) *Node {
	return Where(GreaterThan(x, ScalarZero(x.Graph(), x.DType())), x, ZerosLike(x))
}

// maxPool is [N, s, s, c] → [N, s/2, s/2, c]. Where pixels tie for the maximum, the first in
// reading order receives the whole gradient, as in PyTorch and JAX; ReduceMax would give it to each
// of them. XLA of JAX's plugin 0.12.0.1 compiles this gradient for a GPU under -deterministic too.
func (d dual) maxPool() dual {
	y := dual{value: MaxPool(d.value).Window(2).Strides(2).NoPadding().Done()}
	if d.tangent == nil {
		return y
	}
	largest := OneHot(ArgMax(fours(d.value), -1, dtypes.Int32), 4, d.value.DType())
	y.tangent = ReduceSum(Mul(largest, fours(d.tangent)), -1)
	return y
}

// fours is [N, s, s, c] → [N, s/2, s/2, c, 4]: each 2×2 pixels, in reading order.
func fours(x *Node) *Node {
	n, h, w, c := x.Shape().Dim(0), x.Shape().Dim(1)/2, x.Shape().Dim(2)/2, x.Shape().Dim(3)
	return Reshape(TransposeAllAxes(Reshape(x, n, h, 2, w, 2, c), 0, 1, 3, 5, 2, 4), n, h, w, c, 4)
}
