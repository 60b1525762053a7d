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

// valid returns a small valid distribution, of which tests change the settings that they are about.
func valid() Distribution {
	return Distribution{N: 200, SmallMargin: 50, D: 6, P: 4, Alpha: 5.25, Beta: 0.25, Sigma: 0.5,
		Seed: 1}
}

func mustDraw(t *testing.T, s Distribution, purpose string) *Samples {
	t.Helper()
	m, err := s.Draw(purpose)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// widen returns v in float64.
func widen(v []float32) []float64 {
	w := make([]float64, len(v))
	for i, x := range v {
		w[i] = float64(x)
	}
	return w
}

func TestDistributionValidate(t *testing.T) {
	for _, tt := range []struct {
		change func(*Distribution)
		want   string // part of the error; empty: no error
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
		// The product overflows an int.
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
		s := valid()
		tt.change(&s)
		err := s.Validate()
		if tt.want == "" {
			if err != nil {
				t.Errorf("%+v: %v", s, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), "distribution D: ") ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want %s", s, err, tt.want)
		}
		m, drawErr := s.Draw("train")
		if m != nil || drawErr == nil || drawErr.Error() != err.Error() {
			t.Errorf("%+v: drawn with the error %v, want %v", s, drawErr, err)
		}
	}
}

// In two dimensions everything can be computed by hand: w* is a pair of normal numbers over its
// length, and noise is the component of another pair along (−w*₂, w*₁), the only direction that is
// orthogonal to w*.
func TestDrawInThePlane(t *testing.T) {
	m := mustDraw(t, Distribution{N: 40, SmallMargin: 7, D: 2, P: 3, Alpha: 3, Beta: 0.5,
		Sigma: 0.25, Seed: 9}, "train")
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

// checkSamples checks what holds for every distribution: the features have unit length, the signals
// have their size, direction and position, and the noise is orthogonal to the features.
func checkSamples(t *testing.T, m *Samples) {
	t.Helper()
	if m.Unshared {
		if along := dot(m.Feature, m.SmallMarginFeature); math.Abs(along) > 1e-12 {
			t.Errorf("⟨feature, small-margin feature⟩ = %g, want 0", along)
		}
	} else if !slices.Equal(m.Feature, m.SmallMarginFeature) {
		t.Errorf("small-margin feature %v, want w* = %v", m.SmallMarginFeature, m.Feature)
	}
	for _, w := range [][]float64{m.Feature, m.SmallMarginFeature} {
		if len(w) != m.D || math.Abs(dot(w, w)-1) > 1e-12 {
			t.Errorf("feature %v, want a unit vector of %d", w, m.D)
		}
	}
	if len(m.Labels) != m.N || len(m.Signal) != m.N || len(m.Position) != m.N ||
		len(m.Noise) != m.N*(m.P-1)*m.D {
		t.Fatalf("%d labels, %d signals, %d positions, %d numbers of noise; want %d samples",
			len(m.Labels), len(m.Signal), len(m.Position), len(m.Noise), m.N)
	}

	smallMargin := 0
	for i := range m.N {
		y, feature, size := m.Labels[i], m.Feature, m.Alpha
		if i < m.SmallMargin {
			feature, size = m.SmallMarginFeature, m.Beta
			smallMargin++
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
	if smallMargin != m.SmallMargin {
		t.Errorf("%d small-margin samples, want %d", smallMargin, m.SmallMargin)
	}
}

func TestDraw(t *testing.T) {
	for _, unshared := range []bool{false, true} {
		for _, smallMargin := range []int{0, 1, 50, 200} {
			s := valid()
			s.SmallMargin, s.Unshared = smallMargin, unshared
			checkSamples(t, mustDraw(t, s, "train"))
		}
	}
}

// Two settings are compared on samples that differ in nothing else.
func TestOneSettingAtATime(t *testing.T) {
	s := valid()
	m := mustDraw(t, s, "train")
	changed := func(change func(*Distribution)) *Samples {
		c := s
		change(&c)
		return mustDraw(t, c, "train")
	}
	for _, tt := range []struct {
		name  string
		other *Samples
	}{
		{"SmallMargin", changed(func(c *Distribution) { c.SmallMargin = 120 })},
		{"Alpha", changed(func(c *Distribution) { c.Alpha = 7 })},
		{"Beta", changed(func(c *Distribution) { c.Beta = 0.125 })},
		{"N", changed(func(c *Distribution) { c.N = 300 })},
	} {
		o := tt.other
		if !slices.Equal(o.Feature, m.Feature) || !slices.Equal(o.Labels[:s.N], m.Labels) ||
			!slices.Equal(o.Position[:s.N], m.Position) ||
			!slices.Equal(o.Noise[:len(m.Noise)], m.Noise) {
			t.Errorf("another %s changes feature, labels, positions or noise", tt.name)
		}
	}

	twice := changed(func(c *Distribution) { c.Sigma = 1 })
	for i, x := range m.Noise {
		if twice.Noise[i] != 2*x {
			t.Fatalf("number %d of the noise is %v with twice the σ, want 2·%v", i, twice.Noise[i],
				x)
		}
	}

	// The control's noise is the noise without its component along the small-margin feature.
	unshared := changed(func(c *Distribution) { c.Unshared = true })
	if !slices.Equal(unshared.Feature, m.Feature) || !slices.Equal(unshared.Signal, m.Signal) ||
		!slices.Equal(unshared.Position, m.Position) {
		t.Error("Unshared changes w*, signals or positions")
	}
	for i := 0; i < len(m.Noise); i += s.D {
		x, u := widen(m.Noise[i:i+s.D]), unshared.SmallMarginFeature
		component := dot(x, u)
		for k := range x {
			if want := x[k] - component*u[k]; math.Abs(float64(unshared.Noise[i+k])-want) > 1e-6 {
				t.Fatalf("number %d of the control's noise is %v, want %v", i+k,
					unshared.Noise[i+k], want)
			}
		}
	}
}

func TestPurposesAndSeeds(t *testing.T) {
	s := valid()
	s.Unshared = true
	train, test := mustDraw(t, s, "train"), mustDraw(t, s, "test")
	if !slices.Equal(train.Feature, test.Feature) ||
		!slices.Equal(train.SmallMarginFeature, test.SmallMarginFeature) {
		t.Error("training and test set have different features")
	}
	s.Seed = 2
	other := mustDraw(t, s, "train")
	if slices.Equal(train.Feature, other.Feature) ||
		slices.Equal(train.SmallMarginFeature, other.SmallMarginFeature) {
		t.Error("two seeds have the same feature")
	}
	for name, o := range map[string]*Samples{"test set": test, "other seed": other} {
		if slices.Equal(train.Labels, o.Labels) || slices.Equal(train.Position, o.Position) {
			t.Errorf("%s: labels or positions are the training set's", name)
		}
		for i, x := range o.Noise {
			if train.Noise[i] == x {
				t.Errorf("%s: number %d of the noise is the training set's", name, i)
			}
		}
	}
}

// digest returns the first 16 hexadecimal digits of the SHA-256 of numbers in little-endian order.
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

// The digests are those of the first version: the samples of a seed are the same in every version
// and on every machine.
func TestDrawDigest(t *testing.T) {
	for unshared, want := range map[bool]string{false: "47dc71652d6568b9",
		true: "2750be1a51b95008"} {
		s := valid()
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

func FuzzDraw(f *testing.F) {
	f.Add(uint64(1), 20, 5, 4, 3, 2.0, 0.5, 0.5, false)
	f.Add(uint64(2), 3, 3, 3, 2, 1e30, 1e-30, 1e-30, true)
	f.Add(uint64(3), 1, 0, 2, 2, 1.0, 1.0, 1e30, false)
	f.Add(uint64(4), -1, 0, 2, 2, 1.0, 1.0, 1.0, false)
	f.Add(uint64(5), math.MaxInt, 0, math.MaxInt, math.MaxInt, 1.0, 1.0, 1.0, true)
	f.Fuzz(func(t *testing.T, seed uint64, n, smallMargin, d, p int, alpha, beta, sigma float64,
		unshared bool) {
		s := Distribution{N: n, SmallMargin: smallMargin, D: d, P: p, Alpha: alpha, Beta: beta,
			Sigma: sigma, Unshared: unshared, Seed: seed}
		if err := s.Validate(); err != nil {
			if m, drawErr := s.Draw("train"); m != nil || drawErr == nil {
				t.Fatalf("%+v is drawn although %v", s, err)
			}
			return
		}
		if n > 1000 || d > 1000 || p > 1000 || n*d*p > 10000 {
			t.Skip("valid but too large to draw here")
		}
		checkSamples(t, mustDraw(t, s, "train"))
	})
}
