package cubic

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/internal/descent"
)

// diverging is a lane whose weight decay is so strong that each step multiplies the weights by
// about −10⁶, whatever the gradient is.
var diverging = Lane{Rule: descent.Rule{Form: descent.Damped, WeightDecay: 1}, Eta: 1e6}

// GD is momentum 0: in both forms, each step is w − η∇L to the last bit.
func TestNoMomentumIsGD(t *testing.T) {
	b := openGo(t)
	undampedGD := Lane{Rule: descent.Rule{Form: descent.Undamped}, Eta: gd.Eta}
	l := newLanes(t, b, tiny, options, gd, undampedGD)
	step := MustNewExec(b.Backend, func(in []*Node) *Node {
		samples, _ := l.train.nodes(in[1:])
		return Sub(in[0], MulScalar(l.passGraph(in[0], samples).gradient, gd.Eta))
	})
	w, before := l.w, l.weights(0)
	for range 20 {
		w = step.MustCall(l.arguments(w)...)[0]
	}
	l.mustRun(t, 20)
	want := backend.Floats(w)[:len(backend.Floats(w))/2]
	for s := range 2 {
		if !same(l.weights(s), want) {
			t.Errorf("lane %d differs from w − η∇L", s)
		}
	}
	if same(want, before) {
		t.Error("no step was taken")
	}
}

// The undamped form takes the steps of the damped one at its effective rate η/(1−γ): to the last
// bit for γ = 1/2, since each product with it is exact, and to rounding for another γ.
func TestFormsAgree(t *testing.T) {
	for _, c := range []struct{ gamma, tolerance float64 }{{0.5, 0}, {0.9, 1e-12}} {
		d := Lane{Rule: descent.Rule{Form: descent.Damped, Gamma: c.gamma}, Eta: 0.5}
		u := Lane{Rule: descent.Rule{Form: descent.Undamped, Gamma: c.gamma},
			Eta: 0.5 * (1 - c.gamma)}
		l := newLanes(t, openGo(t), tiny, options, d, u)
		l.mustRun(t, 20)
		got, want := l.weights(1), l.weights(0)
		for i := range want {
			if math.Abs(got[i]-want[i]) > c.tolerance {
				t.Errorf("γ = %v: weight %d is %v undamped, %v damped", c.gamma, i, got[i], want[i])
			}
		}
	}
}

// A lane's numbers do not depend on the other lanes, even if one of them diverges. On the Go
// backend this holds to the last bit.
func TestLanesAreIndependent(t *testing.T) {
	b := openGo(t)
	together := newLanes(t, b, tiny, options, damped, diverging, gd, undamped)
	together.mustRun(t, 70)
	o := together.mustObserve(t)
	for s, lane := range map[int]Lane{0: damped, 2: gd, 3: undamped} {
		alone := newLanes(t, b, tiny, options, lane)
		alone.mustRun(t, 70)
		if !same(together.weights(s), alone.weights(0)) {
			t.Errorf("the weights of lane %d differ from those of the lane alone", s)
		}
		a := alone.mustObserve(t)
		if !same(o.Values[s], a.Values[0]) || !slices.Equal(o.Events[s], a.Events[0]) {
			t.Errorf("lane %d: %v, events %v; alone %v, events %v", s, o.Values[s], o.Events[s],
				a.Values[0], a.Events[0])
		}
		if o.Events[s][Diverged] >= 0 {
			t.Errorf("lane %d diverges", s)
		}
	}
	train, test := draw(t, tiny)
	want := newReference(options, diverging, train, test)
	for range 70 {
		want.step()
	}
	if step := o.Events[1][Diverged]; step != want.events[Diverged] || step < 0 {
		t.Errorf("divergence at step %d, want %d", step, want.events[Diverged])
	}
}

// A linear model has bounded gradients, so after t steps the weights of the diverging lane are
// about 0.3·10⁶ᵗ: about 10³⁰⁵ before step 51 and, since the largest float64 is about 10³⁰⁸,
// infinite before step 52.
func TestDiverged(t *testing.T) {
	o := options
	o.Network.Degree = 1
	l := newLanes(t, openGo(t), tiny, o, diverging)
	l.mustRun(t, 60)
	if step := l.event(0, Diverged); step != 52 {
		t.Errorf("divergence at step %d, want 52", step)
	}
}

// Blocks change speed alone: the sums over several unequal blocks are those of a single one.
func TestBlocks(t *testing.T) {
	b := openGo(t)
	whole := newLanes(t, b, tiny, options, gd, undamped)
	whole.mustRun(t, 20)
	want := whole.mustObserve(t)
	// A sample has 3 noise patches, and a block has at least one sample. The first 7 samples belong
	// to Z2; blocks of 5 samples have some of both sets in the second one.
	for patches, blocks := range map[int]int{1: 40, 15: 8, 60: 2} {
		o := options
		o.Patches = patches
		l := newLanes(t, b, tiny, o, gd, undamped)
		if got := len(l.train.noise); got != blocks {
			t.Errorf("blocks of %d patches: %v, want %v", patches, got, blocks)
		}
		l.mustRun(t, 20)
		got := l.mustObserve(t)
		for s := range got.Values {
			for i, name := range got.Names {
				if !near(got.Values[s][i], want.Values[s][i], 1e-11) {
					t.Errorf("blocks of %d patches, lane %d: %s is %v, want %v", patches, s, name,
						got.Values[s][i], want.Values[s][i])
				}
			}
		}
	}
}

