// Package margin trains the paper's cubic network on its distribution D (datasets.Samples): many
// settings at once, many steps per call, and the quantities of the theory ([Observables]) beside
// the loss.
//
// The settings are lanes: a leading axis of the weights. All lanes see the same samples and start
// from the same weights, so GD and GD+M differ by their rule and nothing else. One call is a While
// loop over full-batch steps
//
//	for each block of samples:  z = W·x;  ℓ = sigmoid(−Σ z³);  sum += ℓ 3z² x        the gradient by hand
//	buffer ← γ buffer + gain·∇L;  w ← w − η buffer                                    descent.Update
//
// The data are folded (see models.Cubic), the signal patch, being a multiple of a known vector,
// takes one product per lane, and the noise patches lie in blocks that fit a processor's cache.
package margin

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/descent"
	"momentum/models"
)

// Lane is one setting of the descent.
type Lane struct {
	descent.Rule
	Eta float64 // η

	// Interventions, for experiments on the mechanism. Then, if not nil, takes over at the step at
	// which Z1 is fitted ([Fit1]).
	Then  *Phase
	Apart bool // gradients of Z1 stay out of the momentum buffer and act at once, as in GD
}

// Phase is what changes when Z1 is fitted.
type Phase struct {
	Eta, Gamma float64
	Reset      bool // the momentum buffer is set to zero
}

// Validate refuses values for which a lane is not defined.
func (l Lane) Validate() error {
	if err := l.Rule.Validate(); err != nil {
		return err
	}
	if !(l.Eta > 0) || math.IsInf(l.Eta, 0) {
		return fmt.Errorf("eta must be positive and finite, got %v", l.Eta)
	}
	if p := l.Then; p != nil {
		then := Lane{Rule: l.Rule, Eta: p.Eta}
		then.Gamma = p.Gamma
		if err := then.Validate(); err != nil {
			return fmt.Errorf("after the fit of Z1: %w", err)
		}
	}
	return nil
}

// row is the lane as the executable takes it, in the order of the par constants.
func (l Lane) row() []float64 {
	late, reset := l, 0.0
	if p := l.Then; p != nil {
		late.Eta, late.Gamma = p.Eta, p.Gamma
		if p.Reset {
			reset = 1
		}
	}
	apart := 0.0
	if l.Apart {
		apart = 1
	}
	return []float64{l.Eta, late.Eta, l.Gamma, late.Gamma, l.Gain(), late.Gain(), l.WeightDecay,
		reset, apart}
}

// The columns of a lane's row: before and after the fit of Z1.
const (
	parEta, parEtaLate     = 0, 1
	parGamma, parGammaLate = 2, 3
	parGain, parGainLate   = 4, 5
	parDecay               = 6
	parReset               = 7
	parApart               = 8
	pars                   = 9
)

// Event is something of which the first step is kept, for each lane. An event of step t is seen in
// the weights before step t.
type Event int

// The events. Z1 and Z2 are the large- and the small-margin training samples; ℓ = sigmoid(−y f) of
// a sample.
const (
	Fit1     Event = iota // the mean of ℓ over Z1 is below Options.Fitted
	Fit2                  // the same over Z2
	Zero1                 // no training error on Z1
	Zero2                 // no training error on Z2
	Zero                  // no training error
	Diverged              // weights or losses are no longer finite
	Events                // how many there are
)

func (e Event) String() string {
	return [...]string{"fit_1", "fit_2", "zero_1", "zero_2", "zero", "diverged"}[e]
}

// Options are the settings that all lanes share.
type Options struct {
	Model    models.Cubic
	M        int     // m, neurons
	Sigma0   float64 // σ0, standard deviation of the initial weights
	Seed     uint64  // of the initial weights
	Fitted   float64 // a set counts as fitted when the mean of its ℓ is below this; 0: 0.1
	Float64  bool    // compute in float64; for tests
	Patches  int     // about how many noise patches go into one block; 0: 20000
	Unlooped bool    // one step per call in place of a loop; for tests
}

// Lanes is a set of settings in training.
type Lanes struct {
	Options
	lanes []Lane
	steps int // taken

	dtype        dtypes.DType
	signals      signals
	train, test  blocks
	params       *tensors.Tensor // [S, pars]
	w, buffer    *tensors.Tensor // [S, m, d]
	events       *tensors.Tensor // [S, Events] int32, −1 for what has not happened
	run, observe *Exec
}

