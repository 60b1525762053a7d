package descent

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"momentum/internal/backend"
	"momentum/models"
)

// Precision is the type of the network's compute. Weights, sums, gradients and the loss are always
// float32 (float64 for [F64]).
type Precision string

// The precisions. TF32 is float32 for which the backend was opened with TF32 allowed: it differs on
// GPUs only.
const (
	F32  Precision = "f32"
	TF32 Precision = "tf32"
	BF16 Precision = "bf16"
	F64  Precision = "f64" // everything, for tests
)

// dtypes returns the types of compute and of the weights.
func (p Precision) dtypes() (compute, weights dtypes.DType) {
	switch p {
	case BF16:
		return dtypes.BFloat16, dtypes.Float32
	case F64:
		return dtypes.Float64, dtypes.Float64
	}
	return dtypes.Float32, dtypes.Float32
}

// Data is a set of labelled images, resident on the device as bytes.
type Data struct {
	N           int
	SmallMargin int // images of the part that [Data.Mark] names
	mean, std   [3]float32
	pixels      *tensors.Tensor // [N, 32, 32, 3] uint8
	labels      *tensors.Tensor // [N] int32
	marks       *tensors.Tensor // [N] uint8, 1 or 0; nil without marks
	chunks      map[int][]*tensors.Tensor
}

// NewData copies images to the device: pixels is [N, 32, 32, 3] row by row, labels is [N]. The
// caller's slices are not kept.
func NewData(b compute.Backend, pixels, labels []uint8, mean, std [3]float32) (*Data, error) {
	n := len(labels)
	if len(pixels) != n*models.ImageSize*models.ImageSize*3 || n == 0 {
		return nil, fmt.Errorf("descent: %d labels and %d bytes of pixels, want %d bytes for "+
			"each label", n, len(pixels), models.ImageSize*models.ImageSize*3)
	}
	p, err := tensors.FromRaw(b, 0, shapes.Make(dtypes.Uint8, n, models.ImageSize, models.ImageSize,
		3), pixels)
	if err != nil {
		return nil, err
	}
	classes := make([]int32, n)
	for i, l := range labels {
		classes[i] = int32(l)
	}
	l := tensors.FromFlatDataAndDimensions(classes, n)
	return &Data{N: n, mean: mean, std: std, pixels: p, labels: l,
		chunks: map[int][]*tensors.Tensor{}}, nil
}

// SetSmallMargin names a part of the images, marked [N], which is then measured beside the whole: see
// [Score]. It is for before the first step.
func (d *Data) SetSmallMargin(marked []bool) error {
	if len(marked) != d.N {
		return fmt.Errorf("descent: %d marks, want one for each of the %d images", len(marked), d.N)
	}
	marks := make([]uint8, d.N)
	d.SmallMargin = 0
	for i, m := range marked {
		if m {
			marks[i] = 1
			d.SmallMargin++
		}
	}
	d.marks = tensors.FromFlatDataAndDimensions(marks, d.N)
	return nil
}

// images are the arguments of a graph that reads the images of one chunk: pixels, labels, indices
// and, if there are any, marks.
func (d *Data) images(indices *tensors.Tensor) []any {
	if d.marks == nil {
		return []any{d.pixels, d.labels, indices}
	}
	return []any{d.pixels, d.labels, indices, d.marks}
}

// inOrder returns the indices 0 … N−1 in chunks of the given size, the last one shorter where it
// does not divide N. They are made once and stay on the device.
func (d *Data) inOrder(size int) []*tensors.Tensor {
	if d.chunks[size] == nil {
		all := make([]int32, d.N)
		for i := range all {
			all[i] = int32(i)
		}
		d.chunks[size] = chunked(all, size)
	}
	return d.chunks[size]
}

// chunked cuts indices into tensors [size] int32, the last one shorter where size does not divide
// their number.
func chunked(indices []int32, size int) []*tensors.Tensor {
	var chunks []*tensors.Tensor
	for from := 0; from < len(indices); from += size {
		to := min(from+size, len(indices))
		chunks = append(chunks, tensors.FromFlatDataAndDimensions(indices[from:to], to-from))
	}
	return chunks
}

// Score is how well the network does on some images. With [Data.Mark] it has two parts: that of the
// marked images, and the rest. Both losses are divided by the number of all images, so that they
// add up; the mean loss over the marked ones is SmallMarginLoss times all images, over the marked.
type Score struct {
	Loss               float64 // mean cross-entropy, in nats, without weight decay
	Correct            int     // images whose largest logit is their label's
	SmallMarginLoss    float64 // the sum over the marked images, divided by the number of all
	SmallMarginCorrect int     // correct images among the marked
}

