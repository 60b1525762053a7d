package datasets

import "momentum/internal/seeds"

// Gaussian draws n points [n, d] from N(0, I_d) for a purpose, such as "train" or "test". Point i
// is the same for any larger n. In the paper's Table 1 a random network labels such points.
func Gaussian(seed uint64, purpose string, n, d int) []float32 {
	rng := seeds.Stream(seed, "gaussian/"+purpose)
	x := make([]float32, n*d)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}
