package models

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// convolve is a k×k convolution with zero padding (k−1)/2, from x [N, s·stride, s·stride, in] and a
// kernel [k, k, in, out] to [N, s, s, out]. With ForCPU it has the form that is fastest in XLA on a
// CPU, for the result and for each gradient; docs/performance.md has the measurements.
func (n *Network) convolve(x, kernel *Node, stride int) *Node {
	k := kernel.Shape().Dim(0)
	switch {
	case !n.ForCPU || x.DType() == dtypes.BFloat16:
		return native(x, kernel, stride)
	case k != 3 || stride != 1:
		return native(x, kernel, stride)
	}
	y := convolve3(x, kernel)
	return withGradients(x, kernel, y, func(dy *Node) (dx, dKernel *Node) {
		flipped := Transpose(Reverse(kernel, 0, 1), 2, 3) // [3, 3, out, in]
		return convolve3(dy, flipped), kernelGradient(x, dy)
	})
}

// native is XLA's own convolution.
func native(x, kernel *Node, stride int) *Node {
	pad := (kernel.Shape().Dim(0) - 1) / 2
	return Convolve(x, kernel).Strides(stride).PaddingPerDim([][2]int{{pad, pad}, {pad, pad}}).
		Done()
}

// convolve3 is a 3×3 convolution of stride 1 with zero padding 1, without a gradient.
func convolve3(x, kernel *Node) *Node {
	in, out := kernel.Shape().Dim(2), kernel.Shape().Dim(3)
	// Matrix products with few columns are slow, and so is the copying of patches that are used for
	// few columns.
	columns := 32
	if in < 8 {
		columns = 64
	}
	rows, cols := 1, 1
	for 2*out*rows*cols <= columns {
		if cols > rows {
			rows *= 2
		} else {
			cols *= 2
		}
	}
	if x.Shape().Dim(1)%rows != 0 || x.Shape().Dim(2)%cols != 0 {
		return native(x, kernel, 1)
	}
	return convolveTiles(x, kernel, rows, cols)
}

// convolveTiles computes rows × cols neighbouring pixels of the result as channels of one pixel, by
// a convolution with stride (rows, cols) whose larger kernel holds a shifted copy of the kernel for
// each of them.
func convolveTiles(x, kernel *Node, rows, cols int) *Node {
	if rows*cols == 1 {
		return native(x, kernel, 1)
	}
	zero := ScalarZero(x.Graph(), x.DType())
	var shifted []*Node
	for r := range rows {
		for c := range cols {
			shifted = append(shifted, Pad(kernel, zero, PadAxis{Start: r, End: rows - 1 - r},
				PadAxis{Start: c, End: cols - 1 - c}))
		}
	}
	y := Convolve(x, Concatenate(shifted, 3)).StridePerAxis(rows, cols).
		PaddingPerDim([][2]int{{1, 1}, {1, 1}}).Done()
	n, h, w, out := y.Shape().Dim(0), y.Shape().Dim(1), y.Shape().Dim(2), kernel.Shape().Dim(3)
	y = TransposeAllAxes(Reshape(y, n, h, w, rows, cols, out), 0, 1, 3, 2, 4, 5)
	return Reshape(y, n, h*rows, w*cols, out)
}

// kernelGradient is the gradient of a 3×3 convolution of stride 1 in its kernel, [3, 3, in, out],
// from its input [N, s, s, in] and the gradient [N, s, s, out] in its result.
func kernelGradient(x, dy *Node) *Node {
	// The convolution whose channels are the images, and whose kernel is dy.
	return Convolve(x, dy).PaddingPerDim([][2]int{{1, 1}, {1, 1}}).AxesConfig(ConvolveAxesConfig{
		InputBatch: 3, InputSpatial: []int{1, 2}, InputChannels: 0,
		KernelInputChannels: 0, KernelSpatial: []int{1, 2}, KernelOutputChannels: 3,
		OutputBatch: 2, OutputSpatial: []int{0, 1}, OutputChannels: 3}).Done()
}

// withGradients returns y, which is computed from a and b, with the given gradient in a and b in
// place of the automatic one. GoMLX allows this for functions of one input, so a, b and y pass
// through it as one vector; XLA leaves nothing of that.
func withGradients(a, b, y *Node, gradient func(dy *Node) (da, db *Node)) *Node {
	join := func(parts ...*Node) *Node {
		for i, p := range parts {
			parts[i] = Reshape(p, -1)
		}
		return Concatenate(parts, 0)
	}
	start := a.Shape().Size() + b.Shape().Size()
	takeY := func(all *Node) *Node {
		return Reshape(Slice(all, AxisRange(start)), y.Shape().Dimensions...)
	}
	return takeY(IdentityWithCustomGradient(join(a, b, StopGradient(y)), func(_, v *Node) *Node {
		da, db := gradient(takeY(v))
		return join(da, db, ZerosLike(y))
	}))
}
