package table1

import (
	"context"
	"errors"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend"
	"momentum/internal/descent"
	"momentum/internal/seeds"
	"momentum/models"
)

// trial is a setting that is trained for all seeds.
type trial struct {
	teacher   int // index
	algorithm string
	rate      float64
	gamma     float64
}

// trainStudent trains all lanes of one student.
func (e *experiment) trainStudent(ctx context.Context, student string) ([]Lane, error) {
	if e.train == nil {
		if err := e.draw(ctx); err != nil {
			return nil, err
		}
	}
	tasks, err := e.tasks(student)
	if err != nil {
		return nil, err
	}
	var all []Lane
	for _, t := range tasks {
		for trials := range slices.Chunk(t.trials, t.block) {
			lanes, err := t.train(ctx, trials)
			if err != nil {
				return nil, err
			}
			all = append(all, lanes...)
		}
	}
	return all, nil
}

// task is all trials of a student with one batch size, which are trained in blocks that suit the
// processor.
type task struct {
	*compiled
	trials []trial
	block  int // trials
}

// tasks are the tasks of a student: the full batch, and batches.
func (e *experiment) tasks(student string) ([]task, error) {
	f, err := e.student(student)
	if err != nil {
		return nil, err
	}
	var tasks []task
	for i, pair := range pairs() {
		batch := []int{e.Train, e.Batch}[i]
		var trials []trial
		for teacher := range e.Teachers {
			for _, rate := range e.Rates {
				trials = append(trials, trial{teacher, pair[0], rate, 0},
					trial{teacher, pair[1], rate, e.Gamma})
			}
		}
		c, err := e.compile(f, batch)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, task{c, trials, e.blockSize(f, batch, len(trials))})
	}
	return tasks, nil
}

// blockSize is how many trials go into one call: a divisor of their number, so that one executable
// serves all. A GPU takes all at once. On a CPU about 4 MB of activations are best: all 40 trials
// at once, which leave its caches, made a 2-CNN more than ten times slower.
func (e *experiment) blockSize(f models.Feedforward, batch, trials int) int {
	if e.be.Kind == backend.CUDA {
		return trials
	}
	n := min(trials, max(1, (4<<20)/max(1, 4*f.Activations()*batch*e.Seeds)))
	for trials%n != 0 {
		n--
	}
	return n
}

// compiled holds the executables of one student and batch size.
type compiled struct {
	*experiment
	f               models.Feedforward
	batch           int
	epoch, evaluate *Exec
}

func (e *experiment) compile(f models.Feedforward, batch int) (*compiled, error) {
	c := &compiled{experiment: e, f: f, batch: batch}
	var epochErr, evaluateErr error
	c.epoch, epochErr = NewExec(e.be.Backend, c.epochGraph)
	c.evaluate, evaluateErr = NewExec(e.be.Backend, c.evaluateGraph)
	return c, errors.Join(epochErr, evaluateErr)
}