// On XLA in float32, with a diverging lane among the others, k steps in one call give the same
// bytes as in several calls, and as the same steps without a loop. A lane alone with more blocks
// agrees to rounding, since it takes its sums in another order.
func TestLoop(t *testing.T) {
	const steps = 12
	b := openXLA(t)
	o := options
	o.Float64, o.M = false, 2
	lanes := []Lane{gd, damped, undamped, diverging}
	l := newLanes(t, b, tiny, o, lanes...)
	w, buffer, events := l.w, l.buffer, l.events
	l.mustRun(t, steps)
	want := snapshot(l)
	for s := range lanes {
		if step, diverged := l.event(s, Diverged), s == 3; (step >= 0) != diverged {
			t.Errorf("lane %d: divergence at step %d", s, step)
		}
	}

	l.w, l.buffer, l.events, l.steps = w, buffer, events, 0
	for _, k := range []int{5, 0, 1, 6} {
		l.mustRun(t, k)
	}
	if l.Steps() != steps || !same(snapshot(l), want) {
		t.Error("several calls differ from one")
	}

	o.Unlooped = true
	unlooped := newLanes(t, b, tiny, o, lanes...)
	unlooped.mustRun(t, steps)
	if !same(snapshot(unlooped), want) {
		t.Error("steps without a loop differ from those of the loop")
	}
	o.Unlooped = false

	o.Patches = 60
	alone := newLanes(t, b, tiny, o, undamped)
	alone.mustRun(t, steps)
	for i, x := range l.weights(2) {
		if got := alone.weights(0)[i]; !near(got, x, 1e-5) {
			t.Errorf("weight %d is %v in a lane alone with more blocks, %v among others", i, got, x)
		}
	}
}

// Lanes of the same seed end at the same bytes, lanes of another seed do not.
func TestSeeds(t *testing.T) {
	b := openGo(t)
	o := options
	var first []float64
	for _, seed := range []uint64{2, 2, 3} {
		o.Seed = seed
		l := newLanes(t, b, tiny, o, gd, damped)
		if !same(l.weights(0), l.weights(1)) {
			t.Error("lanes start from different weights")
		}
		l.mustRun(t, 5)
		if first == nil {
			first = snapshot(l)
		}
		if same(snapshot(l), first) != (seed == 2) {
			t.Errorf("seed %d: the same as seed 2 is %v", seed, seed != 2)
		}
	}
}

// A gradient of Z1 that bypasses the buffer acts as in GD: without Z2 the whole lane is GD to the
// last bit, whatever γ is, and its buffer stays zero. Without Z1 there is nothing to keep out.
func TestBypassZ1(t *testing.T) {
	b := openGo(t)
	bypassed := undamped
	bypassed.BypassZ1 = true
	plain := gd
	plain.Eta = bypassed.Eta

	spec := tiny
	spec.SmallMargin = 0
	l := newLanes(t, b, spec, options, bypassed, plain, undamped)
	l.mustRun(t, 20)
	if !same(l.weights(0), l.weights(1)) {
		t.Error("without Z2, the lane is not GD")
	}
	if slices.ContainsFunc(backend.Floats(l.buffer)[:len(l.weights(0))],
		func(x float64) bool { return x != 0 }) {
		t.Error("without Z2, the buffer is not zero")
	}
	if same(l.weights(0), l.weights(2)) {
		t.Error("without Z2, the lane is GD+M")
	}

	spec.SmallMargin = spec.N
	l = newLanes(t, b, spec, options, bypassed, undamped)
	l.mustRun(t, 20)
	if !same(snapshot(l)[:len(l.weights(0))], l.weights(1)) {
		t.Error("without Z1, the lane is not GD+M")
	}
}

