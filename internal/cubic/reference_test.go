package cubic

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/internal/descent"
)

// reference trains one lane in plain Go and float64, with loops over samples, patches and neurons.
// It takes whole samples from datasets.Samples.Patches, without folding or blocks. The lanes are
// compared with it.
type reference struct {
	Options
	lane        Lane
	train, test *datasets.Samples
	w, buffer   [][]float64 // [m][d]
	steps       int
	events      []int
}

func newReference(o Options, lane Lane, train, test *datasets.Samples) *reference {
	b := &reference{Options: o, lane: lane, train: train, test: test,
		events: slices.Repeat([]int{-1}, int(eventCount))}
	if b.Fitted == 0 {
		b.Fitted = 0.1
	}
	initial := Init(o.Seed, o.M, train.D, o.Sigma0)
	for r := range o.M {
		b.w = append(b.w, wide(initial[r*train.D:][:train.D]))
		b.buffer = append(b.buffer, make([]float64, train.D))
	}
	return b
}

func (b *reference) power(z float64) float64 {
	if b.Network.Degree == 1 {
		return z
	}
	return z * z * z
}

func (b *reference) slope(z float64) float64 {
	if b.Network.Degree == 1 {
		return 1
	}
	return 3 * z * z
}

// sample returns the patches of a sample and the index of its signal.
func sample(m *datasets.Samples, i int) (patches [][]float64, signal int) {
	x := wide(m.Patches(i))
	for j := range m.P {
		patches = append(patches, x[j*m.D:][:m.D])
	}
	return patches, m.Position[i]
}

// margin is y_i f_W(X_i).
func (b *reference) margin(y float32, patches [][]float64) float64 {
	f := 0.0
	for _, w := range b.w {
		for _, x := range patches {
			f += b.power(dot(w, x))
		}
	}
	return float64(y) * f
}

// ell is ℓ_i = sigmoid(−y_i f_W(X_i)) of a training sample.
func (b *reference) ell(i int) float64 {
	patches, _ := sample(b.train, i)
	return 1 / (1 + math.Exp(b.margin(b.train.Labels[i], patches)))
}

// set lists the training samples of Z1 (k = 0) or Z2 (k = 1).
func (b *reference) set(k int) (samples []int) {
	for i := range b.train.N {
		if (i < b.train.SmallMargin) == (k == 1) {
			samples = append(samples, i)
		}
	}
	return samples
}

// gradient is the part of ∇L that comes from Z1 (k = 0) or Z2 (k = 1):
//
//	−(1/N) Σ_i ℓ_i y_i Σ_j σ'(⟨w_r, X_i[j]⟩) X_i[j]
func (b *reference) gradient(k int) [][]float64 {
	g := make([][]float64, b.M)
	for r := range g {
		g[r] = make([]float64, b.train.D)
	}
	for _, i := range b.set(k) {
		patches, _ := sample(b.train, i)
		ell := b.ell(i)
		for r, w := range b.w {
			for _, x := range patches {
				factor := -ell * float64(b.train.Labels[i]) * b.slope(dot(w, x)) /
					float64(b.train.N)
				for c := range x {
					g[r][c] += factor * x[c]
				}
			}
		}
	}
	return g
}

// step records events and takes one step.
func (b *reference) step() {
	var ell [2]float64 // means
	zero := [2]bool{true, true}
	finite := true
	for k := range ell {
		samples := b.set(k)
		for _, i := range samples {
			patches, _ := sample(b.train, i)
			ell[k] += b.ell(i) / float64(len(samples))
			zero[k] = zero[k] && b.margin(b.train.Labels[i], patches) > 0
		}
		finite = finite && !math.IsNaN(ell[k])
	}
	for _, w := range b.w {
		for _, x := range w {
			finite = finite && !math.IsNaN(x) && !math.IsInf(x, 0)
		}
	}
	for e, now := range []bool{ell[0] < b.Fitted, ell[1] < b.Fitted, zero[0], zero[1],
		zero[0] && zero[1], !finite} {
		if now && b.events[e] < 0 {
			b.events[e] = b.steps
		}
	}

	rule, eta := b.lane.Rule, b.lane.Eta
	if then := b.lane.AfterFit; then != nil && b.events[Fit1] >= 0 {
		rule.Gamma, eta = then.Gamma, then.Eta
		if then.Reset && b.events[Fit1] == b.steps {
			for r := range b.buffer {
				clear(b.buffer[r])
			}
		}
	}
	gain := 1.0
	if rule.Form == descent.Damped {
		gain = 1 - rule.Gamma
	}
	g1, g2 := b.gradient(0), b.gradient(1)
	for r, w := range b.w {
		for c := range w {
			remembered, atOnce := g1[r][c]+g2[r][c]+rule.WeightDecay*w[c], 0.0
			if b.lane.BypassZ1 {
				remembered, atOnce = g2[r][c]+rule.WeightDecay*w[c], g1[r][c]
			}
			b.buffer[r][c] = rule.Gamma*b.buffer[r][c] + gain*remembered
			w[c] -= eta * (b.buffer[r][c] + atOnce)
		}
	}
	b.steps++
}

