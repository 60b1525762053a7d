package descent

import (
	"testing"

	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
)

// The default backend agrees with the Go backend in float64 to the digits of each precision, over
// unequal chunks.
func TestPrecisions(t *testing.T) {
	exact := goBackend(t)
	rule := Rule{Form: Undamped, Gamma: 0.9}
	want := steps(t, trainer(t, exact, images(t, exact, 5, 5), tiny, rule), 3, 0.05)

	b := backendtest.Open(t)
	d := images(t, b, 5, 2)
	// On a CPU, TF32 is float32.
	for p, tolerance := range map[Precision]float64{F32: 1e-5, TF32: 1e-5, BF16: 0.03} {
		if p == BF16 && b.Kind == backend.Go {
			t.Log("bf16 is not checked: the Go backend has no bfloat16 convolution")
			continue
		}
		tr := trainerIn(t, p, b, d, tiny, rule)
		if got := steps(t, tr, 3, 0.05); distance(want, got) > tolerance {
			t.Errorf("losses in %s: %v, want %v", p, got, want)
		}
	}
}
