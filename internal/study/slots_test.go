package study

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// Several runs on one GPU share its memory, less a tenth, unless the user says how much one takes.
func TestRunsPerGPU(t *testing.T) {
	for _, c := range []struct {
		gpus, perGPU, memory string // flags, if not empty
		jobs                 int
		want                 []string
		share                []string // flags of a worker
	}{
		{"0,2", "", "", 2, []string{"0", "2"}, nil},
		{"0,2", "3", "", 6, []string{"0", "2", "0", "2", "0", "2"}, []string{"-gpu-memory=0.3"}},
		{"1", "2", "0.25", 2, []string{"1", "1"}, nil},
		{"0,0", "", "", 2, []string{"0", "0"}, []string{"-gpu-memory=0.45"}},
		{"0,0,1", "2", "", 6, []string{"0", "0", "1", "0", "0", "1"},
			[]string{"-gpu-memory=0.225"}},
	} {
		given := map[string]string{}
		for name, value := range map[string]string{"gpus": c.gpus, "runs-per-gpu": c.perGPU,
			"gpu-memory": c.memory} {
			if value != "" {
				given[name] = value
			}
		}
		f := tiny()
		o, err := f.resolve(f.Scales[0], given)
		if err != nil {
			t.Fatal(err)
		}
		jobs, gpus := o.slots()
		if jobs != c.jobs || !slices.Equal(gpus, c.want) {
			t.Errorf("%v: %d jobs on %v, want %d on %v", given, jobs, gpus, c.jobs, c.want)
		}
		if got := o.share(); !slices.Equal(got, c.share) {
			t.Errorf("%v: a worker has %q, want %q", given, got, c.share)
		}
		// The lists do not depend on how many runs share a GPU.
		want := map[bool]float64{c.memory == "0.25": 0.25}[true]
		if got := o.study.Cells[0].Base.GPUMemory; got != want {
			t.Errorf("%v: the lists give a run %g of the memory, want %g", given, got, want)
		}
	}
}

// More runs than GPUs share them too, whether -jobs or the list says so.
func TestMoreJobsThanGPUs(t *testing.T) {
	f := tiny()
	o, err := f.resolve(f.Scales[0], map[string]string{"gpus": "0,1", "jobs": "3"})
	if err != nil {
		t.Fatal(err)
	}
	if got := o.share(); !slices.Equal(got, []string{"-gpu-memory=0.45"}) {
		t.Errorf("a worker has %q, want half of nine tenths of the memory", got)
	}
}

// Where there is no GPU, -gpus is refused before anything is printed or written. To look at a study
// needs none.
func TestNoGPU(t *testing.T) {
	t.Setenv("CUDA_VISIBLE_DEVICES", "")
	const want = "-gpus=0,1: no NVIDIA GPU was found on this machine: leave out -gpus"
	for _, verb := range []string{"run", "retry", "plan", "-dry-run"} {
		root := t.TempDir()
		stdout, err := start(t.Context(), root, verb, "-gpus=0,1")
		if usage := (*cli.UsageError)(nil); !errors.As(err, &usage) || err.Error() != want {
			t.Errorf("%s: %v, want %s", verb, err, want)
		}
		if files := runtest.Files(t, root); stdout != "" || len(files) > 0 {
			t.Errorf("%s: printed %q and wrote %d files, want none before", verb, stdout,
				len(files))
		}
	}
	const none = "there is no study in "
	if _, err := start(t.Context(), t.TempDir(), "status", "-gpus=0,1"); err == nil ||
		!strings.HasPrefix(err.Error(), none) {
		t.Errorf("status: %v, want %s…", err, none)
	}
}