// observe measures all of Options.Observables by their definitions. It is long because each of them
// has a definition of its own.
func (b *reference) observe() map[string]float64 {
	o := map[string]float64{"loss": 0, "error": 0}
	g := b.gradient(0)
	for r, row := range b.gradient(1) {
		for c := range row {
			g[r][c] += row[c]
		}
	}
	n := float64(b.train.N)
	for k, suffix := range []string{"_1", "_2"} {
		samples := b.set(k)
		size := max(1, float64(len(samples)))
		for _, name := range []string{"loss", "error", "nu", "test", "xi_max", "noise_mean",
			"grad_noise", "mom_noise"} {
			o[name+suffix] = 0
		}
		var xi, total []float64
		for _, i := range samples {
			patches, signal := sample(b.train, i)
			y := b.train.Labels[i]
			margin := b.margin(y, patches)
			loss := math.Log1p(math.Exp(-margin))
			o["loss"] += loss / n
			o["loss"+suffix] += loss / size
			if margin < 0 {
				o["error"] += 1 / n
				o["error"+suffix] += 1 / size
			}
			o["nu"+suffix] += b.ell(i) / n
			sum := 0.0
			for j, x := range patches {
				if j == signal {
					continue
				}
				for r := range b.w {
					xi = append(xi, math.Abs(dot(b.w[r], x)))
					sum += float64(y) * b.power(dot(b.w[r], x))
					o["grad_noise"+suffix] = max(o["grad_noise"+suffix], math.Abs(dot(g[r], x)))
					o["mom_noise"+suffix] = max(o["mom_noise"+suffix],
						math.Abs(dot(b.buffer[r], x)))
				}
			}
			total = append(total, sum)
			o["noise_mean"+suffix] += sum / size
		}
		o["noise_min"+suffix], o["noise_max"+suffix] = 0, 0
		if len(samples) > 0 {
			o["xi_max"+suffix] = slices.Max(xi)
			o["noise_min"+suffix], o["noise_max"+suffix] = slices.Min(total), slices.Max(total)
		}
		if k == 1 {
			slices.Sort(xi)
			for _, percent := range []int{50, 90, 99} {
				name := fmt.Sprintf("xi_q%d_2", percent)
				o[name] = 0
				for i := len(xi) - 1; i >= 0 && (i+1)*100 >= percent*len(xi); i-- {
					o[name] = xi[i]
				}
			}
		}
		amplitude, direction := b.train.Alpha, b.train.Feature
		if k == 1 {
			amplitude, direction = b.train.Beta, b.train.SmallMarginFeature
		}
		for i := range b.test.N {
			patches, signal := sample(b.test, i)
			for c := range direction {
				patches[signal][c] = amplitude * float64(b.test.Labels[i]) * direction[c]
			}
			if b.margin(b.test.Labels[i], patches) >= 0 {
				o["test"+suffix] += 1 / float64(b.test.N)
			}
		}
	}
	o["c"], o["c_small"] = math.Inf(-1), math.Inf(-1)
	for r, w := range b.w {
		o["c"] = max(o["c"], dot(w, b.train.Feature))
		o["c_small"] = max(o["c_small"], dot(w, b.train.SmallMarginFeature))
		o[fmt.Sprintf("c%d", r+1)] = dot(w, b.train.Feature)
		o[fmt.Sprintf("G%d", r+1)] = dot(g[r], b.train.Feature)
		o[fmt.Sprintf("M%d", r+1)] = dot(b.buffer[r], b.train.Feature)
		o["norm"] += dot(w, w)
		o["grad_norm"] += dot(g[r], g[r])
	}
	o["norm"], o["grad_norm"] = math.Sqrt(o["norm"]), math.Sqrt(o["grad_norm"])
	return o
}

