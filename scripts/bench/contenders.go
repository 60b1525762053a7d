package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"momentum/internal/measure"
)

// contender is one of those that are compared at settings of type S. measure runs it once, in a
// process of its own.
type contender[S fmt.Stringer] struct {
	name    string
	measure func(context.Context, S) (sample, error)
}

// result holds what was measured at one setting.
type result struct {
	measure.Setting
	GFLOPPerImage float64 `json:"gflop_per_image"`
	// by contender, one of each round: images/s, of the bare product GFLOP/s
	Rates map[string][]float64 `json:"rates"`
}

// compare measures all contenders at all settings, in turn in every round.
func (o *options) compare(ctx context.Context, r *report, all []contender[measure.Setting],
	stderr io.Writer) error {
	for _, s := range o.settings() {
		net, err := s.Network()
		if err != nil {
			return err
		}
		_, flop := net.FLOPs()
		rates, err := inTurn(ctx, r, s, all, o.rounds, stderr)
		if err != nil {
			return err
		}
		r.Results = append(r.Results, result{Setting: s, GFLOPPerImage: flop / 1e9, Rates: rates})
	}
	return nil
}

// inTurn measures all contenders at one setting, one after the other in every round: their rates by
// name, one of each round. Those that say at which losses they ended must agree with the first that
// does.
func inTurn[S fmt.Stringer](ctx context.Context, r *report, s S, all []contender[S], rounds int,
	stderr io.Writer) (map[string][]float64, error) {
	byName := map[string][]float64{}
	var want sample
	for round := range rounds {
		for _, c := range all {
			got, err := c.measure(ctx, s)
			if err == nil && want.Losses == nil {
				want = got
			} else if err == nil && got.Losses != nil {
				err = agree(got.Losses, want.Losses)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %v: %w", c.name, s, err)
			}
			// all but one of them are empty
			rates := slices.Concat(got.ImagesPerS, got.StepsPerS, got.GFLOPPerS)
			if len(rates) == 0 {
				return nil, fmt.Errorf("%s: %v: no rates", c.name, s)
			}
			rate := measure.Mean(rates)
			fmt.Fprintf(stderr, "round %d/%d  %v  %s %.4g\n", round+1, rounds, s, c.name, rate)
			byName[c.name] = append(byName[c.name], rate)
			r.Versions[c.name] = sample{Version: got.Version, Device: got.Device,
				PluginSHA256: got.PluginSHA256}
		}
	}
	return byName, nil
}

// agree returns an error if losses differ by more than 0.1%. Contenders that take the same step
// were seen to differ by 0.003%, and a wrong factor in the gradient of the noise makes 5% after
// some hundred steps.
func agree(got, want []float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d losses, want %d", len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= 1e-3*math.Abs(want[i])) {
			return fmt.Errorf("loss of setting %d is %v, want %v as the others have it", i+1,
				got[i], want[i])
		}
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
	all := []contender[measure.Setting]{{ours, func(ctx context.Context, s measure.Setting) (sample,
		error) {
		return o.own(ctx, s, 0, stderr)
	}}}
	for _, p := range []struct{ name, module, python, script string }{
		{jax, "jax", o.jax, "bench_jax.py"},
		{torch, "torch", o.torch, "bench_torch.py"},
	} {
		if !r.hasPython(ctx, p.name, p.module, p.python, stderr) {
			continue
		}
		script := filepath.Join("scripts", "bench", p.script)
		all = append(all, contender[measure.Setting]{p.name,
			func(ctx context.Context, s measure.Setting) (got sample, err error) {
				_, err = measure.Run(ctx, stderr, &got, p.python, script, "--model", s.Model,
					"--width",
					strconv.Itoa(s.Width), "--chunk", strconv.Itoa(s.Chunk),
					"--dtype", string(s.Precision), "--images", strconv.Itoa(o.images), "--steps",
					strconv.Itoa(o.steps), "--warmup", "1")
				return got, err
			}})
	}
	all = append(all, contender[measure.Setting]{matmul,
		func(ctx context.Context, s measure.Setting) (sample,
			error) {
			return o.own(ctx, s, o.matmul, stderr)
		}})
	r.columns = []column{
		{of: ours}, {of: jax}, {of: torch}, {of: ours, gflop: true}, {of: matmul, gflop: true},
		{of: ours, by: jax}, {of: ours, by: torch}, {of: ours, by: matmul},
	}
	return o.compare(ctx, r, all, stderr)
}

// hasPython says whether a Python program has a module, and notes that the contender is left out if
// it has not.
func (r *report) hasPython(ctx context.Context, name, module, python string,
	stderr io.Writer) bool {
	out, err := exec.CommandContext(ctx, python, "-c", "import "+module).CombinedOutput()
	if err != nil {
		r.note(stderr, "%s is left out: %v %s; -venv=.venv installs it", name, err, lastLine(out))
	}
	return err == nil
}

// lastLine is the last line of what a program printed.
func lastLine(out []byte) []byte {
	out = bytes.TrimSpace(out)
	return out[bytes.LastIndexByte(out, '\n')+1:]
}

// own measures in a child process: the step or, with a size, the bare product.
func (o *options) own(ctx context.Context, s measure.Setting, size int,
	stderr io.Writer) (got sample, err error) {
	_, err = measure.Self(ctx, stderr, task{Setting: s, Backend: o.backend, Images: o.images,
		Steps: o.steps, Matmul: size}, &got)
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
	return do(python, append([]string{"-m", "pip", "install", "--quiet",
		"--disable-pip-version-check"}, pinned...)...)
}
