package descent

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
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
func (p Precision) scalar(x float64) *tensors.Tensor {
	if p == F64 {
		return tensors.FromScalar(x)
	}
	return tensors.FromScalar(float32(x))
}

func zeros(dtype dtypes.DType, dims ...int) *tensors.Tensor {
	return tensors.FromShape(shapes.Make(dtype, dims...))
}

// fromFloat32 returns a tensor of the values in the type of the weights.
func fromFloat32(values []float32, dtype dtypes.DType, dims []int) *tensors.Tensor {
	if dtype != dtypes.Float64 {
		return tensors.FromFlatDataAndDimensions(values, dims...)
	}
	wide := make([]float64, len(values))
	for i, v := range values {
		wide[i] = float64(v)
	}
	return tensors.FromFlatDataAndDimensions(wide, dims...)
}
