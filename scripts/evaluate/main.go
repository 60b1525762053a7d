// Evaluate classifies images with the weights that a run has saved: its weights.safetensors, or one
// of its checkpoints.
//
//	go run ./scripts/evaluate runs/NAME
//	go run ./scripts/evaluate runs/NAME -data=cifar10 -split=train
//	go run ./scripts/evaluate runs/NAME -checkpoint=step-00000150
//	go run ./scripts/evaluate runs/NAME -image=cat.png
//
// On a set of images it prints the loss and the accuracy, beside those that the run itself
// measured; the accuracy on each class; the confusion matrix, or for more than 20 classes the pairs
// that are confused most often; and the most and the least certain images. It writes
//
//	NAME.csv             the confusion matrix: a row for each label, a column for each prediction
//	NAME-confusion.png   and .svg: the same as a picture
//	NAME-images.png      the most and the least certain images
//
// where NAME is -out. With -image it prints the classes of one picture with their probabilities,
// and writes nothing. A probability is the softmax of the network's outputs; an image is certain if
// the probability of its prediction is high, right or wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"momentum/datasets"
	"momentum/internal/cli"
	"momentum/internal/durable"
	"momentum/internal/imagerun"
	"momentum/internal/markdown"
)

func main() { os.Exit(cli.Main("evaluate", run)) }

const manual = `evaluate classifies images with the weights that a run has saved.

  go run ./scripts/evaluate runs/NAME                             as the run evaluated itself
  go run ./scripts/evaluate runs/NAME -data=cifar10 -split=train  other images
  go run ./scripts/evaluate runs/NAME -checkpoint=step-00000150   weights before that step
  go run ./scripts/evaluate runs/NAME -image=cat.png              one picture

It prints loss, accuracy, the accuracy on each class, the confusion matrix, and the most and the
least certain images. It writes the confusion matrix as a table (-out.csv) and as a picture
(-out-confusion.png, .svg), and the images (-out-images.png). With -image it prints the classes of
one picture with their probabilities.
`

// options are the values of the flags.
type options struct {
	folder, checkpoint, data, split, image, out string
	imagerun.Config                             // of which the execution counts
}

// parse reads the command line. Flags may stand before and after the folder of the run.
func parse(args []string, stdout io.Writer) (*options, error) {
	o := &options{}
	o.Backend = "auto"
	fs := flag.NewFlagSet("evaluate", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.checkpoint, "checkpoint", "", "a checkpoint: "+
		"its name in the run's checkpoints, such as step-00000150, or the `folder`'s path; empty: "+
		"the final weights")
	fs.StringVar(&o.data, "data", "", strings.Join(datasets.Names(), "|")+"; empty: the run's")
	fs.StringVar(&o.split, "split", "", "train (of the run's data, the images that it was trained "+
		"on)|test|held-out; empty: test, or held-out if the run held images out")
	fs.StringVar(&o.image, "image", "", "a `file`, PNG or JPEG, to classify. Its middle square is "+
		"scaled to 32×32; empty: the images of -data and -split")
	fs.StringVar(&o.out, "out", "evaluate", "the `name` of the files, without an ending")
	places := []string{"backend", "data-dir", "mirror", "offline"}
	o.Bind(fs, places...)
	err := cli.ParseOnce(fs, args)
	if err == nil && fs.NArg() > 0 {
		o.folder = fs.Arg(0)
		err = cli.ParseOnce(fs, fs.Args()[1:])
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, manual)
		cli.PrintFlags(stdout, fs, cli.FlagGroup{Title: "What to evaluate",
			Names: []string{"checkpoint", "data", "split", "image", "out"}},
			cli.FlagGroup{Title: "Where", Names: places})
		return nil, err
	case err != nil:
		return nil, cli.Usagef("%w; see -h", err)
	case fs.NArg() > 0:
		return nil, cli.Usagef("unexpected argument %q: want one run folder", fs.Arg(0))
	case o.folder == "":
		return nil, cli.Usagef("name a run folder, for example runs/NAME; see -h")
	}
	return o, o.validate()
}

