// Cifar trains a convolutional network on CIFAR images by full-batch gradient descent, without (GD)
// or with momentum (GD+M).
//
//	go run ./cifar -opt=gdm
//
// The run itself is the package internal/imagerun, which reads from top to bottom.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"momentum/internal/cli"
	"momentum/internal/imagerun"
	"momentum/internal/markdown"
	"momentum/internal/runtable"
)

const manual = `cifar trains a convolutional network on CIFAR images by full-batch gradient descent
(GD) or by gradient descent with momentum (GD+M).

  go run ./cifar -opt=gdm                       the preset for this machine: 1 to 5 minutes
                                                on 2 cores, with embedded images
  go run ./cifar -opt=gd                        the same without momentum, from the same weights
  go run ./cifar -preset=paper -opt=gdm         CIFAR-10, 50,000 images, ResNet-18 of width 64,
                                                300 epochs; wants a GPU
  go run ./cifar -opt=gdm -seeds=5              five runs with the seeds 1 to 5, and a table
  go run ./cifar -opt=sgdm -batch=32            mini-batches
  go run ./cifar -config=runs/NAME/config.json  an earlier run again

A flag that is left out has the value of the preset (-dry-run prints all values). -preset=auto is
paper on a GPU, quick with XLA on the CPU, and tiny on the Go backend. With
-config=SWEEP/runs.jsonl -task=3, the settings are those of the fourth run of a sweep
(scripts/figure1, scripts/figure4).

A step of GD is w ← w − η∇L(w). GD+M is g ← γg + (1−γ)∇L(w), w ← w − ηg in the damped form (the
paper's), and b ← γb + ∇L(w), w ← w − ηb in the undamped form (PyTorch's), whose effective rate is
η/(1−γ). ∇L is exact: the mean over all training images, whatever -chunk and -devices are.

A run writes a folder under -runs: config.json, manifest.json, metrics.jsonl and .csv, curves.svg
and .png, report.html, TensorBoard events, SHA256SUMS, checkpoints, initial.safetensors and
weights.safetensors. With -save-weights-every it keeps weights along the run, too.
The same command again resumes the run or, if it is done, prints its result. -slim does not change
the result, but keeps none of the last three once the run has ended.

-seeds=5 makes five runs, one after the other, and a table of them. -name and -tags are for finding
runs again (scripts/summary -where); they are kept in manifest.json.

With -holdout the metrics of the evaluated images are named held_out_*, otherwise test_*.

Exit status: 0 done, 1 error, 2 usage, 3 diverged (the loss is no longer finite), 75 stopped by a
signal with a checkpoint saved.
`

func main() { os.Exit(cli.Main("cifar", run)) }

// run is the command: it prints the manual, or executes one run, or one for each of -seeds.
func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	command, err := imagerun.ParseCommand(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, manual)
		imagerun.PrintFlags(stdout)
		return nil
	} else if err != nil {
		return err
	}
	err = command.Run(ctx, stdout, stderr)
	if len(command.Folders) > 1 {
		rows := runtable.Rows(runtable.ReadAll(ctx, command.Folders, stderr))
		fmt.Fprintf(stdout, "\n%s", markdown.Align(runtable.Table(rows, nil).Markdown()))
	}
	return err
}
