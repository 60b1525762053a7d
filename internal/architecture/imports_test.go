package architecture

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the path of this module.
const module = "momentum/"

// layers are all packages of the module, from the commands to the foundations. A package imports
// packages of later layers only, so every arrow points down:
//
//	commands → study → the image run, sweep → descent, run folders → backend → foundations
var layers = [][]string{
	{"cifar", "synthetic", "scripts/figure1", "scripts/figure4", "scripts/summary", "scripts/bench",
		"scripts/compare", "scripts/evaluate", "scripts/gpucheck", "scripts/interpolate",
		"scripts/reference",
		"scripts/download", "scripts/kubernetes", "scripts/parallel", "scripts/slurm",
		"scripts/torture",
		"datasets/internal/minigen"},
	{"synthetic/table1"},
	{"internal/study", "internal/sweep/sweeptest"},
	{"internal/runtable"},
	{"internal/imagerun", "internal/sweep/slurm"},
	{"internal/sweep", "internal/cubic", "internal/measure"},
	{"internal/descent", "internal/provenance", "internal/runtest", "internal/backend/backendtest"},
	{"internal/cli", "internal/figure", "models"},
	{"internal/rundir", "internal/backend", "datasets"},
	{"internal/fetch", "internal/page", "internal/tbevents"},
	{"internal/cifartest", "internal/durable", "internal/fetch/fetchtest", "internal/lanczos",
		"internal/lockfile", "internal/markdown", "internal/progress", "internal/runlist",
		"internal/safetensors", "internal/seeds", "internal/slurmtest",
		"internal/smalldisk", "internal/stats", "internal/architecture"},
}

// computing are the packages that may import GoMLX.
var computing = []string{"models", "synthetic/table1", "internal/backend",
	"internal/backend/backendtest", "internal/cubic", "internal/descent", "internal/measure"}

// pkg is a package of the module and its imports, without those of its tests.
type pkg struct {
	path    string
	imports []string
}

// packages lists the packages of the module by the go command.
func packages(t *testing.T) []pkg {
	t.Helper()
	list := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		all = append(all, pkg{strings.TrimPrefix(words[0], module), words[1:]})
	}
	return all
}

// Every arrow points down.
func TestImportsPointOneWay(t *testing.T) {
	layer := map[string]int{}
	for i, names := range layers {
		for _, name := range names {
			layer[name] = i
		}
	}
	seen := map[string]bool{}
	for _, p := range packages(t) {
		from, ok := layer[p.path]
		if !ok {
			t.Errorf("%s is in no layer: add it to the lowest one above all of its imports", p.path)
			continue
		}
		seen[p.path] = true
		for _, name := range p.imports {
			name, ours := strings.CutPrefix(name, module)
			if to, known := layer[name]; ours && known && to <= from {
				t.Errorf("%s (layer %d) imports %s (layer %d): an arrow must point to a later "+
					"layer", p.path, from, name, to)
			}
		}
	}
	for name := range layer {
		if !seen[name] {
			t.Errorf("%s is in a layer but not in the module: take it out", name)
		}
	}
}

// Only the packages that compute import GoMLX, and each of them does.
func TestImportsOfGoMLX(t *testing.T) {
	for _, p := range packages(t) {
		got := slices.ContainsFunc(p.imports, func(name string) bool {
			return strings.HasPrefix(name, "github.com/gomlx/")
		})
		if want := slices.Contains(computing, p.path); got != want {
			t.Errorf("%s imports GoMLX: %v, want %v", p.path, got, want)
		}
	}
}
