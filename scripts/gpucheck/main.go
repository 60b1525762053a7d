// Gpucheck checks whether this program computes correctly on a GPU, and measures its speed. It is a
// single file that needs neither Go nor a network:
//
//	go build -o gpucheck ./scripts/gpucheck        on this machine
//	./gpucheck -backend=xla:cuda                   on the GPU machine
//	./gpucheck -backend=xla:/opt/xla_cuda_plugin.so -data-dir=/data -out=gpucheck.json
//
// The GPU machine must have NVIDIA's driver and a CUDA PJRT plugin: a file that -backend names, or
// that of an installed JAX, which xla:cuda finds. The binary uses cgo and dlopen and so is not
// static: its glibc must not be newer than that of the GPU machine (compare the first lines of "ldd
// --version"). Build it on the oldest system that it has to support, or in a container of that
// system.
//
// NVIDIA's libraries either use TF32 or not in a whole process. Therefore gpucheck starts itself
// again for each precision, f32, tf32 and bf16. For each it
//
//  1. compares the losses of a few full-batch steps, and the norm of every parameter's gradient,
//     with those of XLA on a CPU, which are part of the binary (ResNet-18 of width 8, 32 embedded
//     images); in f32 they must agree to 1e-3;
//  2. measures a bare matrix product and, for each of -chunk, images/s of the step of ResNet-18 of
//     width 64; a chunk that does not fit into memory is recorded as an error and is no failure;
//  3. takes 20 full-batch steps in the paper's setting at the fastest chunk, with CIFAR-10's 50,000
//     images from -data-dir or, without it, the 1,000 embedded images repeated.
//
// After each precision it prints the results and writes them to -out as JSON. The exit status is 0
// on success, 1 if something deviates or fails, and 2 for a wrong command line. -quick shrinks
// everything to seconds, so that the command can be tried on a CPU:
//
//	go run ./scripts/gpucheck -quick -backend=xla:cpu
//
// -compile needs no GPU: with the CUDA plugin it compiles the graphs of a step for an H100 that a
// file describes, for the networks of the paper and of the studies, in each precision, with and
// without determinism. It prints a table of the time to compile and of the memory of each graph
// (its arguments, results and temporary values), and fails on an error of the compiler and where
// the plugin wants larger arguments than go-xla gives it. Several GPUs run the same executables,
// since they meet on the host. It needs Go, a C compiler and the plugin, and says so and succeeds
// where one is missing:
//
//	go run ./scripts/gpucheck -compile
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/measure"
	"momentum/models"
)

func main() { os.Exit(cli.Main("gpucheck", run)) }

// task is the work of one child process: all parts for one precision.
type task struct {
	Backend   string            `json:"backend"`
	Data      string            `json:"data,omitempty"` // folder of CIFAR, or ""
	Precision descent.Precision `json:"precision"`
	size
	Compile *compileTask `json:"compile,omitempty"` // instead of all else
}

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
	var problem error
	for _, p := range o.precisions {
		o.Precision = p
		got := outcome{Precision: p}
		if _, err := measure.Self(ctx, stderr, o.task, &got); err != nil {
			got.Error = err.Error() // such as a crash
		}
		got.print(stdout)
		if got.Error != "" && problem == nil {
			problem = fmt.Errorf("%s: %s", p, got.Error)
		}
		r.Precisions = append(r.Precisions, got)
		r.Seconds = time.Since(r.Started).Seconds()
		if err := writeJSON(o.out, r); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
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
	compile    bool
	networks   []models.Config // of -compile
}

// parse reads and checks the command line.
func parse(args []string, stdout io.Writer) (o options, err error) {
	o.precisions = []descent.Precision{descent.F32, descent.TF32, descent.BF16}
	fs := flag.NewFlagSet("gpucheck", flag.ContinueOnError)
	fs.StringVar(&o.Backend, "backend", "xla:cuda",
		"xla:cuda|xla:/abs/plugin.so, or one of the CPU to try this command: "+backend.Flag)
	fs.StringVar(&o.Data, "data-dir", "",
		"`folder` of CIFAR, with cifar-10-batches-bin; empty: embedded images")
	fs.StringVar(&o.out, "out", "gpucheck.json", "`file` of the results")
	fs.Func("precision", "`list` of f32, tf32, bf16 (default f32,tf32,bf16)",
		cli.Words(&o.precisions, o.precisions...))
	fs.BoolVar(&o.compile, "compile", false,
		"only compile, for a described H100; this needs no GPU")
	var names []string
	fs.Func("model", "`list` for -compile of resnet18, resnet18-weights, wrn16-4, vgg19 "+
		"(default all)", cli.Words(&names, "resnet18", "resnet18-weights", "wrn16-4", "vgg19"))
	isQuick := fs.Bool("quick", false, "do a small part of everything, in seconds")
	var chunks []int
	fs.Func("chunk", "`list` of images per call of the compiled step (default "+
		"100,200,500,1000,2000)", cli.Numbers(&chunks))
	if err := cli.Parse(fs, args, stdout, "gpucheck compares a GPU's results with a CPU's and "+
		"measures its speed.\n\n  go run ./scripts/gpucheck -backend=xla:cuda"); err != nil {
		return o, err
	}
	if *isQuick && o.Data != "" {
		return o, cli.Usagef("-quick uses embedded images: leave out -data-dir or -quick")
	}
	if err := backend.Parse(o.Backend); err != nil {
		return o, &cli.UsageError{Err: err}
	}
	o.size, o.networks = full, named(names)
	if o.compile {
		o.Chunks = []int{1000}
	}
	if *isQuick {
		o.size = quick
		o.networks = []models.Config{{Model: "resnet18", Width: 2, Norm: "weights", Classes: 10}}
	}
	if chunks != nil {
		o.Chunks = chunks
	}
	return o, nil
}
