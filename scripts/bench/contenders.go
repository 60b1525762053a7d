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

// contender is one of the programs that are compared at settings of type S. measure executes it
// once in a process of its own.
type contender[S fmt.Stringer] struct {
	name    string
	measure func(context.Context, S) (sample, error)
}

// result holds the measurements at one setting.
type result struct {
	measure.Setting
	GFLOPPerImage float64 `json:"gflop_per_image"`

	// Rates has, by contender, one rate per round, in images/s; that of the bare product in
	// GFLOP/s.
	Rates map[string][]float64 `json:"rates"`
}

// compare measures the contenders at all settings.
func (o *options) compare(ctx context.Context, r *report, contenders []contender[measure.Setting],
	stderr io.Writer) error {
	for _, s := range o.settings() {
		net, err := s.Network()
		if err != nil {
			return err
		}
		_, flop := net.FLOPs()
		rates, err := inTurn(ctx, r, s, contenders, o.rounds, stderr)
		if err != nil {
			return err
		}
		r.Results = append(r.Results, result{Setting: s, GFLOPPerImage: flop / 1e9, Rates: rates})
	}
	return nil
}

// inTurn measures the contenders at one setting, one after the other in every round. It returns
// their rates by name, one per round. The final losses of all contenders that print them must
// agree.
func inTurn[S fmt.Stringer](ctx context.Context, r *report, s S, contenders []contender[S],
	rounds int, stderr io.Writer) (map[string][]float64, error) {
	rates := map[string][]float64{}
	var losses []float64 // of the first contender that prints them
	for round := range rounds {
		for _, c := range contenders {
			got, err := c.measure(ctx, s)
			if err == nil && losses == nil {
				losses = got.Losses
			} else if err == nil && got.Losses != nil {
				err = agree(got.Losses, losses)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %v: %w", c.name, s, err)
			}
			// All but one of these lists are empty.
			repetitions := slices.Concat(got.ImagesPerS, got.StepsPerS, got.GFLOPPerS)
			if len(repetitions) == 0 {
				return nil, fmt.Errorf("%s: %v: no rates", c.name, s)
			}
			rate := measure.Mean(repetitions)
			fmt.Fprintf(stderr, "round %d/%d  %v  %s %.4g\n", round+1, rounds, s, c.name, rate)
			rates[c.name] = append(rates[c.name], rate)
			r.Versions[c.name] = sample{Version: got.Version, Device: got.Device,
				PluginSHA256: got.PluginSHA256}
		}
	}
	return rates, nil
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
	ours     = "ours"
	jax      = "JAX"
	torch    = "PyTorch"
	matmul   = "matmul"
	bareStep = "bare step"
	cifar    = "cifar"
)

// compareSteps compares our step, those of JAX and PyTorch, and a bare product.
func (o *options) compareSteps(ctx context.Context, r *report, stderr io.Writer) error {
	if o.venv != "" {
		if err := makeVenv(ctx, o.venv, stderr); err != nil {
			return err
		}
	}
	step := func(ctx context.Context, s measure.Setting) (sample, error) {
		return o.measureChild(ctx, s, 0, stderr)
	}
	product := func(ctx context.Context, s measure.Setting) (sample, error) {
		return o.measureChild(ctx, s, o.matmul, stderr)
	}
	contenders := []contender[measure.Setting]{{ours, step}}
	for _, p := range []struct{ name, module, python, script string }{
		{jax, "jax", o.jax, "bench_jax.py"},
		{torch, "torch", o.torch, "bench_torch.py"},
	} {
		if !r.hasPython(ctx, p.name, p.module, p.python, stderr) {
			continue
		}
		script := filepath.Join("scripts", "bench", p.script)
		pythonStep := func(ctx context.Context, s measure.Setting) (got sample, err error) {
			_, err = measure.Run(ctx, stderr, &got, p.python, script, "--model", s.Model,
				"--width", strconv.Itoa(s.Width), "--chunk", strconv.Itoa(s.Chunk),
				"--dtype", string(s.Precision), "--images", strconv.Itoa(o.images),
				"--steps", strconv.Itoa(o.steps), "--warmup", "1")
			return got, err
		}
		contenders = append(contenders, contender[measure.Setting]{p.name, pythonStep})
	}
	contenders = append(contenders, contender[measure.Setting]{matmul, product})
	r.columns = ourColumns(jax, torch)
	return o.compare(ctx, r, contenders, stderr)
}

// hasPython reports whether a Python program has a module. If not, it notes that the contender is
// left out.
func (r *report) hasPython(ctx context.Context, name, module, python string,
	stderr io.Writer) bool {
	out, err := exec.CommandContext(ctx, python, "-c", "import "+module).CombinedOutput()
	if err != nil {
		r.note(stderr, "%s is left out: %v %s; -venv=.venv installs it", name, err, lastLine(out))
	}
	return err == nil
}

// lastLine returns the last line of a program's output.
func lastLine(out []byte) []byte {
	out = bytes.TrimSpace(out)
	return out[bytes.LastIndexByte(out, '\n')+1:]
}

// measureChild measures in a child process: our step or, with a size, the bare product.
func (o *options) measureChild(ctx context.Context, s measure.Setting, size int,
	stderr io.Writer) (got sample, err error) {
	_, err = measure.Self(ctx, stderr, task{Setting: s, Backend: o.backend, Images: o.images,
		Steps: o.steps, Matmul: size}, &got)
	return got, err
}

// pinned lists the Python packages of -venv.
var pinned = []string{"jax==0.10.2", "torch==2.15.0", "numpy==2.4.6", "safetensors==0.8.0"}

// makeVenv creates a Python environment if it does not exist, and installs missing packages in it.
func makeVenv(ctx context.Context, folder string, out io.Writer) error {
	execute := func(name string, args ...string) error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("-venv: %v: %w", cmd, err)
		}
		return nil
	}
	python := filepath.Join(folder, "bin", "python")
	if _, err := os.Stat(python); errors.Is(err, os.ErrNotExist) {
		if err := execute("python3", "-m", "venv", folder); err != nil {
			return err
		}
	}
	pip := []string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check"}
	return execute(python, append(pip, pinned...)...)
}
