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

// tolerances limit the deviation of each precision from float32 on a CPU. Those of TF32 (10 bits of
// mantissa) and bfloat16 (7 bits) detect errors, not imprecision: in bfloat16 on a CPU the losses
// deviate by 6e-4 and the gradient of one layer's biases by 8%.
var tolerances = map[descent.Precision]tolerance{
	descent.F32: {1e-3, 1e-3}, descent.TF32: {1e-3, 0.03}, descent.BF16: {0.01, 0.25},
}

//go:embed testdata/expected.json
var expected []byte

// compare compares losses and gradients with the CPU's.
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

// deviation returns the largest relative differences of finite numbers.
func deviation(got, want numbers) comparison {
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
