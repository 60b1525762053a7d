package main

import (
	"context"
	_ "embed" // testdata/expected.json
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/descent"
	"momentum/internal/measure"
)

// outcome holds the results for one precision.
type outcome struct {
	Precision    descent.Precision `json:"precision"`
	Backend      backend.Kind      `json:"backend,omitempty"`
	Device       string            `json:"device,omitempty"`
	XLA          string            `json:"xla,omitempty"` // the plugin's own description
	PluginSHA256 string            `json:"plugin_sha256,omitempty"`
	// reason, if there is no such precision
	Skipped     string      `json:"skipped,omitempty"`
	Error       string      `json:"error,omitempty"` // the first failure
	Check       *comparison `json:"check,omitempty"`
	MatmulGFLOP []float64   `json:"matmul_gflop_per_s,omitempty"`
	Rates       []rate      `json:"rates,omitempty"`
	Paper       *paper      `json:"paper,omitempty"`
}

// numbers are compared with those of a CPU.
type numbers struct {
	Losses    []float64          `json:"losses"`         // of the first steps
	Gradients map[string]float64 `json:"gradient_norms"` // by parameter, at the initial weights
}

// comparison holds the relative deviations of numbers from the CPU's in float32.
type comparison struct {
	Losses        []float64 `json:"losses"`
	LossError     float64   `json:"loss_error"`     // the largest
	GradientError float64   `json:"gradient_error"` // the largest of all parameters
	Worst         string    `json:"worst"`          // the parameter with this error
	Tolerance     tolerance `json:"tolerance"`
}

// tolerance holds upper limits of the errors.
type tolerance struct {
	Loss     float64 `json:"loss_error"`
	Gradient float64 `json:"gradient_error"`
}

// rate is the speed of the step at one chunk size.
type rate struct {
	measure.Setting
	ImagesPerS []float64 `json:"images_per_s,omitempty"` // of each step
	GFLOPPerS  float64   `json:"gflop_per_s,omitempty"`
	Error      string    `json:"error,omitempty"`
}

// paper holds the results of steps in the paper's setting.
type paper struct {
	measure.Setting
	Images     int       `json:"images"`
	Eta        float64   `json:"eta"`
	Losses     []float64 `json:"losses"`
	Accuracy   []float64 `json:"train_accuracy"`
	GradNorms  []float64 `json:"gradient_norms"`
	ImagesPerS []float64 `json:"images_per_s"` // of each step; the first one compiles
}

// tolerances limit the deviation of each precision from float32 on a CPU. Those of TF32 (10 bits of
// mantissa) and bfloat16 (7 bits) detect errors, not imprecision: in bfloat16 on a CPU the losses
// deviate by 6e-4 and the gradient of one layer's biases by 8%.
var tolerances = map[descent.Precision]tolerance{
	descent.F32: {1e-3, 1e-3}, descent.TF32: {1e-3, 0.03}, descent.BF16: {0.01, 0.25},
}

//go:embed testdata/expected.json
var expected []byte

// do performs all parts for one precision. A part that fails does not prevent the others.
func (t task) do(ctx context.Context, stderr io.Writer) outcome {
	o := outcome{Precision: t.Precision}
	b, err := backend.Open(ctx, t.Backend, backend.Options{Offline: true, Out: stderr,
		TF32: t.Precision == descent.TF32})
	if err != nil {
		o.Error = err.Error()
		return o
	}
	o.Backend, o.Device = b.Kind, b.Device
	o.XLA, o.PluginSHA256 = b.Backend.Description(), b.PluginSHA256
	switch {
	case t.Precision == descent.TF32 && b.Kind != backend.CUDA:
		o.Skipped = "TF32 exists on GPUs only"
		return o
	case t.Precision == descent.BF16 && b.Kind == backend.Go:
		o.Skipped = "the Go backend has no bfloat16 convolution"
		return o
	}
	for _, part := range []func(context.Context, *backend.Backend, *outcome) error{t.check,
		t.matmul, t.rates, t.paper} {
		if err := part(ctx, b, &o); err != nil && o.Error == "" {
			o.Error = err.Error()
		}
	}
	return o
}

