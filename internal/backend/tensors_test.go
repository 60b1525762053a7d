package backend

import (
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

// 0.1 in float32 is not 0.1 in float64: each type keeps its own value.
func TestFloats(t *testing.T) {
	for _, c := range []struct {
		tensor *tensors.Tensor
		want   []float64
	}{
		{tensors.FromValue([][]float32{{1, -2.5}, {0.1, 0}}), []float64{1, -2.5,
			float64(float32(0.1)), 0}},
		{tensors.FromValue([]float64{0.1, 1e300}), []float64{0.1, 1e300}},
		{tensors.FromScalar(float32(3)), []float64{3}},
	} {
		if got := Floats(c.tensor); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.tensor.Shape(), got, c.want)
		}
	}
	err := Try("place", func() { Floats(tensors.FromValue([]int32{1})) })
	if err == nil {
		t.Error("integers are taken as floats")
	}
}
