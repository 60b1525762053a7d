package descent

import (
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"golang.org/x/sync/errgroup"

	"momentum/models"
)

// programs are the compiled graphs of a trainer on one client. All devices of the client share
// them. A list of values stands for its elements, one after the other:
//
//	weights, momentum  the network's parameters, and the buffer of each
//	sums               the sum of the gradients of each parameter, and a vector of scores
//	images             pixels [n, 32, 32, 3] uint8, labels [n] int32, kinds [n] uint8
//	scores             [4]: losses, correct images, and both of the small-margin images alone
type programs struct {
	accumulate *Exec // weights, images, 1/B, sums → sums
	evaluate   *Exec // weights, images, scores → scores
	update     *Exec // weights, momentum, sums, numbers of the rule [5] → weights, momentum, stats
	zero       *Exec // → sums of zero
	add        *Exec // sums, sums → sums
	gather     *Exec // pixels of all images, indices [n] int32 → pixels of n images
	product    *Exec // weights, direction, images, 1/B, sums of gradients → sums of gradients
	logits     *Exec // weights, pixels → logits [n, classes]
	square     *Exec // sums → squared norm of the gradients
}

// compile compiles the graphs of a trainer for chunks of full size, all at once, unless it is Lazy.
// A graph that is called with arguments of new shapes is compiled then.
func (t *Trainer) compile(client compute.Backend) (*programs, error) {
	p := &programs{
		accumulate: must(NewExec(client, t.accumulateGraph)).WithName("accumulate"),
		evaluate:   must(NewExec(client, t.evaluateGraph)).WithName("evaluate"),
		update:     must(NewExec(client, t.updateGraph)).WithName("update"),
		zero:       must(NewExec(client, t.zeroGraph)).WithName("zero"),
		add:        must(NewExec(client, addGraph)).WithName("add"),
		gather:     must(NewExec(client, gatherGraph)).WithName("gather"),
		product:    must(NewExec(client, t.productGraph)).WithName("product"),
		logits:     must(NewExec(client, t.logitsGraph)).WithName("logits"),
		square:     must(NewExec(client, t.squareGraph)).WithName("square"),
	}
	if t.Lazy {
		return p, nil
	}
	_, dtype := t.Precision.dtypes()
	var weights, momentum []shapes.Shape
	for _, p := range t.params {
		weights = append(weights, t.shape(p))
	}
	if t.rule.HasMomentum() {
		momentum = weights
	}
	scores, scalar := shapes.Make(dtype, numScores), shapes.Make(dtype)
	sums := append(slices.Clone(weights), scores)
	n := t.train.Chunk
	images := []shapes.Shape{shapes.Make(dtypes.Uint8, n, models.ImageSize, models.ImageSize, 3),
		shapes.Make(dtypes.Int32, n), shapes.Make(dtypes.Uint8, n)}
	var g errgroup.Group
	for e, inputs := range map[*Exec][]shapes.Shape{
		p.accumulate: slices.Concat(weights, images, []shapes.Shape{scalar}, sums),
		p.evaluate:   slices.Concat(weights, images, []shapes.Shape{scores}),
		p.update: slices.Concat(weights, momentum, sums,
			[]shapes.Shape{shapes.Make(dtype, len(t.rule.numbers(0)))}),
		p.add: slices.Concat(sums, sums),
	} {
		g.Go(func() error {
			_, err := e.Compile(inputs...)
			return err
		})
	}
	return p, g.Wait()
}

// cutter takes lists of values from the arguments of a graph, one after the other.
type cutter []*Node

func (c *cutter) take(n int) []*Node {
	list := (*c)[:n]
	*c = (*c)[n:]
	return list
}

// accumulateGraph adds one chunk to the sums: its gradient and its scores, the losses times 1/B.
func (t *Trainer) accumulateGraph(args []*Node) []*Node {
	in := cutter(args)
	weights, images, imageWeight := in.take(len(t.params)), in.take(3), in.take(1)[0]
	sums := in
	loss, scores := t.score(weights, images)
	scores = Mul(scores, Stack([]*Node{imageWeight, OnesLike(imageWeight), imageWeight,
		OnesLike(imageWeight)}, 0))
	chunk := append(Gradient(Mul(loss, imageWeight), weights...), scores)
	return addGraph(append(sums, chunk...))
}

// evaluateGraph adds the scores of one chunk to others.
func (t *Trainer) evaluateGraph(args []*Node) *Node {
	in := cutter(args)
	_, scores := t.score(in.take(len(t.params)), in.take(3))
	return Add(in[0], scores)
}

// logitsGraph is the network alone.
func (t *Trainer) logitsGraph(args []*Node) *Node {
	in := cutter(args)
	return t.net.Logits(t.named(in.take(len(t.params))), t.input(in[0]))
}

