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

// The grids that the scales say: the paper's has 12 cells, 3 weight decays, 2 schedules, 1 seed, 6
// rates of GD, and 12 of GD+M: 6 effective rates and 6 η, of which none are the same.
func TestScales(t *testing.T) {
	paper := list(t, "-scale=paper")
	for _, tt := range []struct {
		setting string
		value   any
		want    int
	}{
		{"holdout", 5000.0, 1296}, {"opt", "gd", 432}, {"opt", "gdm", 864},
		{"data", "cifar100", 648}, {"model", "wrn16-4", 648}, {"width", 16.0, 648},
		{"width", 64.0, 648}, {"norm", "weights", 432}, {"norm", "none", 864},
		{"init", "pytorch", 864}, {"schedule", "cosine", 648}, {"weight_decay", 0.0005, 432},
		{"seed", 1.0, 1296}, {"images", 0.0, 1296}, {"epochs", 300.0, 1296},
	} {
		if got := count(t, paper, tt.setting, tt.value); got != tt.want {
			t.Errorf("%d of the paper's trials have %s = %v, want %d", got, tt.setting, tt.value,
				tt.want)
		}
	}
	// 3 rates of GD; of GD+M 3 effective rates and 3 η; seed 1.
	for scale, want := range map[string]int{"quick": 9, "medium": 9} {
		if n := len(list(t, "-scale="+scale)); n != want {
			t.Errorf("%d %s trials, want %d", n, scale, want)
		}
	}
}

func TestVariants(t *testing.T) {
	b := list(t, "-part=b", "-scale=paper", "-parameterizations=centered", "-protocol=effective",
		"-trial-seeds=1")
	if n, m := count(t, b, "batch", 128.0), count(t, b, "opt", "sgdm"); n != 288 || m != 144 {
		t.Errorf("part b: %d of %d runs have batches of 128, %d are SGD+M; want all and half", n,
			len(b), m)
	}
	norm := list(t, "-parameterizations=batch")
	if n := count(t, norm, "norm", "batch"); n != 9 || count(t, norm, "ghost_batch", 128.0) != 9 {
		t.Errorf("batch normalization: %d runs of 9, want all, in chunks of 128 images: %s", n,
			norm[0].Settings)
	}
	// Runs with mini-batches have all their epochs, those with full batches end at a loss.
	both := list(t, "-batches=32,512", "-rates=0.1")
	if n, m := count(t, both, "until_loss", 0.01), count(t, both, "batch", 0.0); n != m || n == 0 ||
		n == len(both) {
		t.Errorf("%d of %d runs end at a loss, %d have the full batch", n, len(both), m)
	}
	// Every combination of the axes.
	axes := list(t, "-images=100,200", "-parameterizations=weights,pytorch,skipinit",
		"-rates=0.1", "-protocol=effective", "-trial-seeds=1")
	if n, m := count(t, axes, "images", 100.0), count(t, axes, "init", "skipinit"); n != 6 ||
		m != 4 || len(axes) != 12 {
		t.Errorf("axes: %d runs, %d on 100 images, %d with SkipInit; want 12, 6, 4", len(axes), n,
			m)
	}
	// The batch size that holds all images is the full batch.
	sizes := list(t, "-model=vgg19", "-data=cifar10", "-images=0", "-protocol=effective",
		"-trial-seeds=1", "-batches=128,512,2048,8192,50000", "-rates=0.1")
	if n, m := count(t, sizes, "batch", 0.0), count(t, sizes, "opt", "gdm"); len(sizes) != 10 ||
		n != 2 || m != 1 {
		t.Errorf("5 batch sizes: %d runs, %d with full batch, %d of them GD+M; want 10, 2 and 1",
			len(sizes), n, m)
	}
}

// The end at a loss is refused where no comparison has one.
func TestUntilLoss(t *testing.T) {
	var stdout bytes.Buffer
	err := figure1().Run(t.Context(), &stdout, &stdout, []string{"plan", "-part=b",
		"-until-loss=0.1"})
	if err == nil || !strings.Contains(err.Error(), "-until-loss needs the training loss at one") {
		t.Errorf("error %v", err)
	}
}

// Mini-batches of all images are no mini-batches.
func TestFullBatchOfPartB(t *testing.T) {
	var stdout bytes.Buffer
	err := figure1().Run(t.Context(), &stdout, &stdout, []string{"plan", "-part=b", "-images=32"})
	if err == nil || !strings.Contains(err.Error(), "batches of 32 images, as many as the 32") {
		t.Errorf("error %v", err)
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
		if line := "trials-1  9 runs: sweeps/" + want +
			"/trials-1/runs.jsonl\n"; !strings.Contains(stdout.String(), line) {
			t.Errorf("%q: %q, want %q", args, stdout.String(), line)
		}
	}
}

func TestHelp(t *testing.T) {
	var help bytes.Buffer
	if err := figure1().Run(t.Context(), &help, t.Output(), []string{"-h"}); err != nil {
		t.Error(err)
	}
	runtest.Manual(t, "figure1", help.String(), "-trial-seeds settings are tried with seed 1, and "+
		"those that may still be chosen with the seeds up to this (default quick 2, medium 2, "+
		"paper 1)",
		"-scale quick|medium|paper: values to start from; every other flag overrides them "+
			"(default quick)", "-schedules constant|cosine|step, with commas (default ")
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
