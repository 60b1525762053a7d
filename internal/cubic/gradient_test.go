package cubic

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/internal/seeds"
)

// The gradient by hand, over Z1 and Z2 in folded blocks with the signal patch apart, is that of the
// slow reference, and that of automatic differentiation of the definition: the mean logistic loss
// of Network.Logits on whole samples.
func TestGradient(t *testing.T) {
	b := openGo(t)
	train, test := draw(t, tiny)
	var x, y []float64
	for i := range train.N {
		x = append(x, wide(train.Patches(i))...)
		y = append(y, float64(train.Labels[i]))
	}
	for _, degree := range []int{1, 3} {
		o := options
		o.Network, o.Patches = Network{Degree: degree}, 45 // 15, 15 and 10 samples
		l, err := New(b, train, test, []Lane{gd, damped}, o)
		if err != nil {
			t.Fatal(err)
		}
		exec := MustNewExec(b.Backend, func(in []*Node) []*Node {
			w, x, y := in[0], in[1], in[2]
			samples, _ := l.train.nodes(in[3:])
			loss := ReduceAllSum(ReduceMean(softplus(Neg(Mul(y, l.Network.Logits(w, x)))), 1))
			p := l.passGraph(w, samples)
			return []*Node{p.gradient, Gradient(loss, w)[0], p.gradientZ2}
		})
		w := backend.Floats(l.w)
		for i := range w[len(w)/2:] { // another point in the second lane
			w[len(w)/2+i] = math.Sin(float64(i))
		}
		out := exec.MustCall(l.arguments(newTensor(l.dtype, w, l.w.Shape().Dimensions...),
			tensors.FromFlatDataAndDimensions(x, train.N, train.P, train.D),
			tensors.FromFlatDataAndDimensions(y, 1, train.N))...)
		hand, auto, handZ2 := backend.Floats(out[0]), backend.Floats(out[1]), backend.Floats(out[2])

		var slow, slowZ2 []float64
		for lane := range l.lanes {
			r := newReference(o, l.lanes[lane], train, test)
			for n := range r.w {
				r.w[n] = w[(lane*o.M+n)*train.D:][:train.D]
			}
			g1, g2 := r.gradient(0), r.gradient(1)
			for n := range g1 {
				for c := range g1[n] {
					slow = append(slow, g1[n][c]+g2[n][c])
					slowZ2 = append(slowZ2, g2[n][c])
				}
			}
		}
		for i := range hand {
			if !near(hand[i], auto[i], 1e-11) || !near(hand[i], slow[i], 1e-11) {
				t.Errorf("degree %d: component %d is %v, by differentiation %v, of the "+
					"reference %v", degree, i, hand[i], auto[i], slow[i])
			}
			if !near(handZ2[i], slowZ2[i], 1e-11) {
				t.Errorf("degree %d: component %d of Z2 is %v, of the reference %v", degree, i,
					handZ2[i], slowZ2[i])
			}
		}
	}
}

// The margins and the gradient of a block of both sets, by hand on folded patches, against the loss
// of Logits on whole samples and its automatic gradient and central differences. Two lanes, in
// float64. The test is long because one problem serves three ways to compute the same gradient.
func TestGradientDifferences(t *testing.T) {
	const lanes, m, n, small, patches, d = 2, 3, 5, 2, 4, 6
	b := backendtest.Open(t)
	rng := seeds.Stream(1, "cubic")
	draw := func(size int) []float64 {
		v := make([]float64, size)
		for i := range v {
			v[i] = 0.5 * rng.NormFloat64()
		}
		return v
	}
	w, x, y := draw(lanes*m*d), draw(n*patches*d), []float64{1, -1, -1, 1, -1}
	direction := draw(d)
	const q = patches - 1
	sets := [2]Set{{Size: n - small, Amplitude: 1.5, Direction: direction},
		{Size: small, Amplitude: 0.5, Direction: direction}}
	noise, rows := make([]float64, d*q*n), make([]float64, q*n*d)
	for i := range n {
		amplitude := sets[0].Amplitude
		if i < small {
			amplitude = sets[1].Amplitude
		}
		for k := range d {
			for j := range q {
				noise[k*q*n+j*n+i] = y[i] * x[(i*patches+j)*d+k]
				rows[(j*n+i)*d+k] = noise[k*q*n+j*n+i]
			}
			x[(i*patches+q)*d+k] = y[i] * amplitude * direction[k] // the signal is the last patch
		}
	}
	for _, degree := range []int{1, 3} {
		network := Network{Degree: degree}
		mean := func(margins *Node) *Node { return ReduceMean(softplus(Neg(margins)), 1) }
		loss := func(w *Node) *Node { // [lanes], by the definition
			return mean(Mul(constant(w, y, 1, n), network.Logits(w, constant(w, x, n, patches, d))))
		}
		exec := MustNewExec(b.Backend, func(w *Node) []*Node {
			g := network.Gradient(w, Samples{Sets: sets, Patches: q, Blocks: []Block{{Small: small,
				Noise: constant(w, noise, d, q*n), Rows: constant(w, rows, q*n, d)}}})
			g.total.AssertDims(lanes, m, d)
			g.small.AssertDims(lanes, m, d)
			g.sumEll[0].AssertDims(lanes)
			margins := Concatenate([]*Node{g.margins[1][0], g.margins[0][0]}, 1)
			margins.AssertDims(lanes, n)
			return []*Node{mean(margins), loss(w), g.total,
				Gradient(ReduceAllSum(loss(w)), w)[0]}
		})
		lossExec := MustNewExec(b.Backend, loss)
		tensor := func(w []float64) *tensors.Tensor {
			return tensors.FromFlatDataAndDimensions(w, lanes, m, d)
		}
		var out [][]float64
		for _, o := range exec.MustCall(tensor(w)) {
			out = append(out, backend.Floats(o))
		}
		near := func(got, want, tolerance float64) bool {
			return math.Abs(got-want) <= tolerance*max(1, math.Abs(want))
		}
		for l := range lanes {
			if got, want := out[0][l], out[1][l]; !near(got, want, 1e-14) {
				t.Errorf("degree %d: the loss of lane %d is %v, by definition %v", degree, l, got,
					want)
			}
		}
		for i := range w {
			losses := func(shift float64) []float64 {
				shifted := slices.Clone(w)
				shifted[i] += shift
				return backend.Floats(lossExec.MustCall(tensor(shifted))[0])
			}
			const h = 1e-5
			above, below := losses(h), losses(-h)
			lane := i / (m * d)
			difference := (above[lane] - below[lane]) / (2 * h)
			if above[1-lane] != below[1-lane] {
				t.Errorf("degree %d: weight %d of lane %d changes the loss of the other lane",
					degree, i, lane)
			}
			hand, auto := out[2][i], out[3][i]
			if !near(hand, auto, 1e-13) || !near(auto, difference, 1e-8) {
				t.Errorf("degree %d, weight %d: the gradient is %v by hand, %v by "+
					"differentiation, %v by differences", degree, i, hand, auto, difference)
			}
		}
	}
}
