// Bench measures the speed and the memory of the exact full-batch step on this machine, beside the
// same step in JAX and in PyTorch.
//
//	go run ./scripts/bench -venv=.venv
//		our step, those of JAX and PyTorch (installed into .venv first), and a bare matrix product
//	go run ./scripts/bench -cores=all,1 -devices=auto,1,2
//		the same, and our step on 1 and 2 devices
//	go run ./scripts/bench -program -images=256 -steps=20
//		the whole of ./cifar beside its bare step
//	go run ./scripts/bench -memory
//		peak memory at 5,000 and 50,000 images, and at width 64
//	go run ./scripts/bench -synthetic -venv=.venv
//		our step, those of JAX and C on the synthetic data of Figure 3, and a bare matrix product;
//		about 5 minutes
//
// Run it in the root of the repository, on a machine without other work. Each number comes from a
// new process. A round goes through all settings, and the contenders take turns at each, so that a
// machine that slows down slows all of them. After the first round bench says how long all rounds
// will take. A process takes one untimed step, which compiles, and then -steps timed steps over
// -images images.
//
// The tables have the ratios of the medians over the rounds, with each contender at its best chunk;
// how our step scales over cores and devices; and the rates, with the minimum and the maximum in
// brackets, at the best chunks and at every chunk. GFLOP/s count 2 for each multiply-add of the
// convolutions and the head. A load average above 1.5 at the start gives a warning.
//
// -cores lists the numbers of CPUs. With fewer than all, a process may use only the first ones of
// the machine (Linux only), and its libraries start as many threads. The default is all and, on a
// CPU, 1. -devices lists the numbers of devices that our step works on, each with its own copy of
// the weights; auto leaves the choice to the program. -precision is that of our step and of JAX.
// PyTorch takes its step in float32 and, as a contender of its own, in bfloat16 by autocast.
//
// On the synthetic data, -settings lists the numbers S of settings that train at once. A process
// takes -steps/S untimed steps and as many timed steps. All contenders start from the same samples
// and weights, and it is an error if they end at different losses. Among them are JAX by the
// definition, as a user would write it; JAX by hand, with our layout and gradient; and a C program
// on one core (c/synthetic.c, compiled with cc).
//
// JAX and PyTorch run bench_jax.py, synthetic_jax.py and bench_torch.py in this folder. A contender
// that is not installed is left out, with a note.
//
// The table goes to the standard output. The table, and the commands, versions and all rates, go to
// bench.md and bench.json (program.md and so on) in -out. Progress goes to the standard error. The
// exit status is 0, 1 after an error (whatever was measured before it is still printed), and 2 for
// a wrong command line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"momentum/internal/cli"
	"momentum/internal/measure"
)

func main() { os.Exit(cli.Main("bench", run)) }

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
	compare := map[string]func(context.Context, *report, io.Writer) error{
		"bench": o.compareSteps, "program": o.comparePrograms, "memory": o.comparePeaks,
		"synthetic": o.synthetics,
	}[o.mode()]
	r := newReport(strings.Join(append([]string{"go run ./scripts/bench"}, args...), " "), stderr)
	err = compare(ctx, r, stderr)
	r.end(stderr)
	text := r.markdown() // after an error, of whatever was measured before it
	fmt.Fprint(stdout, text)
	return errors.Join(err, r.save(filepath.Join(o.out, o.mode()), text))
}
