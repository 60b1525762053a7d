// Gpucheck checks whether this program computes correctly on a GPU, and measures its speed. It is a
// single file that needs neither Go nor a network:
//
//	go build -o gpucheck ./scripts/gpucheck        on this machine
//	./gpucheck -backend=xla:cuda                   on the GPU machine
//	./gpucheck -backend=xla:/opt/xla_cuda_plugin.so -data-dir=/data -out=gpucheck.json
//
// The GPU machine must have NVIDIA's driver and a CUDA PJRT plugin: a file that -backend names, or
// that of an installed JAX, which xla:cuda finds. Without one, xla:cuda installs it (docs/gpu.md).
// The binary uses cgo and dlopen and so is not static: its glibc must not be newer than that of the
// GPU machine (compare the first lines of "ldd --version"). Build it on the oldest system that it
// has to support, or in a container of that system.
//
// The first command on a GPU is
//
//	./gpucheck -first
//
// Once the plugin is there, it ends within three minutes (-limit) and says what it could not do by
// then. It
//
//  1. compares, in f32, the losses of a few full-batch steps, and the norms of all parameters'
//     gradients, with those in float64, which are part of the binary (ResNet-18 of width 8, 32
//     embedded images); they must agree to 1e-4 and 1e-3, and do not if the GPU rounds to TF32;
//  2. takes 3 full-batch steps in the paper's setting (ResNet-18 of width 64, 50,000 images), in
//     bf16 and in tf32, with chunks of 2,000 images, and gives the time to compile, images/s, how
//     long 300 epochs take, and the memory in use on the GPU;
//  3. takes the steps in bf16 again in a second process, and says whether the weights are the same
//     to the bit.
//
// Without -first it does, in f32, tf32 and bf16,
//
//  1. the comparison with float64;
//  2. a bare matrix product and, for each of -chunk, the step of ResNet-18 of width 64, both
//     timed; a chunk that does not fit into memory is recorded as an error and is no failure;
//  3. 20 full-batch steps in the paper's setting at the fastest chunk.
//
// The images of the paper's setting are CIFAR-10's from -data-dir or, without it, the 1,000
// embedded images repeated. Each of these steps is a process of its own, since NVIDIA's libraries
// either use TF32 or not in a whole process, and is ended after 10 minutes. After each step the
// results so far are written to -out as JSON. Where a command may take 10 minutes only, name one
// precision:
//
//	./gpucheck -precision=bf16 -limit=9m30s -out=bf16.json
//
// The exit status is 0 on success, 1 if something deviates, fails or is not done in time, and 2 for
// a wrong command line. -quick shrinks everything to seconds, so that the command can be tried on a
// CPU; -width and -images set the size of the paper's setting alone:
//
//	go run ./scripts/gpucheck -quick -backend=xla:cpu
//	go run ./scripts/gpucheck -first -width=8 -images=200 -backend=xla:cpu
//
// -compile needs no GPU: with the CUDA plugin it compiles the graphs of a step for an H100 that a
// file describes, for the networks of the paper and of the studies, in each precision, with and
// without determinism. It prints a table of the time to compile and of the memory of each graph
// (its arguments, results and temporary values), and fails on an error of the compiler and where
// the plugin wants larger arguments than go-xla gives it. Several GPUs run the same executables,
// since they meet on the host. It needs Go, a C compiler and the plugin, which it fetches (259 MB)
// where none is installed, and says so and succeeds where one cannot be had:
//
//	go run ./scripts/gpucheck -compile
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"time"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/measure"
	"momentum/models"
)

func main() { os.Exit(cli.Main("gpucheck", run)) }

// size is the amount of work.
type size struct {
	Width  int   `json:"width"`
	Chunks []int `json:"chunks"`
	Timed  int   `json:"timed_steps"` // for each chunk, after one step that compiles
	Matmul int   `json:"matmul"`      // size of the bare product
	Images int   `json:"images"`      // in the paper's setting
	Steps  int   `json:"steps"`       // in the paper's setting
}

var (
	full = size{Width: 64, Chunks: []int{100, 200, 500, 1000, 2000}, Timed: 3, Matmul: 8192,
		Images: 50_000, Steps: 20}
	first = size{Width: 64, Chunks: []int{2000}, Images: 50_000, Steps: 3}
	quick = size{Width: 2, Chunks: []int{4, 8}, Timed: 1, Matmul: 64, Images: 20, Steps: 2}
)

// report is the JSON of -out.
type report struct {
	Started    time.Time         `json:"started"`
	Seconds    float64           `json:"seconds"`
	Go         string            `json:"go"`
	Modules    map[string]string `json:"modules"`
	Data       string            `json:"data"`
	Precisions []outcome         `json:"precisions"`
}

