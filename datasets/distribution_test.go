package datasets

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"momentum/internal/seeds"
)

// spec is a small set that is valid; tests change what they are about.
func spec() Distribution {
	return Distribution{N: 200, SmallMargin: 50, D: 6, P: 4, Alpha: 5.25, Beta: 0.25, Sigma: 0.5, Seed: 1}
}

func mustDraw(t *testing.T, s Distribution, purpose string) *Samples {
	t.Helper()
	m, err := s.Draw(purpose)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// widen is v in float64.
func widen(v []float32) []float64 {
	w := make([]float64, len(v))
	for i, x := range v {
		w[i] = float64(x)
	}
	return w
}

func TestMarginValidate(t *testing.T) {
	for _, tt := range []struct {
		change func(*Distribution)
		want   string // in the error; empty: none
	}{
		{func(s *Distribution) {}, ""},
		{func(s *Distribution) { s.N = 0 }, "N must be at least 1, got 0"},
		{func(s *Distribution) { s.N, s.SmallMargin = 1, 0 }, ""},
		{func(s *Distribution) { s.SmallMargin = -1 }, "must be 0 to N = 200, got -1"},
		{func(s *Distribution) { s.SmallMargin = 200 }, ""},
		{func(s *Distribution) { s.SmallMargin = 201 }, "must be 0 to N = 200, got 201"},
		{func(s *Distribution) { s.D = 1 }, "d must be at least 2, got 1"},
		{func(s *Distribution) { s.D = 2 }, ""},
		{func(s *Distribution) { s.D, s.Unshared = 2, true },
			"d must be at least 3 with an unshared feature, got 2"},
		{func(s *Distribution) { s.D, s.Unshared = 3, true }, ""},
		{func(s *Distribution) { s.P = 1 }, "P must be at least 2, got 1"},
		{func(s *Distribution) { s.P = 2 }, ""},
		{func(s *Distribution) { s.N, s.P, s.D = 1<<10, 1<<10, 1<<10 }, ""},
		{func(s *Distribution) { s.N, s.P, s.D = 1<<10+1, 1<<10, 1<<10 },
			"at most 1073741824, got 1025·1024·1024"},
		// the product is no int
		{func(s *Distribution) { s.N, s.P, s.D = math.MaxInt, math.MaxInt, math.MaxInt },
			"at most 1073741824, got"},
		{func(s *Distribution) { s.Alpha = math.NaN() }, "α must be in [1e-30, 1e+30], got NaN"},
		{func(s *Distribution) { s.Alpha = math.Inf(1) }, "α must be in [1e-30, 1e+30], got +Inf"},
		{func(s *Distribution) { s.Beta = 0 }, "β must be in [1e-30, 1e+30], got 0"},
		{func(s *Distribution) { s.Beta = -0.25 }, "β must be in [1e-30, 1e+30], got -0.25"},
		{func(s *Distribution) { s.Beta = 5.25 }, ""},
		{func(s *Distribution) { s.Beta = 5.5 },
			"β must be at most the large margin α = 5.25, got 5.5"},
		{func(s *Distribution) { s.Sigma = 0 }, "σ must be in [1e-30, 1e+30], got 0"},
		{func(s *Distribution) { s.Sigma = 1e31 }, "σ must be in [1e-30, 1e+30], got 1e+31"},
	} {
		s := spec()
		tt.change(&s)
		err := s.Validate()
		if tt.want == "" {
			if err != nil {
				t.Errorf("%+v: %v", s, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), "margin data: ") ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want %s", s, err, tt.want)
		}
		if m, drawErr := s.Draw("train"); m != nil || drawErr == nil || drawErr.Error() !=
			err.Error() {
			t.Errorf("%+v: drawn with the error %v, want %v", s, drawErr, err)
		}
	}
}

// In two dimensions all can be worked out by hand: w* is the first two normal numbers of its stream
// over their length, and noise is the component of two more along (−w*₂, w*₁), the only direction
// that is left.
func TestMarginInThePlane(t *testing.T) {
	m := mustDraw(t, Distribution{N: 40, SmallMargin: 7, D: 2, P: 3, Alpha: 3, Beta: 0.5, Sigma: 0.25,
		Seed: 9}, "train")
	rng := seeds.Stream(9, "feature")
	z1, z2 := rng.NormFloat64(), rng.NormFloat64()
	w1, w2 := z1/math.Hypot(z1, z2), z2/math.Hypot(z1, z2)
	if math.Abs(m.Feature[0]-w1) > 1e-15 || math.Abs(m.Feature[1]-w2) > 1e-15 {
		t.Fatalf("w* = %v, want %v, %v", m.Feature, w1, w2)
	}

	rng = seeds.Stream(9, "margin/train")
	for i := range 40 {
		y := float32([]int{-1, 1}[rng.IntN(2)])
		c := 3 * y
		if i < 7 {
			c = 0.5 * y
		}
		position := rng.IntN(3)
		if m.Labels[i] != y || m.Signal[i] != c || m.Position[i] != position {
			t.Errorf("sample %d: y = %v, c = %v at %d, want %v, %v at %d", i, m.Labels[i],
				m.Signal[i], m.Position[i], y, c, position)
		}
		patches := m.Patches(i)
		if len(patches) != 6 {
			t.Fatalf("sample %d: %d numbers, want 3 patches of 2", i, len(patches))
		}
		for j := range 3 {
			x1, x2 := float64(c)*w1, float64(c)*w2
			if j != position {
				z1, z2 := rng.NormFloat64(), rng.NormFloat64()
				along := 0.25 * (w1*z2 - w2*z1)
				x1, x2 = -along*w2, along*w1
			}
			if got := widen(patches[2*j : 2*j+2]); math.Abs(got[0]-x1) > 1e-6 ||
				math.Abs(got[1]-x2) > 1e-6 {
				t.Errorf("sample %d, patch %d: %v, want %v, %v", i, j, got, x1, x2)
			}
		}
	}
}

// checkMargin holds for every set: unit features, signals of the right size and direction where
// they should be, noise orthogonal to the features.
func checkMargin(t *testing.T, m *Samples) {
	t.Helper()
	if m.Unshared {
		if along := dot(m.Feature, m.SmallMarginFeature); math.Abs(along) > 1e-12 {
			t.Errorf("⟨feature, small feature⟩ = %g, want 0", along)
		}
	} else if !slices.Equal(m.Feature, m.SmallMarginFeature) {
		t.Errorf("small feature %v, want w* = %v", m.SmallMarginFeature, m.Feature)
	}
	for _, w := range [][]float64{m.Feature, m.SmallMarginFeature} {
		if len(w) != m.D || math.Abs(dot(w, w)-1) > 1e-12 {
			t.Errorf("feature %v, want a unit vector of %d", w, m.D)
		}
	}
	if len(m.Labels) != m.N || len(m.Signal) != m.N || len(m.Position) != m.N || len(m.Noise) !=
		m.N*(m.P-1)*m.D {
		t.Fatalf("%d labels, %d signals, %d positions, %d numbers of noise; want %d samples",
			len(m.Labels), len(m.Signal), len(m.Position), len(m.Noise), m.N)
	}

	small := 0
	for i := range m.N {
		y, feature, size := m.Labels[i], m.Feature, m.Alpha
		if i < m.SmallMargin {
			feature, size = m.SmallMarginFeature, m.Beta
			small++
		}
		if y != 1 && y != -1 || m.Signal[i] != float32(size)*y || m.Position[i] < 0 ||
			m.Position[i] >= m.P {
			t.Fatalf("sample %d: y = %v, c = %v at %d; want ±1, y·%v, in [0, %d)", i, y,
				m.Signal[i], m.Position[i], size, m.P)
		}
		patches, noise := m.Patches(i), m.Noise[i*(m.P-1)*m.D:(i+1)*(m.P-1)*m.D]
		if len(patches) != m.P*m.D {
			t.Fatalf("sample %d: %d numbers, want %d patches of %d", i, len(patches), m.P, m.D)
		}
		for j := range m.P {
			x := patches[j*m.D : (j+1)*m.D]
			if j == m.Position[i] {
				for k, w := range feature {
					if want := size * w * float64(y); math.Abs(float64(x[k])-want) > 1e-6*size {
						t.Errorf("sample %d: signal %v at %d, want %v", i, x[k], k, want)
					}
				}
				continue
			}
			if !slices.Equal(x, noise[:m.D]) {
				t.Errorf("sample %d: patch %d is %v, want the noise %v", i, j, x, noise[:m.D])
			}
			noise = noise[m.D:]
			v := widen(x)
			for _, w := range [][]float64{m.Feature, m.SmallMarginFeature} {
				if along, length := dot(v, w), math.Sqrt(dot(v, v)); math.Abs(along) > 1e-6*length {
					t.Errorf("sample %d, patch %d: noise of length %g has %g along a feature", i, j,
						length, along)
				}
			}
		}
	}
	if small != m.SmallMargin {
		t.Errorf("%d small-margin samples, want %d", small, m.SmallMargin)
	}
}

func TestMargin(t *testing.T) {
	for _, unshared := range []bool{false, true} {
		for _, small := range []int{0, 1, 50, 200} {
			s := spec()
			s.SmallMargin, s.Unshared = small, unshared
			checkMargin(t, mustDraw(t, s, "train"))
		}
	}
}

// Over n noise patches the mean of component k has the standard error sqrt(Σ_kk/n), and the mean
// product of components k and l, which estimates Σ_kl, has sqrt((Σ_kk Σ_ll + Σ_kl²)/n), since the
// fourth moments are those of a normal distribution.
func TestMarginNoiseMoments(t *testing.T) {
	for _, unshared := range []bool{false, true} {
		s := spec()
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

		// σ² (I − w* w*ᵀ), and less the other feature's part too if it is another.
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

// chi2 is the statistic Σ (n_k − n/K)² / (n/K) of counts that should be equal. Over K equally
// likely cells it has K−1 degrees of freedom.
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

// Label and position together are uniform over 2·5 cells, in Z1 and in Z2: hence each is, and they
// are independent. 33.72 is the 99.99% quantile of chi² with 9 degrees of freedom.
func TestMarginLabelsAndPositions(t *testing.T) {
	s := spec()
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

// On the sphere in three dimensions every coordinate is uniform in [−1, 1], by Archimedes. 33.72 as
// above, for 10 bins.
func TestMarginFeatureIsUniform(t *testing.T) {
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

// Comparisons between settings are between the same samples but for the setting.
func TestMarginOneSettingAtATime(t *testing.T) {
	s := spec()
	m := mustDraw(t, s, "train")
	with := func(change func(*Distribution)) *Samples {
		c := s
		change(&c)
		return mustDraw(t, c, "train")
	}
	for _, tt := range []struct {
		name  string
		other *Samples
	}{
		{"SmallMargin", with(func(c *Distribution) { c.SmallMargin = 120 })},
		{"Alpha", with(func(c *Distribution) { c.Alpha = 7 })},
		{"Beta", with(func(c *Distribution) { c.Beta = 0.125 })},
		{"N", with(func(c *Distribution) { c.N = 300 })},
	} {
		o := tt.other
		if !slices.Equal(o.Feature, m.Feature) || !slices.Equal(o.Labels[:s.N], m.Labels) ||
			!slices.Equal(o.Position[:s.N], m.Position) ||
			!slices.Equal(o.Noise[:len(m.Noise)], m.Noise) {
			t.Errorf("another %s changes feature, labels, positions or noise", tt.name)
		}
	}

	twice := with(func(c *Distribution) { c.Sigma = 1 })
	for i, x := range m.Noise {
		if twice.Noise[i] != 2*x {
			t.Fatalf("number %d of the noise is %v with twice the σ, want 2·%v", i, twice.Noise[i],
				x)
		}
	}

	// Noise of the control is the noise without its part along the small feature.
	unshared := with(func(c *Distribution) { c.Unshared = true })
	if !slices.Equal(unshared.Feature, m.Feature) || !slices.Equal(unshared.Signal, m.Signal) ||
		!slices.Equal(unshared.Position, m.Position) {
		t.Error("Unshared changes w*, signals or positions")
	}
	for i := 0; i < len(m.Noise); i += s.D {
		x, u := widen(m.Noise[i:i+s.D]), unshared.SmallMarginFeature
		along := dot(x, u)
		for k := range x {
			if want := x[k] - along*u[k]; math.Abs(float64(unshared.Noise[i+k])-want) > 1e-6 {
				t.Fatalf("number %d of the control's noise is %v, want %v", i+k,
					unshared.Noise[i+k], want)
			}
		}
	}
}

func TestMarginPurposesAndSeeds(t *testing.T) {
	s := spec()
	s.Unshared = true
	train, test := mustDraw(t, s, "train"), mustDraw(t, s, "test")
	if !slices.Equal(train.Feature, test.Feature) ||
		!slices.Equal(train.SmallMarginFeature, test.SmallMarginFeature) {
		t.Error("training and test set have other features")
	}
	s.Seed = 2
	other := mustDraw(t, s, "train")
	if slices.Equal(train.Feature, other.Feature) ||
		slices.Equal(train.SmallMarginFeature, other.SmallMarginFeature) {
		t.Error("two seeds have the same feature")
	}
	for name, o := range map[string]*Samples{"test set": test, "other seed": other} {
		if slices.Equal(train.Labels, o.Labels) || slices.Equal(train.Position, o.Position) {
			t.Errorf("%s: the training set's labels or positions", name)
		}
		for i, x := range o.Noise {
			if train.Noise[i] == x {
				t.Errorf("%s: number %d of the noise is the training set's", name, i)
			}
		}
	}
}

// digest is the SHA-256 of numbers in little-endian order, 16 hex digits of it.
func digest(t *testing.T, numbers ...any) string {
	t.Helper()
	var b []byte
	for _, n := range numbers {
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, n); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))[:16]
}

// The digests are those of the first version: results of a seed stay what they were, on every
// machine.
func TestMarginDigest(t *testing.T) {
	for unshared, want := range map[bool]string{false: "47dc71652d6568b9",
		true: "2750be1a51b95008"} {
		s := spec()
		s.Unshared = unshared
		m := mustDraw(t, s, "train")
		var patches []float32
		for i := range m.N {
			patches = append(patches, m.Patches(i)...)
		}
		if got := digest(t, m.Labels, patches); got != want {
			t.Errorf("unshared=%v: digest %s, want %s", unshared, got, want)
		}
	}
}

func FuzzMargin(f *testing.F) {
	f.Add(uint64(1), 20, 5, 4, 3, 2.0, 0.5, 0.5, false)
	f.Add(uint64(2), 3, 3, 3, 2, 1e30, 1e-30, 1e-30, true)
	f.Add(uint64(3), 1, 0, 2, 2, 1.0, 1.0, 1e30, false)
	f.Add(uint64(4), -1, 0, 2, 2, 1.0, 1.0, 1.0, false)
	f.Add(uint64(5), math.MaxInt, 0, math.MaxInt, math.MaxInt, 1.0, 1.0, 1.0, true)
	f.Fuzz(func(t *testing.T, seed uint64, n, small, d, p int, alpha, beta, sigma float64,
		unshared bool) {
		s := Distribution{N: n, SmallMargin: small, D: d, P: p, Alpha: alpha, Beta: beta, Sigma: sigma,
			Unshared: unshared, Seed: seed}
		if err := s.Validate(); err != nil {
			if m, drawErr := s.Draw("train"); m != nil || drawErr == nil {
				t.Fatalf("%+v is drawn although %v", s, err)
			}
			return
		}
		if n > 1000 || d > 1000 || p > 1000 || n*d*p > 10000 {
			t.Skip("valid but too large to draw here")
		}
		checkMargin(t, mustDraw(t, s, "train"))
	})
}
