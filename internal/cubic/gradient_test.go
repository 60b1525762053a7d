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
	for _, byRow := range []bool{false, true} {
		for _, degree := range []int{1, 3} {
			o := options
			o.Network, o.Patches = Network{Degree: degree, ByRow: byRow}, 60 // 20, 13 and 7 samples
			l, err := New(b, train, test, []Lane{gd, damped}, o)
			if err != nil {
				t.Fatal(err)
			}
			exec := MustNewExec(b.Backend, func(in []*Node) []*Node {
				w, x, y := in[0], in[1], in[2]
				sets, _ := l.train.nodes(in[3:])
				loss := ReduceAllSum(ReduceMean(softplus(Neg(Mul(y, l.Network.Logits(w, x)))), 1))
				return []*Node{l.passGraph(w, sets).gradient, Gradient(loss, w)[0]}
			})
			w := backend.Floats(l.w)
			for i := range w[len(w)/2:] { // another point in the second lane
				w[len(w)/2+i] = math.Sin(float64(i))
			}
			out := exec.MustCall(l.arguments(newTensor(l.dtype, w, l.w.Shape().Dimensions...),
				tensors.FromFlatDataAndDimensions(x, train.N, train.P, train.D),
				tensors.FromFlatDataAndDimensions(y, 1, train.N))...)
			hand, auto := backend.Floats(out[0]), backend.Floats(out[1])

			var slow []float64
			for lane := range l.lanes {
				r := newReference(o, l.lanes[lane], train, test)
				for n := range r.w {
					r.w[n] = w[(lane*o.M+n)*train.D:][:train.D]
				}
				g1, g2 := r.gradient(0), r.gradient(1)
				for n := range g1 {
					for c := range g1[n] {
						slow = append(slow, g1[n][c]+g2[n][c])
					}
				}
			}
			for i := range hand {
				if !near(hand[i], auto[i], 1e-11) || !near(hand[i], slow[i], 1e-11) {
					t.Errorf("by row %v, degree %d: component %d is %v, by differentiation %v, of "+
						"the reference %v", byRow, degree, i, hand[i], auto[i], slow[i])
				}
			}
		}
	}
}

// The margins and the gradient of one set, by hand on folded patches, against the loss of Logits on
// whole samples and its automatic gradient and central differences. Two lanes, in float64. The test
// is long because one problem serves four ways to compute the same gradient.
func TestGradientDifferences(t *testing.T) {
	const lanes, m, n, patches, d, amplitude = 2, 3, 5, 4, 6, 1.5
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
	folded := make([]float64, d*q*n) // patch j of sample i is column j·n + i
	for i := range n {
		for k := range d {
			for j := range q {
				folded[k*q*n+j*n+i] = y[i] * x[(i*patches+j)*d+k]
			}
			x[(i*patches+q)*d+k] = y[i] * amplitude * direction[k] // the signal is the last patch
		}
	}
	for _, degree := range []int{1, 3} {
		network, byRow := Network{Degree: degree}, Network{Degree: degree, ByRow: true}
		mean := func(margins *Node) *Node { return ReduceMean(softplus(Neg(margins)), 1) }
		loss := func(w *Node) *Node { // [lanes], by the definition
			return mean(Mul(constant(w, y, 1, n), network.Logits(w, constant(w, x, n, patches, d))))
		}
		exec := MustNewExec(b.Backend, func(w *Node) []*Node {
			z := Set{Size: n, Amplitude: amplitude, Direction: direction, Patches: q,
				Noise: []*Node{constant(w, folded, d, q*n)}}
			gradient, margins, sumEll := network.Gradient(w, z, n)
			rowGradient, _, _ := byRow.Gradient(w, z, n)
			gradient.AssertDims(lanes, m, d)
			rowGradient.AssertDims(lanes, m, d)
			margins.AssertDims(lanes, n)
			sumEll.AssertDims(lanes)
			return []*Node{mean(margins), loss(w), gradient, rowGradient,
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
			hand, byRow, auto := out[2][i], out[3][i], out[4][i]
			if !near(hand, auto, 1e-13) || !near(byRow, auto, 1e-13) ||
				!near(auto, difference, 1e-8) {
				t.Errorf("degree %d, weight %d: the gradient is %v by hand, %v by row, %v by "+
					"differentiation, %v by differences",
					degree, i, hand, byRow, auto, difference)
			}
		}
	}
}
