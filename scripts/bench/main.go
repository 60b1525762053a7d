// Bench measures how fast and in how much memory the exact full-batch step runs here, beside the
// same step in JAX and in PyTorch.
//
//	go run ./scripts/bench -venv=.venv             ours, JAX and PyTorch (installed into .venv first) and a bare matrix product
//	go run ./scripts/bench -program -images=256 -steps=20
//	                                               the whole of ./cifar beside its bare step
//	go run ./scripts/bench -memory                 peak memory at 5,000 and 50,000 images, and at width 64
//	go run ./scripts/bench -synthetic -venv=.venv  ours, JAX and C on the synthetic data of Figure 3, and a bare matrix product; about 5 minutes
//
// Run it in the repository's root, on a machine that does nothing else. Each number is from a fresh
// process: the contenders take turns, round after round (A B C A B C …), so that a machine that
// slows down slows all of them; a process takes one step that is not counted, which compiles, and
// then -steps steps over -images images. The table has, for each setting, the median over the
// rounds and, in brackets, the least and the largest, beside the ratios of the medians; a row
// "best" has each contender at its own best chunk. GFLOP/s count 2 for each multiply-add of the
// convolutions and the head. A load average above 1.5 at the start is warned of.
//
// On the synthetic data a process takes -steps/S steps that are not counted and as many that are,
// for each number S of -settings that train at once. All contenders start from the same samples and
// weights and must end at the same losses, or it is an error. Among them are JAX by the definition,
// which a user would write, JAX by hand with our layout and gradient, and a C program on one core
// (c/synthetic.c, with cc).
//
// JAX and PyTorch run bench_jax.py, synthetic_jax.py and bench_torch.py beside this file. One that
// is not installed is left out, with a line that says so.
//
// The table goes to the standard output and, with the commands, versions and every rate, into -out:
// bench.md and bench.json, or program.md and so on. Progress goes to the standard error. The exit
// status is 0, 1 after an error (what was measured before is still printed), and 2 if the command
// line is wrong.
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

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/measure"
)

func main() { os.Exit(cli.Main("bench", run)) }

// options are the flags.
type options struct {
	program, memory       bool
	synthetic             bool
	models                []string
	widths, chunks        []int
	precisions            []descent.Precision
	images, steps, rounds int
	samples               int
	settingCounts         []int
	matmul                int
	backend               string
	venv, jax, torch      string
	out                   string
}

func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	var t task
	if child, err := measure.Child(args, &t); err != nil {
		return &cli.UsageError{Err: err}
	} else if child {
		return t.do(ctx, stdout, stderr)
	}
	o, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	do := map[string]func(context.Context, *report, io.Writer) error{
		"bench": o.steppers, "program": o.programs, "memory": o.peaks, "synthetic": o.synthetics,
	}[o.mode()]
	r := newReport(strings.Join(append([]string{"go run ./scripts/bench"}, args...), " "), stderr)
	err = do(ctx, r, stderr)
	r.end(stderr)
	text := r.markdown() // of what was measured before an error, if there was one
	fmt.Fprint(stdout, text)
	return errors.Join(err, r.save(filepath.Join(o.out, o.mode()), text))
}

// mode is what to do, and the name of the results.
func (o *options) mode() string {
	switch {
	case o.program:
		return "program"
	case o.memory:
		return "memory"
	case o.synthetic:
		return "synthetic"
	}
	return "bench"
}

