package descent

import (
	"context"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"momentum/internal/backend"
	"momentum/models"
)

// Options are the settings of a trainer that belong neither to the network nor to the rule.
type Options struct {
	Precision Precision
	Chunk     int    // images per call of the compiled step, at least 1
	Seed      uint64 // of the initial weights

	// OnChunk, if not nil, is called with the number of images of each chunk of a step once the
	// chunk has been handed to the device.
	OnChunk func(images int)
}

// Trainer holds the weights, the momentum and the compiled graphs of one run.
//
// One step over a batch of B images is
//
//	for each chunk of the batch:  sum += Σ_i ∇ℓ_i(w) / B    one graph, the sums donated to it
//	w, buffer = Rule.Update(w, sum, buffer, η);  sum = 0    a small graph, which returns the Stats
//
// so that the gradient is that of the whole batch for any chunks, and the host reads five numbers
// per step, or seven with small-margin images.
//
// With Norm "batch" the statistics are those of a chunk ("ghost" batches), and the chunks do change
// the result.
type Trainer struct {
	Options
	net    *models.Network
	rule   Rule
	train  *Data
	store  *model.Store
	params []models.Param

	accumulate, update, evaluate *model.Exec
	imageWeights                 map[int]*tensors.Tensor // 1/B on the device, by B
}

// NewTrainer prepares a run of the rule on the training images, from the network's initial weights
// for the seed.
func NewTrainer(b *backend.Backend, net *models.Network, rule Rule, train *Data,
	o Options) (*Trainer, error) {
	if err := rule.Validate(); err != nil {
		return nil, fmt.Errorf("descent: %w", err)
	}
	if o.Chunk < 1 {
		return nil, fmt.Errorf("descent: chunk must be at least 1 image, got %d", o.Chunk)
	}
	own := *net // the caller's stays as it is
	own.ForCPU = b.Kind == backend.CPU
	t := &Trainer{
		Options: o, net: &own, rule: rule, train: train, store: model.NewStore(),
		params: net.Params(), imageWeights: map[int]*tensors.Tensor{},
	}
	err := backend.Try("descent", func() {
		_, weightType := o.Precision.dtypes()
		for i, values := range net.Init(o.Seed) {
			p := t.params[i]
			t.create(weightPath+p.Name, fromFloat32(values, weightType, p.Shape), true)
			t.create(sumPath+p.Name, zeros(weightType, p.Shape...), false)
			if rule.HasMomentum() {
				t.create(momentumPath+p.Name, zeros(weightType, p.Shape...), false)
			}
		}
		for _, path := range []string{lossSum, correctSum, smallMarginLossSum,
			smallMarginCorrectSum} {
			t.create(path, zeros(weightType), false)
		}
		optimizer.GetGlobalStepVar(t.store)
		t.accumulate = must(model.NewExec(b.Backend, t.store, t.accumulateGraph)).SetMaxCache(-1)
		t.update = must(model.NewExec(b.Backend, t.store, t.updateGraph))
		t.evaluate = must(model.NewExec(b.Backend, t.store, t.evaluateGraph)).SetMaxCache(-1)
	})
	return t, err
}

// Step takes one step over all training images: exact full-batch gradient descent. If the context
// ends first, the step is not taken. The weights, which are then those before the step, may still
// be saved, but the trainer must not take another step.
func (t *Trainer) Step(ctx context.Context, eta float64) (Stats, error) {
	return t.step(ctx, t.train.inOrder(t.Chunk), t.train.N, eta)
}

// StepOn is [Trainer.Step] over a batch of training images, given by their indices in [0, N).
func (t *Trainer) StepOn(ctx context.Context, indices []int32, eta float64) (Stats, error) {
	return t.step(ctx, chunked(indices, t.Chunk), len(indices), eta)
}

// step takes one step over the chunks, which have size images together.
func (t *Trainer) step(ctx context.Context, chunks []*tensors.Tensor, size int,
	eta float64) (Stats, error) {
	var stats Stats
	err := backend.Try("descent: step", func() {
		if t.imageWeights[size] == nil {
			t.imageWeights[size] = t.Precision.scalar(1 / float64(size))
		}
		for _, indices := range chunks {
			if err := ctx.Err(); err != nil {
				panic(err)
			}
			t.accumulate.MustCall(append(t.train.arguments(indices), t.imageWeights[size])...)
			if t.OnChunk != nil {
				t.OnChunk(indices.Size())
			}
		}
		v := backend.Floats(t.update.MustCall(t.Precision.scalar(eta))[0]) // see updateGraph
		stats = Stats{Score: Score{Loss: v[0], Correct: int(v[1])}, GradNorm: v[2],
			UpdateNorm: v[3], ParamNorm: v[4]}
		if len(v) > 5 {
			stats.SmallMarginLoss, stats.SmallMarginCorrect = v[5], int(v[6])
		}
	})
	return stats, err
}

// Evaluate scores images at the present weights. If the context ends first, the same holds as for
// [Trainer.Step].
func (t *Trainer) Evaluate(ctx context.Context, d *Data) (Score, error) {
	var s Score
	err := backend.Try("descent: evaluate", func() {
		for _, indices := range d.inOrder(t.Chunk) {
			if err := ctx.Err(); err != nil {
				panic(err)
			}
			t.evaluate.MustCall(d.arguments(indices)...)
		}
		n := float64(d.N)
		s = Score{Loss: t.takeSum(lossSum) / n, Correct: int(t.takeSum(correctSum))}
		if d.smallMargin != nil {
			s.SmallMarginLoss = t.takeSum(smallMarginLossSum) / n
			s.SmallMarginCorrect = int(t.takeSum(smallMarginCorrectSum))
		}
	})
	return s, err
}

// takeSum reads a scalar sum on the host and sets it to zero.
func (t *Trainer) takeSum(path string) float64 {
	v := t.store.GetVariable(path)
	sum := backend.Floats(v.MustValue())[0]
	setValue(v, zeros(v.DType()))
	return sum
}

// create adds a variable to the store.
func (t *Trainer) create(path string, value *tensors.Tensor, trainable bool) {
	must(t.store.CreateVariable(path, value)).SetTrainable(trainable)
}

// setValue replaces the value of a variable. Call it inside backend.Try.
func setValue(v *model.Variable, value *tensors.Tensor) {
	if err := v.SetValue(value); err != nil {
		panic(err)
	}
}

// must turns an error into a panic. Call it inside backend.Try.
func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}
