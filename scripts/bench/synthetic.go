package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cubic"
	"momentum/internal/descent"
	"momentum/internal/markdown"
	"momentum/internal/measure"
)

// synthetic is the full-batch step of the paper's cubic network on its distribution D, at the sizes
// of Figure 3 except for N.
type synthetic struct {
	Samples  int `json:"samples"`  // N
	Settings int `json:"settings"` // S, trained at once
	Steps    int `json:"steps"`    // timed steps of each setting, after as many to warm up
}

// syntheticResult holds what was measured at one S.
type syntheticResult struct {
	synthetic
	GFLOPPerStep float64 `json:"gflop_per_step"` // of one setting
	// Rates are, for each contender, steps × settings per second in each round; GFLOP/s for the
	// bare product.
	Rates map[string][]float64 `json:"rates"`
}

// The fixed settings. γ is that of the damped form, and setting s of 1 to S has the rate
// syntheticEta·s/S. With Figure 3's σ0 = 0.03 noise moves slowly, and the losses would not show an
// error in its gradient.
const (
	syntheticM      = 5    // m, neurons
	syntheticSigma0 = 0.1  // σ0
	syntheticEta    = 0.2  // η
	syntheticGamma  = 0.9  // γ
	syntheticBlock  = 3200 // noise patches of a block, here and in JAX by hand
)

func (s synthetic) String() string {
	return fmt.Sprintf("synthetic N = %d, S = %d", s.Samples, s.Settings)
}

// spec specifies the distribution. A share of 0.002 of the samples has a small margin.
func (s synthetic) spec() datasets.Distribution {
	return datasets.Distribution{
		N: s.Samples, SmallMargin: max(1, s.Samples/500), D: 30, P: 5, Alpha: math.Pow(30, 0.49),
		Beta: 0.2, Sigma: 0.5, Seed: 1,
	}
}

// gflop is the work of a step of one setting by the definition, 2·2·N·P·m·d: a product of all
// patches with the weights and one with the derivatives. A contender that knows the signal saves a
// P-th of it.
func (s synthetic) gflop() float64 {
	spec := s.spec()
	return 4 * float64(spec.N*spec.P*syntheticM*spec.D) / 1e9
}

// do takes the steps with GoMLX, in this process.
func (s synthetic) do(ctx context.Context, b *backend.Backend) (rates, loss []float64, err error) {
	train, err := s.spec().Draw("train")
	if err != nil {
		return nil, nil, err
	}
	few := s.spec() // the test accuracies are not used
	few.N, few.SmallMargin = 2, 1
	test, err := few.Draw("test")
	if err != nil {
		return nil, nil, err
	}
	var lanes []cubic.Lane
	for i := range s.Settings {
		rule := descent.Rule{Form: descent.Damped, Gamma: syntheticGamma}
		eta := syntheticEta * float64(i+1) / float64(s.Settings)
		lanes = append(lanes, cubic.Lane{Rule: rule, Eta: eta})
	}
	o := cubic.Options{Network: cubic.Network{Degree: 3}, M: syntheticM, Sigma0: syntheticSigma0,
		Seed: 1, Patches: syntheticBlock}
	l, err := cubic.New(b, train, test, lanes, o)
	if err != nil {
		return nil, nil, err
	}
	var start time.Time
	for range 2 { // the first time it compiles
		start = time.Now()
		if err := l.Run(ctx, s.Steps); err != nil {
			return nil, nil, err
		}
	}
	rates = []float64{float64(s.Steps*s.Settings) / time.Since(start).Seconds()}
	seen, err := l.Observe(ctx)
	if err != nil {
		return nil, nil, err
	}
	for i := range lanes {
		loss = append(loss, seen.Get(i, "loss"))
	}
	return rates, loss, nil
}

// write writes the samples and the initial weights for the other contenders, in the layout that
// synthetic_jax.py describes.
func (s synthetic) write(path string) error {
	m, err := s.spec().Draw("train")
	if err != nil {
		return err
	}
	var all []float32
	all = append(append(all, m.Labels...), m.Signal...)
	for _, p := range m.Position {
		all = append(all, float32(p))
	}
	all = append(all, m.Noise...)
	for _, x := range m.Feature {
		all = append(all, float32(x))
	}
	all = append(all, cubic.Init(1, syntheticM, m.D, syntheticSigma0)...)
	var b bytes.Buffer
	if err := binary.Write(&b, binary.NativeEndian, all); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o666)
}

// arguments are those of the programs of the other contenders.
func (s synthetic) arguments(data string) []string {
	m := s.spec()
	return strings.Fields(fmt.Sprintln(data, m.N, m.SmallMargin, m.P, m.D, syntheticM, s.Settings,
		s.Steps, m.Alpha, m.Beta, syntheticEta, syntheticGamma))
}

