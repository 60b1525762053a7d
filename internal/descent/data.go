package descent

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/models"
)

// Layout says how a set of images lies on the devices.
type Layout struct {
	Chunk int // images per call of a compiled graph, at least 1

	// Random access: a batch may be any of the images, and each device holds all of them. Without
	// it only batches of all images are possible, and each device holds its share of them.
	Random bool

	// Ragged leaves the last chunk shorter where Chunk does not divide the number of images. The
	// graphs are then compiled a second time. Otherwise images that count for nothing fill it up,
	// which changes the statistics of batch normalization.
	Ragged bool
}

// Data is a set of labelled images, resident on the devices as bytes.
//
// The images in order are cut into chunks, and the chunks into parts, whose number is a power of
// two that depends on the number of chunks alone. Each device holds a sequence of parts. Sums over
// the images are sums over the chunks of a part, and then over the parts in a binary tree, so they
// do not depend on the number of devices. See [Trainer].
type Data struct {
	Layout
	N           int // images
	SmallMargin int // images with a small margin

	mean, std [3]float32
	shares    [][]part // by device

	labels []int32 // [N]
	kinds  []uint8 // [N]

	pixels []*tensors.Tensor // [N, 32, 32, 3] uint8 by device with Random, else nil
}

// MaxParts is the largest number of parts of a batch. It bounds the number of devices that can
// share the work, and the cost of the sums over the parts.
const MaxParts = 32

// part is a sequence of chunks whose sums are added up on one device.
type part struct {
	index  int
	chunks []chunk
}

// chunk holds the images of one call of a graph, on one device.
type chunk struct {
	n       int             // images that count
	pixels  *tensors.Tensor // [chunk, 32, 32, 3] uint8; nil with Random
	indices *tensors.Tensor // [chunk] int32 with Random, the images' indices; else nil
	labels  *tensors.Tensor // [chunk] int32
	kinds   *tensors.Tensor // [chunk] uint8
}

// The kinds of images in a chunk.
const (
	filler = iota // counts for nothing
	largeMargin
	smallMargin
)

// imageBytes is the size of an image: 32·32 pixels of 3 channels.
const imageBytes = models.ImageSize * models.ImageSize * 3

// NewData copies a set of images to the devices. It does not keep the caller's slices.
func NewData(b *backend.Backend, set *datasets.Images, l Layout) (*Data, error) {
	n := set.N()
	switch {
	case n == 0 || len(set.Pixels) != n*imageBytes:
		return nil, fmt.Errorf("descent: %d labels and %d bytes of pixels, want %d bytes for "+
			"each label", n, len(set.Pixels), imageBytes)
	case set.SmallMargin != nil && len(set.SmallMargin) != n:
		return nil, fmt.Errorf("descent: %d small-margin flags, want one for each of the %d images",
			len(set.SmallMargin), n)
	case l.Chunk < 1:
		return nil, fmt.Errorf("descent: chunk must be at least 1 image, got %d", l.Chunk)
	}
	d := &Data{Layout: l, N: n, mean: set.Mean, std: set.Std, labels: make([]int32, n),
		kinds: make([]uint8, n)}
	for i, label := range set.Labels {
		d.labels[i], d.kinds[i] = int32(label), largeMargin
		if set.SmallMargin != nil && set.SmallMargin[i] {
			d.kinds[i] = smallMargin
			d.SmallMargin++
		}
	}
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	err := backend.Try("descent: copy images", func() {
		d.shares = d.cut(all, len(b.Devices))
		rest := set.Pixels
		for i, device := range b.Devices {
			if l.Random {
				d.pixels = append(d.pixels, onDevice(device, set.Pixels, n))
			} else {
				rest = upload(device, d.shares[i], rest)
			}
		}
	})
	return d, err
}

// Parts is the number of parts of a batch, and so of the devices that can share it: the largest
// power of two that is at most the number of its chunks and 32.
func Parts(images, chunk int) int {
	chunks := (images + chunk - 1) / chunk
	parts := 1
	for parts < MaxParts && 2*parts <= chunks {
		parts *= 2
	}
	return parts
}

// Margins are, for each image, the logit of its label less the largest other, given the logits
// [N][classes]; and whether the image has a small margin by its pixels.
func (d *Data) Margins(logits [][]float64) (margins []float64, small []bool) {
	for i, x := range logits {
		label := d.labels[i]
		others := slices.Concat(x[:label], x[label+1:])
		margins = append(margins, x[label]-slices.Max(others))
		small = append(small, d.kinds[i] == smallMargin)
	}
	return margins, small
}

// cut cuts a batch, given by its images' indices, into parts, and deals these to devices.
func (d *Data) cut(indices []int32, devices int) (shares [][]part) {
	var chunks []chunk
	for start := 0; start < len(indices); start += d.Chunk {
		chunks = append(chunks, d.chunk(indices[start:min(start+d.Chunk, len(indices))]))
	}
	parts := Parts(len(indices), d.Chunk)
	batch := make([]part, parts)
	for i := range batch {
		batch[i] = part{i, chunks[i*len(chunks)/parts : (i+1)*len(chunks)/parts]}
	}
	for i := range devices {
		shares = append(shares, batch[i*parts/devices:(i+1)*parts/devices])
	}
	return shares
}

// chunk returns the chunk of images with the given indices, without pixels.
func (d *Data) chunk(indices []int32) chunk {
	size := d.Chunk
	if d.Ragged {
		size = len(indices)
	}
	labels, kinds, index := make([]int32, size), make([]uint8, size), make([]int32, size)
	for i, image := range indices {
		labels[i], kinds[i], index[i] = d.labels[image], d.kinds[image], image
	}
	return chunk{
		n:       len(indices),
		indices: tensors.FromFlatDataAndDimensions(index, size),
		labels:  tensors.FromFlatDataAndDimensions(labels, size),
		kinds:   tensors.FromFlatDataAndDimensions(kinds, size),
	}
}

// upload copies the first pixels to a device, for its share of all images in order, in place of
// their indices. It returns the other pixels.
func upload(device backend.Device, share []part, pixels []uint8) (rest []uint8) {
	for _, p := range share {
		for i := range p.chunks {
			c := &p.chunks[i]
			rows := c.labels.Size()
			values := make([]uint8, rows*imageBytes) // 0 in fillers
			pixels = pixels[copy(values, pixels[:c.n*imageBytes]):]
			c.pixels, c.indices = onDevice(device, values, rows), nil
		}
	}
	return pixels
}

// onDevice copies the pixels of n images to a device.
func onDevice(device backend.Device, pixels []uint8, n int) *tensors.Tensor {
	shape := shapes.Make(dtypes.Uint8, n, models.ImageSize, models.ImageSize, 3)
	return must(tensors.FromRaw(device.Client, device.Num, shape, pixels))
}
