package datasets

import (
	"fmt"
	"math"
	"math/rand/v2"

	"momentum/internal/seeds"
)

// Distribution describes the paper's distribution D and how many samples to draw from it. A sample
// has a label y in {−1, 1} and P patches in R^d. One patch, at a random position, is the signal
// c w*; the others are noise from N(0, σ² (I − w* w*ᵀ)). The signal has c = α y in samples with a
// large margin (the set Z1) and c = β y in samples with a small margin (the set Z2). Both sets
// share the feature w*, which, according to the paper, is what momentum exploits.
type Distribution struct {
	N           int // number of samples
	SmallMargin int // number of small-margin samples; the paper's probability μ is SmallMargin/N
	D           int // dimension d of a patch
	P           int // patches of a sample

	Alpha, Beta float64 // size of a large-margin and of a small-margin signal
	Sigma       float64 // standard deviation of the noise, in each direction that it has

	// Unshared is the negative control: the signal of Z2 lies along a second unit vector,
	// orthogonal to w*, so that nothing learned from Z1 helps with Z2. The noise is then orthogonal
	// to both vectors.
	Unshared bool

	Seed uint64
}

// Limits: on the number of values, so that a typing error does not exhaust the memory, and on
// scales, so that float32 does not round to 0 or to infinity.
const (
	maxValues = 1 << 30 // N·P·d, 4 GiB
	minScale  = 1e-30
	maxScale  = 1e30
)

// Validate returns an error that names the first impossible value.
func (d Distribution) Validate() error {
	leastD := 2 // a direction for the signal and one for noise
	if d.Unshared {
		leastD = 3
	}
	switch {
	case d.N < 1:
		return fmt.Errorf("distribution D: N must be at least 1, got %d", d.N)
	case d.SmallMargin < 0 || d.SmallMargin > d.N:
		return fmt.Errorf("distribution D: the small-margin samples must be 0 to N = %d, got %d",
			d.N, d.SmallMargin)
	case d.D < leastD && d.Unshared:
		return fmt.Errorf("distribution D: d must be at least %d with an unshared feature, got %d",
			leastD, d.D)
	case d.D < leastD:
		return fmt.Errorf("distribution D: d must be at least %d, got %d", leastD, d.D)
	case d.P < 2:
		return fmt.Errorf("distribution D: P must be at least 2, got %d", d.P)
	case d.N > maxValues/d.P/d.D:
		return fmt.Errorf("distribution D: N·P·d must be at most %d, got %d·%d·%d", maxValues,
			d.N, d.P, d.D)
	}
	for _, scale := range []struct {
		name  string
		value float64
	}{{"α", d.Alpha}, {"β", d.Beta}, {"σ", d.Sigma}} {
		// The negation refuses NaN too.
		if !(scale.value >= minScale && scale.value <= maxScale) {
			return fmt.Errorf("distribution D: %s must be in [%g, %g], got %v", scale.name,
				minScale, maxScale, scale.value)
		}
	}
	if d.Beta > d.Alpha {
		return fmt.Errorf("distribution D: the small margin β must be at most the large margin "+
			"α = %v, got %v", d.Alpha, d.Beta)
	}
	return nil
}

// Samples are drawn from the distribution D. The samples 0 to SmallMargin−1 are Z2, the others Z1.
type Samples struct {
	Distribution

	Feature            []float64 // w* [d], of unit length
	SmallMarginFeature []float64 // [d], of unit length; the signals of Z2: w* unless Unshared

	Labels   []float32 // y_i [N], −1 or 1
	Signal   []float32 // c_i [N]: β y_i in the first SmallMargin samples, α y_i in the others
	Position []int     // [N], of the signal among the patches, in [0, P)
	Noise    []float32 // [N, P−1, d], the other patches in their order
}

// Draw draws the samples for a purpose, such as "train" or "test". Labels and positions are
// uniform. The features depend only on seed and d, so all purposes share them. Sample i is the same
// in a larger set, and each setting changes only what it names: a different α, β or number of
// small-margin samples leaves labels, positions and noise as they are, σ scales the noise, and
// Unshared projects it once more.
//
// Numbers are drawn and projected in float64, then rounded to float32.
func (d Distribution) Draw(purpose string) (*Samples, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	s := &Samples{
		Distribution: d,
		Labels:       make([]float32, d.N),
		Signal:       make([]float32, d.N),
		Position:     make([]int, d.N),
		Noise:        make([]float32, 0, d.N*(d.P-1)*d.D),
	}
	s.Feature = direction(seeds.Stream(d.Seed, "feature"), d.D)
	s.SmallMarginFeature = s.Feature
	if d.Unshared {
		s.SmallMarginFeature = direction(seeds.Stream(d.Seed, "feature/small"), d.D, s.Feature)
	}

	rng := seeds.Stream(d.Seed, "margin/"+purpose)
	patch := make([]float64, d.D)
	for i := range d.N {
		y := float64(2*rng.IntN(2) - 1)
		c := d.Alpha * y
		if i < d.SmallMargin {
			c = d.Beta * y
		}
		s.Labels[i], s.Signal[i], s.Position[i] = float32(y), float32(c), rng.IntN(d.P)
		for range d.P - 1 {
			normal(rng, patch)
			project(patch, s.Feature)
			if d.Unshared {
				project(patch, s.SmallMarginFeature)
			}
			for _, x := range patch {
				s.Noise = append(s.Noise, float32(d.Sigma*x))
			}
		}
	}
	return s, nil
}

// Patches returns all patches of sample i [P, d]: its noise, with the signal at its position.
func (s *Samples) Patches(i int) []float32 {
	feature := s.Feature
	if i < s.SmallMargin {
		feature = s.SmallMarginFeature
	}
	size := (s.P - 1) * s.D
	noise := s.Noise[i*size : (i+1)*size]
	before := s.Position[i] * s.D

	x := make([]float32, 0, s.P*s.D)
	x = append(x, noise[:before]...)
	for _, w := range feature {
		x = append(x, float32(float64(s.Signal[i])*w))
	}
	return append(x, noise[before:]...)
}

// direction draws a unit vector [d], uniformly among those orthogonal to the given unit vectors.
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

// normal fills v with draws from N(0, 1).
func normal(rng *rand.Rand, v []float64) {
	for k := range v {
		v[k] = rng.NormFloat64()
	}
}

// project makes v orthogonal to the unit vector u: v ← (I − u uᵀ) v.
func project(v, u []float64) {
	component := dot(v, u)
	for k := range v {
		v[k] -= float64(component * u[k])
	}
}

// dot returns ⟨u, v⟩. Here and in project, each product is rounded before it is added: the
// conversion to float64 forbids the compiler to fuse the two operations, which it would do on some
// machines only, while the samples of a seed must be the same on all machines.
func dot(u, v []float64) float64 {
	var sum float64
	for k := range u {
		sum += float64(u[k] * v[k])
	}
	return sum
}
