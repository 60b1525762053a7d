package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"momentum/internal/measure"
)

// contender is one of those that are compared. measure runs it once, in a process of its own.
type contender struct {
	name    string
	measure func(context.Context, measure.Setting) (sample, error)
}

// result holds what was measured at one setting.
type result struct {
	measure.Setting
	GFLOPPerImage float64              `json:"gflop_per_image"`
	Rates         map[string][]float64 `json:"rates"` // by contender, one of each round: images/s, of the bare product GFLOP/s
}

// compare measures all contenders at all settings, in turn in every round.
func (o *options) compare(ctx context.Context, r *report, all []contender, stderr io.Writer) error {
	for _, s := range o.settings() {
		net, err := s.Network()
		if err != nil {
			return err
		}
		_, flop := net.FLOPs()
		at := result{Setting: s, GFLOPPerImage: flop / 1e9, Rates: map[string][]float64{}}
		for round := range o.rounds {
			for _, c := range all {
				got, err := c.measure(ctx, s)
				if err != nil {
					return fmt.Errorf("%s: %v: %w", c.name, s, err)
				}
				rates := append(got.ImagesPerS, got.GFLOPPerS...) // one of them is empty
				if len(rates) == 0 {
					return fmt.Errorf("%s: %v: no rates", c.name, s)
				}
				rate := measure.Mean(rates)
				fmt.Fprintf(stderr, "round %d/%d  %v  %s %.4g\n", round+1, o.rounds, s, c.name, rate)
				at.Rates[c.name] = append(at.Rates[c.name], rate)
				got.ImagesPerS, got.GFLOPPerS = nil, nil
				r.Versions[c.name] = got
			}
		}
		r.Results = append(r.Results, at)
	}
	return nil
}

// Names of the contenders.
const (
	ours     = "ours"
	jax      = "JAX"
	torch    = "PyTorch"
	matmul   = "matmul"
	bareStep = "bare step"
	cifar    = "cifar"
)

// steppers compares our step, those of JAX and PyTorch, and a bare product.
func (o *options) steppers(ctx context.Context, r *report, stderr io.Writer) error {
	if o.venv != "" {
		if err := makeVenv(ctx, o.venv, stderr); err != nil {
			return err
		}
	}
	all := []contender{{ours, func(ctx context.Context, s measure.Setting) (sample, error) { return o.own(ctx, s, 0, stderr) }}}
	for _, p := range []struct{ name, module, python, script string }{
		{jax, "jax", o.jax, "bench_jax.py"},
		{torch, "torch", o.torch, "bench_torch.py"},
	} {
		if out, err := exec.CommandContext(ctx, p.python, "-c", "import "+p.module).CombinedOutput(); err != nil {
			r.note(stderr, "%s is left out: %v %s; -venv=.venv installs it", p.name, err, lastLine(out))
			continue
		}
		script := filepath.Join("scripts", "bench", p.script)
		all = append(all, contender{p.name, func(ctx context.Context, s measure.Setting) (got sample, err error) {
			_, err = measure.Run(ctx, stderr, &got, p.python, script, "--model", s.Model, "--width", strconv.Itoa(s.Width), "--chunk", strconv.Itoa(s.Chunk),
				"--dtype", string(s.Precision), "--images", strconv.Itoa(o.images), "--steps", strconv.Itoa(o.steps), "--warmup", "1")
			return got, err
		}})
	}
	all = append(all, contender{matmul, func(ctx context.Context, s measure.Setting) (sample, error) { return o.own(ctx, s, o.matmul, stderr) }})
	r.columns = []column{
		{of: ours}, {of: jax}, {of: torch}, {of: ours, gflop: true}, {of: matmul, gflop: true},
		{of: ours, by: jax}, {of: ours, by: torch}, {of: ours, by: matmul},
	}
	return o.compare(ctx, r, all, stderr)
}

// lastLine is the last line of what a program printed.
func lastLine(out []byte) []byte {
	out = bytes.TrimSpace(out)
	return out[bytes.LastIndexByte(out, '\n')+1:]
}

// own measures in a child process: the step or, with a size, the bare product.
func (o *options) own(ctx context.Context, s measure.Setting, size int, stderr io.Writer) (got sample, err error) {
	_, err = measure.Self(ctx, stderr, task{Setting: s, Backend: o.backend, Images: o.images, Steps: o.steps, Matmul: size}, &got)
	return got, err
}

// pinned are the Python packages of -venv.
var pinned = []string{"jax==0.10.2", "torch==2.15.0", "numpy==2.4.6", "safetensors==0.8.0"}

// makeVenv makes a Python environment, if it is not there, and installs what it lacks.
func makeVenv(ctx context.Context, folder string, out io.Writer) error {
	do := func(name string, args ...string) error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("-venv: %v: %w", cmd, err)
		}
		return nil
	}
	python := filepath.Join(folder, "bin", "python")
	if _, err := os.Stat(python); errors.Is(err, os.ErrNotExist) {
		if err := do("python3", "-m", "venv", folder); err != nil {
			return err
		}
	}
	return do(python, append([]string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check"}, pinned...)...)
}
