package backend

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
)

// Reading is the call of a device, for [OnDevice], that copies values to the host.
const Reading = "reading from the device"

// Floats copies the values of a float32 or float64 tensor to the host as float64, in row-major
// order. It panics for another type, so call it inside [Try].
func Floats(t *tensors.Tensor) []float64 {
	var wide []float64
	OnDevice(Reading, func() {
		if t.DType() == dtypes.Float64 {
			wide = tensors.MustCopyFlatData[float64](t)
			return
		}
		narrow := tensors.MustCopyFlatData[float32](t)
		wide = make([]float64, len(narrow))
		for i, x := range narrow {
			wide[i] = float64(x)
		}
	})
	return wide
}
