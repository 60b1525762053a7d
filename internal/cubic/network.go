package cubic

import (
	. "github.com/gomlx/gomlx/core/graph"

	"momentum/internal/seeds"
)

// Network is the paper's learner on the distribution D: a two-layer convolutional network with
// cubic activation whose second layer is fixed to ones,
//
//	f_W(X) = Σ_r Σ_j ⟨w_r, X[j]⟩³,   r of m neurons, j of P patches in R^d.
//
// Its graph functions work on many settings at once: weights have a leading axis of lanes, [S, m,
// d].
type Network struct {
	// Degree of the activation: 3, or 1 to make the model linear, as a control.
	Degree int
}

// Init draws initial weights w_r ~ N(0, σ0² I): [m, d]. The stream is the seed's "init".
func Init(seed uint64, m, d int, sigma0 float64) []float32 {
	rng := seeds.Stream(seed, "init")
	w := make([]float32, m*d)
	for i := range w {
		w[i] = float32(sigma0 * rng.NormFloat64())
	}
	return w
}

// Logits is f_W by its definition: w [S, m, d], x [N, P, d] to [S, N].
func (n Network) Logits(w, x *Node) *Node {
	z := DotGeneral(w, []int{2}, nil, x, []int{2}, nil) // [S, m, N, P]
	return ReduceSum(n.activation(z), 1, 3)
}

// preactivations are the products ⟨w_r, y_i X_i[j]⟩ of all weights with folded patches: w [S, m,
// d], patches [d, q·n] to [S, m, q, n], where each of n samples has q patches and patch j of sample
// i is column j·n + i.
func (n Network) preactivations(w, patches *Node, q int) *Node {
	lanes, m, d := w.Shape().Dim(0), w.Shape().Dim(1), w.Shape().Dim(2)
	z := Dot(Reshape(w, lanes*m, d), patches).Product() // [S·m, q·n]
	return Reshape(z, lanes, m, q, -1)
}

// output is the part of y_i f_W(X_i) that comes from patches: their preactivations [S, m, q, n] to
// [S, n].
func (n Network) output(z *Node) *Node { return ReduceSum(n.activation(z), 1, 2) }

// activation is σ(z) = z³.
func (n Network) activation(z *Node) *Node {
	if n.Degree == 1 {
		return z
	}
	return Mul(Mul(z, z), z)
}

// derivative is σ'(z) = 3z².
func (n Network) derivative(z *Node) *Node {
	if n.Degree == 1 {
		return OnesLike(z)
	}
	return MulScalar(Mul(z, z), 3)
}
