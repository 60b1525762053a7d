package descent

import (
	"context"
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend"
)

// Noise says how much the gradients g_i of the losses of single images differ from their mean ∇L.
type Noise struct {
	Gradient float64 // ‖∇L‖², of the mean loss over all N images
	Variance float64 // tr Σ, where Σ is the covariance of the g_i: Σ ‖g_i − ∇L‖²/(N−1)
}

// Scale is the simple noise scale of McCandlish et al. (2018, arXiv:1812.06162), tr Σ/‖∇L‖² in
// images: the size of a batch of which the gradient has as much noise as signal.
func (n Noise) Scale() float64 { return n.Variance / n.Gradient }

// GradientNoise measures the noise at the present weights, without weight decay, from the mean
// gradients G_c of chunks of n_c images: tr Σ is estimated without bias by
// Σ_c n_c ‖G_c − ∇L‖²/(K−1), as between the K groups of an analysis of variance. It takes as long
// as a gradient in chunks of that size.
func (t *Trainer) GradientNoise(ctx context.Context, d *Data) (n Noise, err error) {
	chunks := 0
	for _, p := range slices.Concat(d.shares...) {
		chunks += len(p.chunks)
	}
	if chunks < 2 {
		return n, fmt.Errorf("descent: the noise of gradients needs at least 2 chunks, got %d",
			chunks)
	}
	nodes := make([][]node[sums], len(t.replicas))
	weighted := make([]float64, len(t.replicas)) // Σ n_c ‖G_c‖²
	err = t.each(ctx, func(goOn check, i int, r *replica) {
		nodes[i], weighted[i] = r.squares(goOn, d, d.shares[i],
			t.Precision.scalar(1/float64(d.N)))
	})
	if err != nil {
		return n, err
	}
	totals, err := t.meet(ctx, nodes)
	if err != nil {
		return n, err
	}
	err = backend.Try(t.place(0), func() {
		first := t.replicas[0]
		n.Gradient = backend.Floats(first.call(first.square, nil, totals[0]...)[0])[0]
	})
	for _, x := range weighted {
		n.Variance += x
	}
	n.Variance = (n.Variance - float64(d.N)*n.Gradient) / float64(chunks-1)
	return n, err
}

// squares is [replica.sum] that also adds up n_c ‖G_c‖² over the chunks, of n_c images with the
// mean gradient G_c. imageWeight is 1/N.
func (r *replica) squares(goOn check, d *Data, parts []part, imageWeight *tensors.Tensor) (
	nodes []node[sums], weighted float64) {
	t := tree[sums]{add: r.addSums}
	var norms []*tensors.Tensor // squared, read at the end: no chunk waits for the host
	var counts []float64
	for _, p := range parts {
		var s sums
		for i, c := range p.chunks {
			alone := []part{{p.index, p.chunks[i : i+1]}}
			one := r.sum(goOn, d, alone, imageWeight, func(int) {})[0].value
			norms = append(norms, r.call(r.square, nil, one...)[0])
			counts = append(counts, float64(c.n))
			if s == nil {
				s = one
			} else {
				s = r.addSums(s, one)
			}
		}
		t.push(node[sums]{0, p.index, s})
	}
	for i, x := range norms {
		n := float64(d.N) // one is G_c n_c/N
		weighted += backend.Floats(x)[0] * n * n / counts[i]
	}
	return t.nodes, weighted
}

// squareGraph is the squared norm of the gradients among sums.
func (t *Trainer) squareGraph(args []*Node) *Node { return squaredNorm(args[:len(t.params)]) }
