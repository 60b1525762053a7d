package cubic

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"momentum/datasets"
	"momentum/internal/backend"
)

// everyLane lists the lanes that are compared with the reference: the rules, weight decay and each
// intervention.
func everyLane() []Lane {
	decayed, decayedUndamped, late, reset := damped, undamped, damped, undamped
	bypassed, bypassedDecayed := damped, undamped
	decayed.WeightDecay, decayedUndamped.WeightDecay = 0.05, 0.02
	late.AfterFit = &Phase{Eta: 0.05, Gamma: 0.5}
	reset.AfterFit = &Phase{Eta: 0.2, Gamma: 0.7, Reset: true}
	bypassed.BypassZ1 = true
	bypassedDecayed.BypassZ1, bypassedDecayed.WeightDecay = true, 0.03
	return []Lane{gd, damped, undamped, decayed, decayedUndamped, late, reset, bypassed,
		bypassedDecayed}
}

// All observables and events of all lanes, before the first step and after 25, against the
// reference. On the Go backend in float64 they agree to 1e-9, on XLA in float32 to 1e-4. It is long
// because it is a table of cases.
func TestObservables(t *testing.T) {
	type problem struct {
		name string
		spec datasets.Distribution
		o    Options
	}
	newProblem := func(name string, change func(*datasets.Distribution, *Options)) problem {
		c := problem{name, tiny, options}
		c.o.Fitted = 0.4 // the lanes fall below this, so that interventions take place
		change(&c.spec, &c.o)
		return c
	}
	ordinary := newProblem("ordinary", func(*datasets.Distribution, *Options) {})
	check := func(t *testing.T, b *backend.Backend, c problem, tolerance float64) {
		lanes := everyLane()
		train, test := draw(t, c.spec)
		l := newLanes(t, b, c.spec, c.o, lanes...)
		var want []*reference
		for _, lane := range lanes {
			want = append(want, newReference(c.o, lane, train, test))
		}
		for _, steps := range []int{0, 25} {
			l.mustRun(t, steps)
			got := l.mustObserve(t)
			if got.Step != steps || l.Steps() != steps {
				t.Fatalf("step %d, want %d", got.Step, steps)
			}
			for s, w := range want {
				for range steps {
					w.step()
				}
				values := w.observe()
				if len(values) != len(got.Names) || len(got.Values[s]) != len(got.Names) {
					t.Fatalf("%d names and %d values, want %d", len(got.Names), len(got.Values[s]),
						len(values))
				}
				for _, name := range got.Names {
					x, ok := values[name]
					if !ok || !near(got.Get(s, name), x, tolerance) {
						t.Errorf("after %d steps, lane %d: %s is %v, want %v", steps, s, name,
							got.Get(s, name), x)
					}
				}
				if !slices.Equal(got.Events[s], w.events) {
					t.Errorf("after %d steps, lane %d: events %v, want %v", steps, s, got.Events[s],
						w.events)
				}
			}
		}
		if c.name == ordinary.name {
			for s, lane := range lanes {
				if fit := want[s].events[Fit1]; lane.AfterFit != nil && (fit < 1 || fit > 20) {
					t.Errorf("lane %d fits Z1 at step %d: no intervention takes place", s, fit)
				}
			}
		}
	}
	goBackend := openGo(t)
	for _, c := range []problem{
		ordinary,
		newProblem("Z2 empty", func(s *datasets.Distribution, _ *Options) { s.SmallMargin = 0 }),
		newProblem("Z1 empty", func(s *datasets.Distribution, _ *Options) { s.SmallMargin = s.N }),
		newProblem("unshared", func(s *datasets.Distribution, _ *Options) { s.Unshared = true }),
		newProblem("linear", func(_ *datasets.Distribution, o *Options) { o.Network.Degree = 1 }),
		newProblem("short blocks", func(_ *datasets.Distribution, o *Options) { o.Patches = 9 }),
		newProblem("one neuron", func(s *datasets.Distribution, o *Options) { s.P, o.M = 2, 1 }),
	} {
		t.Run(c.name, func(t *testing.T) { check(t, goBackend, c, 1e-9) })
	}
	t.Run("float32", func(t *testing.T) {
		b := openXLA(t)
		c := ordinary
		c.o.Float64 = false
		check(t, b, c, 1e-4)
	})
}

