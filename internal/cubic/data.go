package cubic

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/datasets"
)

// data are the samples of a [datasets.Samples] on the device, in blocks.
type data struct {
	sets    [2]Set
	patches int   // q = P−1 noise patches of each sample
	small   []int // of each block: how many samples of Z2 it begins with
	noise   []*tensors.Tensor
	rows    []*tensors.Tensor // none unless the gradient is wanted
}

// newData folds samples and puts their noise into blocks of about the given number of patches. The
// samples of Z2 come first.
func newData(m *datasets.Samples, dtype dtypes.DType, patches int, withRows bool) data {
	q, d := m.P-1, m.D
	x := data{patches: q, sets: [2]Set{
		{Size: m.N - m.SmallMargin, Amplitude: m.Alpha, Direction: m.Feature},
		{Size: m.SmallMargin, Amplitude: m.Beta, Direction: m.SmallMarginFeature},
	}}
	blockSize := max(1, patches/q)
	if blockSize > 32 {
		blockSize -= blockSize % 32 // see overSamples
	}
	for from := 0; from < m.N; from += blockSize {
		n := min(blockSize, m.N-from)
		noise, rows := make([]float64, d*q*n), make([]float64, q*n*d)
		for i := range n {
			for j := range q {
				patch := m.Noise[((from+i)*q+j)*d:][:d]
				for c, v := range patch {
					folded := float64(m.Labels[from+i]) * float64(v)
					noise[(c*q+j)*n+i] = folded
					rows[(j*n+i)*d+c] = folded
				}
			}
		}
		x.small = append(x.small, min(n, max(0, m.SmallMargin-from)))
		x.noise = append(x.noise, newTensor(dtype, noise, d, q*n))
		if withRows {
			x.rows = append(x.rows, newTensor(dtype, rows, q*n, d))
		}
	}
	return x
}

// arguments are the blocks as the last arguments of an executable.
func (x data) arguments() []any {
	var all []any
	for _, blocks := range [][]*tensors.Tensor{x.noise, x.rows} {
		for _, b := range blocks {
			all = append(all, b)
		}
	}
	return all
}

// nodes returns the samples with the nodes that an executable got for [data.arguments], and the
// nodes that follow those.
func (x data) nodes(list []*Node) (samples Samples, rest []*Node) {
	samples = Samples{Sets: x.sets, Patches: x.patches}
	for i, small := range x.small {
		samples.Blocks = append(samples.Blocks, Block{Small: small, Noise: list[i]})
	}
	list = list[len(x.noise):]
	for i := range x.rows {
		samples.Blocks[i].Rows = list[i]
	}
	return samples, list[len(x.rows):]
}
