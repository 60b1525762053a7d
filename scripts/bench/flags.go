package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/measure"
)

// options are the values of the flags.
type options struct {
	program, memory, synthetic bool

	models                []string
	widths, chunks        []int
	precisions            []descent.Precision
	cores, devices        []int // a device of 0 is auto
	images, steps, rounds int
	matmul                int
	backend               string

	samples       int
	settingCounts []int

	venv, jax, torch string
	out              string
}

// mode is the kind of measurement, and the file name of its results.
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

// parse reads and checks the command line.
func parse(args []string, stdout io.Writer) (*options, error) {
	o := &options{
		models: []string{"resnet18", "wrn16-4"}, chunks: []int{8, 16, 32},
		precisions:    []descent.Precision{descent.F32},
		cores:         []int{runtime.NumCPU()},
		devices:       []int{0},
		settingCounts: []int{1, 2, 16},
	}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	o.bind(fs)
	if err := cli.Parse(fs, args, stdout, "bench measures the full-batch step beside JAX and "+
		"PyTorch.\n\n  go run ./scripts/bench -venv=.venv\n  go run ./scripts/bench -synthetic "+
		"-venv=.venv"); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	onCPU := o.backend != "auto" && !strings.Contains(o.backend, "cuda")
	if o.mode() == "bench" && !given["cores"] && onCPU && runtime.GOOS == "linux" {
		o.cores = append(o.cores, 1)
	}
	if err := o.validate(given); err != nil {
		return nil, err
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

// bind declares the flags.
func (o *options) bind(fs *flag.FlagSet) {
	fs.BoolVar(&o.program, "program", false, "compare the whole of ./cifar, without evaluations "+
		"and checkpoints, with the bare step")
	fs.BoolVar(&o.memory, "memory", false, "measure peak memory instead of speed")
	fs.BoolVar(&o.synthetic, "synthetic", false,
		"measure the steps of the cubic network on the synthetic data")
	fs.IntVar(&o.samples, "samples", 20000, "number of `samples` of the synthetic data")
	fs.Func("settings", "`list` of the numbers of settings that train at once on the synthetic "+
		"data (default 1,2,16)", cli.Numbers(&o.settingCounts))

	// The Python scripts have these flags too.
	fs.Func("model", "`list` of resnet18, wrn16-1, wrn16-4 (default resnet18,wrn16-4)",
		cli.Words(&o.models, "resnet18", "wrn16-1", "wrn16-4"))
	fs.Func("width", "`list` of the numbers of channels of the stem (default 8,16,64 for "+
		"resnet18 and 8,16 for the others)", cli.Numbers(&o.widths))
	fs.Func("chunk", "`list` of the images per call of the compiled step (default 8,16,32)",
		cli.Numbers(&o.chunks))
	fs.Func("precision", "`list` of f32, bf16, for our step and JAX (default f32); PyTorch takes "+
		"its step in both", cli.Words(&o.precisions, descent.F32, descent.BF16))
	fs.Func("cores", "`list` of the numbers of CPUs that every contender may use, or all (default "+
		"all,1 on a CPU)", cli.NumbersOr(&o.cores, "all", runtime.NumCPU()))
	fs.Func("devices", "`list` of the numbers of devices that our step works on, or auto (default "+
		"auto); with one core it is 1", cli.NumbersOr(&o.devices, "auto", 0))
	fs.IntVar(&o.images, "images", 128, "`images` per step")
	fs.IntVar(&o.steps, "steps", 5, "timed `steps` of each process; with -synthetic the sum over "+
		"its settings, 800 by default")
	fs.IntVar(&o.rounds, "rounds", 5, "`rounds`, in each of which every contender runs once")

	fs.IntVar(&o.matmul, "matmul", 2048, "`size` M of the bare product [M, M]·[M, M]")
	fs.StringVar(&o.backend, "backend", "xla:cpu", backend.Flag+
		": backend of our step and of the bare product")
	fs.StringVar(&o.venv, "venv", "", "`folder` of a Python environment with JAX and PyTorch; if "+
		"necessary it is created and they are installed")
	fs.StringVar(&o.jax, "python-jax", ".venv/bin/python",
		"Python `program` with JAX; -venv sets it")
	fs.StringVar(&o.torch, "python-torch", ".venv/bin/python",
		"Python `program` with PyTorch; -venv sets it")
	fs.StringVar(&o.out, "out", "results/bench", "`folder` of the results")
}

// unused lists the flags that a mode does not use.
var unused = map[string][]string{
	"bench":   {"samples", "settings"},
	"program": {"venv", "python-jax", "python-torch", "matmul", "cores", "samples", "settings"},
	"memory": {"venv", "python-jax", "python-torch", "matmul", "model", "width", "chunk",
		"precision", "cores", "devices", "images", "steps", "rounds", "samples", "settings"},
	"synthetic": {"python-torch", "model", "width", "chunk", "precision", "cores", "devices",
		"images"},
}

// validate checks the options. given holds the names of the flags on the command line.
func (o *options) validate(given map[string]bool) error {
	if o.program && o.memory || o.program && o.synthetic || o.memory && o.synthetic {
		return cli.Usagef("-program, -memory and -synthetic exclude each other")
	}
	for _, f := range []struct {
		name  string
		value int
	}{{"images", o.images}, {"steps", o.steps}, {"rounds", o.rounds}, {"matmul", o.matmul},
		{"samples", o.samples}} {
		if f.value < 1 {
			return cli.Usagef("-%s must be at least 1, got %d", f.name, f.value)
		}
	}
	if c := slices.Max(o.chunks); c > o.images {
		return cli.Usagef("-chunk must be at most the %d -images, got %d", o.images, c)
	}
	if o.program && o.images >= 1000 {
		return cli.Usagef("-program trains on the embedded images: -images must be less than "+
			"1000, got %d", o.images)
	}
	if parent := filepath.Dir(filepath.Clean(o.venv)); o.venv != "" {
		if info, err := os.Stat(parent); err != nil || !info.IsDir() {
			return cli.Usagef("-venv=%s: there is no folder %s to make it in: name one that "+
				"exists, for example -venv=.venv", o.venv, parent)
		}
	}
	for _, n := range o.cores {
		if err := measure.OnCPUs(n, func() error { return nil }); err != nil {
			return cli.Usagef("-cores: %w", err)
		}
	}
	if err := backend.Parse(o.backend); err != nil {
		return &cli.UsageError{Err: err}
	}
	for _, name := range unused[o.mode()] {
		switch {
		case given[name] && o.mode() == "bench":
			return cli.Usagef("-%s needs -synthetic", name)
		case given[name]:
			return cli.Usagef("-%s has no use for -%s: leave it out", o.mode(), name)
		}
	}
	return nil
}