func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	var t task
	if child, err := measure.Child(args, &t); err != nil {
		return &cli.UsageError{Err: err}
	} else if child && t.Compile != nil {
		return json.NewEncoder(stdout).Encode(t.Compile.do(ctx, stderr))
	} else if child {
		return json.NewEncoder(stdout).Encode(t.do(ctx, stderr))
	}

	o, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if o.compile {
		return compile(ctx, stdout, stderr, o)
	}
	r := report{Started: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(),
		Modules: backend.Modules(), Data: "embedded images of CIFAR-10, repeated"}
	if o.Data != "" {
		if _, _, err := datasets.Load(ctx, "cifar10",
			datasets.Options{Dir: o.Data, Offline: true}); err != nil {
			return err
		}
		r.Data = "CIFAR-10"
	}
	fmt.Fprintf(stdout, "data: %s\n", r.Data)
	opened, err := o.open(ctx, stderr)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	var problem error
	for _, p := range o.precisions {
		opened.Precision = p
		r.Precisions = append(r.Precisions, opened)
		got := &r.Precisions[len(r.Precisions)-1]
		if err := o.measure(limited, stderr, got, func() error {
			r.Seconds = time.Since(r.Started).Seconds()
			return errors.Join(writeJSON(o.out, r), ctx.Err())
		}); err != nil {
			return err
		}
		got.print(stdout)
		if got.Error != "" && problem == nil {
			problem = fmt.Errorf("%s: %s", p, got.Error)
		}
	}
	fmt.Fprintln(stdout, o.out)
	return problem
}

// writeJSON writes a report.
func writeJSON(path string, report any) error {
	data, err := json.MarshalIndent(report, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o666)
}

// options are the values of the flags.
type options struct {
	task
	precisions []descent.Precision
	out        string
	first      bool
	limit      time.Duration // of the whole command
	compile    bool
	networks   []models.Config // of -compile
}

// parse reads and checks the command line.
func parse(args []string, stdout io.Writer) (o options, err error) {
	fs := flag.NewFlagSet("gpucheck", flag.ContinueOnError)
	fs.StringVar(&o.Backend, "backend", "xla:cuda",
		"xla:cuda|xla:/abs/plugin.so, or one of the CPU to try this command: "+backend.Flag)
	fs.StringVar(&o.Data, "data-dir", "",
		"`folder` of CIFAR, with cifar-10-batches-bin; empty: embedded images")
	fs.StringVar(&o.out, "out", "gpucheck.json", "`file` of the results")
	fs.Func("precision", "`list` of f32, tf32, bf16 (default f32,tf32,bf16)",
		cli.Words(&o.precisions, descent.F32, descent.TF32, descent.BF16))
	fs.BoolVar(&o.first, "first", false,
		"in three minutes: f32 against the CPU, bf16 and tf32 in the paper's setting")
	fs.DurationVar(&o.limit, "limit", 0,
		"`time` after which what is not done is left out (default 3m with -first, else none)")
	fs.BoolVar(&o.compile, "compile", false,
		"only compile, for a described H100; this needs no GPU")
	var names []string
	fs.Func("model", "`list` for -compile of resnet18, resnet18-weights, wrn16-4, vgg19 "+
		"(default all)", cli.Words(&names, "resnet18", "resnet18-weights", "wrn16-4", "vgg19"))
	isQuick := fs.Bool("quick", false, "do a small part of everything, in seconds")
	var chunks []int
	fs.Func("chunk", "`list` of images per call of the compiled step (default "+
		"100,200,500,1000,2000; 2000 with -first, 1000 with -compile)", cli.Numbers(&chunks))
	width := fs.Int("width", 0, "`channels` of the networks (default 64; with -compile their own)")
	images := fs.Int("images", 0, "`number` in the paper's setting (default 50000)")
	if err := cli.Parse(fs, args, stdout, "gpucheck compares a GPU's results with a CPU's and "+
		"measures its speed.\n\n  go run ./scripts/gpucheck -first"); err != nil {
		return o, err
	}
	if err := backend.Parse(o.Backend); err != nil {
		return o, &cli.UsageError{Err: err}
	}
	if path, found := strings.CutPrefix(o.Backend, "xla:/"); found {
		if _, err := os.Stat("/" + path); err != nil {
			return o, cli.Usagef("-backend: %w", err)
		}
	}
	switch {
	case *isQuick && o.Data != "":
		return o, cli.Usagef("-quick uses embedded images: leave out -data-dir or -quick")
	case o.first && o.compile:
		return o, cli.Usagef("-compile computes nothing: leave out -first or -compile")
	case o.first && len(chunks) > 1:
		return o, cli.Usagef("-first takes one of -chunk, got %d: leave out -first or the others",
			len(chunks))
	case *width < 0 || *images < 0:
		return o, cli.Usagef("-width and -images must be at least 1, got %d and %d", *width,
			*images)
	case o.limit < 0:
		return o, cli.Usagef("-limit must be a positive time such as 10m, got %v", o.limit)
	}
	o.size, o.networks = full, named(names)
	switch {
	case *isQuick:
		o.size = quick
		o.networks = []models.Config{{Model: "resnet18", Width: 2, Norm: "weights", Classes: 10}}
	case o.compile:
		o.Chunks = []int{1000}
	case o.first:
		o.size = first
	}
	if chunks != nil {
		o.Chunks = chunks
	}
	o.Width, o.Images = cmp.Or(*width, o.Width), cmp.Or(*images, o.Images)
	for i := range o.networks {
		o.networks[i].Width = cmp.Or(*width, o.networks[i].Width)
	}
	o.complete()
	return o, nil
}

// complete fills in what the mode decides.
func (o *options) complete() {
	if o.precisions == nil {
		o.precisions = []descent.Precision{descent.F32, descent.TF32, descent.BF16}
		if o.first { // what is worth most comes first
			o.precisions = []descent.Precision{descent.F32, descent.BF16, descent.TF32}
		}
	}
	switch {
	case o.limit > 0:
	case o.first:
		o.limit = 3 * time.Minute
	default:
		o.limit = math.MaxInt64
	}
}
