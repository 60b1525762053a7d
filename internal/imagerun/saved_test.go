package imagerun

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"momentum/datasets"
	"momentum/internal/cli"
	"momentum/internal/runtest"
	"momentum/internal/safetensors"
)

// Files of weights say what the network is, and what it sees of an image.
func TestWeightsMetadata(t *testing.T) {
	root := t.TempDir()
	succeed(t, testArgs(root, "-epochs=1", "-init=he")...)
	want := map[string]string{
		"layout": "convolutions HWIO, dense [in, out], images NHWC",
		"model":  "wrn16-1", "width": "1", "norm": "none", "init": "he", "classes": "10",
		"class_names": `["airplane","automobile","bird","cat","deer","dog","frog","horse","ship",` +
			`"truck"]`,
		"pixels": "RGB, (value/255 - mean) / std", "mean": "[0.4914,0.4822,0.4465]",
		"std": "[0.247,0.2435,0.2616]",
	}
	for _, name := range []string{initialWeights, finalWeights} {
		content := runtest.Read(t, folder(t, root), name)
		_, got, err := safetensors.Read(strings.NewReader(content), int64(len(content)))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %v\nwant %v", name, err, got, want)
		}
	}
}

// measured are the number of images of a split, and their loss and their accuracy at saved weights.
func measured(t *testing.T, s *Saved, split string) (n int, loss, accuracy float64) {
	t.Helper()
	set, err := s.Images(t.Context(), s.Data, split, Execution{Offline: true}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Open(t.Context(), "go", true, set.N(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	logits, err := c.Logits(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range logits {
		sum, label := 0.0, set.Labels[i]
		for _, v := range x {
			sum += math.Exp(v)
		}
		loss += (math.Log(sum) - x[label]) / float64(set.N())
		if slices.Max(x) == x[label] {
			accuracy += 1 / float64(set.N())
		}
	}
	return set.N(), loss, accuracy
}

// Saved weights have the loss and the accuracy that the run measured at them: the final ones, those
// of a checkpoint in between, of every rule and norm, on training and on held-out images.
func TestSaved(t *testing.T) {
	for _, args := range [][]string{
		{"-small-margin=0.25"},
		{"-opt=gd", "-norm=batch"}, // the chunks are those of the run
		{"-opt=sgdm", "-batch=5", "-precision=bf16"},
	} {
		root := t.TempDir()
		succeed(t, testArgs(root, append(args, "-checkpoint-every=0s")...)...)
		steps := 4
		if args[0] == "-opt=sgdm" {
			steps = 12
		}
		for _, checkpoint := range []string{"", fmt.Sprintf("step-%08d", steps-1),
			filepath.Join(folder(t, root), "checkpoints", fmt.Sprintf("step-%08d", steps))} {
			for split, images := range map[string]int{TrainSplit: 13, HeldOutSplit: 10} {
				s, err := FindSaved(folder(t, root), checkpoint)
				if err != nil {
					t.Fatal(err)
				}
				n, loss, accuracy := measured(t, s, split)
				wantLoss, wantAccuracy, found, err := s.Recorded(split)
				if steps == 12 && strings.HasSuffix(checkpoint, "11") {
					if found {
						t.Error("recorded in the middle of an epoch of mini-batches")
					}
					continue
				}
				if err != nil || !found || n != images || math.Abs(accuracy-wantAccuracy) > 1e-9 ||
					math.Abs(loss-wantLoss) > 1e-5*wantLoss {
					t.Errorf("%q, checkpoint %q, %s: %d images, loss %v, accuracy %v; the run: "+
						"%v, %v, %v, %v", args, checkpoint, split, n, loss, accuracy, wantLoss,
						wantAccuracy, found, err)
				}
			}
		}
	}
}

// The test images do not depend on what a run held out, and a run may be evaluated on another set
// with the same classes.
func TestSavedImages(t *testing.T) {
	s := &Saved{Config: Config{Settings: Settings{Data: "cifar10-mini", Holdout: 10}}}
	var err error
	if s.Facts, err = datasets.Describe(s.Data); err != nil {
		t.Fatal(err)
	}
	for split, want := range map[string]int{TrainSplit: 990, TestSplit: 1000, HeldOutSplit: 10} {
		set, err := s.Images(t.Context(), "cifar10-mini", split, Execution{}, t.Output())
		if err != nil || set.N() != want {
			t.Errorf("%s: %v; want %d images", split, err, want)
		}
	}
	s.Holdout = 0
	for _, tt := range []struct{ data, split, want string }{
		{"cifar100", TestSplit, "-data=cifar100 has other classes than cifar10-mini"},
		{"mnist", TestSplit, "-data: "},
		{"cifar10-mini", HeldOutSplit, "-split=held-out: the run held out no images"},
	} {
		_, err := s.Images(t.Context(), tt.data, tt.split, Execution{Offline: true}, t.Output())
		if cli.Status(err) != cli.BadUsage || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s, %s: %v, want %s", tt.data, tt.split, err, tt.want)
		}
	}
	// A settings file that somebody has changed.
	s.Config.Images, s.Folder = 1001, "runs/a"
	_, err = s.Images(t.Context(), "cifar10-mini", TrainSplit, Execution{}, t.Output())
	if want := "runs/a: -images + -holdout must be at most the 1000 training images of " +
		"cifar10-mini, got 1001 + 0: use -images=1000 or fewer"; cli.Status(err) != cli.BadUsage ||
		err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// What is not there, or not as the run left it, is said in one line with a remedy.
func TestSavedMissing(t *testing.T) {
	slim, stopped, damaged := t.TempDir(), t.TempDir(), t.TempDir()
	succeed(t, testArgs(slim, "-epochs=1", "-slim")...)
	succeed(t, testArgs(damaged, "-epochs=1")...)
	if err := os.Truncate(filepath.Join(folder(t, damaged), finalWeights), 100); err != nil {
		t.Fatal(err)
	}
	ctx := &runtest.Countdown{Context: t.Context(), Calls: 14}
	if status, _, stderr := cifar(t, ctx, testArgs(stopped, "-checkpoint-every=0s")...); status !=
		cli.Stopped {
		t.Fatalf("status %d, %s", status, stderr)
	}
	other, synthetic := t.TempDir(), filepath.Dir(runtest.File(t, "config.json",
		`{"settings": {"samples": 100, "eta": 0.1}}`))
	for _, tt := range []struct{ folder, checkpoint, want string }{
		{other, "", other + " is no run folder: it has no config.json"},
		{synthetic, "", synthetic + " is no run on images: its settings have no opt"},
		{folder(t, slim), "", filepath.Join(folder(t, slim), finalWeights) + " is not there: the " +
			"run kept no weights (-slim). To train it again: go run ./cifar -config="},
		{folder(t, slim), "step-1", "-checkpoint: no folder step-1. The run has no checkpoints"},
		{folder(t, stopped), "", filepath.Join(folder(t, stopped), finalWeights) + " is not there" +
			": the run is not done. The run has -checkpoint=step-00000001 and " +
			"-checkpoint=step-00000002"},
		{folder(t, damaged), "", filepath.Join(folder(t, damaged), finalWeights) +
			" has SHA-256 "},
	} {
		_, err := FindSaved(tt.folder, tt.checkpoint)
		got := strings.TrimPrefix(fmt.Sprint(err), "rundir: ") // as the command does
		got = strings.ReplaceAll(got, finalWeights+": has", finalWeights+" has")
		if err == nil || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s, %q: %v\nwant %s", tt.folder, tt.checkpoint, err, tt.want)
		}
	}
}
