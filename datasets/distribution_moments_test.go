package datasets

import (
	"math"
	"testing"
)

// Over n noise patches the mean of component k has the standard error sqrt(Σ_kk/n). The mean
// product of components k and l estimates Σ_kl with the standard error sqrt((Σ_kk Σ_ll + Σ_kl²)/n),
// by the fourth moments of a normal distribution.
func TestNoiseMoments(t *testing.T) {
	for _, unshared := range []bool{false, true} {
		s := valid()
		s.N, s.Unshared = 5000, unshared
		m := mustDraw(t, s, "train")
		n := s.N * (s.P - 1)
		mean, product := make([]float64, s.D), make([]float64, s.D*s.D)
		for i := range n {
			x := widen(m.Noise[i*s.D : (i+1)*s.D])
			for k := range x {
				mean[k] += x[k] / float64(n)
				for l := range x {
					product[k*s.D+l] += x[k] * x[l] / float64(n)
				}
			}
		}

		// σ² (I − w* w*ᵀ), and also less the part of the small-margin feature if it is another one.
		covariance := func(k, l int) float64 {
			c := -m.Feature[k] * m.Feature[l]
			if unshared {
				c -= m.SmallMarginFeature[k] * m.SmallMarginFeature[l]
			}
			if k == l {
				c++
			}
			return 0.25 * c
		}
		for k := range s.D {
			if limit := 4 * math.Sqrt(covariance(k, k)/float64(n)); math.Abs(mean[k]) > limit {
				t.Errorf("unshared=%v: the mean of component %d is %g, want 0 ± %g", unshared, k,
					mean[k], limit)
			}
			for l := range s.D {
				want := covariance(k, l)
				limit := 4 * math.Sqrt((covariance(k, k)*covariance(l, l)+want*want)/float64(n))
				if got := product[k*s.D+l]; math.Abs(got-want) > limit {
					t.Errorf("unshared=%v: the covariance of components %d and %d is %g, want %g "+
						"± %g", unshared, k, l, got, want, limit)
				}
			}
		}
	}
}

// chi2 returns the statistic Σ (n_k − n/K)² / (n/K) of the counts of K equally likely cells. It has
// K−1 degrees of freedom.
func chi2(counts []int) float64 {
	var n int
	for _, c := range counts {
		n += c
	}
	want := float64(n) / float64(len(counts))
	var sum float64
	for _, c := range counts {
		sum += (float64(c) - want) * (float64(c) - want) / want
	}
	return sum
}

// In Z1 and in Z2, label and position together are uniform over 2·5 cells. Hence each of them is
// uniform, and they are independent. 33.72 is the 99.99% quantile of chi² with 9 degrees of
// freedom.
func TestLabelsAndPositions(t *testing.T) {
	s := valid()
	s.N, s.SmallMargin, s.D, s.P = 20000, 10000, 2, 5
	m := mustDraw(t, s, "train")
	var counts [2][10]int
	var sum float64
	for i := range s.N {
		set := 0
		if i < s.SmallMargin {
			set = 1
		}
		sum += float64(m.Labels[i])
		counts[set][m.Position[i]+5*int((m.Labels[i]+1)/2)]++
	}
	if limit := 4 * math.Sqrt(float64(s.N)); math.Abs(sum) > limit {
		t.Errorf("the labels sum to %v, want 0 ± %v", sum, limit)
	}
	for set, c := range counts {
		if x := chi2(c[:]); x > 33.72 {
			t.Errorf("Z%d: counts %v of label and position have chi² %.1f, want at most 33.72",
				set+1, c, x)
		}
	}
}

// On the sphere in three dimensions every coordinate is uniform in [−1, 1], by Archimedes. The
// limit 33.72 is that of TestLabelsAndPositions, for 10 bins.
func TestFeatureIsUniform(t *testing.T) {
	var counts [2][3][10]int
	for seed := range uint64(2000) {
		s := Distribution{N: 1, D: 3, P: 2, Alpha: 1, Beta: 1, Sigma: 1, Unshared: true, Seed: seed}
		m := mustDraw(t, s, "train")
		for f, w := range [][]float64{m.Feature, m.SmallMarginFeature} {
			for k, x := range w {
				counts[f][k][min(int((x+1)*5), 9)]++
			}
		}
	}
	for f := range counts {
		for k, c := range counts[f] {
			if x := chi2(c[:]); x > 33.72 {
				t.Errorf("feature %d, coordinate %d: counts %v have chi² %.1f, want at most 33.72",
					f, k, c, x)
			}
		}
	}
}
