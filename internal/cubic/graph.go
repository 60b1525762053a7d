package cubic

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// projection is the product of weights [S, m, d] with a vector [d]: [S, m].
func projection(w *Node, v []float64) *Node {
	return DotGeneral(w, []int{2}, nil, constant(w, v, len(v)), []int{0}, nil)
}

// plus is sum + x, or x if the sum has no term yet.
func plus(sum, x *Node) *Node {
	if sum == nil {
		return x
	}
	return Add(sum, x)
}

// softplus is log(1 + exp(x)) without overflow.
func softplus(x *Node) *Node { return Add(Max(x, ZerosLike(x)), Log1P(Exp(Neg(Abs(x))))) }

func isPositive(x *Node) *Node { return GreaterThan(x, ZerosLike(x)) }

// number is a constant of the type of another node. The graph package caches its scalars per graph,
// and the body of a loop must not see those of the graph around it.
func number(like *Node, x float64) *Node {
	if like.DType() == dtypes.Float64 {
		return Const(like.Graph(), x)
	}
	return Const(like.Graph(), float32(x))
}

// constant is a constant of the type of another node.
func constant(like *Node, values []float64, dims ...int) *Node {
	return ConstTensor(like.Graph(), newTensor(like.DType(), values, dims...))
}

// newTensor makes a tensor of type float32 or float64.
func newTensor(dtype dtypes.DType, values []float64, dims ...int) *tensors.Tensor {
	if dtype == dtypes.Float64 {
		return tensors.FromFlatDataAndDimensions(values, dims...)
	}
	narrow := make([]float32, len(values))
	for i, x := range values {
		narrow[i] = float32(x)
	}
	return tensors.FromFlatDataAndDimensions(narrow, dims...)
}
