package descent

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/models"
)

// Data is a set of labelled images, resident on the device as bytes.
type Data struct {
	N           int // images
	SmallMargin int // images with a small margin; see [Data.SetSmallMargin]

	mean, std   [3]float32
	pixels      *tensors.Tensor // [N, 32, 32, 3] uint8
	labels      *tensors.Tensor // [N] int32
	smallMargin *tensors.Tensor // [N] uint8, 1 for a small margin; nil before SetSmallMargin
	chunks      map[int][]*tensors.Tensor
}

// NewData copies images to the device: pixels is [N, 32, 32, 3] row by row, labels is [N]. It does
// not keep the caller's slices.
func NewData(b compute.Backend, pixels, labels []uint8, mean, std [3]float32) (*Data, error) {
	const size = models.ImageSize
	n := len(labels)
	if len(pixels) != n*size*size*3 || n == 0 {
		return nil, fmt.Errorf("descent: %d labels and %d bytes of pixels, want %d bytes for "+
			"each label", n, len(pixels), size*size*3)
	}
	p, err := tensors.FromRaw(b, 0, shapes.Make(dtypes.Uint8, n, size, size, 3), pixels)
	if err != nil {
		return nil, err
	}
	classes := make([]int32, n)
	for i, l := range labels {
		classes[i] = int32(l)
	}
	l := tensors.FromFlatDataAndDimensions(classes, n)
	return &Data{N: n, mean: mean, std: std, pixels: p, labels: l,
		chunks: map[int][]*tensors.Tensor{}}, nil
}

// SetSmallMargin says which of the N images have a small margin. Steps and evaluations then score
// these images separately too: see [Score]. Call it before the first step.
func (d *Data) SetSmallMargin(smallMargin []bool) error {
	if len(smallMargin) != d.N {
		return fmt.Errorf("descent: %d small-margin flags, want one for each of the %d images",
			len(smallMargin), d.N)
	}
	flags := make([]uint8, d.N)
	d.SmallMargin = 0
	for i, small := range smallMargin {
		if small {
			flags[i] = 1
			d.SmallMargin++
		}
	}
	d.smallMargin = tensors.FromFlatDataAndDimensions(flags, d.N)
	return nil
}

// arguments returns the arguments of a graph that reads one chunk of images: all pixels, all
// labels, the chunk's indices and, after [Data.SetSmallMargin], the small-margin flags.
func (d *Data) arguments(indices *tensors.Tensor) []any {
	if d.smallMargin == nil {
		return []any{d.pixels, d.labels, indices}
	}
	return []any{d.pixels, d.labels, indices, d.smallMargin}
}

// inOrder returns the indices 0 … N−1 in chunks of the given size; the last chunk is shorter where
// size does not divide N. The chunks are created once and stay on the device.
func (d *Data) inOrder(size int) []*tensors.Tensor {
	if d.chunks[size] == nil {
		all := make([]int32, d.N)
		for i := range all {
			all[i] = int32(i)
		}
		d.chunks[size] = chunked(all, size)
	}
	return d.chunks[size]
}

// chunked cuts indices into tensors [size] int32; the last one is shorter where size does not
// divide their number.
func chunked(indices []int32, size int) []*tensors.Tensor {
	var chunks []*tensors.Tensor
	for start := 0; start < len(indices); start += size {
		end := min(start+size, len(indices))
		chunks = append(chunks, tensors.FromFlatDataAndDimensions(indices[start:end], end-start))
	}
	return chunks
}
