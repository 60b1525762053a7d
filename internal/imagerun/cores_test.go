package imagerun

import (
	"testing"

	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// On XLA's CPU one core and two give the same bytes, as one device or as two. XLA takes as many
// threads as it has devices, and those of one thread would add up in another order: after 20 steps
// of GD that shows in the losses.
func TestCoresChangeNothing(t *testing.T) {
	if be := backendtest.Open(t); be.Kind != backend.CPU {
		t.Skipf("is about xla:cpu, got %s", be.Name())
	}
	want := ""
	for _, tt := range []struct{ cores, devices string }{{"1", "auto"}, {"2", "1"}, {"2", "auto"}} {
		t.Setenv("NPROC", tt.cores)
		root := t.TempDir()
		p := start(t, testArgs(root, "-backend=xla:cpu", "-images=20", "-epochs=20",
			"-width=2", "-eval-every=20", "-devices="+tt.devices)...)
		if status, _, stderr := p.end(); status != cli.Done {
			t.Fatalf("NPROC=%s -devices=%s: status %d, %s", tt.cores, tt.devices, status, stderr)
		}
		if got := runtest.Read(t, folder(t, root), "metrics.jsonl"); want == "" {
			want = got
		} else if got != want {
			t.Errorf("NPROC=%s -devices=%s: other metrics than with NPROC=1:\n%s\nwant\n%s",
				tt.cores, tt.devices, got, want)
		}
	}
}