// validate refuses values that contradict each other.
func (o *options) validate() error {
	if info, err := os.Stat(filepath.Dir(o.out)); err != nil || !info.IsDir() {
		return cli.Usagef("-out=%s: there is no folder %s: make it, or name another one", o.out,
			filepath.Dir(o.out))
	}
	splits := []string{imagerun.TrainSplit, imagerun.TestSplit, imagerun.HeldOutSplit}
	switch {
	case o.split != "" && !slices.Contains(splits, o.split):
		return cli.Usagef("-split must be one of %s, got %q", strings.Join(splits, ", "), o.split)
	case o.data != "" && !slices.Contains(datasets.Names(), o.data):
		return cli.Usagef("-data must be one of %s, got %q", strings.Join(datasets.Names(), ", "),
			o.data)
	case o.image != "" && (o.data != "" || o.split != ""):
		return cli.Usagef("-image is one picture, which needs no -data and no -split: leave them " +
			"out")
	}
	return nil
}

func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	saved, err := imagerun.FindSaved(o.folder, o.checkpoint)
	if err != nil {
		return err
	}
	if o.image != "" {
		return o.classify(ctx, saved, stdout, stderr)
	}
	if o.data == "" {
		o.data = saved.Data
	}
	if o.split == "" {
		o.split = saved.Evaluated()
		if o.data != saved.Data {
			o.split = imagerun.TestSplit
		}
	}
	images, err := saved.Images(ctx, o.data, o.split, o.Execution, stderr)
	if err != nil {
		return err
	}
	r, err := o.evaluate(ctx, saved, images, stdout, stderr)
	if err != nil {
		return err
	}
	recorded := ""
	if loss, accuracy, found, err := saved.Recorded(o.split); err != nil {
		return err
	} else if found && o.data == saved.Data {
		recorded = fmt.Sprintf(" (the run measured loss %.4g, accuracy %s)", loss,
			percent(accuracy))
	}
	fmt.Fprintf(stdout, "images    %s, %s: %d\n\nloss %.4g, accuracy %s%s\n", o.data, o.split,
		images.N(), r.loss, percent(r.accuracy), recorded)
	fmt.Fprint(stdout, markdown.Align(r.classTable()+r.confusionTable()))
	return o.write(ctx, r, images, stdout)
}

// evaluate computes what the network says about images.
func (o *options) evaluate(ctx context.Context, saved *imagerun.Saved, images *datasets.Images,
	stdout, stderr io.Writer) (*result, error) {
	network, err := saved.Open(ctx, o.Backend, o.Offline, images.N(), stderr)
	if err != nil {
		return nil, err
	}
	defer network.Backend.LeaveAutotuned()
	fmt.Fprintf(stdout, "backend   %s on %s\n", network.Backend.Name(), network.Backend.Device)
	fmt.Fprintf(stdout, "weights   %s: %s, width %d\n", saved.Path, saved.Model, saved.Width)
	logits, err := network.Logits(ctx, images)
	if err != nil {
		return nil, err
	}
	return newResult(logits, images.Labels, images.ClassNames), nil
}

// write writes the files, and prints the table of the certain and uncertain images.
func (o *options) write(ctx context.Context, r *result, images *datasets.Images,
	stdout io.Writer) error {
	if err := durable.WriteFile(o.out+".csv", r.writeCSV); err != nil {
		return err
	}
	if err := r.picture().Write(ctx, o.out+"-confusion"); err != nil {
		return err
	}
	rows := r.examples(examplesInRow)
	fmt.Fprint(stdout, markdown.Align(r.examplesTable(rows)))
	if err := r.mosaic(rows, images).Write(o.out + "-images.png"); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nfiles     %[1]s.csv, %[1]s-confusion.png, %[1]s-images.png\n", o.out)
	return nil
}

// classify prints the classes of one picture.
func (o *options) classify(ctx context.Context, saved *imagerun.Saved, stdout,
	stderr io.Writer) error {
	if saved.Norm == "batch" {
		return cli.Usagef("-image: the run has batch normalization, which takes its statistics "+
			"over %d images: it cannot classify a single one. Evaluate a set of images",
			saved.Chunk)
	}
	pixels, note, err := readImage(o.image)
	if err != nil {
		return err
	}
	r, err := o.evaluate(ctx, saved, &datasets.Images{Pixels: pixels, Labels: []uint8{0},
		ClassNames: saved.Facts.ClassNames, Mean: saved.Facts.Mean, Std: saved.Facts.Std}, stdout,
		stderr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "image     %s%s\n\n%s", o.image, note,
		markdown.Align(r.classesOf(0, 10)))
	return nil
}