// At every step, for each neuron and from observables alone:
//
//	𝒢_r ← γ 𝒢_r + gain (G_r + λ c_r);   c_r ← c_r − η 𝒢_r
//
// From the fit of Z1 on the late η and γ apply, and a lane with a reset sets its buffer to zero at
// exactly that step.
func TestSignalUpdate(t *testing.T) {
	lanes := slices.DeleteFunc(everyLane(), func(l Lane) bool { return l.BypassZ1 })
	o := options
	o.Fitted = 0.4
	l := newLanes(t, openGo(t), tiny, o, lanes...)
	before := l.mustObserve(t)
	for range 25 {
		l.mustRun(t, 1)
		after := l.mustObserve(t)
		for s, lane := range lanes {
			eta, rule, keep := lane.Eta, lane.Rule, 1.0
			if fit := after.Events[s][Fit1]; fit >= 0 && lane.AfterFit != nil {
				eta, rule.Gamma = lane.AfterFit.Eta, lane.AfterFit.Gamma
				if lane.AfterFit.Reset && fit == before.Step {
					keep = 0
				}
			}
			for r := range o.M {
				c, g, m := fmt.Sprintf("c%d", r+1), fmt.Sprintf("G%d", r+1), fmt.Sprintf("M%d", r+1)
				wantM := keep*rule.Gamma*before.Get(s, m) +
					rule.Gain()*(before.Get(s, g)+rule.WeightDecay*before.Get(s, c))
				if got := after.Get(s, m); !near(got, wantM, 1e-12) {
					t.Errorf("step %d, lane %d: %s is %v, want %v", before.Step, s, m, got, wantM)
				}
				wantC := before.Get(s, c) - eta*wantM
				if got := after.Get(s, c); !near(got, wantC, 1e-12) {
					t.Errorf("step %d, lane %d: %s is %v, want %v", before.Step, s, c, got, wantC)
				}
			}
		}
		before = after
	}
	for s, lane := range lanes {
		if fit := before.Events[s][Fit1]; lane.AfterFit != nil && (fit < 1 || fit > 20) {
			t.Errorf("lane %d fits Z1 at step %d: nothing changes", s, fit)
		}
	}
}

// A step of GD adds −η⟨∇_{w_r}L, X_i[j]⟩ to Ξ_{i,j,r}. The largest change of the weights along a
// noise patch is therefore the observed one.
func TestNoiseUpdate(t *testing.T) {
	l := newLanes(t, openGo(t), tiny, options, gd)
	m, _ := draw(t, tiny)
	for range 5 {
		before, o := l.weights(0), l.mustObserve(t)
		l.mustRun(t, 1)
		moved := l.weights(0)
		for c := range moved {
			moved[c] = (before[c] - moved[c]) / gd.Eta
		}
		var largest [2]float64
		for i := range m.N {
			k := 0
			if i < m.SmallMargin {
				k = 1
			}
			patches, signal := sample(m, i)
			for j, x := range patches {
				for r := 0; r < options.M && j != signal; r++ {
					largest[k] = max(largest[k], math.Abs(dot(moved[r*m.D:][:m.D], x)))
				}
			}
		}
		for k, name := range []string{"grad_noise_1", "grad_noise_2"} {
			if got := o.Get(0, name); !near(got, largest[k], 1e-10) {
				t.Errorf("step %d: %s is %v, the weights moved by %v", o.Step, name, got,
					largest[k])
			}
		}
	}
}

// The theory's equation of the signal: noise is orthogonal to w*, so
//
//	G_r = −3 c_r² (α³ ν_1 + β³ ν_2)
//
// Noise that is rounded to float32 is orthogonal to within 1e-7. Without a shared feature the term
// of Z2 vanishes.
func TestSignalGradient(t *testing.T) {
	for _, unshared := range []bool{false, true} {
		spec := tiny
		spec.Unshared = unshared
		train, err := spec.Draw("train")
		if err != nil {
			t.Fatal(err)
		}
		l, err := New(openGo(t), train, train, []Lane{gd, damped}, options)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			o := l.mustObserve(t)
			for s := range 2 {
				force := math.Pow(spec.Alpha, 3) * o.Get(s, "nu_1")
				if !unshared {
					force += math.Pow(spec.Beta, 3) * o.Get(s, "nu_2")
				}
				for r := range options.M {
					c := o.Get(s, fmt.Sprintf("c%d", r+1))
					got, want := o.Get(s, fmt.Sprintf("G%d", r+1)), -3*c*c*force
					if !near(got, want, 1e-5) {
						t.Errorf("unshared %v, step %d, lane %d: G%d is %v, want %v", unshared,
							o.Step, s, r+1, got, want)
					}
				}
			}
			l.mustRun(t, 10)
		}
	}
}