// Stats are the numbers of one step, all but UpdateNorm at the weights before it.
type Stats struct {
	Score              // on the batch
	GradNorm   float64 // ‖∇L + λw‖₂
	UpdateNorm float64 // ‖η g‖₂, of what was subtracted from the weights
	ParamNorm  float64 // ‖w‖₂
}

// NotFinite names the first quantity that is NaN or infinite, or returns "".
func (s Stats) NotFinite() (quantity string, value float64) {
	for _, q := range []struct {
		name string
		x    float64
	}{{"train loss", s.Loss}, {"gradient norm", s.GradNorm}, {"update norm", s.UpdateNorm},
		{"parameter norm", s.ParamNorm}} {
		if math.IsNaN(q.x) || math.IsInf(q.x, 0) {
			return q.name, q.x
		}
	}
	return "", 0
}

// Options are what does not belong to the network or the rule.
type Options struct {
	Precision Precision
	Chunk     int    // images per call of the compiled step, at least 1
	Seed      uint64 // of the initial weights
	// if not nil, called when a chunk of so many training images has been handed to the device
	OnChunk func(images int)
}

// Trainer holds the weights, the momentum and the compiled steps of one run.
//
// One step over a batch of B images is
//
//	for each chunk of the batch:  sum += Σ_i ∇ℓ_i(w) / B     one executable, the sums donated to it
//	w, buffer = Rule.Update(w, sum, buffer, η);  sum = 0     a small one, which returns the Stats
//
// so that the gradient is that of the whole batch whatever the chunks are, and the host reads five
// numbers a step, or seven with marked images. The sums, weights and buffers are variables of a
// GoMLX store under /sum, /model and /momentum.
//
// With Norm "batch" the statistics are those of a chunk ("ghost" batches), and chunks do change the
// result.
type Trainer struct {
	Options
	net    *models.Network
	rule   Rule
	train  *Data
	store  *model.Store
	params []models.Param

	accumulate, update, evaluate *model.Exec
	perImage                     map[int]*tensors.Tensor // 1/B on the device, by B
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
	t := &Trainer{
		Options: o, net: net, rule: rule, train: train,
		store: model.NewStore(), params: net.Params(), perImage: map[int]*tensors.Tensor{},
	}
	err := backend.Try("descent", func() {
		_, weightType := o.Precision.dtypes()
		for i, values := range net.Init(o.Seed) {
			p := t.params[i]
			t.create("/model/"+p.Name, fromFloat32(values, weightType, p.Shape), true)
			t.create("/sum/"+p.Name, zeros(weightType, p.Shape...), false)
			if rule.HasMomentum() {
				t.create("/momentum/"+p.Name, zeros(weightType, p.Shape...), false)
			}
		}
		t.create("/sum/loss", zeros(weightType), false)
		t.create("/sum/correct", zeros(weightType), false)
		t.create("/sum/small_margin_loss", zeros(weightType), false)
		t.create("/sum/small_margin_correct", zeros(weightType), false)
		optimizer.GetGlobalStepVar(t.store)
		t.accumulate = must(model.NewExec(b.Backend, t.store, t.accumulateGraph)).SetMaxCache(-1)
		t.update = must(model.NewExec(b.Backend, t.store, t.updateGraph))
		t.evaluate = must(model.NewExec(b.Backend, t.store, t.evaluateGraph)).SetMaxCache(-1)
	})
	return t, err
}

// create adds a variable to the store.
func (t *Trainer) create(path string, value *tensors.Tensor, trainable bool) {
	must(t.store.CreateVariable(path, value)).SetTrainable(trainable)
}

// setValue replaces the value of a variable, inside of backend.Try.
func setValue(v *model.Variable, value *tensors.Tensor) {
	if err := v.SetValue(value); err != nil {
		panic(err)
	}
}

// must turns an error into a panic, inside of backend.Try.
func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

func zeros(dtype dtypes.DType, dims ...int) *tensors.Tensor {
	return tensors.FromShape(shapes.Make(dtype, dims...))
}

