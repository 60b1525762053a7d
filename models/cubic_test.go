package models

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend/backendtest"
	"momentum/internal/seeds"
)

// Two lanes of two neurons on one sample of two patches, (1, 2) and (1, −1). Lane 1 has w_1 = (1,
// 0) and w_2 = (0, 1): 1³ + 1³ + 2³ + (−1)³ = 9, and of degree 1: 1 + 1 + 2 − 1 = 3. Lane 2 has w_1
// = (−2, 0) and w_2 = 0: −8 − 8, and −2 − 2.
func TestCubicLogits(t *testing.T) {
	b := backendtest.Open(t)
	for degree, want := range map[int][]float64{3: {9, -16}, 1: {3, -4}} {
		c := Cubic{Degree: degree}
		exec := MustNewExec(b.Backend, func(w, x *Node) *Node { return c.Logits(w, x) })
		out := exec.MustCall([][][]float64{{{1, 0}, {0, 1}}, {{-2, 0}, {0, 0}}},
			[][][]float64{{{1, 2}, {1, -1}}})[0]
		out.Shape().AssertDims(2, 1)
		if got := tensors.MustCopyFlatData[float64](out); !slices.Equal(got, want) {
			t.Errorf("degree %d: %v, want %v", degree, got, want)
		}
	}
}

// The mean logistic loss and its gradient, in three ways: by hand (Project, Sum and Pull on folded
// patches), by automatic differentiation of Logits, and by central differences of the loss through
// Logits. Two lanes, in float64.
func TestCubicGradient(t *testing.T) {
	const lanes, m, n, patches, d = 2, 3, 5, 4, 6
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
	folded := make([]float64, d*patches*n) // patch j of sample i is column j·n + i
	for i := range n {
		for j := range patches {
			for k := range d {
				folded[k*patches*n+j*n+i] = y[i] * x[(i*patches+j)*d+k]
			}
		}
	}
	constant := func(g *Graph, v []float64, dims ...int) *Node {
		return ConstTensor(g, tensors.FromFlatDataAndDimensions(v, dims...))
	}
	for _, degree := range []int{1, 3} {
		c := Cubic{Degree: degree}
		// [lanes]
		lossOf := func(margin *Node) *Node { return ReduceMean(Log1P(Exp(Neg(margin))), 1) }
		byLogits := func(w *Node) *Node {
			g := w.Graph()
			return lossOf(Mul(constant(g, y, 1, n), c.Logits(w, constant(g, x, n, patches, d))))
		}
		hand := func(c Cubic, w *Node) (loss, gradient *Node) {
			columns := constant(w.Graph(), folded, d, patches*n)
			z := c.Project(w, columns, patches)
			z.AssertDims(lanes, m, patches, n)
			margin := c.Sum(z)
			margin.AssertDims(lanes, n)
			return lossOf(margin), MulScalar(c.Pull(z, Sigmoid(Neg(margin)), columns), -1.0/n)
		}
		exec := MustNewExec(b.Backend, func(w *Node) []*Node {
			byRow := c
			byRow.ByRow = true
			loss, gradient := hand(c, w)
			_, gradientByRow := hand(byRow, w)
			gradient.AssertDims(lanes, m, d)
			gradientByRow.AssertDims(lanes, m, d)
			return []*Node{loss, gradient, gradientByRow, byLogits(w),
				Gradient(ReduceAllSum(byLogits(w)), w)[0]}
		})
		lossExec := MustNewExec(b.Backend, byLogits)
		tensor := func(w []float64) *tensors.Tensor {
			return tensors.FromFlatDataAndDimensions(w,
				lanes, m, d)
		}
		var out [][]float64
		for _, o := range exec.MustCall(tensor(w)) {
			out = append(out, tensors.MustCopyFlatData[float64](o))
		}
		near := func(got, want, tolerance float64) bool {
			return math.Abs(got-want) <=
				tolerance*max(1, math.Abs(want))
		}
		for l := range lanes {
			if got, want := out[0][l], out[3][l]; !near(got, want, 1e-14) {
				t.Errorf("degree %d: the loss of lane %d is %v, by definition %v", degree, l, got,
					want)
			}
		}
		for i := range w {
			losses := func(shift float64) []float64 {
				at := slices.Clone(w)
				at[i] += shift
				return tensors.MustCopyFlatData[float64](lossExec.MustCall(tensor(at))[0])
			}
			const h = 1e-5
			above, below := losses(h), losses(-h)
			lane := i / (m * d)
			difference := (above[lane] - below[lane]) / (2 * h)
			if above[1-lane] != below[1-lane] {
				t.Errorf("degree %d: weight %d of lane %d changes the loss of the other lane",
					degree, i, lane)
			}
			hand, byRow, auto := out[1][i], out[2][i], out[4][i]
			if !near(hand, auto, 1e-13) || !near(byRow, auto, 1e-13) ||
				!near(auto, difference, 1e-8) {
				t.Errorf("degree %d, weight %d: the gradient is %v by hand, %v by row, %v by "+
					"differentiation, %v by differences",
					degree, i, hand, byRow, auto, difference)
			}
		}
	}
}

// Cubic activation is odd: f_W(−X) = −f_W(X), which folding relies on, and f_{sW} = s³ f_W.
func TestCubicIsOdd(t *testing.T) {
	b := backendtest.Open(t)
	c := Cubic{Degree: 3}
	exec := MustNewExec(b.Backend, func(w, x *Node) []*Node {
		return []*Node{c.Logits(w, x), c.Logits(w, Neg(x)), c.Logits(MulScalar(w, 2), x)}
	})
	out := exec.MustCall([][][]float64{{{0.3, -1.2}, {0.7, 0.1}}},
		[][][]float64{{{1, 2}, {1, -1}}, {{0.5, 0}, {3, 1}}})
	f, negated, doubled := out[0].Value().([][]float64)[0], out[1].Value().([][]float64)[0],
		out[2].Value().([][]float64)[0]
	for i := range f {
		if f[i] == 0 || negated[i] != -f[i] || doubled[i] != 8*f[i] {
			t.Errorf("sample %d: f = %v, of −X %v, of 2W %v", i, f[i], negated[i], doubled[i])
		}
	}
}

// 30,000 draws: the standard deviation of their mean is σ0/173 and that of their variance σ0²/122;
// four of them are allowed.
func TestCubicInit(t *testing.T) {
	const m, d, sigma0 = 1000, 30, 0.03
	w := CubicInit(7, m, d, sigma0)
	if len(w) != m*d {
		t.Fatalf("%d weights, want %d", len(w), m*d)
	}
	var mean, square float64
	for _, x := range w {
		mean += float64(x) / float64(len(w))
		square += float64(x) * float64(x) / float64(len(w))
	}
	if math.Abs(mean) > 4*sigma0/173 || math.Abs(square/(sigma0*sigma0)-1) > 4.0/122 {
		t.Errorf("mean %v and standard deviation %v, want 0 and %v", mean, math.Sqrt(square),
			sigma0)
	}
	if !slices.Equal(w[:3*d], CubicInit(7, 3, d, sigma0)) {
		t.Error("the first neurons depend on how many there are")
	}
	if slices.Equal(w, CubicInit(8, m, d, sigma0)) {
		t.Error("another seed gives the same weights")
	}
}
