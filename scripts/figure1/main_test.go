package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"momentum/internal/runlist"
	"momentum/internal/runtest"
	"momentum/internal/sweep"
)

// list plans what the arguments ask for and returns the first list's runs.
func list(t *testing.T, args ...string) []runlist.Run {
	t.Helper()
	out := t.TempDir()
	var stdout bytes.Buffer
	args = append([]string{"plan", "-launcher=slurm", "-out=" + out, "-runs=" + out}, args...)
	if err := figure1().Run(t.Context(), &stdout, &stdout, args); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	l, err := sweep.Read(out+"/trials-1", out)
	if err != nil {
		t.Fatal(err)
	}
	return l.Runs
}

// count says in how many runs a setting has a value.
func count(t *testing.T, runs []runlist.Run, setting string, value any) (n int) {
	t.Helper()
	for _, r := range runs {
		var settings map[string]any
		if err := json.Unmarshal(r.Settings, &settings); err != nil {
			t.Fatal(err)
		}
		if settings[setting] == value {
			n++
		}
	}
	return n
}

// The grids that the scales say: the paper's has 4 cells, 2 algorithms, 6 rates, 2 schedules and 3
// weight decays.
func TestScales(t *testing.T) {
	paper := list(t, "-scale=paper")
	for _, tt := range []struct {
		setting string
		value   any
		want    int
	}{
		{"holdout", 5000.0, 288}, {"opt", "gd", 144}, {"opt", "gdm", 144},
		{"data", "cifar100", 144}, {"model", "wrn16-4", 144}, {"width", 16.0, 144},
		{"width", 64.0, 144},
		{"schedule", "cosine", 144}, {"weight_decay", 0.0005, 96}, {"seed", 1.0, 288},
		{"images", 0.0, 288}, {"epochs", 300.0, 288}, {"norm", "none", 288},
	} {
		if got := count(t, paper, tt.setting, tt.value); got != tt.want {
			t.Errorf("%d of the paper's trials have %s = %v, want %d", got, tt.setting, tt.value,
				tt.want)
		}
	}
	if n := len(list(t)); n != 12 {
		t.Errorf("%d quick trials, want 6 rates for each of 2 algorithms", n)
	}
	if n := len(list(t, "-scale=medium")); n != 24 {
		t.Errorf("%d medium trials, want 6 rates and 2 weight decays for each of 2 algorithms", n)
	}
}

func TestVariants(t *testing.T) {
	b := list(t, "-part=b", "-scale=paper")
	if n, m := count(t, b, "batch", 128.0), count(t, b, "opt", "sgdm"); n != 288 || m != 144 {
		t.Errorf("part b: %d of %d runs have batches of 128, %d are SGD+M; want all and half", n,
			len(b), m)
	}
	norm := list(t, "-norm=batch")
	if n := count(t, norm, "norm", "batch"); n != 12 || count(t, norm, "ghost_batch", 64.0) != 12 {
		t.Errorf("-norm=batch: %d runs of 12, want all, in one chunk of all 64 images: %s", n,
			norm[0].Settings)
	}
	// The batch size that holds all images is the full batch.
	sizes := list(t, "-model=vgg19", "-data=cifar10", "-images=0",
		"-batches=128,512,2048,8192,50000", "-rates=0.1")
	if n, m := count(t, sizes, "batch", 0.0), count(t, sizes, "opt", "gdm"); len(sizes) != 10 ||
		n != 2 || m != 1 {
		t.Errorf("5 batch sizes: %d runs, %d with full batch, %d of them GD+M; want 10, 2 and 1",
			len(sizes), n, m)
	}
}

// Parts have folders and titles of their own.
func TestParts(t *testing.T) {
	t.Chdir(t.TempDir())
	for args, want := range map[string]string{"": "figure1-quick",
		"-part=b": "figure1-quick-part=b", "-batches=64": "figure1-quick-batches=64"} {
		var stdout bytes.Buffer
		if err := figure1().Run(t.Context(), &stdout, &stdout,
			append([]string{"plan", "-launcher=slurm"}, strings.Fields(args)...)); err != nil {
			t.Fatal(err)
		}
		if line := "trials-1  12 runs: sweeps/" + want +
			"/trials-1/runs.jsonl\n"; !strings.Contains(stdout.String(), line) {
			t.Errorf("%q: %q, want %q", args, stdout.String(), line)
		}
	}
}

// The manual's examples are command lines that can be run.
func TestManualExamples(t *testing.T) {
	examples := regexp.MustCompile(
		`(?m)^  go run \./scripts/figure1((?: -\S+)*)`).FindAllStringSubmatch(
		manual+"\n"+runtest.Read(t, "main.go"), -1)
	if len(examples) < 7 {
		t.Errorf("%d examples", len(examples))
	}
	for _, e := range examples {
		list(t, strings.Fields(strings.NewReplacer("-dry-run", "", "-gpus=0,1",
			"").Replace(e[1]))...)
	}
}
