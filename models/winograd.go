package models

import . "github.com/gomlx/gomlx/core/graph"

// Winograd's algorithm F(2×2, 3×3) computes a 3×3 convolution from tiles of 4×4 pixels of the input
// with 16 products where the definition has 36 (Lavin and Gray, 2016). Here d is a tile, g the
// kernel, and the result is a tile of 2×2:
//
//	Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A
//
// For each of the 16 places in a tile, ⊙ is a matrix product over the channels for all tiles at
// once. So a tile is a matrix of nodes: each node holds one of its places, in all tiles.

// grid is a matrix of nodes of equal shapes.
type grid [][]*Node

// isWinograd reports whether the algorithm is faster than XLA's convolution on x [N, h, w, ...].
// With few channels, few tiles, or more pixels than the caches hold, the transforms cost more than
// the products save.
func isWinograd(x *Node, in, out int) bool {
	n, h, w := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)
	return min(in, out) >= 32 && h%2 == 0 && w%2 == 0 && h <= 8 &&
		n*h*w >= 4*64
}

// winograd is a 3×3 convolution of stride 1 with zero padding 1, without a gradient.
func winograd(x, kernel *Node) *Node {
	n, h, w, out := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2), kernel.Shape().Dim(3)
	product := multiply(inputTiles(x), kernelTile(kernel), 1, 0)
	y := product.transform(func(v []*Node) []*Node { // Aᵀ
		return []*Node{Add(Add(v[0], v[1]), v[2]), Sub(Sub(v[1], v[2]), v[3])}
	})
	var rows []*Node
	for _, row := range y {
		for i := range row {
			row[i] = Reshape(row[i], n, h/2, 1, w/2, 1, out)
		}
		rows = append(rows, Concatenate(row, 4))
	}
	return Reshape(Concatenate(rows, 2), n, h, w, out)
}

// winogradKernelGradient is the gradient in the kernel: G [(Bᵀ d B) ⊙ (A e Aᵀ)] Gᵀ, transposed from
// the algorithm, where e is a tile of the gradient dy in the result, summed over all tiles.
func winogradKernelGradient(x, dy *Node) *Node {
	in, out := x.Shape().Dim(3), dy.Shape().Dim(3)
	e := shifts(dy, 2).transform(func(v []*Node) []*Node { // A
		return []*Node{v[0], Add(v[0], v[1]), Sub(v[0], v[1]), Neg(v[1])}
	})
	gradient := multiply(inputTiles(x), e, 0, 0).transform(func(v []*Node) []*Node { // Gᵀ
		half := MulScalar(Add(v[1], v[2]), 0.5)
		return []*Node{Add(v[0], half), MulScalar(Sub(v[1], v[2]), 0.5), Add(half, v[3])}
	})
	var taps []*Node
	for _, row := range gradient {
		taps = append(taps, row...)
	}
	return Reshape(Stack(taps, 0), 3, 3, in, out)
}

// inputTiles is Bᵀ d B of all tiles of x [N, h, w, c], a grid of 4×4 nodes [tiles, c]. Tiles
// overlap by 2 pixels, and the first starts in the padding.
func inputTiles(x *Node) grid {
	d := x.Shape().Dimensions
	padded := Pad(x, ScalarZero(x.Graph(), x.DType()), PadAxis{}, PadAxis{Start: 1, End: 1},
		PadAxis{Start: 1, End: 1})
	padded.AssertDims(d[0], d[1]+2, d[2]+2, d[3])
	return shifts(padded, 4).transform(func(v []*Node) []*Node { // Bᵀ
		return []*Node{Sub(v[0], v[2]), Add(v[1], v[2]), Sub(v[2], v[1]), Sub(v[1], v[3])}
	})
}

// shifts cuts x [N, h, w, c] into tiles of size×size pixels, every 2 pixels: node (i, j) is pixel
// (i, j) of all tiles, [tiles, c].
func shifts(x *Node, size int) grid {
	n, h, w, c := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2), x.Shape().Dim(3)
	th, tw := (h-size)/2+1, (w-size)/2+1
	x = Reshape(x, n, h/2, 2, w/2, 2, c)
	var g grid
	for i := range size {
		var row []*Node
		for j := range size {
			pixel := Slice(x, AxisRange(), AxisRange(i/2, i/2+th), AxisElem(i%2),
				AxisRange(j/2, j/2+tw), AxisElem(j%2))
			row = append(row, Reshape(pixel, n*th*tw, c))
		}
		g = append(g, row)
	}
	return g
}

// kernelTile is G g Gᵀ, a grid of 4×4 nodes [in, out].
func kernelTile(kernel *Node) grid {
	in, out := kernel.Shape().Dim(2), kernel.Shape().Dim(3)
	var g grid
	for i := range 3 {
		var row []*Node
		for j := range 3 {
			row = append(row, Reshape(Slice(kernel, AxisElem(i), AxisElem(j)), in, out))
		}
		g = append(g, row)
	}
	return g.transform(func(v []*Node) []*Node { // G
		outer := Add(v[0], v[2])
		return []*Node{v[0], MulScalar(Add(outer, v[1]), 0.5), MulScalar(Sub(outer, v[1]), 0.5),
			v[2]}
	})
}

// multiply contracts the given axes of the nodes at each place.
func multiply(a, b grid, axisA, axisB int) grid {
	product := make(grid, len(a))
	for i, row := range a {
		for j := range row {
			product[i] = append(product[i],
				DotGeneral(a[i][j], []int{axisA}, nil, b[i][j], []int{axisB}, nil))
		}
	}
	return product
}

// transform is M·g·Mᵀ, where f is the multiplication of M and a vector.
func (g grid) transform(f func(v []*Node) []*Node) grid {
	for range 2 { // each time on all rows, then transposed
		var next grid
		for _, row := range g {
			for j, x := range f(row) {
				if j == len(next) {
					next = append(next, nil)
				}
				next[j] = append(next[j], x)
			}
		}
		g = next
	}
	return g
}
