package models

import (
	. "github.com/gomlx/gomlx/core/graph"

	"momentum/internal/seeds"
)

// Cubic is the paper's learner on the distribution D: a two-layer convolutional network with cubic
// activation whose second layer is fixed to ones,
//
//	f_W(X) = Σ_r Σ_j ⟨w_r, X[j]⟩³,   r of m neurons, j of P patches in R^d.
//
// All its functions work on many settings at once: weights have a leading axis of lanes, [S, m, d].
// Data are folded: since an odd power takes the sign out of the product, y f_W(X) = f_W(yX), and
// all patches are multiplied by their sample's label beforehand.
type Cubic struct {
	// of the activation: 3, or 1 for a linear model, the control without which cubing is for
	// nothing
	Degree int
	// Pull takes one product of matrix and vector for each neuron: on XLA's CPU, twice as fast for
	// few lanes
	ByRow bool
}

// CubicInit draws initial weights w_r ~ N(0, σ0² I): [m, d]. The stream is the seed's "init".
func CubicInit(seed uint64, m, d int, sigma0 float64) []float32 {
	rng := seeds.Stream(seed, "init")
	w := make([]float32, m*d)
	for i := range w {
		w[i] = float32(sigma0 * rng.NormFloat64())
	}
	return w
}

// Logits is f_W by its definition: w [S, m, d], x [N, P, d] to [S, N].
func (c Cubic) Logits(w, x *Node) *Node {
	z := DotGeneral(w, []int{2}, nil, x, []int{2}, nil) // [S, m, N, P]
	return ReduceSum(c.power(z), 1, 3)
}

// Project returns the products of all weights with folded patches: w [S, m, d], patches [d, q·n] to
// [S, m, q, n], where each of n samples has q patches and patch j of sample i is column j·n + i.
func (c Cubic) Project(w, patches *Node, q int) *Node {
	lanes, m, d := w.Shape().Dim(0), w.Shape().Dim(1), w.Shape().Dim(2)
	z := Dot(Reshape(w, lanes*m, d), patches).Product() // [S·m, q·n]
	return Reshape(z, lanes, m, q, -1)
}

// Sum is what patches contribute to y f_W(X): products z [S, m, q, n] to [S, n].
func (c Cubic) Sum(z *Node) *Node { return ReduceSum(c.power(z), 1, 2) }

// Slope is the derivative of the activation at z.
func (c Cubic) Slope(z *Node) *Node {
	if c.Degree == 1 {
		return OnesLike(z)
	}
	return MulScalar(Mul(z, z), 3)
}

// Pull returns Σ_i ℓ_i ∇_W(y_i f_W(X_i)) over the samples' folded patches, the gradient by hand:
// with the products z [S, m, q, n], ℓ [S, n] and the patches [d, q·n], to [S, m, d].
func (c Cubic) Pull(z, ell, patches *Node) *Node {
	lanes, m, n := z.Shape().Dim(0), z.Shape().Dim(1), ell.Shape().Dim(1)
	a := Mul(c.Slope(z), Reshape(ell, lanes, 1, 1, n)) // [S, m, q, n]
	rows := Reshape(a, lanes*m, -1)
	if c.ByRow {
		var each []*Node
		for r := range lanes * m {
			each = append(each, DotGeneral(patches, []int{1}, nil,
				Squeeze(Slice(rows, AxisElem(r)), 0), []int{0}, nil))
		}
		return Reshape(Stack(each, 0), lanes, m, -1)
	}
	pull := DotGeneral(rows, []int{1}, nil, patches, []int{1}, nil)
	return Reshape(pull, lanes, m, -1)
}

func (c Cubic) power(z *Node) *Node {
	if c.Degree == 1 {
		return z
	}
	return Mul(Mul(z, z), z)
}
