package descent

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"golang.org/x/sync/errgroup"

	"momentum/internal/backend"
	"momentum/models"
)

// Options are the settings of a trainer that belong neither to the network nor to the rule.
type Options struct {
	Precision Precision
	Seed      uint64 // of the initial weights

	// Until, if not nil, is called in each step with the batch's score at the weights before the
	// step. When it returns true, the step is not taken. It costs a second transfer of a few
	// numbers to the host.
	Until func(Score) bool
	// OnChunk, if not nil, is called with the number of images of each chunk of a step once the
	// chunk has been handed to its device. The calls come one at a time.
	OnChunk func(images int)
	// Lazy compiles each graph when it is first called, rather than all that a step needs at once:
	// for a trainer that only evaluates.
	Lazy bool
}

// Trainer holds the weights, the momentum and the compiled graphs of one run, on one or several
// devices.
//
// One step over a batch of B images is
//
//	for each part of the batch:
//		sum = 0;  for each chunk of the part:  sum += Σ_i ∇ℓ_i(w) / B
//	total = the sums of the parts, added up in a binary tree
//	w, buffer = the rule (w, total, buffer, η)
//
// so that the gradient is that of the whole batch for any chunks. Each device has its own weights
// and momentum and takes its share of the parts. It adds up what the tree allows. The rest, one or
// a few sums for each device, meets once a step on the first device by way of the host; then every
// device takes the same update. The order of all these additions is that of one device alone, so
// another number of devices changes no bit where a chunk gives the same bits on all of them. With
// one device the host reads eight numbers a step, and nothing else.
//
// With Norm "batch" the statistics are those of a chunk ("ghost" batches), and the chunks do change
// the result.
type Trainer struct {
	Options
	net      *models.Network
	rule     Rule
	train    *Data
	params   []models.Param
	replicas []*replica // by device
	gamma    float64    // γ, the rule's until SetGamma
	steps    int64      // taken so far
}

// NewTrainer prepares a run of the rule on the training images, from the network's initial weights
// for the seed.
func NewTrainer(b *backend.Backend, net *models.Network, rule Rule, train *Data,
	o Options) (*Trainer, error) {
	if err := rule.Validate(); err != nil {
		return nil, fmt.Errorf("descent: %w", err)
	}
	own := *net // the caller's stays as it is
	own.ForCPU = b.Kind == backend.CPU
	t := &Trainer{Options: o, net: &own, rule: rule, train: train, params: net.Params()}
	err := backend.Try("descent", func() {
		compiled := map[compute.Backend]*programs{}
		for i, device := range b.Devices {
			if compiled[device.Client] == nil {
				compiled[device.Client] = must(t.compile(device.Client))
			}
			t.replicas = append(t.replicas,
				&replica{index: i, device: device, programs: compiled[device.Client]})
		}
	})
	if err != nil {
		return t, err
	}
	return t, t.Restart(o.Seed)
}

// Restart begins another run, from the network's initial weights for a seed: as a new trainer does,
// but without compiling anything.
func (t *Trainer) Restart(seed uint64) error {
	t.Seed, t.gamma, t.steps = seed, t.rule.Gamma, 0
	return backend.Try("descent: initial weights", func() {
		initial := t.net.Init(seed)
		for _, r := range t.replicas {
			r.weights, r.momentum = nil, nil
			for j, p := range t.params {
				r.weights = append(r.weights, tensorOf(t.Precision, initial[j], p.Shape...))
				if t.rule.HasMomentum() {
					r.momentum = append(r.momentum, tensors.FromShape(t.shape(p)))
				}
			}
		}
	})
}

// Rule is the rule of the next step.
func (t *Trainer) Rule() Rule {
	r := t.rule
	r.Gamma = t.gamma
	return r
}

// shape is the shape of a parameter, of its gradient and of its momentum.
func (t *Trainer) shape(p models.Param) shapes.Shape {
	_, dtype := t.Precision.dtypes()
	return shapes.Make(dtype, p.Shape...)
}

// Step takes one step over all training images: exact full-batch gradient descent. If the context
// ends first, the step is not taken. The weights, which are then those before the step, may still
// be saved, but the trainer must not take another step.
func (t *Trainer) Step(ctx context.Context, eta float64) (Stats, error) {
	return t.step(ctx, t.train.shares, t.train.N, eta)
}

// StepOn is [Trainer.Step] over a batch of training images, given by their indices in [0, N). The
// training images must have random access.
func (t *Trainer) StepOn(ctx context.Context, indices []int32, eta float64) (Stats, error) {
	if !t.train.Random {
		return Stats{}, fmt.Errorf("descent: a step on a mini-batch needs training images with " +
			"random access")
	}
	return t.step(ctx, t.train.cut(indices, len(t.replicas)), len(indices), eta)
}

