package datasets

import (
	"fmt"
	"math"
	"math/rand/v2"

	"momentum/internal/seeds"
)

// Distribution says how to draw from the paper's distribution D. A sample is P patches in R^d with a
// label y in {−1, 1}: one patch, at a random position, is the signal c w*; the others are noise
// from N(0, σ² (I − w* w*ᵀ)). The signal is c = α y in samples with a large margin (the set Z1) and
// c = β y in those with a small margin (Z2). Both sets share the feature w*, which is what momentum
// is said to make use of.
type Distribution struct {
	N int // samples
	// of them with a small margin: samples 0 to SmallMargin−1 are Z2, the rest is Z1. The paper's
	// probability μ of a small margin is SmallMargin/N.
	SmallMargin int
	D           int // dimension d of a patch
	P           int // patches of a sample

	Alpha, Beta float64 // size of a large-margin and of a small-margin signal
	Sigma       float64 // standard deviation of noise in each direction that it has

	// Unshared is the negative control: the signal of Z2 lies along a second unit vector,
	// orthogonal to w*, so that nothing learned from Z1 helps with Z2. Noise is then orthogonal to
	// both vectors.
	Unshared bool

	Seed uint64
}

// Sizes and numbers that are refused: the first lest memory run out without a word, the second lest
// float32 round to 0 or to infinity.
const (
	maxValues = 1 << 30 // N·P·d, 4 GiB
	minScale  = 1e-30
	maxScale  = 1e30
)

// Validate returns an error that names the first impossible value.
func (s Distribution) Validate() error {
	leastD := 2 // a direction for the signal and one for noise
	if s.Unshared {
		leastD = 3
	}
	switch {
	case s.N < 1:
		return fmt.Errorf("margin data: N must be at least 1, got %d", s.N)
	case s.SmallMargin < 0 || s.SmallMargin > s.N:
		return fmt.Errorf("margin data: the small-margin samples must be 0 to N = %d, got %d", s.N,
			s.SmallMargin)
	case s.D < leastD && s.Unshared:
		return fmt.Errorf("margin data: d must be at least %d with an unshared feature, got %d",
			leastD, s.D)
	case s.D < leastD:
		return fmt.Errorf("margin data: d must be at least %d, got %d", leastD, s.D)
	case s.P < 2:
		return fmt.Errorf("margin data: P must be at least 2, got %d", s.P)
	case s.N > maxValues/s.P/s.D:
		return fmt.Errorf("margin data: N·P·d must be at most %d, got %d·%d·%d", maxValues,
			s.N, s.P, s.D)
	}
	for _, scale := range []struct {
		name  string
		value float64
	}{{"α", s.Alpha}, {"β", s.Beta}, {"σ", s.Sigma}} {
		// so that NaN is refused too
		if !(scale.value >= minScale && scale.value <= maxScale) {
			return fmt.Errorf("margin data: %s must be in [%g, %g], got %v", scale.name,
				minScale, maxScale, scale.value)
		}
	}
	if s.Beta > s.Alpha {
		return fmt.Errorf("margin data: the small margin β must be at most the large margin α = "+
			"%v, got %v", s.Alpha, s.Beta)
	}
	return nil
}

// Samples is a set of samples from the distribution D.
type Samples struct {
	Distribution

	Feature []float64 // w* [d], of unit length
	// the direction of the signals of Z2 [d], of unit length: w* unless Unshared
	SmallMarginFeature []float64

	Labels   []float32 // y_i [N], −1 or 1
	Signal   []float32 // c_i [N]: β y_i in the first SmallMargin samples, α y_i in the others
	Position []int     // of the signal [N], each in [0, P)
	Noise    []float32 // the other patches in their order [N, P−1, d]
}

// Draw draws the samples for a purpose, such as "train" or "test": labels and positions are
// uniform. The features depend on seed and d alone, so every purpose has the same. Sample i is the
// same in a larger set, and each setting changes only what it names: with more small-margin
// samples, another α or β, labels, positions and noise stay; σ scales the noise; Unshared projects
// it once more.
//
// Numbers are drawn and projected in float64, then rounded to float32.
func (s Distribution) Draw(purpose string) (*Samples, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	m := &Samples{
		Distribution: s,
		Labels:       make([]float32, s.N), Signal: make([]float32, s.N), Position: make([]int, s.N),
		Noise: make([]float32, 0, s.N*(s.P-1)*s.D),
	}
	m.Feature = direction(seeds.Stream(s.Seed, "feature"), s.D)
	m.SmallMarginFeature = m.Feature
	if s.Unshared {
		m.SmallMarginFeature = direction(seeds.Stream(s.Seed, "feature/small"), s.D, m.Feature)
	}

	rng := seeds.Stream(s.Seed, "margin/"+purpose)
	patch := make([]float64, s.D)
	for i := range s.N {
		y := float64(2*rng.IntN(2) - 1)
		c := s.Alpha * y
		if i < s.SmallMargin {
			c = s.Beta * y
		}
		m.Labels[i], m.Signal[i], m.Position[i] = float32(y), float32(c), rng.IntN(s.P)
		for range s.P - 1 {
			normal(rng, patch)
			project(patch, m.Feature)
			if s.Unshared {
				project(patch, m.SmallMarginFeature)
			}
			for _, x := range patch {
				m.Noise = append(m.Noise, float32(s.Sigma*x))
			}
		}
	}
	return m, nil
}

// Patches is sample i whole [P, d]: its noise with the signal at its position.
func (m *Samples) Patches(i int) []float32 {
	feature := m.Feature
	if i < m.SmallMargin {
		feature = m.SmallMarginFeature
	}
	size := (m.P - 1) * m.D
	noise := m.Noise[i*size : (i+1)*size]
	before := m.Position[i] * m.D

	x := make([]float32, 0, m.P*m.D)
	x = append(x, noise[:before]...)
	for _, w := range feature {
		x = append(x, float32(float64(m.Signal[i])*w))
	}
	return append(x, noise[before:]...)
}

// direction draws a unit vector [d], uniform on the sphere among those that are orthogonal to the
// given unit vectors.
func direction(rng *rand.Rand, d int, orthogonalTo ...[]float64) []float64 {
	v := make([]float64, d)
	normal(rng, v)
	for _, u := range orthogonalTo {
		project(v, u)
	}
	length := math.Sqrt(dot(v, v))
	for k := range v {
		v[k] /= length
	}
	return v
}

// normal fills v with numbers from N(0, 1).
func normal(rng *rand.Rand, v []float64) {
	for k := range v {
		v[k] = rng.NormFloat64()
	}
}

// project makes v orthogonal to the unit vector u: v ← (I − u uᵀ) v.
func project(v, u []float64) {
	along := dot(v, u)
	for k := range v {
		v[k] -= float64(along * u[k])
	}
}

// dot is ⟨u, v⟩. Each product is rounded before it is added, here and in project: the conversion
// forbids the compiler to fuse the two, which it does on some machines only, and the samples of a
// seed are to be the same on all.
func dot(u, v []float64) float64 {
	var sum float64
	for k := range u {
		sum += float64(u[k] * v[k])
	}
	return sum
}
