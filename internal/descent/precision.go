package descent

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
)

// Precision is the type in which the network is computed. Weights, sums, gradients and the loss are
// always float32 (float64 for [F64]).
type Precision string

// The precisions. TF32 is float32 on a backend that was opened with TF32 allowed; it differs from
// F32 on GPUs only.
const (
	F32  Precision = "f32"
	TF32 Precision = "tf32"
	BF16 Precision = "bf16"
	F64  Precision = "f64" // everything in float64, for tests
)

// dtypes returns the types of the network's compute and of the weights.
func (p Precision) dtypes() (compute, weights dtypes.DType) {
	switch p {
	case BF16:
		return dtypes.BFloat16, dtypes.Float32
	case F64:
		return dtypes.Float64, dtypes.Float64
	}
	return dtypes.Float32, dtypes.Float32
}

// scalar returns a number in the type of the weights.
func (p Precision) scalar(x float64) *tensors.Tensor { return tensorOf(p, []float64{x}) }

// vector returns a list of numbers in the type of the weights.
func (p Precision) vector(x []float64) *tensors.Tensor { return tensorOf(p, x, len(x)) }

// tensorOf returns values in the type of the weights.
func tensorOf[T float32 | float64](p Precision, values []T, dims ...int) *tensors.Tensor {
	if p == F64 {
		return tensors.FromFlatDataAndDimensions(converted[float64](values), dims...)
	}
	return tensors.FromFlatDataAndDimensions(converted[float32](values), dims...)
}

func converted[To, From float32 | float64](values []From) []To {
	list := make([]To, len(values))
	for i, v := range values {
		list[i] = To(v)
	}
	return list
}