// epochGraph is one epoch: from (points [G, n, d], labels [G, n, K], order [G, n], η, γ and gain
// [S], weights..., buffers...) to (weights..., buffers...), for G seeds of K trials each, S = G·K.
// The order counts the points of all seeds from 0 to G·n−1. Each step is, with a batch of b points,
//
//	∇L_s = (1/b) Σ_i −y_i sigmoid(−y_i f_s(x_i)) ∇f_s(x_i)     for each lane s by itself
//	buffer ← γ buffer + gain·∇L;  w ← w − η buffer             descent.Update
func (c *compiled) epochGraph(in []*Node) []*Node {
	points, labels, order, eta, gamma, gain := in[0], in[1], in[2], in[3], in[4], in[5]
	state := in[6:]
	groups, n, lanes := order.Shape().Dim(0), order.Shape().Dim(1), eta.Shape().Dim(0)
	points, labels = Reshape(points, groups*n, -1), Reshape(labels, groups*n, -1)
	w, buffer := state[:len(state)/2], state[len(state)/2:]
	for from := 0; from < n; from += c.batch {
		b := min(c.batch, n-from)
		rows := InsertAxes(Slice(order, AxisRange(), AxisRange(from, from+b)), -1)
		y := Reshape(Transpose(Gather(labels, rows), 1, 2), lanes, b) // [S, b]
		f := c.f.Logits(namedWeights(c.f, w), Gather(points, rows))   // [S, b]
		slope := Neg(Mul(y, Sigmoid(Neg(Mul(y, f)))))                 // of log(1 + exp(−y f)) in f
		gradients := Gradient(ReduceAllSum(Mul(StopGradient(MulScalar(slope, 1/float64(b))), f)),
			w...)
		newW, newBuffer := make([]*Node, len(w)), make([]*Node, len(w))
		for i := range w {
			perLane := func(x *Node) *Node { // [S, 1, …]
				return InsertAxes(x, slices.Repeat([]int{-1}, w[i].Rank()-1)...)
			}
			newW[i], newBuffer[i] = descent.Update(w[i], gradients[i], buffer[i], perLane(eta),
				perLane(gamma), perLane(gain))
		}
		w, buffer = newW, newBuffer
	}
	return slices.Concat(w, buffer)
}

// evaluateGraph evaluates lanes on points [G, n, d] with labels [G, n, K]: the number of correct
// points, the sum of the losses, and whether the weights are finite (1 or 0), [S] each. It looks at
// the weights because ReLU turns NaN into 0.
func (c *compiled) evaluateGraph(in []*Node) []*Node {
	points, labels, w := in[0], in[1], in[2:]
	lanes, n := w[0].Shape().Dim(0), points.Shape().Dim(1)
	f := c.f.Logits(namedWeights(c.f, w), points)
	margin := Mul(Reshape(Transpose(labels, 1, 2), lanes, n), f) // y f [S, n]
	var size *Node                                               // Σ |w| [S]
	for _, x := range w {
		if sum := ReduceSum(Abs(Reshape(x, lanes, -1)), 1); size == nil {
			size = sum
		} else {
			size = Add(size, sum)
		}
	}
	right := ConvertDType(GreaterThan(margin, ZerosLike(margin)), margin.DType())
	return []*Node{ReduceSum(right, 1), ReduceSum(Softplus(Neg(margin)), 1),
		ConvertDType(IsFinite(size), margin.DType())}
}

// train trains trials for all seeds from their initial weights to the last epoch, and evaluates
// them. Lanes are by seed, then by trial.
func (c *compiled) train(ctx context.Context, trials []trial) ([]Lane, error) {
	b, err := c.begin(trials)
	if err != nil {
		return nil, err
	}
	for range c.Epochs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := b.advance(); err != nil {
			return nil, err
		}
		c.progress(c.Seeds * len(trials))
	}
	return b.outcome()
}

// block is trials in training for all seeds.
type block struct {
	*compiled
	trials      []trial
	teachers    []int             // of the trials
	fixed, rule []any             // inputs of epochGraph before and after the order
	state       []*tensors.Tensor // weights and then buffers
	next        func() *tensors.Tensor
	order       *tensors.Tensor
}

// begin prepares the training of trials from their initial weights.
func (c *compiled) begin(trials []trial) (*block, error) {
	b := &block{compiled: c, trials: trials, next: c.newOrder()}
	for _, t := range trials {
		b.teachers = append(b.teachers, t.teacher)
	}
	var eta, gamma, gain []float32
	for range c.Seeds {
		for _, t := range trials {
			eta = append(eta, float32(t.rate))
			gamma = append(gamma, float32(t.gamma))
			gain = append(gain, float32(descent.Rule{Form: descent.Damped, Gamma: t.gamma}.Gain()))
		}
	}
	return b, backend.Try("train", func() {
		b.fixed = []any{c.experiment.train.points(0, c.Train, c.D),
			c.experiment.train.labels(0, c.Train, b.teachers)}
		for _, x := range [][]float32{eta, gamma, gain} {
			b.rule = append(b.rule, tensors.FromFlatDataAndDimensions(x, len(x)))
		}
		b.state = c.initial(c.f, "init", len(trials))
		for _, w := range b.state {
			b.state = append(b.state, tensors.FromShape(w.Shape())) // the momentum, 0
		}
	})
}

