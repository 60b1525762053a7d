package descent

import "math"

// Score is the performance of the network on a set of images, and the part that the small-margin
// images have in it. Both losses are divided by the number of all images, so
// that parts add up: the mean loss over the small-margin images is SmallMarginLoss times the number
// of all images, divided by the number of small-margin images.
type Score struct {
	Loss               float64 // mean cross-entropy in nats, without weight decay
	Correct            int     // images whose largest logit is that of their label
	SmallMarginLoss    float64 // sum over the small-margin images / number of all images
	SmallMarginCorrect int     // correct images among those with a small margin
}

// numScores is the number of scores in a graph: the fields of a Score, with sums for means.
const numScores = 4

// scoreOf is the score that a graph returned.
func scoreOf(x []float64) Score {
	return Score{Loss: x[0], Correct: int(x[1]), SmallMarginLoss: x[2],
		SmallMarginCorrect: int(x[3])}
}

// Stats are the numbers of one step. All but UpdateNorm belong to the weights before the step.
type Stats struct {
	Score              // on the batch
	GradNorm   float64 // ‖∇L + λw‖₂, with ∇L clipped if the rule says so
	UpdateNorm float64 // ‖Δw‖₂, the length of the step
	ParamNorm  float64 // ‖w‖₂
	ClipFactor float64 // by which the rule scaled ∇L down: 1 if it did not
	Ended      bool    // Options.Until ended the run: no step was taken, and there are no norms
}

// NotFinite names the first quantity that is NaN or infinite, or returns "".
func (s Stats) NotFinite() (quantity string, value float64) {
	for _, q := range []struct {
		name  string
		value float64
	}{
		{"train loss", s.Loss},
		{"gradient norm", s.GradNorm},
		{"update norm", s.UpdateNorm},
		{"parameter norm", s.ParamNorm},
	} {
		if math.IsNaN(q.value) || math.IsInf(q.value, 0) {
			return q.name, q.value
		}
	}
	return "", 0
}
