// Cifar trains a convolutional network on CIFAR images by full-batch gradient descent, without (GD)
// or with momentum (GD+M).
//
//	go run ./cifar -opt=gdm
//
// This package reads from top to bottom: main.go opens what a run needs, train.go is the run,
// config/ has its settings.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"

	"momentum/cifar/config"
	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/models"
)

const manual = `cifar trains a convolutional network on CIFAR images by full-batch gradient descent (GD) or gradient descent with momentum (GD+M).

  go run ./cifar -opt=gdm                       what this machine can do in minutes, on images that the program carries
  go run ./cifar -opt=gd                        the same without momentum: both start from the same weights
  go run ./cifar -preset=paper -opt=gdm         CIFAR-10, 50,000 images, ResNet-18 of width 64, 300 epochs; wants a GPU
  go run ./cifar -opt=sgdm -batch=32            mini-batches
  go run ./cifar -config runs/NAME/config.json  a run again

A flag that is left out has the value of the preset (-dry-run prints them all); -preset=auto is paper on a GPU, quick with XLA on the CPU, and tiny on
the Go backend. With -config=SWEEP/runs.jsonl -task=3, the settings are those of the fourth run of a sweep (scripts/figure1, scripts/figure4).

A step of GD is w ← w − η∇L(w). GD+M is g ← γg + (1−γ)∇L(w), w ← w − ηg in the damped form (the paper's), and b ← γb + ∇L(w), w ← w − ηb in
the undamped form (PyTorch's), whose effective rate is η/(1−γ). ∇L is exact: the mean over all training images, whatever -chunk is.

A run writes a folder under -runs: config.json, manifest.json, metrics.jsonl and .csv, curves.svg and .png, TensorBoard events, SHA256SUMS, checkpoints,
initial.safetensors and weights.safetensors. The same command again resumes it or, when it is done, prints its result. With -slim, which changes
no result, the last three are not there when it has ended.
Exit status: 0 done, 1 error, 2 usage, 3 diverged (the loss is no longer finite), 75 stopped by a signal with a checkpoint saved.
`

func main() { os.Exit(cli.Main("cifar", run)) }

// run is the command: everything that a run needs, in the order in which it can fail.
func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	// Settings, as far as they are known without a backend.
	c, _, err := config.Parse(args, "")
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, manual)
		config.PrintFlags(stdout)
		return nil
	} else if err != nil {
		return err
	}

	// The backend, which says what -preset=auto means.
	be, err := backend.Open(ctx, c.Backend, backend.Options{Offline: c.Offline, Out: stderr,
		TF32: c.Precision == "tf32"})
	if err != nil {
		return err
	}
	c, do, err := config.Parse(args, be.Kind)
	if err != nil {
		return err
	}
	if c.Precision == "tf32" && be.Kind != backend.CUDA {
		return cli.Usagef("-precision=tf32 needs a GPU, got the backend %s: use -precision=f32",
			be.Kind)
	}
	fmt.Fprintf(stdout, "backend   %s on %s: %s\n", be.Kind, be.Device, be.Why)
	fmt.Fprintf(stdout, "preset    %s\n", explainPreset(do, be.Kind))

	// The images, held by the host no longer than it takes to copy them to the device.
	trainSet, evalSet, err := load(ctx, c, stderr)
	if err != nil {
		return err
	}
	classes := trainSet.Classes
	trainData, err := upload(be, trainSet)
	if err != nil {
		return err
	}
	evalData, err := upload(be, evalSet)
	if err != nil {
		return err
	}
	trainSet, evalSet = nil, nil
	debug.FreeOSMemory()

	// The network and the rule that trains it.
	net, err := models.New(models.Config{Model: c.Model, Width: c.Width, Norm: c.Norm,
		Classes: classes, BranchScale: c.BranchScale})
	if err != nil {
		return err
	}
	if c.Batch > trainData.N {
		return cli.Usagef("-batch must be at most the %d training images, got %d: use a smaller "+
			"one, or -opt=%s for the full batch", trainData.N, c.Batch, c.Opt[1:])
	}
	r := &experiment{Config: c, backend: be, net: net, train: trainData, eval: evalData,
		stdout: stdout, stderr: stderr}
	r.resolve()
	fmt.Fprintf(stdout, "data      %s: %d training images%s, %d %s%s\n", c.Data, trainData.N,
		degraded(trainData), evalData.N, r.evalName(), degraded(evalData))
	fmt.Fprintf(stdout, "model     %s, width %d, norm %s: %d parameters, %.3g GFLOP per image "+
		"and step\n", c.Model, c.Width, c.Norm, net.NumParams(), r.stepFLOP/1e9)
	fmt.Fprintf(stdout, "descent   %s; η = %g %s, η_eff = %.4g; %d epochs of %d step(s)\n",
		r.ruleName(), c.Rate, c.Schedule, c.Rule().EffectiveRate(c.Rate), c.Epochs, r.stepsPerEpoch)
	if do.DryRun {
		return r.dryRun(ctx, do.Cost)
	}
	err = r.run(ctx, do.Fresh)
	if diverged := (*cli.DivergedError)(nil); do.Task >= 0 && errors.As(err, &diverged) {
		// To a sweep divergence is a result like any other.
		fmt.Fprintf(stderr, "cifar: %s\n", err)
		return nil
	}
	return err
}