// Two samples, one neuron and weights set by hand. With w = (2, 1), w* = (1, 0), α = 1, β = 1/2 and
// noise patches (0, 1) and (0, 3/2):
//
//	Z2, y = 1:   signal ⟨w, w*/2⟩³ = 1,  noise 1³ = 1             y f = 2
//	Z1, y = −1:  signal −2³ = −8,        noise 1.5³ = 3.375       y f = 4.625
//
// ν_1 = sigmoid(−4.625)/2, ν_2 = sigmoid(−2)/2, G = −3·2²(ν_1 + ν_2/8). With the small margin the
// noise of the second sample wins: 1 − 3.375 < 0.
func TestObserveByHand(t *testing.T) {
	m := &datasets.Samples{
		Distribution: datasets.Distribution{N: 2, SmallMargin: 1, D: 2, P: 2, Alpha: 1, Beta: 0.5,
			Sigma: 1},
		Feature: []float64{1, 0}, SmallMarginFeature: []float64{1, 0},
		Labels: []float32{1, -1}, Signal: []float32{0.5, -1}, Position: []int{0, 1},
		Noise: []float32{0, 1, 0, 1.5},
	}
	l, err := New(openGo(t), m, m, []Lane{gd}, Options{Network: options.Network, M: 1, Sigma0: 1,
		Float64: true})
	if err != nil {
		t.Fatal(err)
	}
	l.w = newTensor(l.dtype, []float64{2, 1}, 1, 1, 2)
	o := l.mustObserve(t)
	nu1, nu2 := 1/(1+math.Exp(4.625))/2, 1/(1+math.Exp(2))/2
	for name, want := range map[string]float64{
		"loss":   (math.Log1p(math.Exp(-4.625)) + math.Log1p(math.Exp(-2))) / 2,
		"loss_1": math.Log1p(math.Exp(-4.625)), "error": 0,
		"c": 2, "c1": 2, "nu_1": nu1, "nu_2": nu2, "G1": -12 * (nu1 + nu2/8), "M1": 0,
		"norm":     math.Sqrt(5),
		"xi_max_1": 1.5, "xi_q50_2": 1, "noise_mean_1": -3.375, "noise_mean_2": 1, "test_1": 1,
		"test_2": 0.5,
	} {
		if got := o.Get(0, name); !near(got, want, 1e-12) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// The first step of each event is the first one at which observations of every step show it.
func TestEvents(t *testing.T) {
	lanes := []Lane{gd, damped, undamped}
	lanes[0].Eta = 1
	l := newLanes(t, openGo(t), tiny, options, lanes...)
	n1, n2 := float64(tiny.N-tiny.SmallMargin), float64(tiny.SmallMargin)
	want := make([][]int, len(lanes))
	for s := range want {
		want[s] = slices.Repeat([]int{-1}, int(eventCount))
	}
	for step := range 100 {
		o := l.mustObserve(t)
		for s := range lanes {
			zero1, zero2 := o.Get(s, "error_1") == 0, o.Get(s, "error_2") == 0
			for e, now := range map[Event]bool{
				Fit1:  o.Get(s, "nu_1")*float64(tiny.N)/n1 < 0.1,
				Fit2:  o.Get(s, "nu_2")*float64(tiny.N)/n2 < 0.1,
				Zero1: zero1, Zero2: zero2, Zero: zero1 && zero2,
			} {
				if now && want[s][e] < 0 {
					want[s][e] = step
				}
			}
		}
		l.mustRun(t, 1)
	}
	got := l.mustObserve(t).Events
	for s := range lanes {
		if !slices.Equal(got[s], want[s]) {
			t.Errorf("lane %d: events %v, want %v", s, got[s], want[s])
		}
		if want[s][Fit1] < 1 || want[s][Zero] < 1 {
			t.Errorf("lane %d: events %v: too few to compare", s, want[s])
		}
	}
}

func TestEventNames(t *testing.T) {
	seen := map[string]bool{}
	for e := range eventCount {
		seen[e.String()] = true
	}
	if len(seen) != int(eventCount) {
		t.Errorf("%d names of %d events: %v", len(seen), eventCount, seen)
	}
}

func TestObserveStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := newLanes(t, openGo(t), tiny, options, gd)
	if _, err := l.Observe(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that of the context", err)
	}
	if err := l.Run(ctx, 3); !errors.Is(err, context.Canceled) || l.Steps() != 0 {
		t.Errorf("got error %v after %d steps, want that of the context and none", err, l.Steps())
	}
	if got := l.mustObserve(t).Names; !slices.Equal(got, options.Observables()) {
		t.Errorf("got names %v", got)
	}
}
