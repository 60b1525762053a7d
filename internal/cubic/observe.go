package cubic

import (
	"context"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend"
)

// Observables names what [Lanes.Observe] measures, in its order. Samples of Z1 have a large margin,
// those of Z2 a small one; r counts neurons from 1, i samples and j noise patches, and k is 1 or 2.
// What is taken over an empty set is 0.
//
//	loss, loss_k      mean of log(1 + exp(−y f)) over all, Z1, Z2 (nats), without weight decay
//	error, error_k    share of training samples with y f < 0
//	test_k            share of test samples with y f ≥ 0 when all of them have the margin of Zk
//	c, c_small        largest c_r = ⟨w_r, w*⟩; the same along the signal of Z2 (w* except in the
//	                  control without a shared feature)
//	nu_k              ν_k = (1/N) Σ_{i∈Zk} ℓ_i, with ℓ_i = sigmoid(−y_i f(X_i))
//	xi_max_k          largest |Ξ_{i,j,r}| = |⟨w_r, X_i[j]⟩| over Zk
//	xi_q50_2, …       quantiles of |Ξ_{i,j,r}| over Z2: q50, q90, q99
//	noise_min_k, …    min, mean and max over Zk of the noise y_i Ξ_i = y_i Σ_r Σ_j Ξ³_{i,j,r};
//	                  a sample of Z2 is memorized when this noise is large
//	grad_noise_k      largest |⟨∇_{w_r}L, X_i[j]⟩| over Zk
//	mom_noise_k       largest |⟨g_r, X_i[j]⟩| over Zk, with g the momentum buffer
//	grad_norm, norm   norms of ∇L (without weight decay) and of W
//	c1, c2, …         c_r of each neuron
//	G1, G2, …         G_r = ⟨∇_{w_r}L, w*⟩
//	M1, M2, …         𝒢_r = ⟨g_r, w*⟩
func (o Options) Observables() []string {
	names := []string{
		"loss", "loss_1", "loss_2", "error", "error_1", "error_2", "test_1", "test_2", "c",
		"c_small", "nu_1", "nu_2", "xi_max_1", "xi_max_2",
		"xi_q50_2", "xi_q90_2", "xi_q99_2", "noise_min_1", "noise_mean_1", "noise_max_1",
		"noise_min_2", "noise_mean_2", "noise_max_2",
		"grad_noise_1", "grad_noise_2", "mom_noise_1", "mom_noise_2", "grad_norm", "norm",
	}
	for _, name := range []string{"c", "G", "M"} {
		for r := range o.M {
			names = append(names, fmt.Sprintf("%s%d", name, r+1))
		}
	}
	return names
}

// quantiles are those of |Ξ| over Z2 that are observed.
var quantiles = []float64{0.5, 0.9, 0.99}

// Observation holds what was measured in all lanes before one step.
type Observation struct {
	Step   int
	Names  []string    // of the values
	Values [][]float64 // [S][len(Names)]
	Events [][]int     // [S][event]: the first step of each event, −1 for what has not happened
}

// Get returns an observable of a lane. It panics on an unknown name.
func (o *Observation) Get(lane int, name string) float64 {
	for i, n := range o.Names {
		if n == name {
			return o.Values[lane][i]
		}
	}
	panic("cubic: no observable " + name)
}

// Observe measures the present weights. All of it is computed on the device, and one row of numbers
// per lane is read back.
func (l *Lanes) Observe(ctx context.Context) (*Observation, error) {
	o := &Observation{Step: l.steps, Names: l.Observables()}
	err := backend.Try("cubic: observe", func() {
		if err := ctx.Err(); err != nil {
			panic(err)
		}
		arguments := append(l.arguments(l.params, l.w, l.buffer), l.test.arguments()...)
		table := backend.Floats(l.observeExec.MustCall(arguments...)[0])
		events := tensors.MustCopyFlatData[int32](l.events)
		for s := range l.lanes {
			o.Values = append(o.Values, table[s*len(o.Names):][:len(o.Names)])
			var steps []int
			for _, step := range events[s*int(eventCount):][:eventCount] {
				steps = append(steps, int(step))
			}
			o.Events = append(o.Events, steps)
		}
	})
	return o, err
}