// The gradient of the reference is the derivative of its loss by central differences.
func TestReference(t *testing.T) {
	train, test := draw(t, tiny)
	for _, degree := range []int{1, 3} {
		o := options
		o.Network.Degree = degree
		b := newReference(o, gd, train, test)
		g1, g2 := b.gradient(0), b.gradient(1)
		for r, w := range b.w {
			for c := range w {
				const h = 1e-5
				weight := w[c]
				w[c] = weight + h
				above := b.observe()["loss"]
				w[c] = weight - h
				below := b.observe()["loss"]
				w[c] = weight
				got, want := g1[r][c]+g2[r][c], (above-below)/(2*h)
				if math.Abs(got-want) > 1e-8*max(1, math.Abs(want)) {
					t.Errorf("degree %d: ∂L/∂w[%d][%d] is %v, by differences %v", degree, r, c, got,
						want)
				}
			}
		}
	}
}

// A problem that takes a moment to compute and yet has several samples, patches and neurons of each
// kind.
var (
	tiny = datasets.Distribution{N: 40, SmallMargin: 7, D: 6, P: 4, Alpha: 1.5, Beta: 0.25,
		Sigma: 0.5, Seed: 1}
	options = Options{Network: Network{Degree: 3}, M: 3, Sigma0: 0.3, Seed: 2, Float64: true}

	gd       = Lane{Rule: descent.Rule{Form: descent.Damped}, Eta: 0.3}
	damped   = Lane{Rule: descent.Rule{Form: descent.Damped, Gamma: 0.8}, Eta: 1}
	undamped = Lane{Rule: descent.Rule{Form: descent.Undamped, Gamma: 0.9}, Eta: 0.1}
)

// draw draws training and test samples. It rounds features to multiples of 2⁻¹⁶, so that signals,
// whose amplitudes have few bits, are exact in float32. Nothing in this package needs features of
// exactly unit length.
func draw(t testing.TB, spec datasets.Distribution) (train, test *datasets.Samples) {
	t.Helper()
	var sets []*datasets.Samples
	for _, purpose := range []string{"train", "test"} {
		m, err := spec.Draw(purpose)
		if err != nil {
			t.Fatal(err)
		}
		for _, feature := range [][]float64{m.Feature, m.SmallMarginFeature} {
			for c, x := range feature {
				feature[c] = math.Round(x*(1<<16)) / (1 << 16)
			}
		}
		sets = append(sets, m)
	}
	return sets[0], sets[1]
}

func openGo(t testing.TB) *backend.Backend {
	t.Helper()
	b, err := backend.Open(t.Context(), "go", backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// openXLA opens the backend on which loops are compiled, or skips the test.
func openXLA(t testing.TB) *backend.Backend {
	t.Helper()
	b := backendtest.Open(t)
	if b.Kind == backend.Go {
		t.Skip("the Go backend does not run the loop")
	}
	return b
}

func newLanes(t testing.TB, b *backend.Backend, spec datasets.Distribution, o Options,
	lanes ...Lane) *Lanes {
	t.Helper()
	train, test := draw(t, spec)
	l, err := New(b, train, test, lanes, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *Lanes) mustRun(t testing.TB, k int) {
	t.Helper()
	if err := l.Run(t.Context(), k); err != nil {
		t.Fatalf("%+v", err)
	}
}

func (l *Lanes) mustObserve(t testing.TB) *Observation {
	t.Helper()
	o, err := l.Observe(t.Context())
	if err != nil {
		t.Fatalf("%+v", err)
	}
	return o
}

// weights is W of one lane [m·d].
func (l *Lanes) weights(lane int) []float64 {
	size := l.w.Size() / len(l.lanes)
	return backend.Floats(l.w)[lane*size:][:size]
}

// near reports whether two numbers agree to a relative tolerance, which below 0.001 becomes an
// absolute one.
func near(got, want, tolerance float64) bool {
	return math.Abs(got-want) <= tolerance*max(1e-3, math.Abs(want))
}

func dot(u, v []float64) (sum float64) {
	for c := range u {
		sum += u[c] * v[c]
	}
	return sum
}

func wide(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}
