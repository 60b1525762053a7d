package imagerun

import (
	"math"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
)

// -diagnose=noise changes no other number. Its columns stand at the diagnosed epochs and in the
// last row, and do not depend on -chunk but for rounding.
func TestDiagnoseNoise(t *testing.T) {
	plain, root, chunked, shared := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	args := []string{"-opt=gdm", "-epochs=3"}
	diagnosed := append(args[:2:2], "-diagnose=noise", "-diagnose-every=2")
	succeed(t, testArgs(plain, args...)...)
	succeed(t, testArgs(root, diagnosed...)...)
	succeed(t, testArgs(chunked, append(diagnosed, "-chunk=4")...)...)
	succeed(t, testArgs(shared, append(diagnosed, "-chunk=6")...)...) // that of the diagnosis
	want := runtest.Metrics(t, folder(t, plain))
	others := [][]rundir.Row{runtest.Metrics(t, folder(t, chunked)),
		runtest.Metrics(t, folder(t, shared))}
	for i, row := range runtest.Metrics(t, folder(t, root)) {
		for _, v := range want[i].Values {
			if got := get(row, v.Name); got != v.X {
				t.Errorf("row %d: %s is %v with a diagnosis and %v without", i, v.Name, got, v.X)
			}
		}
		variance, measured := row.Get("gradient_noise")
		if measured != (i != 1) {
			t.Errorf("row %d: measured %v", i, measured)
		}
		if !measured {
			continue
		}
		// With λ = 0 the norm in the metrics is that of ∇L; the last row has none.
		scale := get(row, "noise_scale")
		if norm, ok := row.Get("grad_norm"); ok && math.Abs(scale*norm*norm/variance-1) > 1e-4 {
			t.Errorf("row %d: tr Σ = %v, scale %v, ‖∇L‖ = %v", i, variance, scale, norm)
		}
		for _, rows := range others {
			other := get(rows[i], "noise_scale")
			if !(scale > 0) || math.Abs(other/scale-1) > 1e-3 {
				t.Errorf("row %d: scale %v, and %v with another chunk", i, scale, other)
			}
		}
	}
	if !strings.Contains(header(t, folder(t, root)), ",gradient_noise,noise_scale") {
		t.Errorf("metrics.csv has the columns %s", header(t, folder(t, root)))
	}
	fails(t, cli.BadUsage, "-diagnose=noise needs a loss that is a sum over images",
		testArgs(t.TempDir(), "-diagnose=noise", "-norm=batch")...)
}
