// Interpolate goes along the line between two weight sets, w(t) = (1−t) a + t b: those of two runs,
// or of two epochs of one run. It measures loss and accuracy on the training images and on those
// that the runs evaluate, and how far apart the runs are at each epoch of which both kept weights
// (-save-weights-every of cifar).
//
//	go run ./scripts/interpolate runs/A runs/B            final weights
//	go run ./scripts/interpolate runs/A@10 runs/A@100     weights before the epochs 10 and 100
//	go run ./scripts/interpolate -from=-0.25 -to=1.25 runs/A runs/B
//	go run ./scripts/interpolate -points=0 runs/A runs/B  distances only, without a backend
//
// It prints both as tables and writes
//
//	NAME.csv             t, loss and accuracies
//	NAME-distances.csv   epoch, distances and the cosine of the displacements, if there is one
//	NAME.png             and .svg: the same as a picture
//
// where NAME is -out. t = 0 and t = 1 are always among the points. Batch normalization has no
// stored statistics here: at each point it takes those of each chunk, as in training.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"momentum/internal/cli"
	"momentum/internal/imagerun"
)

func main() { os.Exit(cli.Main("interpolate", run)) }

const manual = `interpolate measures loss and accuracy along the line between two weight sets, and
the distances between two runs.

  go run ./scripts/interpolate runs/A runs/B             between the final weights
  go run ./scripts/interpolate runs/A@10 runs/A@100      between those before two epochs of a run
  go run ./scripts/interpolate -points=0 runs/A runs/B   distances only

The point t is (1−t)a + t·b. It prints tables and writes -out.csv, -out-distances.csv, -out.png and
-out.svg. Weights along a run are kept with -save-weights-every of cifar; the initial and the final
ones are kept by every run that is not slim.
`

// options are the values of the flags.
type options struct {
	ends            [2]end
	points          int
	from, to        float64
	out             string
	imagerun.Config // of which the execution counts
}

// end is a run and an epoch of it; −1 is the final weights.
type end struct {
	folder string
	epoch  int
}

// parseEnd reads RUN or RUN@EPOCH.
func parseEnd(text string) (end, error) {
	i := strings.LastIndex(text, "@")
	if i < 0 {
		return end{text, -1}, nil
	}
	epoch, err := strconv.Atoi(text[i+1:])
	if err != nil || epoch < 0 || i == 0 {
		return end{}, cli.Usagef("%s: want a run folder, or RUN@EPOCH with an epoch of at least 0",
			text)
	}
	return end{text[:i], epoch}, nil
}

// find finds the weights.
func (e end) find() (*imagerun.Saved, error) {
	if e.epoch < 0 {
		return imagerun.FindSaved(e.folder, "")
	}
	return imagerun.FindEpoch(e.folder, e.epoch)
}

// title says what a and b are: algorithms, rates and, where they are given, epochs. The seed stands
// at the end if both have the same.
func (o *options) title(ends [2]*imagerun.Saved) string {
	var names [2]string
	for i, s := range ends {
		text := fmt.Sprintf("%s (η = %g", imagerun.Algorithm(s.Opt), s.Rate)
		if s.Seed != ends[1-i].Seed {
			text += fmt.Sprintf(", seed %d", s.Seed)
		}
		if epoch := o.ends[i].epoch; epoch >= 0 {
			text += fmt.Sprintf(", epoch %d", epoch)
		}
		names[i] = text + ")"
	}
	title := fmt.Sprintf("From a = %s to b = %s", names[0], names[1])
	if ends[0].Seed == ends[1].Seed {
		title += fmt.Sprintf(", seed %d", ends[0].Seed)
	}
	return title
}

// parse reads the command line. Flags may stand before and after the runs.
func parse(args []string, stdout io.Writer) (*options, error) {
	o := &options{}
	o.Backend = "auto"
	fs := flag.NewFlagSet("interpolate", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.IntVar(&o.points, "points", 21, "points of the line; 0: distances only")
	fs.Float64Var(&o.from, "from", 0, "the first t, at most 0")
	fs.Float64Var(&o.to, "to", 1, "the last t, at least 1")
	fs.StringVar(&o.out, "out", "interpolate", "the `name` of the files, without an ending")
	places := []string{"backend", "data-dir", "mirror", "offline"}
	o.Bind(fs, places...)
	var names []string
	err := cli.ParseOnce(fs, args)
	for err == nil && fs.NArg() > 0 {
		names = append(names, fs.Arg(0))
		err = cli.ParseOnce(fs, fs.Args()[1:])
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, manual)
		cli.PrintFlags(stdout, fs, cli.FlagGroup{Title: "What to measure",
			Names: []string{"points", "from", "to", "out"}},
			cli.FlagGroup{Title: "Where", Names: places})
		return nil, err
	case err != nil:
		return nil, cli.Usagef("%w; see -h", err)
	case len(names) != 2:
		return nil, cli.Usagef("%d run folders, want two: runs/A runs/B, or two epochs of one "+
			"run, runs/A@0 runs/A@100; see -h", len(names))
	case o.points != 0 && o.points < 2:
		return nil, cli.Usagef("-points must be 0 or at least 2, got %d", o.points)
	case !(o.from <= 0) || math.IsInf(o.from, 0):
		return nil, cli.Usagef("-from must be finite and at most 0, got %v", o.from)
	case !(o.to >= 1) || math.IsInf(o.to, 0):
		return nil, cli.Usagef("-to must be finite and at least 1, got %v", o.to)
	}
	if info, err := os.Stat(filepath.Dir(o.out)); err != nil || !info.IsDir() {
		return nil, cli.Usagef("-out=%s: there is no folder %s: make it, or name another one",
			o.out, filepath.Dir(o.out))
	}
	for i, name := range names {
		if o.ends[i], err = parseEnd(name); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	var ends [2]*imagerun.Saved
	for i, e := range o.ends {
		if ends[i], err = e.find(); err != nil {
			return err
		}
	}
	if err := ends[0].Comparable(ends[1]); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "a         %s\nb         %s\n", ends[0].Path, ends[1].Path)
	apart, err := distances(ends)
	if err != nil {
		return err
	}
	var line []point
	if o.points > 0 {
		if line, err = o.line(ctx, ends, stdout, stderr); err != nil {
			return err
		}
	}
	return o.write(ctx, &result{line: line, apart: apart, evaluated: ends[0].Evaluated(),
		standardized: ends[0].Norm == "weights", title: o.title(ends)}, stdout)
}