// advance trains one epoch.
func (b *block) advance() error {
	if b.order == nil || b.batch < b.Train {
		b.order = b.next()
	}
	return backend.Try("train", func() {
		in := slices.Concat(b.fixed, []any{b.order}, b.rule)
		for _, x := range b.state {
			donated, err := DonateTensorBuffer(x, b.be.Backend, 0)
			if err != nil {
				panic(err)
			}
			in = append(in, donated)
		}
		b.state = b.epoch.MustCall(in...)
	})
}

// outcome evaluates the weights on the training, held-out and test points.
func (b *block) outcome() ([]Lane, error) {
	lanes := make([]Lane, b.Seeds*len(b.trials))
	weights := b.state[:len(b.state)/2]
	err := backend.Try("evaluate", func() {
		train := b.sums(b.experiment.train, b.teachers, weights)
		valid := b.sums(b.valid, b.teachers, weights)
		test := b.sums(b.test, b.teachers, weights)
		for i := range lanes {
			t := b.trials[i%len(b.trials)]
			l := Lane{Teacher: b.Teachers[t.teacher], Algorithm: t.algorithm, Rate: t.rate,
				Seed: b.Seed + uint64(i/len(b.trials))}
			loss := train.loss[i] / float64(b.Train)
			l.Diverged = train.finite[i] == 0 || math.IsNaN(loss) || math.IsInf(loss, 0)
			if !l.Diverged {
				l.TrainingLoss, l.TrainingError = loss, 1-train.right[i]/float64(b.Train)
				l.ValidAccuracy = valid.right[i] / float64(b.Valid)
				l.TestAccuracy = test.right[i] / float64(b.Test)
			}
			lanes[i] = l
		}
	})
	return lanes, err
}

// newOrder returns a function that gives the order of the next epoch: [seeds, n], the rows of all
// seeds' points. The full batch is in order. Batches are shuffled by each seed's stream, which is
// the same for all students, teachers and rules.
func (c *compiled) newOrder() func() *tensors.Tensor {
	var streams []func(int) []int
	for seed := range c.Seeds {
		streams = append(streams, seeds.Stream(c.Seed+uint64(seed), "order").Perm)
	}
	return func() *tensors.Tensor {
		var order []int32
		for seed, perm := range streams {
			rows := perm(c.Train)
			if c.batch >= c.Train {
				slices.Sort(rows)
			}
			for _, i := range rows {
				order = append(order, int32(seed*c.Train+i))
			}
		}
		return tensors.FromFlatDataAndDimensions(order, c.Seeds, c.Train)
	}
}

// sums are the outputs of evaluateGraph, for each lane, summed over a set of points.
type sums struct{ right, loss, finite []float64 }

// sums evaluates lanes on a set, in pieces of as many points as there are training points.
func (c *compiled) sums(set *pointSet, teachers []int, weights []*tensors.Tensor) sums {
	lanes := weights[0].Shape().Dim(0)
	total := sums{make([]float64, lanes), make([]float64, lanes), make([]float64, lanes)}
	for from := 0; from < set.n; from += c.Train {
		to := min(from+c.Train, set.n)
		in := []any{set.points(from, to, c.D), set.labels(from, to, teachers)}
		for _, w := range weights {
			in = append(in, w)
		}
		out := c.evaluate.MustCall(in...)
		for k, sum := range [][]float64{total.right, total.loss, total.finite} {
			for i, x := range backend.Floats(out[k]) {
				sum[i] += x
			}
		}
	}
	return total
}
