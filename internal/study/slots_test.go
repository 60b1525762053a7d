package study

import (
	"slices"
	"testing"
)

// Several runs on one GPU share its memory, less a tenth, unless the user says how much one takes.
func TestRunsPerGPU(t *testing.T) {
	for _, c := range []struct {
		gpus, perGPU, memory string // flags, if not empty
		jobs                 int
		want                 []string
		share                float64
	}{
		{"0,2", "", "", 2, []string{"0", "2"}, 0},
		{"0,2", "3", "", 6, []string{"0", "2", "0", "2", "0", "2"}, 0.3},
		{"1", "2", "0.25", 2, []string{"1", "1"}, 0.25},
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
		for _, cell := range o.study.Cells {
			if got := cell.Base.GPUMemory; max(got-c.share, c.share-got) > 1e-12 {
				t.Errorf("%v: a run may take %g of the memory, want %g", given, got, c.share)
			}
		}
	}
}
