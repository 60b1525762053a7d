package descent

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"momentum/models"
)

// The variables of a run, in a GoMLX store: the weights under /model, the momentum under /momentum,
// and the sums over the chunks of a batch under /sum.
const (
	weightPath   = "/model/"
	momentumPath = "/momentum/"
	sumPath      = "/sum/"

	lossSum               = sumPath + "loss"
	correctSum            = sumPath + "correct"
	smallMarginLossSum    = sumPath + "small_margin_loss"
	smallMarginCorrectSum = sumPath + "small_margin_correct"
)

// accumulateGraph adds one chunk to the sums: its loss and gradient, both times imageWeight (1/B),
// and its number of correct images. args are those of [Data.arguments], then imageWeight.
func (t *Trainer) accumulateGraph(_ *model.Scope, args []*Node) {
	images, imageWeight := args[:len(args)-1], args[len(args)-1]
	g := imageWeight.Graph()
	s := t.score(images)
	s.loss = Mul(s.loss, imageWeight)
	if s.smallMarginLoss != nil {
		s.smallMarginLoss = Mul(s.smallMarginLoss, imageWeight)
	}
	weights := make([]*Node, len(t.params))
	for i, p := range t.params {
		weights[i] = t.value(g, weightPath+p.Name)
	}
	for i, gradient := range Gradient(s.loss, weights...) {
		t.add(sumPath+t.params[i].Name, gradient)
	}
	t.addScore(s)
}

// updateGraph applies the rule to the sums and clears them. It returns the Stats as one vector.
func (t *Trainer) updateGraph(_ *model.Scope, eta *Node) *Node {
	g := eta.Graph()
	zero := ScalarZero(g, eta.DType())
	grad2, update2, param2 := zero, zero, zero // squared norms
	for _, p := range t.params {
		w := t.store.GetVariable(weightPath + p.Name)
		old := w.NodeValue(g)
		var buffer *Node
		if t.rule.HasMomentum() {
			buffer = t.value(g, momentumPath+p.Name)
		}
		updated, newBuffer, used := t.rule.Update(old, t.take(g, sumPath+p.Name), buffer, eta)
		w.SetNodeValue(updated)
		if buffer != nil {
			t.store.GetVariable(momentumPath + p.Name).SetNodeValue(newBuffer)
		}
		grad2 = Add(grad2, L2NormSquare(used))
		update2 = Add(update2, L2NormSquare(Sub(updated, old)))
		param2 = Add(param2, L2NormSquare(old))
	}
	optimizer.IncrementGlobalStep(g, dtypes.Int64)
	stats := []*Node{t.take(g, lossSum), t.take(g, correctSum), Sqrt(grad2), Sqrt(update2),
		Sqrt(param2)}
	if t.train.smallMargin != nil {
		stats = append(stats, t.take(g, smallMarginLossSum), t.take(g, smallMarginCorrectSum))
	}
	return Stack(stats, 0)
}

// evaluateGraph adds one chunk to the sums of losses and correct images, without gradients.
func (t *Trainer) evaluateGraph(_ *model.Scope, images []*Node) { t.addScore(t.score(images)) }

// chunkScore holds sums over the images of one chunk, scalars in the type of the weights. The last
// two are nil without small-margin flags.
type chunkScore struct{ loss, correct, smallMarginLoss, smallMarginCorrect *Node }

// score builds the forward pass over one chunk of n images. Its arguments are those of
// [Data.arguments]; the indices are [n] int32.
func (t *Trainer) score(images []*Node) chunkScore {
	pixels, labels, indices := images[0], images[1], images[2]
	g := pixels.Graph()
	computeType, weightType := t.Precision.dtypes()
	rows := InsertAxes(indices, -1) // [n, 1]
	// [n, 32, 32, 3]
	x := models.Normalize(Gather(pixels, rows), t.train.mean, t.train.std, computeType)
	y := Gather(labels, rows) // [n]
	// [n, classes]
	logits := t.net.Logits(func(name string) *Node { return t.value(g, weightPath+name) }, x)
	// [n, classes]: the log-probability of the label, 0 elsewhere
	picked := Mul(OneHot(y, t.net.Classes, weightType), LogSoftmax(logits))
	correct := Equal(ArgMax(logits, -1, dtypes.Int32), y) // [n]
	s := chunkScore{loss: Neg(ReduceAllSum(picked)),
		correct: ReduceAllSum(ConvertDType(correct, weightType))}
	if len(images) > 3 {
		small := ConvertDType(Gather(images[3], rows), dtypes.Bool) // [n]
		logProbabilities := ReduceSum(picked, -1)                   // [n]
		s.smallMarginLoss = Neg(ReduceAllSum(Where(small, logProbabilities,
			ZerosLike(logProbabilities))))
		s.smallMarginCorrect = ReduceAllSum(ConvertDType(LogicalAnd(correct, small), weightType))
	}
	return s
}

// addScore builds the addition of one chunk to the sums.
func (t *Trainer) addScore(s chunkScore) {
	t.add(lossSum, s.loss)
	t.add(correctSum, s.correct)
	if s.smallMarginLoss != nil {
		t.add(smallMarginLossSum, s.smallMarginLoss)
		t.add(smallMarginCorrectSum, s.smallMarginCorrect)
	}
}

// value returns the value of a variable in a graph.
func (t *Trainer) value(g *Graph, path string) *Node {
	return t.store.GetVariable(path).NodeValue(g)
}

// add builds variable += x.
func (t *Trainer) add(path string, x *Node) {
	v := t.store.GetVariable(path)
	v.SetNodeValue(Add(v.NodeValue(x.Graph()), x))
}

// take returns the value of a sum and sets the sum to zero.
func (t *Trainer) take(g *Graph, path string) *Node {
	v := t.store.GetVariable(path)
	sum := v.NodeValue(g)
	v.SetNodeValue(ZerosLike(sum))
	return sum
}