// fromFloat32 is a tensor of the values in the type of the weights.
func fromFloat32(values []float32, dtype dtypes.DType, dims []int) *tensors.Tensor {
	if dtype != dtypes.Float64 {
		return tensors.FromFlatDataAndDimensions(values, dims...)
	}
	wide := make([]float64, len(values))
	for i, v := range values {
		wide[i] = float64(v)
	}
	return tensors.FromFlatDataAndDimensions(wide, dims...)
}

// score holds sums over the images of one chunk, in the weights' type; the last two are nil without
// marks.
type score struct{ loss, correct, markedLoss, markedCorrect *Node }

// score builds the forward pass over the images of one chunk. images are those of [Data.images];
// their indices are [n] int32.
func (t *Trainer) score(images []*Node) score {
	pixels, labels, indices := images[0], images[1], images[2]
	g := pixels.Graph()
	computeType, weightType := t.Precision.dtypes()
	rows := InsertAxes(indices, -1) // [n, 1]
	// [n, 32, 32, 3]
	x := models.Normalize(Gather(pixels, rows), t.train.mean, t.train.std, computeType)
	y := Gather(labels, rows) // [n]
	logits := t.net.Logits(func(name string) *Node { return t.node(g, "/model/"+name) }, x)
	// [n, classes]: the label's log-probability, else 0
	picked := Mul(OneHot(y, t.net.Classes, weightType), LogSoftmax(logits))
	right := Equal(ArgMax(logits, -1, dtypes.Int32), y) // [n]
	s := score{loss: Neg(ReduceAllSum(picked)),
		correct: ReduceAllSum(ConvertDType(right, weightType))}
	if len(images) > 3 {
		marked := ConvertDType(Gather(images[3], rows), dtypes.Bool) // [n]
		losses := ReduceSum(picked, -1)                              // [n], negative
		s.markedLoss = Neg(ReduceAllSum(Where(marked, losses, ZerosLike(losses))))
		s.markedCorrect = ReduceAllSum(ConvertDType(LogicalAnd(right, marked), weightType))
	}
	return s
}

// node is the value of a variable in a graph.
func (t *Trainer) node(g *Graph, path string) *Node {
	return t.store.GetVariable(path).NodeValue(
		g)
}

// add builds path += x.
func (t *Trainer) add(path string, x *Node) {
	v := t.store.GetVariable(path)
	v.SetNodeValue(Add(v.NodeValue(x.Graph()), x))
}

// take builds the read of a sum, which is zero afterwards.
func (t *Trainer) take(g *Graph, path string) *Node {
	v := t.store.GetVariable(path)
	sum := v.NodeValue(g)
	v.SetNodeValue(ZerosLike(sum))
	return sum
}

// addScore builds the addition of one chunk to the sums.
func (t *Trainer) addScore(s score) {
	t.add("/sum/loss", s.loss)
	t.add("/sum/correct", s.correct)
	if s.markedLoss != nil {
		t.add("/sum/small_margin_loss", s.markedLoss)
		t.add("/sum/small_margin_correct", s.markedCorrect)
	}
}

// accumulateGraph adds one chunk to the sums: its losses and gradient times perImage (1/B), and its
// correct images. args are those of [Data.images], then perImage.
func (t *Trainer) accumulateGraph(_ *model.Scope, args []*Node) {
	images, perImage := args[:len(args)-1], args[len(args)-1]
	g := perImage.Graph()
	s := t.score(images)
	s.loss = Mul(s.loss, perImage)
	if s.markedLoss != nil {
		s.markedLoss = Mul(s.markedLoss, perImage)
	}
	weights := make([]*Node, len(t.params))
	for i, p := range t.params {
		weights[i] = t.node(g, "/model/"+p.Name)
	}
	for i, gradient := range Gradient(s.loss, weights...) {
		t.add("/sum/"+t.params[i].Name, gradient)
	}
	t.addScore(s)
}

