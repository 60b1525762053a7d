package imagerun

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/runtest"
)

func TestDryRun(t *testing.T) {
	root, costs := filepath.Join(t.TempDir(), "runs"), filepath.Join(t.TempDir(), "cost.json")
	stdout := succeed(t, testArgs(root, "-dry-run", "-cost="+costs)...)
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v, want no such folder", root, err)
	}
	for _, want := range []string{
		`cost      \S+ FLOP in all, with evaluations every 1 epoch\(s\); chunks of 5 images on ` +
			`[123] cores?: \d+ images/s, \S+ GFLOP/s`,
		`memory    about \S+ GB beside the program; disk at most \S+ GB`,
		`time      about \d+m?s on this device`,
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(stdout) {
			t.Errorf("no line %s in\n%s", want, stdout)
		}
	}
	// What it prints is a config.json.
	text := regexp.MustCompile(`(?ms)^\{$.*^\}$`).FindString(stdout)
	got := parse(t, backend.Go, "-config="+runtest.File(t, "config.json", text))
	if want := parse(t, backend.Go, testArgs(root)...); got != want {
		t.Errorf("prints the configuration %+v, want %+v", got, want)
	}

	// It does so before it opens the data, which is where this run fails.
	status, printed, stderr := cifar(t, t.Context(), testArgs(root, "-dry-run", "-opt=sgd",
		"-batch=14")...)
	text = regexp.MustCompile(`(?ms)^\{$.*^\}$`).FindString(printed)
	got = parse(t, backend.Go, "-config="+runtest.File(t, "batch.json", text))
	if status != cli.BadUsage || !strings.Contains(stderr, "-batch must be at most the 13 ") ||
		got.Batch != 14 {
		t.Errorf("status %d, %s, configuration %+v", status, stderr, got)
	}

	// The file of -cost has all numbers.
	var numbers map[string]any
	if err := json.Unmarshal([]byte(runtest.Read(t, costs)), &numbers); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"flop", "seconds", "compile_seconds", "images_per_sec",
		"flop_per_sec", "memory_bytes", "disk_bytes", "kept_bytes"} {
		if x, ok := numbers[name].(float64); !ok || x <= 0 {
			t.Errorf("-cost: %s is %v", name, numbers[name])
		}
	}
	if want := fmt.Sprintf("cost      %.3g FLOP in all", numbers["flop"]); !strings.Contains(stdout,
		want) {
		t.Errorf("-cost differs from the output: no %q in\n%s", want, stdout)
	}
}

