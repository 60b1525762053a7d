// Gpucheck tells whether this program computes rightly on a GPU, and how fast. It is one file that
// needs neither Go nor a network:
//
//	go build -o gpucheck ./scripts/gpucheck        here
//	./gpucheck -backend=xla:cuda                   there
//	./gpucheck -backend=xla:/opt/xla_cuda_plugin.so -data=/data -out=gpucheck.json
//
// The GPU machine must have NVIDIA's driver and a CUDA PJRT plugin: a file that -backend names, or
// that of an installed JAX, which xla:cuda finds. The binary uses cgo and dlopen and so is not
// static: it runs where glibc is no older than where it was built (compare the first lines of "ldd
// --version"). Build it on the oldest system that it has to run on, or in a container of that
// system.
//
// For each precision, f32, tf32 and bf16, it starts itself again, since NVIDIA's libraries take
// TF32 or not for a whole process, and there
//
//  1. compares the losses of a few full-batch steps and the norm of every parameter's gradient with
//     those of XLA on a CPU, which are part
//     of the binary (ResNet-18 of width 8, 32 embedded images): in f32 they must agree to 1e-3;
//  2. measures a bare matrix product and, for each of -chunks, images/s of the step of ResNet-18 of
//     width 64 (a chunk that does not fit
//     into memory is an error in the JSON and nothing more);
//  3. takes 20 full-batch steps in the paper's setting at the fastest chunk: CIFAR-10's 50,000
//     images from -data or, without it, the 1,000
//     embedded ones over and over.
//
// What it finds goes to the standard output as lines and to -out as JSON, after each precision. The
// exit status is 0 if all is well, 1 if something deviates or fails, 2 if the command line is
// wrong. -quick shrinks everything to seconds, so that it can be tried on a CPU:
//
//	go run ./scripts/gpucheck -quick -backend=xla:cpu
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
)

func main() { os.Exit(cli.Main("gpucheck", run)) }

// task is what a child process does: everything for one precision.
type task struct {
	Backend   string            `json:"backend"`
	Data      string            `json:"data,omitempty"` // folder of CIFAR; empty: embedded images
	Precision descent.Precision `json:"precision"`
	size
}

// size is how much to do.
type size struct {
	Width  int   `json:"width"`
	Chunks []int `json:"chunks"`
	Timed  int   `json:"timed_steps"` // for each chunk, after one that compiles
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
	} else if child {
		return json.NewEncoder(stdout).Encode(t.do(ctx, stderr))
	}

	o, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	r := report{Started: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(),
		Modules: backend.Modules(), Data: "embedded images of CIFAR-10, over and over"}
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
			got.Error = err.Error() // it crashed, for one
		}
		got.print(stdout)
		if got.Error != "" && problem == nil {
			problem = fmt.Errorf("%s: %s", p, got.Error)
		}
		r.Precisions = append(r.Precisions, got)
		r.Seconds = time.Since(r.Started).Seconds()
		if err := r.write(o.out); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	fmt.Fprintln(stdout, o.out)
	return problem
}

// write writes the report as JSON.
func (r *report) write(path string) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o666)
}

// options are the flags.
type options struct {
	task
	precisions []descent.Precision
	out        string
}

// parse reads and checks the flags.
func parse(args []string, stdout io.Writer) (o options, err error) {
	o.precisions = []descent.Precision{descent.F32, descent.TF32, descent.BF16}
	fs := flag.NewFlagSet("gpucheck", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are returned; -h prints below
	fs.StringVar(&o.Backend, "backend", "xla:cuda",
		"xla:cuda|xla:/abs/plugin.so, or to try this command xla:cpu|go")
	fs.StringVar(&o.Data, "data", "",
		"`folder` that holds cifar-10-batches-bin (default: embedded images)")
	fs.StringVar(&o.out, "out", "gpucheck.json", "`file` of the results")
	fs.Func("precision", "`list` of f32, tf32, bf16 (default all)",
		cli.Words(&o.precisions, o.precisions...))
	isQuick := fs.Bool("quick", false, "do a little of everything, in seconds")
	var chunks []int
	fs.Func("chunks", "`list` of images per call of the compiled step (default "+
		"100,200,500,1000,2000)", cli.Numbers(&chunks))
	err = fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, "Gpucheck compares a GPU's results with a CPU's and measures its "+
			"speed:\n\n\t./gpucheck -backend=xla:cuda\n\n")
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return o, err
	case err != nil:
		return o, cli.Usagef("%w; see -h", err)
	case fs.NArg() > 0:
		return o, cli.Usagef("unexpected argument %q; see -h", fs.Arg(0))
	case *isQuick && o.Data != "":
		return o, cli.Usagef("-quick takes embedded images: leave -data or -quick out")
	}
	if err := backend.Parse(o.Backend); err != nil {
		return o, &cli.UsageError{Err: err}
	}
	o.size = full
	if *isQuick {
		o.size = quick
	}
	if chunks != nil {
		o.Chunks = chunks
	}
	return o, nil
}
