package provenance

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"momentum/internal/backend"
)

// The manifest names what decides about bits on a GPU: XLA's flags, with the folder of its choices
// of kernels, and the plugin's file. A resumed run keeps its start.
func TestCollect(t *testing.T) {
	be := &backend.Backend{Kind: backend.CUDA, Device: "NVIDIA H100",
		Plugin: "/cache/xla_cuda_plugin.so", PluginSHA256: "b6de",
		Flags: []string{"--xla_gpu_exclude_nondeterministic_ops=true",
			"--xla_gpu_per_fusion_autotune_cache_dir=autotuned-b6de"}}
	started := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	text, err := json.Marshal(Collect(t.Context(), be, Provenance{Started: started}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"backend":"xla:cuda","device":"NVIDIA H100","devices":0,` +
		`"plugin":"xla_cuda_plugin.so","plugin_sha256":"b6de",` +
		`"xla_flags":["--xla_gpu_exclude_nondeterministic_ops=true",` +
		`"--xla_gpu_per_fusion_autotune_cache_dir=autotuned-b6de"]`,
		`"started":"2026-11-26T12:00:00Z"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("got %s, want %s in it", text, want)
		}
	}
}

// On a CPU the threads of XLA decide, where both processes recorded them, else the devices.
func TestMoved(t *testing.T) {
	of := func(devices, threads int) Provenance {
		return Provenance{Devices: devices, Threads: threads}
	}
	for _, tt := range []struct {
		now, before Provenance
		want        string // the beginning, or "" for no move
	}{
		{of(2, 2), Provenance{}, ""}, // the first process
		{of(2, 2), of(2, 2), ""},
		{of(2, 2), of(1, 2), ""},
		{of(4, 4), of(2, 2), "the run goes on with another number of threads of XLA, 4 instead " +
			"of 2: the last digits may differ"},
		{of(1, 2), of(1, 1), "the run goes on with another number of threads of XLA, 2 instead "},
		{of(4, 4), of(3, 0), "the run goes on with another number of devices, 4 instead of 3: "},
		{of(1, 0), of(8, 0), "the run goes on with another number of devices, 1 instead of 8: "},
	} {
		if got := tt.now.Moved(tt.before); !strings.HasPrefix(got, tt.want) ||
			(tt.want == "") != (got == "") {
			t.Errorf("%d and %d, before %d and %d: %q, want %q", tt.now.Devices, tt.now.Threads,
				tt.before.Devices, tt.before.Threads, got, tt.want)
		}
	}
}
