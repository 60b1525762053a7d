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
		share                []string // flags of a worker
	}{
		{"0,2", "", "", 2, []string{"0", "2"}, nil},
		{"0,2", "3", "", 6, []string{"0", "2", "0", "2", "0", "2"}, []string{"-gpu-memory=0.3"}},
		{"1", "2", "0.25", 2, []string{"1", "1"}, nil},
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
