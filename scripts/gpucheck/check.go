package main

import (
	"context"
	_ "embed" // testdata/expected.json
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"momentum/internal/backend"
	"momentum/internal/descent"
	"momentum/internal/measure"
)

// numbers are compared with those of a CPU.
type numbers struct {
	Losses    []float64          `json:"losses"`         // of the first steps
	Gradients map[string]float64 `json:"gradient_norms"` // by parameter, at the initial weights
}

// comparison holds the deviations of numbers from those in float64.
type comparison struct {
	Losses        []float64 `json:"losses"`
	LossError     float64   `json:"loss_error"` // the largest relative one
	GradientError float64   `json:"gradient_error"`
	Worst         string    `json:"worst"` // the parameter that has the largest part in it
	Tolerance     tolerance `json:"tolerance"`
}

// tolerance holds upper limits of the errors.
type tolerance struct {
	Loss     float64 `json:"loss_error"`
	Gradient float64 `json:"gradient_error"`
}

// tolerances limit the deviation of each precision from float64. In f32 the errors are 1e-7 and
// 2e-7 with the Go backend, and 1.2e-5 and 3.2e-4 with XLA on an Intel Xeon with AVX-512, where a
// ReLU of the first stage is off by rounding. With the factors of all products rounded to the 10
// bits of mantissa of TF32 they are 1.5e-4 and 3.2e-3 on that processor, so the limits of f32 find
// out that a GPU rounds so. Those of TF32 and bfloat16 (7 bits; 3.7e-4 and 1.2e-2 on a CPU) detect
// errors, not imprecision.
var tolerances = map[descent.Precision]tolerance{
	descent.F32: {1e-4, 1e-3}, descent.TF32: {1e-3, 0.02}, descent.BF16: {0.01, 0.1},
}

//go:embed testdata/expected.json
var expected []byte

// compare compares losses and gradients with those in float64.
func (t task) compare(ctx context.Context, b *backend.Backend, o *outcome) error {
	var want numbers
	if err := json.Unmarshal(expected, &want); err != nil {
		return err
	}
	got, err := compute(ctx, b, o.Precision)
	if err != nil {
		return err
	}
	c := deviation(got, want)
	c.Tolerance = tolerances[o.Precision]
	o.Check = &c
	if c.LossError > c.Tolerance.Loss || c.GradientError > c.Tolerance.Gradient {
		return fmt.Errorf(
			"losses deviate by %.2g and gradients by %.2g (%s), want at most %g and %g",
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

// deviation compares finite numbers. The error of the gradients is that of the norms of all
// parameters' gradients together, relative to the norm of the whole gradient: of a small gradient
// alone, such as one of biases, much more may hang on a single pixel, whose ReLU may be on or off
// by rounding.
func deviation(got, want numbers) comparison {
	c := comparison{Losses: got.Losses}
	for i, w := range want.Losses {
		c.LossError = max(c.LossError, math.Abs(got.Losses[i]-w)/w)
	}
	errors, norm, largest := 0.0, 0.0, -1.0
	for _, name := range slices.Sorted(maps.Keys(want.Gradients)) {
		e := math.Abs(got.Gradients[name] - want.Gradients[name])
		if e > largest {
			largest, c.Worst = e, name
		}
		errors, norm = math.Hypot(errors, e), math.Hypot(norm, want.Gradients[name])
	}
	c.GradientError = errors / norm
	return c
}
