package cubic

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/datasets"
)

// data are the samples of a [datasets.Samples] on the device, as two sets: Z1 (index 0) and Z2
// (index 1).
type data struct {
	sets   [2]Set // without the nodes of their noise
	blocks [2][]*tensors.Tensor
}

// newData folds samples and puts their noise into blocks of about the given number of patches.
func newData(m *datasets.Samples, dtype dtypes.DType, patches int) data {
	q, d := m.P-1, m.D
	x := data{sets: [2]Set{
		{Size: m.N - m.SmallMargin, Amplitude: m.Alpha, Direction: m.Feature, Patches: q},
		{Size: m.SmallMargin, Amplitude: m.Beta, Direction: m.SmallMarginFeature, Patches: q},
	}}
	blockSize := max(1, patches/q)
	for k, samples := range [2][2]int{{m.SmallMargin, m.N}, {0, m.SmallMargin}} {
		for from := samples[0]; from < samples[1]; from += blockSize {
			n := min(blockSize, samples[1]-from)
			flat := make([]float64, d*q*n)
			for i := range n {
				for j := range q {
					patch := m.Noise[((from+i)*q+j)*d:][:d]
					for c, x := range patch {
						flat[(c*q+j)*n+i] = float64(m.Labels[from+i]) * float64(x)
					}
				}
			}
			x.blocks[k] = append(x.blocks[k], newTensor(dtype, flat, d, q*n))
		}
	}
	return x
}

// samples is the number of samples in both sets.
func (x data) samples() int { return x.sets[0].Size + x.sets[1].Size }

// arguments are the blocks as the last arguments of an executable.
func (x data) arguments() []any {
	var all []any
	for _, blocks := range x.blocks {
		for _, b := range blocks {
			all = append(all, b)
		}
	}
	return all
}

// nodes returns the sets with the nodes that an executable got for [data.arguments], and the nodes
// that follow those.
func (x data) nodes(list []*Node) (sets [2]Set, rest []*Node) {
	sets = x.sets
	for k, blocks := range x.blocks {
		sets[k].Noise, list = list[:len(blocks)], list[len(blocks):]
	}
	return sets, list
}
