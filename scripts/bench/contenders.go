package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"momentum/internal/measure"
)

// contender is one of the programs that are compared at settings of type S. measure executes it
// once in a process of its own.
type contender[S fmt.Stringer] struct {
	name    string
	measure func(context.Context, S) (sample, error)
}

// result holds the measurements of a contender at the part of a setting that it depends on.
type result struct {
	Contender string `json:"contender"`
	setting
	GFLOPPerImage float64 `json:"gflop_per_image"`

	// Rates has one rate per round, in images/s; that of the bare product in GFLOP/s.
	Rates []float64 `json:"rates"`
}

// turn is what a contender does once in every round.
type turn struct {
	contender string
	at        fmt.Stringer // the setting
	measure   func(context.Context) (sample, error)
	add       func(rate float64)
}

// takeTurns lets the contenders take turns, round after round.
func (r *report) takeTurns(ctx context.Context, turns []turn, rounds int, stderr io.Writer) error {
	r.Rounds = rounds
	start := time.Now()
	for round := range rounds {
		for i, t := range turns {
			got, err := t.measure(ctx)
			if err != nil {
				return fmt.Errorf("%s: %v: %w", t.contender, t.at, err)
			}
			// All but one of these lists are empty.
			repetitions := slices.Concat(got.ImagesPerS, got.StepsPerS, got.GFLOPPerS)
			if len(repetitions) == 0 {
				return fmt.Errorf("%s: %v: no rates", t.contender, t.at)
			}
			rate := measure.Mean(repetitions)
			fmt.Fprintf(stderr, "round %d/%d  %d/%d  %v  %s %.4g\n", round+1, rounds, i+1,
				len(turns), t.at, t.contender, rate)
			t.add(rate)
			if _, found := r.Versions[t.contender]; !found {
				r.Versions[t.contender] = sample{Version: got.Version, Device: got.Device,
					Plugin: got.Plugin, PluginSHA256: got.PluginSHA256}
			}
		}
		if took := time.Since(start); round == 0 && rounds > 1 {
			fmt.Fprintf(stderr, "the first round took %v; all %d will take about %v\n",
				took.Round(time.Second), rounds, (took * time.Duration(rounds)).Round(time.Second))
		}
	}
	return nil
}

// compare measures the contenders at all settings.
func (o *options) compare(ctx context.Context, r *report, contenders []contender[setting],
	stderr io.Writer) error {
	var turns []turn
	for _, s := range o.settings() {
		net, err := s.Network()
		if err != nil {
			return err
		}
		_, flop := net.FLOPs()
		for _, c := range contenders {
			at := s.of(c.name)
			if r.find(c.name, at) != nil {
				continue // measured for an earlier row
			}
			x := &result{Contender: c.name, setting: at, GFLOPPerImage: flop / 1e9}
			r.Results = append(r.Results, x)
			turns = append(turns, turn{c.name, at, func(ctx context.Context) (sample, error) {
				return onCores(ctx, c, at)
			}, func(rate float64) { x.Rates = append(x.Rates, rate) }})
		}
	}
	err := r.takeTurns(ctx, turns, o.rounds, stderr)
	r.Results = slices.DeleteFunc(r.Results, func(x *result) bool { return len(x.Rates) == 0 })
	return err
}

// onCores measures a contender whose process may use the setting's number of CPUs only. It is an
// error if the process reports another number of threads.
func onCores(ctx context.Context, c contender[setting], s setting) (got sample, err error) {
	err = measure.OnCPUs(s.Cores, func() (err error) {
		got, err = c.measure(ctx, s)
		return err
	})
	if err == nil && got.Threads != 0 && got.Threads != s.Cores {
		err = fmt.Errorf("%d threads, want %d", got.Threads, s.Cores)
	}
	return got, err
}

// find returns the result of a contender at a setting, or nil.
func (r *report) find(contender string, s setting) *result {
	for _, x := range r.Results {
		if x.Contender == contender && x.setting == s {
			return x
		}
	}
	return nil
}

// agree returns an error if losses differ by more than 0.1%. Contenders that take the same steps
// differed by 0.003%; a wrong factor in the gradient of the noise makes a difference of 5% after a
// few hundred steps.
func agree(got, want []float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d losses, want %d", len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= 1e-3*math.Abs(want[i])) {
			return fmt.Errorf("loss of setting %d is %v, want %v of the other contenders", i+1,
				got[i], want[i])
		}
	}
	return nil
}

// Names of the contenders.
const (
	ours      = "ours"
	jax       = "JAX"
	torch     = "PyTorch"
	torchBF16 = "PyTorch bf16"
	matmul    = "matmul"
	bareStep  = "bare step"
	cifar     = "cifar"
)

// compareSteps compares our step, those of JAX and PyTorch, and a bare product.
func (o *options) compareSteps(ctx context.Context, r *report, stderr io.Writer) error {
	if o.venv != "" {
		if err := makeVenv(ctx, o.venv, stderr); err != nil {
			return err
		}
	}
	python := func(program, script string) func(context.Context, setting) (sample, error) {
		script = filepath.Join("scripts", "bench", script)
		return func(ctx context.Context, s setting) (got sample, err error) {
			_, err = measure.Run(ctx, stderr, &got, program, script, "--model", s.Model,
				"--width", strconv.Itoa(s.Width), "--chunk", strconv.Itoa(s.Chunk),
				"--dtype", string(s.Precision), "--images", strconv.Itoa(o.images),
				"--steps", strconv.Itoa(o.steps), "--warmup", "1")
			return got, err
		}
	}
	contenders := []contender[setting]{{ours, o.child(0, stderr)}}
	if r.hasPython(ctx, jax, "jax", o.jax, stderr) {
		contenders = append(contenders, contender[setting]{jax, python(o.jax, "bench_jax.py")})
	}
	if r.hasPython(ctx, torch, "torch", o.torch, stderr) {
		step := python(o.torch, "bench_torch.py")
		contenders = append(contenders, contender[setting]{torch, step},
			contender[setting]{torchBF16, step})
	}
	contenders = append(contenders, contender[setting]{matmul, o.child(o.matmul, stderr)})
	r.columns = ourColumns(jax, torch, torchBF16)
	return o.compare(ctx, r, contenders, stderr)
}

// child returns a function that measures in a child process: our step or, with a size, the bare
// product.
func (o *options) child(size int,
	stderr io.Writer) func(context.Context, setting) (sample, error) {
	return func(ctx context.Context, s setting) (got sample, err error) {
		_, err = measure.Self(ctx, stderr, task{setting: s, Backend: o.backend, Images: o.images,
			Steps: o.steps, Matmul: size}, &got)
		return got, err
	}
}
