package imagerun

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// On a GPU a run keeps the kernels that XLA has chosen, and goes on with them where others were
// chosen meanwhile. XLA for the CPU stands in for CUDA's plugin. It chooses none, so that the test
// writes a choice into the folder of its flag.
func TestAutotuned(t *testing.T) {
	be, err := backend.Open(t.Context(), "xla:cpu", backend.Options{})
	if err != nil {
		t.Skipf("there is no plugin: %v", err)
	}
	plugin := filepath.Join(t.TempDir(), "pretended_cuda.so")
	if err := os.Symlink(be.Plugin, plugin); err != nil {
		t.Fatal(err)
	}
	choices := filepath.Join(t.TempDir(), "choices")
	t.Setenv("NVIDIA_TF32_OVERRIDE", "") // the backend sets it
	t.Setenv("XLA_FLAGS", os.Getenv("XLA_FLAGS")+
		" --xla_gpu_per_fusion_autotune_cache_dir="+choices)
	choose := func(choice string) {
		t.Helper()
		if err := os.MkdirAll(choices, 0o777); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(choices, "conv.textproto")
		if err := os.WriteFile(file, []byte(choice), 0o666); err != nil {
			t.Fatal(err)
		}
	}

	root := t.TempDir()
	args := testArgs(root, "-backend=xla:"+plugin)
	choose("algorithm 1")
	status, _, stderr := cifar(t, &runtest.Countdown{Context: t.Context(), Calls: 15}, args...)
	if status != cli.Stopped {
		t.Fatalf("status %d, %q, want a stopped run", status, stderr)
	}
	choose("algorithm 2")
	succeed(t, args...)
	if got := runtest.Read(t, choices, "conv.textproto"); got != "algorithm 1" {
		t.Errorf("the run goes on with %s, want algorithm 1", got)
	}
	if !strings.Contains(runtest.Read(t, folder(t, root), "SHA256SUMS"), "  autotuned.zip\n") {
		t.Error("the choices are not among the files of the run that has ended")
	}
}