// check compares losses and gradients with the CPU's.
func (t task) check(ctx context.Context, b *backend.Backend, o *outcome) error {
	var want numbers
	if err := json.Unmarshal(expected, &want); err != nil {
		return err
	}
	got, err := compute(ctx, b, t.Precision)
	if err != nil {
		return err
	}
	c := compare(got, want)
	c.Tolerance = tolerances[t.Precision]
	o.Check = &c
	if c.LossError > c.Tolerance.Loss || c.GradientError > c.Tolerance.Gradient {
		return fmt.Errorf(
			"losses deviate by %.2g and gradient norms by %.2g (%s), want at most %g and %g",
			c.LossError, c.GradientError, c.Worst, c.Tolerance.Loss, c.Tolerance.Gradient)
	}
	return nil
}

// compute takes a few steps of GD+M with ResNet-18 of width 8 on 32 embedded images. The first step
// of the undamped form, from b = 0, moves the weights by η∇L, which gives the gradient of each
// parameter.
func compute(ctx context.Context, b *backend.Backend, p descent.Precision) (numbers, error) {
	const images, steps, eta = 32, 3, 1.0 / 64
	data, err := measure.Images(ctx, b, images, images/2)
	if err != nil {
		return numbers{}, err
	}
	setting := measure.Setting{Model: "resnet18", Width: 8, Precision: p, Chunk: images / 2}
	trainer, err := setting.Trainer(b, data)
	if err != nil {
		return numbers{}, err
	}
	before, err := trainer.Weights()
	if err != nil {
		return numbers{}, err
	}
	got := numbers{Gradients: map[string]float64{}}
	for range steps {
		s, err := measure.Steps(ctx, trainer, eta, 1)
		if err != nil {
			return numbers{}, err
		}
		got.Losses = append(got.Losses, s[0].Loss)
		if len(got.Losses) > 1 {
			continue
		}
		after, err := trainer.Weights()
		if err != nil {
			return numbers{}, err
		}
		for i, w := range after {
			sum := 0.0
			for j, x := range w.Data {
				g := (float64(before[i].Data[j]) - float64(x)) / eta
				sum += g * g
			}
			got.Gradients[w.Name] = math.Sqrt(sum)
		}
	}
	return got, nil
}

// compare returns the largest relative differences of finite numbers.
func compare(got, want numbers) comparison {
	c := comparison{Losses: got.Losses}
	for i, w := range want.Losses {
		c.LossError = max(c.LossError, math.Abs(got.Losses[i]-w)/w)
	}
	for _, name := range slices.Sorted(maps.Keys(want.Gradients)) {
		w := want.Gradients[name]
		if e := math.Abs(got.Gradients[name]-w) / w; e > c.GradientError || c.Worst == "" {
			c.GradientError, c.Worst = e, name
		}
	}
	return c
}

// matmul measures the bare product.
func (t task) matmul(_ context.Context, b *backend.Backend, o *outcome) (err error) {
	o.MatmulGFLOP, err = measure.Matmul(b, t.Precision, t.Matmul, t.Timed)
	return err
}

// rates measures the step with each chunk size. It records the failure of a chunk size in its rate.
func (t task) rates(ctx context.Context, b *backend.Backend, o *outcome) error {
	for _, chunk := range t.Chunks {
		r := rate{Setting: t.setting(chunk)}
		if err := r.measure(ctx, b, t.Timed); err != nil {
			r.Error = err.Error()
		}
		o.Rates = append(o.Rates, r)
	}
	if best(o.Rates) == nil {
		return fmt.Errorf("no chunk can be computed: %s", o.Rates[0].Error)
	}
	return nil
}

func (t task) setting(chunk int) measure.Setting {
	return measure.Setting{Model: "resnet18", Width: t.Width, Precision: t.Precision, Chunk: chunk}
}