// step takes one step over the parts of a batch, by device, which have size images together.
func (t *Trainer) step(ctx context.Context, shares [][]part, size int, eta float64) (Stats, error) {
	var mu sync.Mutex
	onChunk := func(images int) {
		if t.OnChunk != nil {
			mu.Lock()
			defer mu.Unlock()
			t.OnChunk(images)
		}
	}
	totals, err := t.sums(ctx, t.train, shares, size, onChunk)
	if err != nil {
		return Stats{}, err
	}
	if t.Until != nil {
		var s Score
		err := backend.Try(t.place(0), func() {
			s = scoreOf(backend.Floats(totals[0][len(t.params)]))
		})
		if err != nil || t.Until(s) {
			return Stats{Score: s, Ended: true}, err
		}
	}
	var stats []float64
	err = t.each(ctx, func(_ check, i int, r *replica) {
		s := r.step(totals[i], t.Precision.vector(t.Rule().numbers(eta)))
		if i == 0 {
			stats = backend.Floats(s)
		}
	})
	if err != nil {
		return Stats{}, err
	}
	t.steps++
	return Stats{Score: scoreOf(stats), GradNorm: stats[4], UpdateNorm: stats[5],
		ParamNorm: stats[6], ClipFactor: stats[7]}, nil
}

// sums adds up the gradients and the scores of parts of a set of images, by device, the gradients
// and losses divided by size, and returns the total for each device.
func (t *Trainer) sums(ctx context.Context, d *Data, shares [][]part, size int,
	onChunk func(images int)) ([]sums, error) {
	nodes := make([][]node[sums], len(t.replicas))
	err := t.each(ctx, func(goOn check, i int, r *replica) {
		imageWeight := t.Precision.scalar(1 / float64(size))
		nodes[i] = r.sum(goOn, d, shares[i], imageWeight, onChunk)
	})
	if err != nil {
		return nil, err
	}
	return t.meet(ctx, nodes)
}

// Rehearse computes the gradient of one chunk on every device that has work and drops it. It
// returns the number of images.
func (t *Trainer) Rehearse(ctx context.Context) (images int, err error) {
	var n atomic.Int64
	err = t.each(ctx, func(goOn check, i int, r *replica) {
		if len(t.train.shares[i]) == 0 {
			return
		}
		first := t.train.shares[i][0]
		r.sum(goOn, t.train, []part{{first.index, first.chunks[:1]}}, t.Precision.scalar(1),
			func(images int) { n.Add(int64(images)) })
	})
	return int(n.Load()), err
}

// meet adds the nodes of all devices and returns the total for each device.
func (t *Trainer) meet(ctx context.Context, nodes [][]node[sums]) ([]sums, error) {
	totals, total := make([]sums, len(t.replicas)), sums{} // by device, and on the host
	// The first device keeps what it has; the others' come to the host.
	err := t.each(ctx, func(_ check, i int, _ *replica) {
		for j := range nodes[i] {
			if i > 0 {
				nodes[i][j].value = onHost(nodes[i][j].value)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	err = backend.Try(t.place(0), func() {
		all := tree[sums]{add: t.replicas[0].addSums, nodes: nodes[0]}
		for _, n := range slices.Concat(nodes[1:]...) {
			all.push(n)
		}
		totals[0] = all.nodes[0].value
		if len(t.replicas) > 1 { // read here, so that an error names this device
			total = onHost(totals[0])
		}
	})
	if err != nil {
		return nil, err
	}
	return totals, t.each(ctx, func(_ check, i int, _ *replica) {
		if i > 0 {
			totals[i] = onHost(total)
		}
	})
}

// check panics if the context has ended or another device has failed.
type check func()

// each calls f for all replicas at once, and returns the first error.
func (t *Trainer) each(ctx context.Context, f func(goOn check, i int, r *replica)) error {
	g, others := errgroup.WithContext(ctx)
	goOn := func() {
		if err := cmp.Or(ctx.Err(), others.Err()); err != nil {
			panic(err)
		}
	}
	for i, r := range t.replicas {
		g.Go(func() error { return backend.Try(t.place(i), func() { f(goOn, i, r) }) })
	}
	return g.Wait()
}

// place says which device an error is about, if there are several.
func (t *Trainer) place(device int) string {
	if len(t.replicas) == 1 {
		return "descent"
	}
	return fmt.Sprintf("descent: device %d of %d", device+1, len(t.replicas))
}

// Evaluate scores images at the present weights. If the context ends first, the same holds as for
// [Trainer.Step].
func (t *Trainer) Evaluate(ctx context.Context, d *Data) (Score, error) {
	scores := make([][][]float64, len(t.replicas)) // by device and part
	err := t.each(ctx, func(goOn check, i int, r *replica) {
		for _, s := range r.scores(goOn, d, d.shares[i], func() *tensors.Tensor {
			return t.Precision.vector(make([]float64, numScores))
		}) {
			scores[i] = append(scores[i], backend.Floats(s))
		}
	})
	sum := make([]float64, numScores)
	for _, s := range slices.Concat(scores...) {
		for k := range sum {
			sum[k] += s[k]
		}
	}
	s := scoreOf(sum)
	s.Loss, s.SmallMarginLoss = s.Loss/float64(d.N), s.SmallMarginLoss/float64(d.N)
	return s, err
}

// Logits are the logits [N][classes] of images at the present weights.
func (t *Trainer) Logits(ctx context.Context, d *Data) ([][]float64, error) {
	shares := make([][]float64, len(t.replicas))
	err := t.each(ctx, func(goOn check, i int, r *replica) {
		shares[i] = r.logits(goOn, d, d.shares[i], t.net.Classes)
	})
	return slices.Collect(slices.Chunk(slices.Concat(shares...), t.net.Classes)), err
}

// must turns an error into a panic. Call it inside backend.Try.
func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}