// updateGraph applies the rule to the sums and clears them. It returns the Stats as one vector.
func (t *Trainer) updateGraph(_ *model.Scope, eta *Node) *Node {
	g := eta.Graph()
	zero := ScalarZero(g, eta.DType())
	grad2, update2, param2 := zero, zero, zero
	for _, p := range t.params {
		w := t.store.GetVariable("/model/" + p.Name)
		old := w.NodeValue(g)
		var buffer *Node
		if t.rule.HasMomentum() {
			buffer = t.node(g, "/momentum/"+p.Name)
		}
		updated, newBuffer, used := t.rule.Update(old, t.take(g, "/sum/"+p.Name), buffer, eta)
		w.SetNodeValue(updated)
		if buffer != nil {
			t.store.GetVariable("/momentum/" + p.Name).SetNodeValue(newBuffer)
		}
		grad2 = Add(grad2, L2NormSquare(used))
		update2 = Add(update2, L2NormSquare(Sub(updated, old)))
		param2 = Add(param2, L2NormSquare(old))
	}
	optimizer.IncrementGlobalStep(g, dtypes.Int64)
	numbers := []*Node{t.take(g, "/sum/loss"), t.take(g, "/sum/correct"), Sqrt(grad2),
		Sqrt(update2), Sqrt(param2)}
	if t.train.marks != nil {
		numbers = append(numbers, t.take(g, "/sum/small_margin_loss"), t.take(g, "/sum/small_margin_correct"))
	}
	return Stack(numbers, 0)
}

// evaluateGraph adds one chunk to the sums of loss and correct images, without gradients.
func (t *Trainer) evaluateGraph(_ *model.Scope, images []*Node) { t.addScore(t.score(images)) }

// Step takes one step over all training images: exact full-batch gradient descent. If the context
// ends first, the step is not taken: the weights are those before it and may be saved, but no
// further step may be taken.
func (t *Trainer) Step(ctx context.Context, eta float64) (Stats, error) {
	return t.step(ctx, t.train.inOrder(t.Chunk), t.train.N, eta)
}

// StepOn is [Trainer.Step] over a batch of training images, given by their indices in [0, N).
func (t *Trainer) StepOn(ctx context.Context, indices []int32, eta float64) (Stats, error) {
	return t.step(ctx, chunked(indices, t.Chunk), len(indices), eta)
}

func (t *Trainer) step(ctx context.Context, chunks []*tensors.Tensor, size int, eta float64) (Stats,
	error) {
	var stats Stats
	err := backend.Try("descent: step", func() {
		if t.perImage[size] == nil {
			t.perImage[size] = t.scalar(1 / float64(size))
		}
		for _, indices := range chunks {
			if err := ctx.Err(); err != nil {
				panic(err)
			}
			t.accumulate.MustCall(append(t.train.images(indices), t.perImage[size])...)
			if t.OnChunk != nil {
				t.OnChunk(indices.Size())
			}
		}
		v := floats(t.update.MustCall(t.scalar(eta))[0])
		stats = Stats{Score: Score{Loss: v[0], Correct: int(v[1])}, GradNorm: v[2],
			UpdateNorm: v[3], ParamNorm: v[4]}
		if len(v) > 5 {
			stats.SmallMarginLoss, stats.SmallMarginCorrect = v[5], int(v[6])
		}
	})
	return stats, err
}

// Evaluate scores the images at the present weights. What was said of the context of [Trainer.Step]
// holds here too.
func (t *Trainer) Evaluate(ctx context.Context, d *Data) (Score, error) {
	var s Score
	err := backend.Try("descent: evaluate", func() {
		for _, indices := range d.inOrder(t.Chunk) {
			if err := ctx.Err(); err != nil {
				panic(err)
			}
			t.evaluate.MustCall(d.images(indices)...)
		}
		n := float64(d.N)
		s = Score{Loss: t.takeSum("/sum/loss") / n, Correct: int(t.takeSum("/sum/correct"))}
		if d.marks != nil {
			s.SmallMarginLoss, s.SmallMarginCorrect = t.takeSum("/sum/small_margin_loss")/n,
				int(t.takeSum("/sum/small_margin_correct"))
		}
	})
	return s, err
}

// takeSum reads a scalar sum on the host and clears it.
func (t *Trainer) takeSum(path string) float64 {
	v := t.store.GetVariable(path)
	sum := floats(v.MustValue())[0]
	setValue(v, zeros(v.DType()))
	return sum
}

// scalar is a number in the type of the weights.
func (t *Trainer) scalar(x float64) *tensors.Tensor {
	if t.Precision == F64 {
		return tensors.FromScalar(x)
	}
	return tensors.FromScalar(float32(x))
}

// floats copies a tensor of weights' type to the host.
func floats(t *tensors.Tensor) []float64 {
	if t.DType() == dtypes.Float64 {
		return tensors.MustCopyFlatData[float64](t)
	}
	narrow := tensors.MustCopyFlatData[float32](t)
	wide := make([]float64, len(narrow))
	for i, v := range narrow {
		wide[i] = float64(v)
	}
	return wide
}