// measure times steps over four chunks each.
func (r *rate) measure(ctx context.Context, b *backend.Backend, timed int) error {
	const eta = 0.002 // small enough for any width
	net, err := r.Network()
	if err != nil {
		return err
	}
	n := 4 * r.Chunk
	data, err := measure.Images(ctx, b, n, r.Chunk)
	if err != nil {
		return err
	}
	trainer, err := r.Trainer(b, data)
	if err != nil {
		return err
	}
	steps, err := measure.Steps(ctx, trainer, eta, 1+timed)
	if err != nil {
		return err
	}
	_, flop := net.FLOPs()
	r.ImagesPerS = measure.PerSecond(float64(n), steps[1:])
	r.GFLOPPerS = measure.Mean(r.ImagesPerS) * flop / 1e9
	return nil
}

// best returns the fastest rate, or nil.
func best(rates []rate) (top *rate) {
	for i, r := range rates {
		if r.Error == "" && (top == nil || r.GFLOPPerS > top.GFLOPPerS) {
			top = &rates[i]
		}
	}
	return top
}

// paper takes full-batch steps in the paper's setting.
func (t task) paper(ctx context.Context, b *backend.Backend, o *outcome) error {
	fastest := best(o.Rates)
	if fastest == nil {
		return nil // rates has returned the error
	}
	data, err := t.load(ctx, b, fastest.Chunk)
	if err != nil {
		return err
	}
	p := &paper{Setting: fastest.Setting, Images: data.N, Eta: 0.02}
	trainer, err := p.Trainer(b, data)
	if err != nil {
		return err
	}
	steps, err := measure.Steps(ctx, trainer, p.Eta, t.Steps)
	for _, s := range steps {
		p.Losses = append(p.Losses, s.Loss)
		p.Accuracy = append(p.Accuracy, float64(s.Correct)/float64(data.N))
		p.GradNorms = append(p.GradNorms, s.GradNorm)
	}
	p.ImagesPerS = measure.PerSecond(float64(data.N), steps)
	o.Paper = p
	return err
}

// load copies the images of the paper's setting to the device.
func (t task) load(ctx context.Context, b *backend.Backend, chunk int) (*descent.Data,
	error) {
	if t.Data == "" {
		return measure.Images(ctx, b, t.Images, chunk)
	}
	train, _, err := datasets.Load(ctx, "cifar10", datasets.Options{Dir: t.Data, Offline: true})
	if err != nil {
		return nil, err
	}
	return descent.NewData(b, train, descent.Layout{Chunk: chunk})
}

// print writes the outcome as text.
func (o *outcome) print(w io.Writer) {
	fmt.Fprintf(w, "%s on %s (%s)\n", o.Precision, o.Device, o.Backend)
	if o.Skipped != "" {
		fmt.Fprintf(w, "  left out: %s\n", o.Skipped)
	}
	if c := o.Check; c != nil {
		fmt.Fprintf(w, "  compared with float32 on a CPU: losses within %.1e (limit %g), gradient "+
			"norms within %.1e (limit %g; worst: %s)\n",
			c.LossError, c.Tolerance.Loss, c.GradientError, c.Tolerance.Gradient, c.Worst)
	}
	if len(o.MatmulGFLOP) > 0 {
		fmt.Fprintf(w, "  bare product: %.4g GFLOP/s\n", measure.Mean(o.MatmulGFLOP))
	}
	for _, r := range o.Rates {
		if r.Error != "" {
			fmt.Fprintf(w, "  %v: %s\n", r.Setting, r.Error)
			continue
		}
		fmt.Fprintf(w, "  %v: %.4g images/s, %.4g GFLOP/s\n", r.Setting, measure.Mean(r.ImagesPerS),
			r.GFLOPPerS)
	}
	if p := o.Paper; p != nil && len(p.Losses) > 1 {
		fmt.Fprintf(w, "  %v, %d images: %d full-batch steps, loss %.4f to %.4f, %.4g images/s\n",
			p.Setting, p.Images, len(p.Losses),
			p.Losses[0], p.Losses[len(p.Losses)-1], measure.Mean(p.ImagesPerS[1:]))
	}
	if o.Error != "" {
		fmt.Fprintf(w, "  ERROR: %s\n", o.Error)
	}
}
