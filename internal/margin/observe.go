package margin

import (
	"context"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend"
)

// Observables names what [Lanes.Observe] measures, in its order. Samples of Z1 have a large margin,
// those of Z2 a small one; r counts neurons from 1, i samples, j noise patches. Without
// small-margin training samples (or without large-margin ones) what is taken over them is 0.
//
//	loss, loss_1, loss_2     mean of log(1 + exp(−y f)) over all, Z1, Z2 (nats), without weight decay
//	error, error_1, error_2  share of training samples with y f < 0
//	test_1, test_2           share of test samples with y f ≥ 0, with the large and with the small margin, each on all of the test set's noise
//	c, c_small               largest of c_r = ⟨w_r, w*⟩; the same along the direction of the small margins (w* but in one control)
//	nu_1, nu_2               ν_k = (1/N) Σ_{i∈Zk} ℓ_i, with ℓ_i = sigmoid(−y_i f(X_i))
//	xi_max_1, xi_max_2       largest |Ξ_{i,j,r}| = |⟨w_r, X_i[j]⟩| over Zk
//	xi_q50_2, q90, q99       quantiles of |Ξ_{i,j,r}| over Z2
//	noise_min_k, mean, max   of the total noise y_i Ξ_i = y_i Σ_r Σ_j Ξ³_{i,j,r} over Zk: large on Z2 is memorized
//	grad_noise_k, mom_noise_k largest |⟨∇_{w_r}L, X_i[j]⟩| and |⟨g_r, X_i[j]⟩| over Zk, g the momentum buffer
//	grad_norm, norm          of ∇L (without weight decay) and of W
//	c_r, G_r, M_r            c_r, G_r = ⟨∇_{w_r}L, w*⟩ and 𝒢_r = ⟨g_r, w*⟩ of each neuron, as c1, c2, …, G1, …, M1, …
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

// quantiles of |Ξ| over Z2 that are observed.
var quantiles = []float64{0.5, 0.9, 0.99}

// Observation is what was measured of all lanes at one step.
type Observation struct {
	Step   int
	Names  []string    // of the values
	Values [][]float64 // [S][len(Names)]
	Events [][]int     // [S][Events]: the first step of each event, −1 for what has not happened
}

// Get returns a value of a lane. It panics on a name that is not there.
func (o *Observation) Get(lane int, name string) float64 {
	for i, n := range o.Names {
		if n == name {
			return o.Values[lane][i]
		}
	}
	panic("margin: no observable " + name)
}

// Observe measures the present weights. All of it is computed on the device; a row of numbers per
// lane is read back.
func (l *Lanes) Observe(ctx context.Context) (*Observation, error) {
	o := &Observation{Step: l.steps, Names: l.Observables()}
	err := backend.Try("margin: observe", func() {
		if err := ctx.Err(); err != nil {
			panic(err)
		}
		args := l.inputs(l.params, l.w, l.buffer)
		for _, t := range l.test.all() {
			args = append(args, t)
		}
		table := floats(l.observe.MustCall(args...)[0])
		events := tensors.MustCopyFlatData[int32](l.events)
		for s := range l.lanes {
			o.Values = append(o.Values, table[s*len(o.Names):][:len(o.Names)])
			var e []int
			for _, step := range events[s*int(Events):][:Events] {
				e = append(e, int(step))
			}
			o.Events = append(o.Events, e)
		}
	})
	return o, err
}

