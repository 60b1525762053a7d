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