// updateGraph applies the rule to the sums. The stats are the scores, and the norms of the
// gradient as it was used, of the step, and of the weights before it, and the factor of clipping.
func (t *Trainer) updateGraph(args []*Node) []*Node {
	n := len(t.params)
	in := cutter(args)
	weights := in.take(n)
	var momentum []*Node
	if t.rule.HasMomentum() {
		momentum = in.take(n)
	}
	gradients, scores, values := in.take(n), in.take(1)[0], in.take(1)[0]
	rule := numbersOf(values)
	gradients, factor := t.rule.clip(gradients, rule)
	var newWeights, newMomentum []*Node
	zero := ScalarZero(values.Graph(), values.DType())
	grad2, update2, param2 := zero, zero, zero // squared norms
	for i, w := range weights {
		var buffer *Node
		if momentum != nil {
			buffer = momentum[i]
		}
		updated, newBuffer, used := t.rule.update(w, gradients[i], buffer, rule)
		newWeights = append(newWeights, updated)
		if momentum != nil {
			newMomentum = append(newMomentum, newBuffer)
		}
		grad2 = Add(grad2, L2NormSquare(used))
		update2 = Add(update2, L2NormSquare(Sub(updated, w)))
		param2 = Add(param2, L2NormSquare(w))
	}
	more := Stack([]*Node{Sqrt(grad2), Sqrt(update2), Sqrt(param2), factor}, 0)
	return append(append(newWeights, newMomentum...), Concatenate([]*Node{scores, more}, 0))
}

// zeroGraph makes sums of zero.
func (t *Trainer) zeroGraph(g *Graph) []*Node {
	_, dtype := t.Precision.dtypes()
	var sums []*Node
	for _, p := range t.params {
		sums = append(sums, Zeros(g, t.shape(p)))
	}
	return append(sums, Zeros(g, shapes.Make(dtype, numScores)))
}

// addGraph adds the second half of a list to the first.
func addGraph(args []*Node) []*Node {
	n := len(args) / 2
	sums := make([]*Node, n)
	for i := range sums {
		sums[i] = Add(args[i], args[n+i])
	}
	return sums
}

// gatherGraph takes the images at some indices.
func gatherGraph(pixels, indices *Node) *Node {
	return Gather(pixels, InsertAxes(indices, -1))
}

// productGraph adds one chunk to the sums of a Hessian-vector product.
//
// The slope of the loss along the direction v is ⟨∇L, v⟩, and its gradient is ∇²L v. The slope
// comes from the forward pass, so the gradient is one of first order, and exact: a ReLU has the
// second derivative 0.
func (t *Trainer) productGraph(args []*Node) []*Node {
	n := len(t.params)
	in := cutter(args)
	weights, direction, images, imageWeight := in.take(n), in.take(n), in.take(3), in.take(1)[0]
	logits, tangent := t.net.LogitsAlong(t.named(weights), t.named(direction), t.input(images[0]))
	_, weightType := t.Precision.dtypes()
	// [n, classes]: the gradient of a loss in its logits
	gradient := Sub(Softmax(logits), OneHot(images[1], t.net.Classes, weightType))
	slopes := ReduceSum(Mul(gradient, tangent), -1) // [n]
	counts := GreaterThan(images[2], Const(imageWeight.Graph(), uint8(filler)))
	slope := ReduceAllSum(Where(counts, slopes, ZerosLike(slopes)))
	return addGraph(append(in, Gradient(Mul(slope, imageWeight), weights...)...))
}

// named finds parameters by their names in a list of all.
func (t *Trainer) named(list []*Node) models.Weights {
	byName := map[string]*Node{}
	for i, p := range t.params {
		byName[p.Name] = list[i]
	}
	return func(name string) *Node { return byName[name] }
}

// input is what the network sees of pixels [n, 32, 32, 3].
func (t *Trainer) input(pixels *Node) *Node {
	computeType, _ := t.Precision.dtypes()
	return models.Normalize(pixels, t.train.mean, t.train.std, computeType)
}

// score builds the forward pass over one chunk of n images. It returns the sum of the losses, and
// the scores.
func (t *Trainer) score(weights, images []*Node) (loss, scores *Node) {
	pixels, labels, kinds := images[0], images[1], images[2]
	g := pixels.Graph()
	_, weightType := t.Precision.dtypes()
	logits := t.net.Logits(t.named(weights), t.input(pixels)) // [n, classes]
	// [n, classes]: the log-probability of the label, 0 elsewhere
	picked := Mul(OneHot(labels, t.net.Classes, weightType), LogSoftmax(logits))
	losses := Neg(ReduceSum(picked, -1)) // [n]
	// [n]
	correct := ConvertDType(Equal(ArgMax(logits, -1, dtypes.Int32), labels), weightType)

	zero := ZerosLike(losses)
	counts := GreaterThan(kinds, Const(g, uint8(filler))) // [n]
	isSmall := Equal(kinds, Const(g, uint8(smallMargin))) // [n]
	losses, correct = Where(counts, losses, zero), Where(counts, correct, zero)
	loss = ReduceAllSum(losses)
	return loss, Stack([]*Node{loss, ReduceAllSum(correct), ReduceAllSum(Where(isSmall, losses,
		zero)), ReduceAllSum(Where(isSmall, correct, zero))}, 0)
}
