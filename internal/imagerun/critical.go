package imagerun

import (
	"context"
	"errors"
	"math"

	"gonum.org/v1/gonum/floats"

	"momentum/internal/rundir"
)

// The search for the critical step goes from 2^−20 to 2^20 times the step, to 1% of it.
const (
	criticalDoublings = 20
	criticalRatio     = 1.01
)

// errNoCriticalStep says that no multiple of the step in range is the critical one.
var errNoCriticalStep = errors.New("no critical step")

// criticalStep is the largest c, by the first sign change of a search that doubles or halves from
// 1, at which loss(c) is at most loss(0). It takes about 8 evaluations more than doublings.
func criticalStep(loss func(c float64) (float64, error)) (float64, error) {
	zero, err := loss(0)
	if err != nil {
		return 0, err
	}
	rises := func(c float64) (bool, error) {
		l, err := loss(c)
		return !(l <= zero), err // a loss that is not finite has risen
	}
	up, err := rises(1)
	if err != nil {
		return 0, err
	}
	factor := 2.0
	if up {
		factor = 0.5
	}
	c := 1.0
	for n := 0; ; n++ {
		if n == criticalDoublings {
			return 0, errNoCriticalStep
		}
		c *= factor
		now, err := rises(c)
		if err != nil {
			return 0, err
		}
		if now != up {
			break
		}
	}
	low, high := min(c, c/factor), max(c, c/factor)
	for high/low > criticalRatio {
		middle := math.Sqrt(low * high)
		up, err := rises(middle)
		switch {
		case err != nil:
			return 0, err
		case up:
			high = middle
		default:
			low = middle
		}
	}
	return low, nil
}

// criticalAlong is the critical sharpness along a step u from the present weights: −2⟨∇L, u⟩ /
// c‖u‖² with the critical step c, the largest multiple of u that does not raise the loss. For GD
// without weight decay it is 2 over the critical rate; on a quadratic, uᵀHu / uᵀu for any rule.
// There is none where the step goes uphill. It leaves other weights.
func (t *training) criticalAlong(ctx context.Context, weights, u []float64) ([]rundir.Value,
	error) {
	g, err := t.trainer.Gradient(ctx, t.diagnosed, t.diagnosed.N)
	if err != nil {
		return nil, err
	}
	slope := floats.Dot(g, u)
	if slope >= 0 {
		return nil, nil
	}
	at := make([]float64, len(u))
	c, err := criticalStep(func(c float64) (float64, error) {
		floats.AddScaledTo(at, weights, c, u)
		if err := t.trainer.SetValues(at); err != nil {
			return 0, err
		}
		score, err := t.trainer.Evaluate(ctx, t.diagnosed)
		return score.Loss, err
	})
	if errors.Is(err, errNoCriticalStep) {
		return nil, nil
	}
	return []rundir.Value{{Name: "critical_step", X: c},
		{Name: "critical_sharpness", X: -2 * slope / (c * floats.Dot(u, u))}}, err
}
