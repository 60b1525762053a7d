package cubic

import (
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// Samples are samples in a graph. Their data are folded: an odd power takes the sign out of a
// product, so y f_W(X) = f_W(yX), and every patch is multiplied by the label of its sample
// beforehand.
//
// The folded signal patch is the same known vector for all samples of a set, which takes one
// product per neuron. The noise patches lie in blocks that fit a processor's cache.
type Samples struct {
	Sets    [2]Set // Z1 (index 0) and Z2 (index 1)
	Patches int    // q = P−1 noise patches of each sample
	Blocks  []Block
}

// Set is one of the sets of samples, Z1 or Z2.
type Set struct {
	Size      int       // samples
	Amplitude float64   // α for Z1, β for Z2
	Direction []float64 // [d], w*: the folded signal patch is Amplitude·Direction
}

// Block is the noise of some samples. Both sets share blocks, because each operation of a step
// costs microseconds for its start alone and Z2 has few samples.
type Block struct {
	Small int   // the first samples belong to Z2, the others to Z1
	Noise *Node // [d, q·n]: patch j of sample i is column j·n + i
	// Rows is the transpose of Noise, [q·n, d], for the gradient. A product that transposes its
	// factor itself is much slower.
	Rows *Node
}

// size is the number of samples in both sets.
func (x Samples) size() int { return x.Sets[0].Size + x.Sets[1].Size }

// part returns the samples of set k in a node with the samples of a block along an axis, or nil if
// there are none.
func (b Block) part(k int, node *Node, axis int) *Node {
	n := node.Shape().Dim(axis)
	from, to := b.Small, n
	if k == 1 {
		from, to = 0, b.Small
	}
	switch {
	case from == to:
		return nil
	case to-from == n:
		return node
	}
	return SliceAxis(node, axis, AxisRange(from, to))
}

// choose returns for each of a block's n samples the value of its set, of values [S, 1]: [S, n], or
// [S, 1] if all samples belong to one set.
func (b Block) choose(values [2]*Node, n int) *Node {
	switch b.Small {
	case 0:
		return values[0]
	case n:
		return values[1]
	}
	g, s := values[0].Graph(), values[0].Shape().Dim(0)
	index := Iota(g, shapes.Make(dtypes.Int32, s, n), 1)
	return Where(LessThan(index, Const(g, int32(b.Small))), BroadcastToDims(values[1], s, n),
		BroadcastToDims(values[0], s, n))
}

// overSamples joins values [S, n] of blocks over all samples, by sums or minima: [S]. XLA reduces
// by a factor of 32 in each kernel, three kernels for a block. Here a block takes one, if its size
// is a multiple of 32; the results of blocks are joined before they are reduced further.
func overSamples(blocks []*Node, join func(x, y *Node) *Node,
	reduce func(x *Node, axes ...int) *Node) *Node {
	const fan = 32
	var rows []*Node // [S, n/32], or [S, 1] of a block with another number of samples
	for _, x := range blocks {
		s, n := x.Shape().Dim(0), x.Shape().Dim(1)
		if n%fan != 0 {
			x = Reshape(x, s, n, 1)
		} else {
			x = Reshape(x, s, fan, n/fan)
		}
		x = reduce(x, 1)
		same := func(y *Node) bool { return y.Shape().Equal(x.Shape()) }
		if i := slices.IndexFunc(rows, same); i >= 0 {
			rows[i] = join(rows[i], x)
		} else {
			rows = append(rows, x)
		}
	}
	var all *Node
	for _, x := range rows {
		x = reduce(x, 1)
		if all != nil {
			x = join(all, x)
		}
		all = x
	}
	return all
}

// gradient is what [Network.Gradient] builds. The arrays hold Z1 (index 0) and Z2 (index 1) apart;
// what belongs to an empty set is nil.
type gradient struct {
	total   *Node      // [S, m, d]
	small   *Node      // the part of Z2 in it, or zero
	margins [2][]*Node // y_i f_W(X_i) [S, n] of each block
	sumEll  [2]*Node   // Σ ℓ_i [S]
}

// Gradient builds the gradient of the mean logistic loss over all N samples, L(W) = (1/N) Σ_i log(1
// + exp(−y_i f_W(X_i))), for weights [S, m, d] of all lanes at once and by hand:
//
//	∇_{w_r} L(W) = −(1/N) Σ_i ℓ_i y_i Σ_j σ'(⟨w_r, X_i[j]⟩) X_i[j]
//	ℓ_i = sigmoid(−y_i f_W(X_i)),   σ'(z) = 3z²
//
// A descent rule adds its weight decay, λ w_r.
//
// TestGradient compares it with GoMLX's automatic gradient and with the slow reference in
// finite differences.
func (n Network) Gradient(w *Node, x Samples) gradient {
	lanes, d := w.Shape().Dim(0), w.Shape().Dim(2)
	var signals, outputs [2]*Node // [S, m] and [S, 1]
	for k, z := range x.Sets {
		signals[k] = z.signal(w)
		outputs[k] = n.output(Reshape(signals[k], lanes, -1, 1, 1))
	}
	var g gradient
	var ells [2][]*Node // ℓ_i [S, n] of each block
	for _, b := range x.Blocks {
		z := n.preactivations(w, b.Noise, x.Patches) // [S, m, q, n]
		samples := z.Shape().Dim(3)
		margin := Add(n.output(z), b.choose(outputs, samples))         // [S, n]
		ell := Sigmoid(Neg(margin))                                    // [S, n]
		factors := Mul(n.derivative(z), Reshape(ell, lanes, 1, 1, -1)) // [S, m, q, n]
		g.total = plus(g.total, noiseSum(factors, b.Rows))
		if part := b.part(1, factors, 3); part != nil {
			rows := b.part(1, Reshape(b.Rows, x.Patches, samples, d), 1)
			g.small = plus(g.small, noiseSum(part, rows))
		}
		for k := range x.Sets {
			if part := b.part(k, margin, 1); part != nil {
				g.margins[k] = append(g.margins[k], part)
				ells[k] = append(ells[k], b.part(k, ell, 1))
			}
		}
	}
	for k, z := range x.Sets {
		if z.Size == 0 {
			continue
		}
		g.sumEll[k] = overSamples(ells[k], Add, ReduceSum)
		slope := Mul(n.derivative(signals[k]), number(w, z.Amplitude)) // [S, m]
		sum := Mul(InsertAxes(Mul(slope, InsertAxes(g.sumEll[k], 1)), -1),
			constant(w, z.Direction, 1, 1, d)) // [S, m, d]
		g.total = Add(g.total, sum)
		if k == 1 {
			g.small = Add(g.small, sum)
		}
	}
	scale := number(w, -1/float64(x.size()))
	g.total = Mul(g.total, scale)
	if g.small == nil {
		g.small = ZerosLike(w)
	} else {
		g.small = Mul(g.small, scale)
	}
	return g
}

// signal is the preactivation of the folded signal patch, ⟨w_r, Amplitude·Direction⟩ [S, m].
func (z Set) signal(w *Node) *Node {
	return Mul(projection(w, z.Direction), number(w, z.Amplitude))
}

// noiseSum is Σ_i Σ_j a_{r,j,i} y_i X_i[j] over the noise patches of a block: from factors a [S, m,
// q, n] and the folded patches in rows, [q·n, d] or [q, n, d], to [S, m, d].
func noiseSum(a, rows *Node) *Node {
	lanes, m, d := a.Shape().Dim(0), a.Shape().Dim(1), rows.Shape().Dim(-1)
	sum := Dot(Reshape(a, lanes*m, -1), Reshape(rows, -1, d)).Product() // [S·m, d]
	return Reshape(sum, lanes, m, d)
}