// observeGraph builds the table [S, len(Observables)] from (parameters, W, buffer, training blocks,
// test blocks).
func (l *Lanes) observeGraph(inputs []*Node) *Node {
	w, buffer := inputs[1], inputs[2]
	g := w.Graph()
	lanes := w.Shape().Dim(0)
	train, rest := l.train.nodes(inputs[3:])
	test, _ := l.test.nodes(rest)
	p := l.passGraph(w, train)
	share := func(k int) float64 { return float64(train.Sets[k].Size) / float64(train.size()) }
	overall := func(means [2]*Node) *Node { // mean over both sets
		return Add(MulScalar(means[0], share(0)), MulScalar(means[1], share(1)))
	}

	c := projection(w, l.feature) // [S, m]
	columns := []*Node{
		overall(p.loss), p.loss[0], p.loss[1],
		overall(p.wrong), p.wrong[0], p.wrong[1],
		l.accuracyGraph(w, test, train.Sets[0]), l.accuracyGraph(w, test, train.Sets[1]),
		ReduceMax(c, 1), ReduceMax(projection(w, train.Sets[1].Direction), 1),
		MulScalar(p.ell[0], share(0)), MulScalar(p.ell[1], share(1)),
	}
	noises := [2]noise{l.noiseGraph(w, train, 0), l.noiseGraph(w, train, 1)}
	columns = append(columns, noises[0].largest, noises[1].largest)
	columns = append(columns, quantileGraph(noises[1].all)...)
	for k, n := range noises {
		mean := MulScalar(n.sum, 1/max(1, float64(train.Sets[k].Size)))
		columns = append(columns, n.least, mean, n.most)
	}
	for _, direction := range []*Node{p.gradient, buffer} {
		for k := range train.Sets {
			columns = append(columns, l.noiseGraph(direction, train, k).largest)
		}
	}
	columns = append(columns, Sqrt(ReduceSum(Square(p.gradient), 1, 2)),
		Sqrt(ReduceSum(Square(w), 1, 2)))
	for i := range columns {
		if columns[i] == nil {
			columns[i] = Zeros(g, ReduceMax(c, 1).Shape())
		}
		columns[i] = Reshape(columns[i], lanes, 1)
	}
	columns = append(columns, c, projection(p.gradient, l.feature), projection(buffer, l.feature))
	return Concatenate(columns, 1)
}

// noise summarizes the products of weights, or of another direction, with the noise patches of a
// set over all samples i, patches j and neurons r. Without samples the sum is 0 and the rest nil.
type noise struct {
	largest          *Node // |Ξ_{i,j,r}| [S]
	least, sum, most *Node // of y_i Ξ_i [S]
	all              *Node // |Ξ_{i,j,r}| [S, values]
}

func (l *Lanes) noiseGraph(w *Node, samples Samples, k int) noise {
	lanes := w.Shape().Dim(0)
	var n noise
	for _, b := range samples.Blocks {
		// y_i Ξ_{i,j,r} [S, m, q, n]
		z := b.part(k, l.Network.preactivations(w, b.Noise, samples.Patches), 3)
		if z == nil {
			continue
		}
		total := l.Network.output(z) // [S, n]
		size := Abs(Reshape(z, lanes, -1))
		largest, least, most := ReduceMax(size, 1), ReduceMin(total, 1), ReduceMax(total, 1)
		if n.sum != nil {
			largest, least, most = Max(largest, n.largest), Min(least, n.least), Max(most, n.most)
			size = Concatenate([]*Node{n.all, size}, 1)
		}
		n = noise{largest, least, plus(n.sum, ReduceSum(total, 1)), most, size}
	}
	if n.sum == nil {
		n.sum = Zeros(w.Graph(), ReduceMax(w, 1, 2).Shape())
	}
	return n
}

// quantileGraph returns, for each of the quantiles p, the smallest of the values [S, n] that at
// least a share p of them does not exceed: [S, 1], or nil without values.
func quantileGraph(values *Node) []*Node {
	out := make([]*Node, len(quantiles))
	if values == nil {
		return out
	}
	sorted := Sort(values, 1, true)
	for i, p := range quantiles {
		position := max(0, int(math.Ceil(p*float64(values.Shape().Dim(1))))-1)
		out[i] = Slice(sorted, AxisRange(), AxisElem(position))
	}
	return out
}

// accuracyGraph is the share of test samples [S] that are classified correctly with the signal
// patch of a training set.
func (l *Lanes) accuracyGraph(w *Node, test Samples, set Set) *Node {
	lanes := w.Shape().Dim(0)
	signalOutput := l.Network.output(Reshape(set.signal(w), lanes, -1, 1, 1)) // [S, 1]
	var right *Node
	for _, b := range test.Blocks {
		noiseOutput := l.Network.output(l.Network.preactivations(w, b.Noise, test.Patches))
		margin := Add(signalOutput, noiseOutput) // [S, n]
		correct := ConvertDType(GreaterOrEqual(margin, ZerosLike(margin)), l.dtype)
		right = plus(right, ReduceSum(correct, 1))
	}
	return MulScalar(right, 1/float64(test.size()))
}