// Names of contenders that only this comparison has.
const (
	jaxByHand = "JAX by hand"
	plainC    = "C, one core"
)

// cFlags are given to the C compiler.
const cFlags = "-O3 -march=native -ffast-math"

// synthetics compares the synthetic step with GoMLX, in JAX by the definition, in JAX by hand with
// our layout, and in C on one core, and with a bare product.
func (o *options) synthetics(ctx context.Context, r *report, stderr io.Writer) error {
	if o.venv != "" {
		if err := makeVenv(ctx, o.venv, stderr); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data.f32")
	if err := (synthetic{Samples: o.samples}).write(data); err != nil {
		return err
	}
	program := func(name string, first ...string) func(context.Context, synthetic) (sample, error) {
		return func(ctx context.Context, s synthetic) (got sample, err error) {
			arguments := slices.Concat(first, s.arguments(data))
			_, err = measure.Run(ctx, stderr, &got, name, arguments...)
			return got, err
		}
	}
	own := func(t task) (got sample, err error) {
		t.Backend, t.Precision = o.backend, descent.F32
		_, err = measure.Self(ctx, stderr, t, &got)
		return got, err
	}

	all := []contender[synthetic]{{ours,
		func(_ context.Context, s synthetic) (sample, error) { return own(task{Synthetic: &s}) }}}
	if r.hasPython(ctx, jax, "jax", o.jax, stderr) {
		script := filepath.Join("scripts", "bench", "synthetic_jax.py")
		blocks := fmt.Sprintf("--blocks=%d", syntheticBlock)
		all = append(all, contender[synthetic]{jax, program(o.jax, script)},
			contender[synthetic]{jaxByHand, program(o.jax, script, blocks)})
	}
	compiled := filepath.Join(dir, "synthetic")
	source := filepath.Join("scripts", "bench", "c", "synthetic.c")
	compile := exec.CommandContext(ctx, "cc", append(strings.Fields(cFlags), "-o", compiled, source,
		"-lm")...)
	if out, err := compile.CombinedOutput(); err != nil {
		r.note(stderr, "%s is left out: %v %s", plainC, err, lastLine(out))
	} else {
		r.note(stderr, "%s: compiled with cc %s", plainC, cFlags)
		all = append(all, contender[synthetic]{plainC, program(compiled)})
	}
	product := func(context.Context, synthetic) (sample, error) {
		return own(task{Matmul: o.matmul, Steps: 5})
	}
	all = append(all, contender[synthetic]{matmul, product})
	r.columns = ourColumns(jax, jaxByHand, plainC)

	var turns []turn
	for _, settings := range o.settingCounts {
		s := synthetic{Samples: o.samples, Settings: settings, Steps: max(1, o.steps/settings)}
		rates := map[string][]float64{}
		r.Synthetic = append(r.Synthetic, syntheticResult{s, s.gflop(), rates})
		var losses []float64 // of the first contender that prints them
		for _, c := range all {
			turns = append(turns, turn{c.name, s, func(ctx context.Context) (sample, error) {
				return agreeing(ctx, c, s, &losses)
			}, func(rate float64) { rates[c.name] = append(rates[c.name], rate) }})
		}
	}
	return r.takeTurns(ctx, turns, o.rounds, stderr)
}

// agreeing measures a contender, whose losses must agree with those of the first one.
func agreeing(ctx context.Context, c contender[synthetic], s synthetic,
	losses *[]float64) (sample, error) {
	got, err := c.measure(ctx, s)
	if err == nil && *losses == nil {
		*losses = got.Losses
	} else if err == nil && got.Losses != nil {
		err = agree(got.Losses, *losses)
	}
	return got, err
}

// synthetics is the table of the results on D.
func (r *report) synthetics() string {
	columns := slices.DeleteFunc(slices.Clone(r.columns), func(c column) bool {
		return !slices.ContainsFunc(r.Synthetic,
			func(result syntheticResult) bool { return c.measured(result.Rates) })
	})
	rows := [][]string{{"S"}}
	for _, c := range columns {
		rows[0] = append(rows[0], c.title("steps/s"))
	}
	for _, result := range r.Synthetic {
		row := []string{fmt.Sprint(result.Settings)}
		for _, c := range columns {
			row = append(row, c.cell(result.Rates, result.GFLOPPerStep))
		}
		rows = append(rows, row)
	}
	s := r.Synthetic[0].spec()
	return fmt.Sprintf("The step on D with N = %d, P = %d, d = %d, m = %d, float32, full batch, "+
		"S settings at once. steps/s are steps × settings per second.\n\n%s",
		s.N, s.P, s.D, syntheticM, markdown.Table(rows[0], rows[1:]))
}