// Without the images on disk a dry run downloads nothing and measures on random ones, in which a
// share can have a small margin; a run ends.
func TestDryRunWithoutData(t *testing.T) {
	dir, costs := t.TempDir(), filepath.Join(t.TempDir(), "cost.json")
	args := runtest.Changed(testArgs(t.TempDir()), "-data=cifar10", "-data-dir="+dir,
		"-images=200", "-holdout=200", "-small-margin=0.01")
	stdout := succeed(t, runtest.Changed(args, "-dry-run", "-offline=false",
		"-mirror=http://127.0.0.1:1", "-cost="+costs)...)
	for _, want := range []string{
		"\ndata      cifar10: 200 training images (2 with a small margin), 200 held-out training " +
			"images (2 with a small margin)\n",
		"\n          data cifar10 is not on this machine: measured on random pixels\n",
		"\ntime      about ",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if !strings.Contains(runtest.Read(t, costs), `"random":true`) {
		t.Errorf("-cost is %s, want random", runtest.Read(t, costs))
	}
	if found := runtest.Files(t, dir); len(found) > 0 {
		t.Errorf("left %d files in the folder of the data", len(found))
	}
	fails(t, cli.Failed, "cifar10 is not in "+dir, args...)
}

// The call that makes room does not count, and neither does a slow or a fast one beside two others.
func TestTypicalTime(t *testing.T) {
	for _, times := range [][]time.Duration{{9, 3, 8, 2}, {1, 8, 2, 3}, {9, 1, 3, 8}} {
		synctest.Test(t, func(t *testing.T) {
			calls := slices.Clone(times)
			took, err := typical(func() error {
				time.Sleep(calls[0] * time.Second)
				calls = calls[1:]
				return nil
			})
			if err != nil || took != 3*time.Second || len(calls) > 0 {
				t.Errorf("calls of %d s take %v, %v; want 3 s", times, took, err)
			}
		})
	}
}

// What keep-out adds to the disk are two parts of the momentum, each of 788 float32, in each of 3
// checkpoints, of which 2 are kept.
func TestDiskOfParts(t *testing.T) {
	cost := func(more ...string) (c Cost) {
		file := filepath.Join(t.TempDir(), "cost.json")
		succeed(t, testArgs(t.TempDir(), append(more, "-opt=gdm", "-small-margin=0.25", "-dry-run",
			"-cost="+file)...)...)
		if err := json.Unmarshal([]byte(runtest.Read(t, file)), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	plain, parts := cost(), cost("-intervene=keep-out")
	if disk, kept := parts.Disk-plain.Disk, parts.Kept-plain.Kept; disk != 3*2*4*788 ||
		kept != 2*2*4*788 {
		t.Errorf("%v bytes more on the disk, %v more kept; want %d and %d", disk, kept, 3*2*4*788,
			2*2*4*788)
	}
}

// A signal ends the measurement with a line in plain words.
func TestStoppedMeasuring(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	status, _, stderr := cifar(t, ctx, testArgs(t.TempDir(), "-dry-run")...)
	if want := "cifar: stopped by a signal; nothing was measured\n"; status != cli.Stopped ||
		stderr != want {
		t.Errorf("status %d, %q, want %q", status, stderr, want)
	}
}

// Wide networks, and those on many cores, do not start if they would not fit into memory.
func TestTooLittleMemory(t *testing.T) {
	free, known := backend.FreeMemory()
	if !known || free > 100e9 {
		t.Skip("the free memory of this system is not known, or is enough")
	}
	t.Setenv("NPROC", "500")
	for _, c := range []struct{ width, devices, on string }{
		{"64", "500", "500 cores"}, // 0.2 GB each or more
		{"4096", "1", "1 core"},    // 180 GB of weights
	} {
		status, _, stderr := cifar(t, t.Context(), "-preset=quick", "-backend=go", "-chunk=64",
			"-images=128", "-width="+c.width, "-devices="+c.devices, "-runs="+t.TempDir())
		want := fmt.Sprintf(`^cifar: a run on %s takes about \S+ GB for .+ of each, but \S+ GB is `+
			`free: use a smaller -devices or -chunk\n$`, c.on)
		if status != cli.BadUsage || !regexp.MustCompile(want).MatchString(stderr) {
			t.Errorf("status %d, %s, want %s", status, stderr, want)
		}
	}
}

// Evaluations cost less than a tenth of the training between them, and are no rarer than needed. A
// short run has ten of them whatever they cost.
func TestEvalEvery(t *testing.T) {
	c := Config{Settings: Settings{Epochs: 1e6}}
	const forward, step = 1, 3 // a backward pass costs two forward passes
	for _, train := range []int{1, 10, 40, 256, 1000, 50000} {
		for _, eval := range []int{10, 1000, 10000} {
			every := c.EvaluationEvery(forward, step, train, eval)
			cost := float64(forward*eval) / float64(step*train)
			if share := cost / float64(every); share >= 0.1 {
				t.Errorf("%d images evaluated every %d epochs of %d: %.3g of the training", eval,
					every, train, share)
			}
			if every > 1 && cost/float64(every-1) < 0.08 {
				t.Errorf("%d images evaluated every %d epochs of %d, although %d cost %.3g", eval,
					every, train, every-1, cost/float64(every-1))
			}
		}
	}
	if got := c.EvaluationEvery(forward, step, 50000, 10000); got != 1 { // 10000/150000 = 6.7%
		t.Errorf("CIFAR-10 is evaluated every %d epochs, want each", got)
	}
	for _, tt := range []struct{ images, epochs, want int }{
		{40, 1, 1}, {40, 9, 1}, {40, 10, 1}, {40, 20, 2}, {40, 29, 2}, {40, 300, 30},
		{40, 930, 93}, {40, 3000, 93}, // 1000/(0.09·3·40) = 92.6
		{512, 300, 8}, {512, 60, 6}, // 1000/(0.09·3·512) = 7.2
	} {
		c.Epochs = tt.epochs
		if got := c.EvaluationEvery(forward, step, tt.images, 1000); got != tt.want {
			t.Errorf("%d images, %d epochs: evaluated every %d, want every %d", tt.images,
				tt.epochs, got, tt.want)
		}
	}
	c.EvalEvery = 5
	if got := c.EvaluationEvery(forward, step, 1, 1000); got != 5 {
		t.Errorf("got %d, want the 5 of -eval-every", got)
	}
}