// parse reads and checks the flags.
func parse(args []string, stdout io.Writer) (*options, error) {
	o := &options{
		models: []string{"resnet18", "wrn16-4"}, chunks: []int{8, 16, 32},
		precisions:    []descent.Precision{descent.F32},
		settingCounts: []int{1, 2, 16},
	}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are returned; -h prints below
	fs.BoolVar(&o.program, "program", false,
		"compare the whole of ./cifar, without evaluations and checkpoints, with the bare step")
	fs.BoolVar(&o.memory, "memory", false, "measure peak memory instead of speed")
	fs.BoolVar(&o.synthetic, "synthetic", false,
		"measure the steps of the cubic network on the synthetic data")
	fs.IntVar(&o.samples, "samples", 20000, "`samples` of the synthetic data")
	fs.Func("settings", "`list` of how many settings train at once on the synthetic data "+
		"(default 1,2,16)", cli.Numbers(&o.settingCounts))
	// those that the Python scripts have too
	fs.Func("models", "`list` of resnet18, wrn16-4 (default both)",
		cli.Words(&o.models, "resnet18", "wrn16-4"))
	fs.Func("widths", "`list` of the channels of the stem (default 16,64 for resnet18 and 8,16 "+
		"for wrn16-4)", cli.Numbers(&o.widths))
	fs.Func("chunks", "`list` of the images per call of the compiled step (default 8,16,32)",
		cli.Numbers(&o.chunks))
	fs.Func("precision", "`list` of f32, bf16 (default f32)",
		cli.Words(&o.precisions, descent.F32, descent.BF16))
	fs.IntVar(&o.images, "images", 128, "`images` per step")
	fs.IntVar(&o.steps, "steps", 5, "timed `steps` of each process; with -synthetic the sum over "+
		"its settings, and by default 800")
	fs.IntVar(&o.rounds, "rounds", 3, "`rounds`, in each of which every contender runs once")
	fs.IntVar(&o.matmul, "matmul", 2048, "`size` M of the bare product [M, M]·[M, M]")
	fs.StringVar(&o.backend, "backend", "xla:cpu",
		"auto|xla:cuda|xla:cpu|xla:/abs/plugin.so|go: of ours and of the bare product")
	fs.StringVar(&o.venv, "venv", "", "`folder` of a Python environment with JAX and PyTorch; it "+
		"is made, and they are installed, if need be")
	fs.StringVar(&o.jax, "python-jax", ".venv/bin/python",
		"Python `program` that has JAX; -venv sets it")
	fs.StringVar(&o.torch, "python-torch", ".venv/bin/python",
		"Python `program` that has PyTorch; -venv sets it")
	fs.StringVar(&o.out, "out", "results/bench", "`folder` of the results")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, "Bench measures the full-batch step beside JAX and PyTorch:\n\n\tgo "+
			"run ./scripts/bench -venv=.venv\n\tgo run ./scripts/bench -synthetic -venv=.venv\n\n")
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return nil, err
	case err != nil:
		return nil, cli.Usagef("%w; see -h", err)
	case fs.NArg() > 0:
		return nil, cli.Usagef("unexpected argument %q; see -h", fs.Arg(0))
	case o.program && o.memory || o.program && o.synthetic || o.memory && o.synthetic:
		return nil, cli.Usagef("-program, -memory and -synthetic exclude each other")
	}
	for _, f := range []struct {
		name       string
		got, least int
	}{{"images", o.images, 1}, {"steps", o.steps, 1}, {"rounds", o.rounds, 1},
		{"matmul", o.matmul, 1}, {"samples", o.samples, 1}} {
		if f.got < f.least {
			return nil, cli.Usagef("-%s must be at least %d, got %d", f.name, f.least, f.got)
		}
	}
	if c := slices.Max(o.chunks); c > o.images {
		return nil, cli.Usagef("-chunks must be at most the %d -images, got %d", o.images, c)
	}
	if o.program && o.images >= 1000 {
		return nil, cli.Usagef("-program trains on the embedded images: -images must be less "+
			"than 1000, got %d", o.images)
	}
	if err := backend.Parse(o.backend); err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for mode, without := range map[string][]string{
		"bench":   {"samples", "settings"},
		"program": {"venv", "python-jax", "python-torch", "matmul", "samples", "settings"},
		"memory": {"venv", "python-jax", "python-torch", "matmul", "models", "widths", "chunks",
			"precision", "images", "steps", "rounds", "samples", "settings"},
		"synthetic": {"python-torch", "models", "widths", "chunks", "precision", "images"},
	} {
		for _, name := range without {
			if o.mode() == mode && given[name] {
				if mode == "bench" {
					return nil, cli.Usagef("-%s needs -synthetic", name)
				}
				return nil, cli.Usagef("-%s has no use for -%s: leave it out", mode, name)
			}
		}
	}
	if o.synthetic && !given["steps"] {
		o.steps = 800
	}
	if o.venv != "" {
		python := filepath.Join(o.venv, "bin", "python")
		if !given["python-jax"] {
			o.jax = python
		}
		if !given["python-torch"] {
			o.torch = python
		}
	}
	return o, nil
}

// settings are all combinations that the flags ask for, those that differ in their chunk only one
// after the other.
func (o *options) settings() []measure.Setting {
	var all []measure.Setting
	for _, model := range o.models {
		widths := o.widths
		if widths == nil {
			widths = map[string][]int{"resnet18": {16, 64}, "wrn16-4": {8, 16}}[model]
		}
		for _, width := range widths {
			for _, precision := range o.precisions {
				for _, chunk := range o.chunks {
					all = append(all, measure.Setting{Model: model, Width: width,
						Precision: precision, Chunk: chunk})
				}
			}
		}
	}
	return all
}
