// Package cubic trains the paper's cubic network ([Network]) on its distribution D
// ([datasets.Samples]): many settings at once, many steps per call, and with the quantities of the
// theory ([Options.Observables]) beside the loss.
//
// A setting is a lane: an index of the leading axis of the weights. All lanes see the same samples
// and start from the same weights, so GD and GD+M differ by their rule and nothing else. One call
// is a While loop over full-batch steps
//
//	∇L(w) by hand, over blocks of samples             [Network.Gradient]
//	buffer ← γ buffer + gain·∇L;  w ← w − η buffer    [descent.Update]
package cubic

import (
	"context"
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/datasets"
	"momentum/internal/backend"
)

// Options are the settings that all lanes share.
type Options struct {
	Network  Network
	M        int     // m, neurons
	Sigma0   float64 // σ0, standard deviation of the initial weights
	Seed     uint64  // of the initial weights
	Fitted   float64 // a set is fitted when the mean of its ℓ is below this; 0: 0.1
	Float64  bool    // compute in float64; for tests
	Patches  int     // noise patches of a block, approximately; 0: 3200
	Unlooped bool    // take one step per call in place of a loop; for tests
}

// Lanes is a set of settings in training.
type Lanes struct {
	Options
	lanes []Lane
	steps int // taken

	dtype       dtypes.DType
	train, test data
	feature     []float64       // w* [d]
	params      *tensors.Tensor // [S, columnCount]
	w, buffer   *tensors.Tensor // [S, m, d]
	events      *tensors.Tensor // [S, eventCount] int32, −1 for what has not happened

	stepExec, observeExec *Exec
}

// New prepares lanes for training. Of the test set only the noise is used: each test sample is
// tried with either margin.
func New(b *backend.Backend, train, test *datasets.Samples, lanes []Lane, o Options) (*Lanes,
	error) {
	for i, l := range lanes {
		if err := l.Validate(); err != nil {
			return nil, fmt.Errorf("cubic: lane %d: %w", i, err)
		}
	}
	if len(lanes) == 0 || o.M < 1 || train.D != test.D {
		return nil, fmt.Errorf("cubic: %d lanes of %d neurons, training data in d = %d and test "+
			"data in d = %d; want at least one of each and one d", len(lanes), o.M, train.D, test.D)
	}
	if o.Fitted == 0 {
		o.Fitted = 0.1
	}
	if o.Patches == 0 {
		o.Patches = 3200
	}
	l := &Lanes{Options: o, lanes: lanes, dtype: dtypes.Float32, feature: train.Feature}
	if o.Float64 {
		l.dtype = dtypes.Float64
	}
	d, s := train.D, len(lanes)
	if b.Kind == backend.Go {
		l.Unlooped = true // its While copies the whole state at each step
	}
	err := backend.Try("cubic: prepare", func() {
		l.train = newData(train, l.dtype, o.Patches, true)
		l.test = newData(test, l.dtype, o.Patches, false)
		var rows, w []float64
		for _, lane := range lanes {
			rows = append(rows, lane.row()...)
			for _, x := range Init(o.Seed, o.M, d, o.Sigma0) {
				w = append(w, float64(x))
			}
		}
		l.params = newTensor(l.dtype, rows, s, columnCount)
		l.w = newTensor(l.dtype, w, s, o.M, d)
		l.buffer = newTensor(l.dtype, make([]float64, s*o.M*d), s, o.M, d)
		never := make([]int32, s*int(eventCount))
		for i := range never {
			never[i] = -1
		}
		l.events = tensors.FromFlatDataAndDimensions(never, s, int(eventCount))
		l.stepExec = MustNewExec(b.Backend, l.loopGraph).WithName("cubic.steps")
		l.observeExec = MustNewExec(b.Backend, l.observeGraph).WithName("cubic.observe")
	})
	return l, err
}

// Steps is the number of steps taken.
func (l *Lanes) Steps() int { return l.steps }

// Run takes k steps in every lane. If the context ends first, Run takes only some of them, and the
// state is that after the last step taken.
func (l *Lanes) Run(ctx context.Context, k int) error {
	return backend.Try("cubic: steps", func() {
		stepsPerCall := 1
		if !l.Unlooped {
			stepsPerCall = k
		}
		for done := 0; done < k; done += stepsPerCall {
			if err := ctx.Err(); err != nil {
				panic(err)
			}
			state := l.stepExec.MustCall(l.arguments(
				tensors.FromScalar(int32(l.steps)), tensors.FromScalar(int32(l.steps+stepsPerCall)),
				l.params, l.w, l.buffer, l.events)...)
			l.w, l.buffer, l.events = state[0], state[1], state[2]
			l.steps += stepsPerCall
		}
	})
}

// arguments are those of an executable: the given ones and the training samples.
func (l *Lanes) arguments(first ...*tensors.Tensor) []any {
	var all []any
	for _, t := range first {
		all = append(all, t)
	}
	return append(all, l.train.arguments()...)
}