// explainPreset says what was picked, why, what it does not show, and how to ask for more.
func explainPreset(do config.Command, kind backend.Kind) string {
	shows := map[string]string{
		"tiny": "40 embedded images, a network of width 4: shows that everything works, not " +
			"what momentum does; -preset=quick is the smallest real run",
		"quick": "128 embedded images, ResNet-18 of width 16: shows that GD and GD+M fit real " +
			"images, not the paper's accuracies; -preset=paper is the paper's setting and wants " +
			"a GPU",
		"paper": "CIFAR-10 with all 50,000 images, ResNet-18 of width 64, 300 epochs; " +
			"-preset=quick takes minutes on a CPU",
	}
	why := "asked for by -preset"
	if !do.Asked {
		why = fmt.Sprintf("picked for the backend %s", kind)
	}
	return fmt.Sprintf("%s, %s: %s", do.Preset, why, shows[do.Preset])
}

// load reads the training images and those to evaluate: the test images or, with -holdout, training
// images that are kept out. A share of each may be degraded; which ones does not depend on how many
// images are taken.
func load(ctx context.Context, c config.Config, stderr io.Writer) (train, eval *datasets.Images,
	err error) {
	train, test, err := datasets.Load(ctx, c.Data,
		datasets.Options{Dir: c.DataDir, Offline: c.Offline, Mirror: c.Mirror, Out: stderr})
	if err != nil {
		return nil, nil, err
	}
	if c.SmallMargin > 0 {
		if train, err = c.SmallMarginImages().Apply(train, "train"); err != nil {
			return nil, nil, err
		}
		if test, err = c.SmallMarginImages().Apply(test, "test"); err != nil {
			return nil, nil, err
		}
	}
	images := c.Images
	if images == 0 {
		images = train.N() - c.Holdout
	}
	if images < 1 || images+c.Holdout > train.N() {
		return nil, nil, cli.Usagef("-images + -holdout must be at most the %d training images "+
			"of %s, got %d + %d", train.N(), c.Data, c.Images, c.Holdout)
	}
	eval = test
	if c.Holdout > 0 {
		eval = train.Slice(train.N()-c.Holdout, train.N())
	}
	train = train.Slice(0, images)
	for _, set := range []*datasets.Images{train, eval} {
		if c.SmallMargin > 0 && (!slices.Contains(set.SmallMargin, true) ||
			!slices.Contains(set.SmallMargin, false)) {
			return nil, nil, cli.Usagef("-small-margin=%v must degrade some but not all of the "+
				"%d training images and of the %d others, which is not so here: use more of them",
				c.SmallMargin, train.N(), eval.N())
		}
	}
	return train, eval, nil
}

// upload copies a set of images to the device, with marks for the degraded ones.
func upload(be *backend.Backend, set *datasets.Images) (*descent.Data, error) {
	data, err := descent.NewData(be.Backend, set.Pixels, set.Labels, set.Mean, set.Std)
	if err == nil && set.SmallMargin != nil {
		err = data.SetSmallMargin(set.SmallMargin)
	}
	return data, err
}

// degraded says how many images of a set have a small margin, if any.
func degraded(d *descent.Data) string {
	if d.SmallMargin == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d degraded)", d.SmallMargin)
}
