package descent

import "math"

// Score is the performance of the network on a set of images. After [Data.SetSmallMargin] it also
// has the part of the small-margin images. Both losses are divided by the number of all images, so
// that parts add up: the mean loss over the small-margin images is SmallMarginLoss times the number
// of all images, divided by the number of small-margin images.
type Score struct {
	Loss               float64 // mean cross-entropy in nats, without weight decay
	Correct            int     // images whose largest logit is that of their label
	SmallMarginLoss    float64 // sum over the small-margin images / number of all images
	SmallMarginCorrect int     // correct images among those with a small margin
}

// Stats are the numbers of one step. All but UpdateNorm belong to the weights before the step.
type Stats struct {
	Score              // on the batch
	GradNorm   float64 // ‖∇L + λw‖₂
	UpdateNorm float64 // ‖Δw‖₂, the length of the step
	ParamNorm  float64 // ‖w‖₂
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