// New prepares lanes on a training set, with a test set of which only the noise is used: each test
// sample is tried with either margin.
func New(b *backend.Backend, train, test *datasets.Samples, lanes []Lane, o Options) (*Lanes,
	error) {
	for i, l := range lanes {
		if err := l.Validate(); err != nil {
			return nil, fmt.Errorf("margin: lane %d: %w", i, err)
		}
	}
	if len(lanes) == 0 || o.M < 1 || train.D != test.D {
		return nil, fmt.Errorf("margin: %d lanes of %d neurons, training data in d = %d and test "+
			"data in d = %d; want at least one of each and one d", len(lanes), o.M, train.D, test.D)
	}
	if o.Fitted == 0 {
		o.Fitted = 0.1
	}
	if o.Patches == 0 {
		o.Patches = 20000
	}
	l := &Lanes{Options: o, lanes: lanes, dtype: dtypes.Float32}
	if o.Float64 {
		l.dtype = dtypes.Float64
	}
	d, s := train.D, len(lanes)
	err := backend.Try("margin: prepare", func() {
		l.signals = newSignals(train)
		l.train = l.newBlocks(train)
		l.test = l.newBlocks(test)
		var rows, w []float64
		for _, lane := range lanes {
			rows = append(rows, lane.row()...)
			for _, x := range models.CubicInit(o.Seed, o.M, d, o.Sigma0) {
				w = append(w, float64(x))
			}
		}
		l.params = l.tensor(rows, s, pars)
		l.w = l.tensor(w, s, o.M, d)
		l.buffer = l.tensor(make([]float64, s*o.M*d), s, o.M, d)
		never := make([]int32, s*int(Events))
		for i := range never {
			never[i] = -1
		}
		l.events = tensors.FromFlatDataAndDimensions(never, s, int(Events))
		l.run = must(NewExec(b.Backend, l.runGraph)).WithName("margin.steps")
		l.observe = must(NewExec(b.Backend, l.observeGraph)).WithName("margin.observe")
		if b.Kind == backend.CPU && s*o.M <= 20 {
			l.Model.ByRow = true
		}
		if b.Kind == backend.Go {
			l.Unlooped = true // its While copies the whole state at each step
		}
	})
	return l, err
}

// Steps is the number of steps taken.
func (l *Lanes) Steps() int { return l.steps }

// Run takes k steps in every lane. If the context ends first, some or none of them are taken, and
// the state is that after the last one.
func (l *Lanes) Run(ctx context.Context, k int) error {
	return backend.Try("margin: steps", func() {
		at := 1
		if !l.Unlooped {
			at = k
		}
		for done := 0; done < k; done += at {
			if err := ctx.Err(); err != nil {
				panic(err)
			}
			out := l.run.MustCall(l.inputs(
				tensors.FromScalar(int32(l.steps)), tensors.FromScalar(int32(l.steps+at)), l.params,
				l.w, l.buffer, l.events)...)
			l.w, l.buffer, l.events = out[0], out[1], out[2]
			l.steps += at
		}
	})
}

// inputs are the arguments of an executable: the given ones and all blocks of training samples.
func (l *Lanes) inputs(first ...*tensors.Tensor) []any {
	var all []any
	for _, t := range first {
		all = append(all, t)
	}
	for _, t := range l.train.all() {
		all = append(all, t)
	}
	return all
}

// runGraph is the loop: from inputs (t, end, params, W, buffer, events, blocks...) to (W, buffer,
// events).
func (l *Lanes) runGraph(inputs []*Node) []*Node {
	if l.Unlooped {
		return l.stepGraph(inputs)[3:6]
	}
	g := inputs[0].Graph()
	state := func(g *Graph) []*Node {
		nodes := make([]*Node, len(inputs))
		for i, in := range inputs {
			nodes[i] = Parameter(g, fmt.Sprintf("state%d", i), in.Shape())
		}
		return nodes
	}
	cond := NewClosure(g, func(g *Graph) []*Node {
		s := state(g)
		return []*Node{LessThan(s[0], s[1])}
	})
	body := NewClosure(g, func(g *Graph) []*Node { return l.stepGraph(state(g)) })
	return While(cond, body, inputs...)[3:6]
}

