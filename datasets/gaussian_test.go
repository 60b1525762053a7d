package datasets

import (
	"math"
	"slices"
	"testing"

	"momentum/internal/seeds"
)

func TestGaussian(t *testing.T) {
	rng := seeds.Stream(3, "gaussian/train")
	var want []float32
	for range 4 * 5 {
		want = append(want, float32(rng.NormFloat64()))
	}
	if got := Gaussian(3, "train", 4, 5); !slices.Equal(got, want) {
		t.Errorf("got %v, want the numbers of the stream %v", got, want)
	}
	if got := Gaussian(3, "train", 2, 5); !slices.Equal(got, want[:10]) {
		t.Errorf("2 points are %v, want the first 2 of 4, %v", got, want[:10])
	}
	for name, other := range map[string][]float32{
		"purpose": Gaussian(3, "test", 4, 5),
		"seed":    Gaussian(4, "train", 4, 5),
	} {
		for i, x := range other {
			if x == want[i] {
				t.Errorf("number %d does not depend on the %s", i, name)
			}
		}
	}
	if got := Gaussian(3, "train", 0, 5); len(got) != 0 {
		t.Errorf("0 points are %v", got)
	}
}

// Over n points from N(0, I) the mean of x_k has the standard error sqrt(1/n), that of x_k x_l has
// sqrt((1+δ_kl)/n), and that of x_k⁴, which estimates 3, has sqrt(96/n).
func TestGaussianMoments(t *testing.T) {
	const n, d = 20000, 4
	x := Gaussian(1, "train", n, d)
	check := func(what string, value func(point []float64) float64, want, variance float64) {
		t.Helper()
		var mean float64
		for i := range n {
			mean += value(widen(x[i*d:(i+1)*d])) / n
		}
		if limit := 4 * math.Sqrt(variance/n); math.Abs(mean-want) > limit {
			t.Errorf("the mean of %s is %v, want %v ± %v", what, mean, want, limit)
		}
	}
	for k := range d {
		check("a coordinate", func(p []float64) float64 { return p[k] }, 0, 1)
		check("a fourth power", func(p []float64) float64 { return p[k] * p[k] * p[k] * p[k] }, 3,
			96)
		for l := range d {
			if k == l {
				check("a square", func(p []float64) float64 { return p[k] * p[k] }, 1, 2)
			} else {
				check("a product", func(p []float64) float64 { return p[k] * p[l] }, 0, 1)
			}
		}
	}
}

// The digest is that of the first version, as in TestDrawDigest.
func TestGaussianDigest(t *testing.T) {
	const want = "e4987cefb34b4325"
	if got := digest(t, Gaussian(1, "train", 500, 30)); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}
