// Package measure measures speed: that of the exact full-batch step and, for comparison, that of a
// bare matrix product, which scripts/bench and scripts/gpucheck share, and that of a loop's step.
package measure

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/descent"
	"momentum/models"
)

// Setting is a network without normalization, together with the precision and the chunks of its
// steps.
type Setting struct {
	Model     string            `json:"model"`
	Width     int               `json:"width"`
	Precision descent.Precision `json:"precision"`
	Chunk     int               `json:"chunk"`
}

func (s Setting) String() string {
	return fmt.Sprintf("%s width %d %s chunk %d", s.Model, s.Width, s.Precision, s.Chunk)
}

// Network returns the setting's network for 10 classes, without normalization as in the paper.
func (s Setting) Network() (*models.Network, error) {
	return models.New(models.Config{Model: s.Model, Width: s.Width, Norm: "none", Classes: 10})
}

// Trainer prepares GD+M in the undamped form with γ = 0.9, from the initial weights of seed 1.
func (s Setting) Trainer(b *backend.Backend, train *descent.Data) (*descent.Trainer, error) {
	net, err := s.Network()
	if err != nil {
		return nil, err
	}
	rule := descent.Rule{Form: descent.Undamped, Gamma: 0.9}
	return descent.NewTrainer(b, net, rule, train,
		descent.Options{Precision: s.Precision, Seed: 1})
}

// Images copies n images to the devices, in chunks: the embedded training images, repeated as often
// as necessary. The memory of the host's copy is returned to the system.
func Images(ctx context.Context, b *backend.Backend, n, chunk int) (*descent.Data, error) {
	mini, _, err := datasets.Load(ctx, "cifar10-mini", datasets.Options{})
	if err != nil {
		return nil, err
	}
	many := *mini
	many.Pixels = make([]uint8, 0, n*len(mini.Pixels)/mini.N())
	many.Labels = make([]uint8, 0, n)
	for many.N() < n {
		part := mini.Slice(0, min(n-many.N(), mini.N()))
		many.Pixels = append(many.Pixels, part.Pixels...)
		many.Labels = append(many.Labels, part.Labels...)
	}
	data, err := descent.NewData(b, &many, descent.Layout{Chunk: chunk})
	many.Pixels = nil
	debug.FreeOSMemory()
	return data, err
}

// Step is one step of descent and its duration.
type Step struct {
	descent.Stats
	Seconds float64
}

// Steps takes n full-batch steps at rate eta. The first one also compiles what [descent.NewTrainer]
// has not. If the numbers of a step are not finite, Steps returns the steps before it and an error.
func Steps(ctx context.Context, t *descent.Trainer, eta float64, n int) ([]Step, error) {
	var steps []Step
	for i := range n {
		start := time.Now()
		stats, err := t.Step(ctx, eta)
		if err != nil {
			return steps, err
		}
		if quantity, value := stats.NotFinite(); quantity != "" {
			return steps, fmt.Errorf("%s is %v at step %d", quantity, value, i)
		}
		steps = append(steps, Step{stats, time.Since(start).Seconds()})
	}
	return steps, nil
}

// PerSecond returns the rate of each step, in units of work per second, for steps of n units each.
func PerSecond(n float64, steps []Step) []float64 {
	rates := make([]float64, len(steps))
	for i, s := range steps {
		rates[i] = n / s.Seconds
	}
	return rates
}

// Mean is the overall rate of equal pieces of work that were done at the given rates: their
// harmonic mean.
func Mean(rates []float64) float64 {
	seconds := 0.0
	for _, r := range rates {
		seconds += 1 / r
	}
	return float64(len(rates)) / seconds
}

// Median is the median of at least one value. It does not change values.
func Median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Matmul multiplies two [size, size] matrices n times, after an untimed first product, and returns
// the GFLOP/s of each product.
func Matmul(b *backend.Backend, p descent.Precision, size, n int) (rates []float64, err error) {
	dtype := dtypes.Float32
	if p == descent.BF16 {
		dtype = dtypes.BFloat16
	}
	err = backend.Try("matmul", func() {
		matrix := MustNewExec(b.Backend, func(g *Graph) *Node {
			return ConvertDType(Sin(IotaFull(g, shapes.Make(dtypes.Float32, size, size))), dtype)
		}).MustCall1()
		multiply := MustNewExec(b.Backend, func(x *Node) *Node { return Dot(x, x).Product() })
		for i := range n + 1 {
			start := time.Now()
			product := multiply.MustCall1(matrix) // waits for the device
			seconds := time.Since(start).Seconds()
			product.MustFinalizeAll()
			if i > 0 {
				rates = append(rates, 2*float64(size)*float64(size)*float64(size)/seconds/1e9)
			}
		}
	})
	return rates, err
}