// Load restores what Save wrote: lanes that go on from the file end at the same bytes.
func TestSaveAndLoad(t *testing.T) {
	b := openGo(t)
	o := options
	o.Float64 = false
	dir := t.TempDir()
	l := newLanes(t, b, tiny, o, gd, damped)
	l.mustRun(t, 60) // long enough for events
	if err := l.Save(dir); err != nil {
		t.Fatal(err)
	}
	values, err := l.Weights()
	if err != nil || values.Name != "W" || !slices.Equal(values.Shape, []int{2, o.M, tiny.D}) ||
		!same(wide(values.Data), backend.Floats(l.w)) {
		t.Errorf("weights %v of shape %v, error %v", values.Name, values.Shape, err)
	}
	l.mustRun(t, 10)

	resumed := newLanes(t, b, tiny, o, gd, damped)
	if err := resumed.Load(dir); err != nil {
		t.Fatal(err)
	}
	if resumed.Steps() != 60 || resumed.event(0, Fit1) < 0 {
		t.Errorf("%d steps and the fit at %d, want 60 and some step", resumed.Steps(),
			resumed.event(0, Fit1))
	}
	resumed.mustRun(t, 10)
	if !same(snapshot(resumed), snapshot(l)) {
		t.Error("the lanes that went on from the file differ")
	}

	other := newLanes(t, b, tiny, o, gd)
	if err := other.Load(dir); err == nil || !strings.Contains(err.Error(),
		"state.json: 12 events") {
		t.Errorf("the state of two lanes is read into one: %v", err)
	}
	wider := o
	wider.M++
	other = newLanes(t, b, tiny, wider, gd, damped)
	before := snapshot(other)
	if err := other.Load(dir); err == nil || !strings.Contains(err.Error(),
		"want W and buffer of shape [2 4 6]") {
		t.Errorf("weights of three neurons are read into four: %v", err)
	}
	if !same(snapshot(other), before) || other.Steps() != 0 {
		t.Error("a state that does not fit has changed the lanes")
	}
	for _, name := range []string{"state.safetensors", "state.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := resumed.Load(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a broken %s is read: %v", name, err)
		}
	}
	if err := resumed.Load(t.TempDir()); !os.IsNotExist(err) {
		t.Errorf("no state is read: %v", err)
	}
}

func TestLaneValidate(t *testing.T) {
	changed := func(change func(*Lane)) Lane {
		l := damped
		change(&l)
		return l
	}
	for _, c := range []struct {
		lane Lane
		want string // part of the error, empty for a valid lane
	}{
		{gd, ""}, {damped, ""}, {diverging, ""},
		{changed(func(l *Lane) { l.AfterFit = &Phase{Eta: 1, Reset: true} }), ""},
		{Lane{Eta: 1}, "form"},
		{changed(func(l *Lane) { l.Eta = 0 }), "eta must be positive and finite, got 0"},
		{changed(func(l *Lane) { l.Eta = math.NaN() }), "eta"},
		{changed(func(l *Lane) { l.Eta = math.Inf(1) }), "eta"},
		{changed(func(l *Lane) { l.Gamma = 1 }), "gamma must be in [0, 1), got 1"},
		{changed(func(l *Lane) { l.WeightDecay = -1 }), "weight decay"},
		{changed(func(l *Lane) { l.AfterFit = &Phase{Gamma: 0.5} }), "after the fit of Z1: eta"},
		{changed(func(l *Lane) { l.AfterFit = &Phase{Eta: 1, Gamma: -0.5} }),
			"after the fit of Z1: gamma"},
	} {
		err := c.lane.Validate()
		if c.want == "" && err != nil || c.want != "" &&
			(err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.lane, err, c.want)
		}
	}
	train, test := draw(t, tiny)
	if _, err := New(openGo(t), train, test, []Lane{gd, {}}, options); err == nil ||
		!strings.Contains(err.Error(), "cubic: lane 1: form") {
		t.Errorf("a lane without a form is taken: %v", err)
	}
}

// BenchmarkSteps takes full-batch steps at the paper's size and reports settings × steps per
// second.
func BenchmarkSteps(b *testing.B) {
	spec := datasets.Distribution{N: 20000, SmallMargin: 40, D: 30, P: 5, Alpha: 5.3, Beta: 0.2,
		Sigma: 0.5, Seed: 1}
	for _, settings := range []int{1, 2, 16} {
		b.Run(fmt.Sprintf("S=%d", settings), func(b *testing.B) {
			const steps = 100
			be := backendtest.Open(b)
			if be.Kind == backend.Go {
				b.Skip("one step takes seconds on the Go backend")
			}
			var lanes []Lane
			for s := range settings {
				rule := descent.Rule{Form: descent.Damped, Gamma: 0.99 * float64(s%2)}
				lanes = append(lanes, Lane{Rule: rule, Eta: 0.2})
			}
			l := newLanes(b, be, spec, Options{Network: options.Network, M: 5, Sigma0: 0.03},
				lanes...)
			l.mustRun(b, steps) // compiles
			for b.Loop() {
				l.mustRun(b, steps)
				backend.Floats(l.w) // waits for the device
			}
			b.ReportMetric(float64(steps*settings*b.N)/b.Elapsed().Seconds(), "setting-steps/s")
		})
	}
}

// snapshot is the whole state as numbers: weights, buffers and events.
func snapshot(l *Lanes) []float64 {
	all := slices.Concat(backend.Floats(l.w), backend.Floats(l.buffer))
	for s := range l.lanes {
		for e := range eventCount {
			all = append(all, float64(l.event(s, e)))
		}
	}
	return all
}

func (l *Lanes) event(lane int, e Event) int {
	return int(tensors.MustCopyFlatData[int32](l.events)[lane*int(eventCount)+int(e)])
}

// same reports whether two lists have the same bits.
func same(u, v []float64) bool {
	return slices.EqualFunc(u, v, func(x, y float64) bool {
		return math.Float64bits(x) == math.Float64bits(y)
	})
}
