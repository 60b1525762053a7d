package datasets

import "momentum/internal/seeds"

// Gaussian draws n points from N(0, I_d) for a purpose, such as "train" or "test": [n, d]. Point i
// is the same in a larger set. The paper labels such points by a random network (its Table 1).
func Gaussian(seed uint64, purpose string, n, d int) []float32 {
	rng := seeds.Stream(seed, "gaussian/"+purpose)
	x := make([]float32, n*d)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}
