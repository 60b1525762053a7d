package cubic

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// Set is one of the sets of training samples, Z1 or Z2, in a graph. Its data are folded: an odd
// power takes the sign out of a product, so y f_W(X) = f_W(yX), and every patch is multiplied by
// the label of its sample beforehand.
//
// The signal patch of every sample is then the same known vector, which takes one product per
// neuron. The noise patches lie in blocks that fit a processor's cache.
type Set struct {
	Size      int       // samples
	Amplitude float64   // α for Z1, β for Z2
	Direction []float64 // [d], w*: the folded signal patch is Amplitude·Direction
	Patches   int       // q = P−1 noise patches of each sample
	Noise     []*Node   // blocks [d, q·n]: patch j of a block's sample i is column j·n + i
}

// Gradient builds the part of a set Z in the gradient of the mean logistic loss over N samples,
// L(W) = (1/N) Σ_i log(1 + exp(−y_i f_W(X_i))), for all lanes at once and by hand:
//
//	∇_{w_r} L_Z(W) = −(1/N) Σ_{i∈Z} ℓ_i y_i Σ_j σ'(⟨w_r, X_i[j]⟩) X_i[j]
//	ℓ_i = sigmoid(−y_i f_W(X_i)),   σ'(z) = 3z²
//
// The weights w are [S, m, d]. The results are the gradient [S, m, d], the margins y_i f_W(X_i)
// [S, |Z|] and Σ_{i∈Z} ℓ_i [S]. The gradient of the loss is that of Z1 plus that of Z2. A descent
// rule adds its weight decay, λ w_r.
//
// TestGradient compares it with GoMLX's automatic gradient and with the slow reference in
// reference_test.go, loops over samples, patches and neurons that TestReference holds against
// finite differences.
func (n Network) Gradient(w *Node, z Set, samples int) (gradient, margins, sumEll *Node) {
	lanes, d := w.Shape().Dim(0), w.Shape().Dim(2)
	signal := z.signal(w)                                            // [S, m]
	signalOutput := n.output(Reshape(signal, lanes, -1, 1, 1))       // [S, 1]
	signalSlope := Mul(n.derivative(signal), number(w, z.Amplitude)) // [S, m]
	var noiseSum *Node                                               // [S, m, d]
	var blocks []*Node                                               // margins of each block
	for _, patches := range z.Noise {
		preactivations := n.preactivations(w, patches, z.Patches)
		margin := Add(signalOutput, n.output(preactivations))
		blocks = append(blocks, margin)
		noiseSum = plus(noiseSum, n.noiseSum(preactivations, Sigmoid(Neg(margin)), patches))
	}
	// In one piece, since each sum over samples costs several small kernels.
	margins = Concatenate(blocks, 1)
	sumEll = ReduceSum(Sigmoid(Neg(margins)), 1)
	// [S, m, d]
	signalSum := Mul(InsertAxes(Mul(signalSlope, InsertAxes(sumEll, 1)), -1),
		constant(w, z.Direction, 1, 1, d))
	return Mul(Add(noiseSum, signalSum), number(w, -1/float64(samples))), margins, sumEll
}

// signal is the preactivation of the folded signal patch, ⟨w_r, Amplitude·Direction⟩ [S, m].
func (z Set) signal(w *Node) *Node {
	return Mul(projection(w, z.Direction), number(w, z.Amplitude))
}

// noiseSum is Σ_i ℓ_i Σ_j σ'(z_{r,j,i}) y_i X_i[j] over the noise patches of a block: from their
// preactivations z [S, m, q, n], ℓ [S, n] and the folded patches [d, q·n] to [S, m, d].
func (n Network) noiseSum(z, ell, patches *Node) *Node {
	lanes, m, samples := z.Shape().Dim(0), z.Shape().Dim(1), ell.Shape().Dim(1)
	factors := Mul(n.derivative(z), Reshape(ell, lanes, 1, 1, samples)) // [S, m, q, n]
	rows := Reshape(factors, lanes*m, -1)                               // [S·m, q·n]
	if n.ByRow {
		var sums []*Node
		for r := range lanes * m {
			row := Squeeze(Slice(rows, AxisElem(r)), 0)
			sums = append(sums, DotGeneral(patches, []int{1}, nil, row, []int{0}, nil))
		}
		return Reshape(Stack(sums, 0), lanes, m, -1)
	}
	return Reshape(DotGeneral(rows, []int{1}, nil, patches, []int{1}, nil), lanes, m, -1)
}
