package cubic

import (
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"

	"momentum/internal/descent"
)

// loopGraph is the loop over steps: from (t, end, parameters, W, buffer, events, blocks...) to (W,
// buffer, events).
func (l *Lanes) loopGraph(inputs []*Node) []*Node {
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
	samples, _ := l.train.nodes(state[6:])
	p := l.passGraph(w, samples)
	fit1 := LessThan(p.ell[0], number(w, l.Fitted))
	fit2 := LessThan(p.ell[1], number(w, l.Fitted))
	zero1, zero2 := isPositive(p.least[0]), isPositive(p.least[1])
	finite := And(IsFinite(Add(p.ell[0], p.ell[1])), IsFinite(ReduceSum(w, 1, 2)))
	// [S, eventCount]
	now := Stack([]*Node{fit1, fit2, zero1, zero2, And(zero1, zero2), Not(finite)}, 1)
	never := LessThan(events, Const(t.Graph(), [][]int32{{0}}))
	first := And(now, never)
	events = Where(first, BroadcastToShape(t, events.Shape()), events)

	// What applies to this step: [S, 1, 1] each.
	column := func(x *Node, i int) *Node {
		return InsertAxes(Slice(x, AxisRange(), AxisElem(i)), -1)
	}
	fitted := GreaterOrEqual(column(events, int(Fit1)), Const(t.Graph(), [][][]int32{{{0}}}))
	current := func(early, late int) *Node {
		return Where(fitted, column(params, late), column(params, early))
	}
	eta := current(etaColumn, lateEtaColumn)
	gamma := current(gammaColumn, lateGammaColumn)
	gain := current(gainColumn, lateGainColumn)
	reset := Mul(column(params, resetColumn), ConvertDType(column(first, int(Fit1)), l.dtype))
	keep := Sub(OnesLike(eta), reset)

	remembered := Add(p.gradient, Mul(column(params, decayColumn), w)) // ∇L + λw
	var bypass *Node
	if slices.ContainsFunc(l.lanes, func(l Lane) bool { return l.BypassZ1 }) {
		bypass = Mul(column(params, bypassColumn), Sub(p.gradient, p.gradientZ2))
		remembered = Sub(remembered, bypass)
	}
	newW, newBuffer := descent.Update(w, remembered, Mul(buffer, keep), eta, gamma, gain)
	if bypass != nil {
		newW = Sub(newW, Mul(eta, bypass))
	}

	next := append([]*Node{Add(t, Const(t.Graph(), int32(1)))}, state[1:]...)
	next[3], next[4], next[5] = newW, newBuffer, events
	return next
}

// pass is what one pass over the training samples gives, for Z1 (index 0) and Z2 (index 1) apart.
type pass struct {
	gradient   *Node    // ∇L without weight decay [S, m, d]
	gradientZ2 *Node    // the part of Z2 in it
	ell        [2]*Node // mean of ℓ over the set [S], 0 for an empty one
	least      [2]*Node // smallest y f_W(X) of the set [S], +∞ for an empty one
	loss       [2]*Node // mean of log(1 + exp(−y f)) over the set [S]
	wrong      [2]*Node // share of the set with y f < 0 [S]
}

// passGraph builds the pass. What a caller does not use of it costs nothing: the compiler drops it.
func (l *Lanes) passGraph(w *Node, samples Samples) pass {
	lanes := w.Shape().Dim(0)
	g := l.Network.Gradient(w, samples)
	p := pass{gradient: g.total, gradientZ2: g.small}
	for k, z := range samples.Sets {
		if z.Size == 0 {
			zero := BroadcastToDims(number(w, 0), lanes)
			p.ell[k], p.loss[k], p.wrong[k] = zero, zero, zero
			p.least[k] = BroadcastToDims(number(w, math.Inf(1)), lanes)
			continue
		}
		var loss, wrong []*Node
		for _, margins := range g.margins[k] {
			loss = append(loss, softplus(Neg(margins)))
			wrong = append(wrong, ConvertDType(LessThan(margins, ZerosLike(margins)), l.dtype))
		}
		mean := number(w, 1/float64(z.Size))
		p.ell[k] = Mul(g.sumEll[k], mean)
		p.least[k] = overSamples(g.margins[k], Min, ReduceMin)
		p.loss[k] = Mul(overSamples(loss, Add, ReduceSum), mean)
		p.wrong[k] = Mul(overSamples(wrong, Add, ReduceSum), mean)
	}
	return p
}