// observeGraph builds the table [S, len(Observables)] from (params, W, buffer, training blocks,
// test blocks).
func (l *Lanes) observeGraph(inputs []*Node) *Node {
	w, buffer := inputs[1], inputs[2]
	g := w.Graph()
	lanes := w.Shape().Dim(0)
	train := l.train.nodes(inputs[3:])
	test := l.test.nodes(inputs[3+len(l.train.all()):])
	grad := l.gradientGraph(w, train)
	n1, n2 := float64(l.train.size[0]), float64(l.train.size[1])
	share := func(x [2]*Node) *Node { // of both sets together
		return Add(MulScalar(x[0], n1/(n1+n2)), MulScalar(x[1], n2/(n1+n2)))
	}

	c := l.project(w, l.signals.feature) // [S, m]
	columns := []*Node{
		share(grad.loss), grad.loss[0], grad.loss[1], share(grad.wrong), grad.wrong[0],
		grad.wrong[1],
		l.accuracyGraph(w, test, 0), l.accuracyGraph(w, test, 1),
		ReduceMax(c, 1), ReduceMax(l.project(w, l.signals.direction[1]), 1),
		MulScalar(grad.ell[0], n1/(n1+n2)), MulScalar(grad.ell[1], n2/(n1+n2)),
	}
	sets := [2]noise{}
	for k := range sets {
		sets[k] = l.noiseGraph(w, train[k])
	}
	columns = append(columns, sets[0].largest, sets[1].largest)
	columns = append(columns, quantileGraph(sets[1].all)...)
	for _, s := range sets {
		columns = append(columns, s.least, MulScalar(s.sum, 1/max(1, float64(s.samples))), s.most)
	}
	for _, direction := range []*Node{grad.total, buffer} {
		for k := range train {
			columns = append(columns, l.noiseGraph(direction, train[k]).largest)
		}
	}
	columns = append(columns, Sqrt(ReduceSum(Square(grad.total), 1, 2)),
		Sqrt(ReduceSum(Square(w), 1, 2)))
	for i := range columns {
		if columns[i] == nil {
			columns[i] = Zeros(g, ReduceMax(c, 1).Shape())
		}
		columns[i] = Reshape(columns[i], lanes, 1)
	}
	columns = append(columns, c, l.project(grad.total, l.signals.feature),
		l.project(buffer, l.signals.feature))
	return Concatenate(columns, 1)
}

// noise is what weights (or another direction) make of a set's noise patches, over all samples i,
// patches j and neurons r.
type noise struct {
	samples          int
	largest          *Node // |Ξ_{i,j,r}| [S]; nil for an empty set, as the others
	least, sum, most *Node // of y_i Ξ_i [S]
	all              *Node // |Ξ_{i,j,r}| [S, values]
}

func (l *Lanes) noiseGraph(w *Node, x []*Node) noise {
	lanes := w.Shape().Dim(0)
	var out noise
	for _, patches := range x {
		z := l.Model.Project(w, patches, l.train.q) // y_i Ξ_{i,j,r} [S, m, q, n]
		total := l.Model.Sum(z)                     // [S, n]
		size := Abs(Reshape(z, lanes, -1))
		largest, least, most := ReduceMax(size, 1), ReduceMin(total, 1), ReduceMax(total, 1)
		if out.samples > 0 {
			largest, least, most = Max(largest, out.largest), Min(least, out.least),
				Max(most, out.most)
			size = Concatenate([]*Node{out.all, size}, 1)
		}
		out = noise{out.samples + total.Shape().Dim(1), largest, least,
			plus(out.sum, ReduceSum(total, 1)), most, size}
	}
	if out.sum == nil {
		out.sum = Zeros(w.Graph(), ReduceMax(w, 1, 2).Shape())
	}
	return out
}

// quantileGraph is, for each of the quantiles p, the smallest value that a share p of the values
// [S, n] does not exceed: [S, 1], or nil without values.
func quantileGraph(values *Node) []*Node {
	out := make([]*Node, len(quantiles))
	if values == nil {
		return out
	}
	sorted := Sort(values, 1, true)
	for i, p := range quantiles {
		at := max(0, int(math.Ceil(p*float64(values.Shape().Dim(1))))-1)
		out[i] = Slice(sorted, AxisRange(), AxisElem(at))
	}
	return out
}

// accuracyGraph is the share of the test samples that are classified correctly [S] when their
// signal patch is that of Z1 (k = 0) or Z2 (k = 1).
func (l *Lanes) accuracyGraph(w *Node, x [2][]*Node, k int) *Node {
	lanes := w.Shape().Dim(0)
	signal := MulScalar(l.project(w, l.signals.direction[k]), l.signals.amplitude[k]) // [S, m]
	fromSignal := l.Model.Sum(Reshape(signal, lanes, -1, 1, 1))                       // [S, 1]
	var right *Node
	for _, set := range x {
		for _, patches := range set {
			margin := Add(fromSignal, l.Model.Sum(l.Model.Project(w, patches, l.test.q)))
			right = plus(right, ReduceSum(ConvertDType(GreaterOrEqual(margin, ZerosLike(margin)),
				l.dtype), 1))
		}
	}
	return MulScalar(right, 1/float64(l.test.size[0]+l.test.size[1]))
}

func floats(t *tensors.Tensor) []float64 {
	if v, err := tensors.CopyFlatData[float64](t); err == nil {
		return v
	}
	narrow := tensors.MustCopyFlatData[float32](t)
	wide := make([]float64, len(narrow))
	for i, v := range narrow {
		wide[i] = float64(v)
	}
	return wide
}
