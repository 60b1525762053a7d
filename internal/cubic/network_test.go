package cubic

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend/backendtest"
)

// Two lanes of two neurons on one sample of two patches, (1, 2) and (1, −1). Lane 1 has w_1 = (1,
// 0) and w_2 = (0, 1): 1³ + 1³ + 2³ + (−1)³ = 9, in degree 1: 1 + 1 + 2 − 1 = 3. Lane 2 has w_1 =
// (−2, 0) and w_2 = 0: −8 − 8 = −16, in degree 1: −2 − 2 = −4.
func TestLogits(t *testing.T) {
	b := backendtest.Open(t)
	for degree, want := range map[int][]float64{3: {9, -16}, 1: {3, -4}} {
		exec := MustNewExec(b.Backend, Network{Degree: degree}.Logits)
		out := exec.MustCall([][][]float64{{{1, 0}, {0, 1}}, {{-2, 0}, {0, 0}}},
			[][][]float64{{{1, 2}, {1, -1}}})[0]
		out.Shape().AssertDims(2, 1)
		if got := tensors.MustCopyFlatData[float64](out); !slices.Equal(got, want) {
			t.Errorf("degree %d: %v, want %v", degree, got, want)
		}
	}
}

// The cubic activation is odd: f_W(−X) = −f_W(X), on which folding relies, and f_{sW} = s³ f_W.
func TestOddActivation(t *testing.T) {
	b := backendtest.Open(t)
	n := Network{Degree: 3}
	exec := MustNewExec(b.Backend, func(w, x *Node) []*Node {
		return []*Node{n.Logits(w, x), n.Logits(w, Neg(x)), n.Logits(MulScalar(w, 2), x)}
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

// Of 30,000 draws, the mean has the standard deviation σ0/173 and the variance has σ0²/122. Four of
// these are allowed.
func TestInit(t *testing.T) {
	const m, d, sigma0 = 1000, 30, 0.03
	w := Init(7, m, d, sigma0)
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
	if !slices.Equal(w[:3*d], Init(7, 3, d, sigma0)) {
		t.Error("the first neurons depend on how many there are")
	}
	if slices.Equal(w, Init(8, m, d, sigma0)) {
		t.Error("another seed gives the same weights")
	}
}