// stepGraph is one full-batch step of all lanes, from state to state.
func (l *Lanes) stepGraph(state []*Node) []*Node {
	t, params, w, buffer, events := state[0], state[2], state[3], state[4], state[5]
	grad := l.gradientGraph(w, l.train.nodes(state[6:]))
	fit1 := LessThan(grad.ell[0], l.number(w, l.Fitted))
	fit2 := LessThan(grad.ell[1], l.number(w, l.Fitted))
	zero1, zero2 := l.positive(grad.least[0]), l.positive(grad.least[1])
	finite := And(IsFinite(Add(grad.ell[0], grad.ell[1])), IsFinite(ReduceSum(w, 1, 2)))
	// [S, Events]
	now := Stack([]*Node{fit1, fit2, zero1, zero2, And(zero1, zero2), Not(finite)}, 1)
	never := LessThan(events, Const(t.Graph(), [][]int32{{0}}))
	first := And(now, never)
	events = Where(first, BroadcastToShape(t, events.Shape()), events)

	// What applies to this step: [S, 1, 1] each.
	column := func(x *Node, i int) *Node {
		return InsertAxes(Slice(x, AxisRange(), AxisElem(i)),
			-1)
	}
	par := func(i int) *Node { return column(params, i) }
	fitted := GreaterOrEqual(column(events, int(Fit1)), Const(t.Graph(), [][][]int32{{{0}}}))
	choose := func(early, late int) *Node { return Where(fitted, par(late), par(early)) }
	eta, gamma, gain := choose(parEta, parEtaLate), choose(parGamma, parGammaLate),
		choose(parGain, parGainLate)
	keep := Sub(OnesLike(eta), Mul(par(parReset), ConvertDType(column(first, int(Fit1)), l.dtype)))

	apart := Mul(par(parApart), grad.set[0])
	total := Add(grad.total, Mul(par(parDecay), w))
	newW, newBuffer := descent.Update(w, Sub(total, apart), Mul(buffer, keep), eta, gamma, gain)
	newW = Sub(newW, Mul(eta, apart))

	next := append([]*Node{Add(t, Const(t.Graph(), int32(1)))}, state[1:]...)
	next[3], next[4], next[5] = newW, newBuffer, events
	return next
}

// gradient is the loss' gradient at the weights of all lanes, for Z1 (index 0) and Z2 (index 1)
// apart.
type gradient struct {
	total *Node    // ∇L without weight decay [S, m, d]
	set   [2]*Node // the part of each set in it
	ell   [2]*Node // mean of ℓ over the set [S], 0 for an empty one
	least [2]*Node // smallest y f_W(X) of the set [S], +∞ for an empty one
	loss  [2]*Node // mean of log(1 + exp(−y f)) over the set [S]
	wrong [2]*Node // share of the set with y f < 0 [S]
}

// gradientGraph builds the gradient. What a caller does not use of it costs nothing: the compiler
// drops it.
func (l *Lanes) gradientGraph(w *Node, x [2][]*Node) gradient {
	g := w.Graph()
	lanes, d := w.Shape().Dim(0), w.Shape().Dim(2)
	var out gradient
	for k := range out.set {
		n := l.train.size[k]
		if n == 0 {
			none := BroadcastToDims(l.number(w, 0), lanes)
			out.set[k], out.ell[k], out.loss[k], out.wrong[k] = ZerosLike(w), none, none, none
			out.least[k] = BroadcastToDims(l.number(w, math.Inf(1)), lanes)
			continue
		}
		// The signal patch of every sample of the set is amplitude·direction once the label is
		// folded in.
		along := l.project(w, l.signals.direction[k])                            // c_r [S, m]
		signal := Mul(along, l.number(w, l.signals.amplitude[k]))                // [S, m]
		fromSignal := l.Model.Sum(Reshape(signal, lanes, -1, 1, 1))              // [S, 1]
		slope := Mul(l.Model.Slope(signal), l.number(w, l.signals.amplitude[k])) // [S, m]
		var pull *Node
		var margins []*Node // y f [S, n] of each block
		for _, patches := range x[k] {
			z := l.Model.Project(w, patches, l.train.q)
			margin := Add(fromSignal, l.Model.Sum(z))
			margins = append(margins, margin)
			pull = plus(pull, l.Model.Pull(z, Sigmoid(Neg(margin)), patches))
		}
		// In one piece, since each sum over samples costs several small kernels.
		margin := Concatenate(margins, 1)
		ell := ReduceSum(Sigmoid(Neg(margin)), 1)
		out.least[k] = ReduceMin(margin, 1)
		out.loss[k] = ReduceSum(softplus(Neg(margin)), 1)
		out.wrong[k] = ReduceSum(ConvertDType(LessThan(margin, ZerosLike(margin)), l.dtype), 1)
		// [S, m, d]
		fromDirection := Mul(InsertAxes(Mul(slope, InsertAxes(ell, 1)), -1),
			l.constant(g, l.signals.direction[k], 1, 1, d))
		out.set[k] = Mul(Add(pull, fromDirection),
			l.number(w, -1/float64(l.train.size[0]+l.train.size[1])))
		mean := l.number(w, 1/float64(n))
		out.ell[k], out.loss[k], out.wrong[k] = Mul(ell, mean), Mul(out.loss[k], mean),
			Mul(out.wrong[k], mean)
	}
	out.total = Add(out.set[0], out.set[1])
	return out
}

// project is the product of weights [S, m, d] with a vector: [S, m].
func (l *Lanes) project(w *Node, v []float64) *Node {
	return DotGeneral(w, []int{2}, nil, l.constant(w.Graph(), v, len(v)), []int{0}, nil)
}

// plus adds to a sum that may not have begun.
func plus(sum, x *Node) *Node {
	if sum == nil {
		return x
	}
	return Add(sum, x)
}

// softplus is log(1 + exp(x)) without overflow.
func softplus(x *Node) *Node { return Add(Max(x, ZerosLike(x)), Log1P(Exp(Neg(Abs(x))))) }

func (l *Lanes) positive(x *Node) *Node { return GreaterThan(x, ZerosLike(x)) }

// number is a constant. Scalars of the graph package are cached per graph, which a loop's body must
// not see.
func (l *Lanes) number(like *Node, x float64) *Node {
	if l.Float64 {
		return Const(like.Graph(), x)
	}
	return Const(like.Graph(), float32(x))
}

func (l *Lanes) constant(g *Graph, v []float64, dims ...int) *Node {
	return ConstTensor(g, l.tensor(v, dims...))
}

func (l *Lanes) tensor(v []float64, dims ...int) *tensors.Tensor {
	if l.Float64 {
		return tensors.FromFlatDataAndDimensions(v, dims...)
	}
	narrow := make([]float32, len(v))
	for i, x := range v {
		narrow[i] = float32(x)
	}
	return tensors.FromFlatDataAndDimensions(narrow, dims...)
}

// signals says what the signal patches of Z1 and Z2 are: amplitude times direction, once the label
// is folded in.
type signals struct {
	amplitude [2]float64
	direction [2][]float64 // [d]
	feature   []float64    // w*
}

func newSignals(m *datasets.Samples) signals {
	return signals{
		amplitude: [2]float64{m.Alpha, m.Beta},
		direction: [2][]float64{m.Feature, m.SmallMarginFeature},
		feature:   m.Feature,
	}
}

// blocks are the folded noise patches of a data set on the device: of Z1 (index 0) and Z2 (index
// 1), each block [d, q·n].
type blocks struct {
	q     int // noise patches of a sample
	size  [2]int
	block [2][]*tensors.Tensor
}

func (l *Lanes) newBlocks(m *datasets.Samples) blocks {
	q, d := m.P-1, m.D
	b := blocks{q: q, size: [2]int{m.N - m.SmallMargin, m.SmallMargin}}
	per := max(1, l.Patches/q)
	for k, r := range [2][2]int{{m.SmallMargin, m.N}, {0, m.SmallMargin}} {
		for from := r[0]; from < r[1]; from += per {
			n := min(per, r[1]-from)
			flat := make([]float64, d*q*n)
			for i := range n {
				for j := range q {
					patch := m.Noise[((from+i)*q+j)*d:][:d]
					for c, x := range patch {
						flat[(c*q+j)*n+i] = float64(m.Labels[from+i]) * float64(x)
					}
				}
			}
			b.block[k] = append(b.block[k], l.tensor(flat, d, q*n))
		}
	}
	return b
}

func (b blocks) all() []*tensors.Tensor {
	return append(append([]*tensors.Tensor{}, b.block[0]...), b.block[1]...)
}

// nodes tells the blocks apart again that stand in a list in the order of all.
func (b blocks) nodes(list []*Node) [2][]*Node {
	first := len(b.block[0])
	return [2][]*Node{list[:first], list[first : first+len(b.block[1])]}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
