package study

import (
	"fmt"
	"slices"

	"momentum/internal/figure"
)

// grid is the picture of a cell's trials: accuracy on the held-out images against the effective
// rate, a panel for each algorithm and a curve for each schedule and weight decay. Settings that
// diverged lie at the bottom; a square is around those that fitted all training images.
func (s *Study) grid(r result) figure.Picture {
	top := 0.0
	for _, o := range r.tried {
		if x := 100 * s.heldOut(o); x > top {
			top = x
		}
	}
	var rates []float64
	for _, t := range r.trials {
		rates = append(rates, t.effectiveRate)
	}
	x := figure.Axis{Label: "effective learning rate", Log: true, Low: slices.Min(rates) / 1.3,
		High: slices.Max(rates) * 1.3}
	y := figure.Axis{Label: "held-out accuracy (%)", High: 1.1*top + 1}
	panels := []figure.Panel{s.gridPanel(r, plain, x, y), s.gridPanel(r, momentum, x, y)}
	for i := range panels[1].Lines { // one legend is enough
		panels[1].Lines[i].Name = ""
	}
	return figure.Picture{
		Title: r.Title + ": the trials", Panels: [][]figure.Panel{panels},
		Note: fmt.Sprintf("Accuracy at the last step on %d training images that were held out, "+
			"seed %d.", s.Holdout, trialSeed),
	}
}

// gridPanel is the panel of an algorithm.
func (s *Study) gridPanel(r result, algorithm int, x, y figure.Axis) figure.Panel {
	p := figure.Panel{Title: r.Arms[algorithm].Title, X: x, Y: y}
	fitted := figure.Points{Name: "zero training error", Color: figure.Black, Shape: figure.Square}
	diverged := figure.Points{Name: "diverged", Color: figure.Black, Shape: figure.Triangle,
		Filled: true}
	for _, schedule := range s.Schedules {
		for _, decay := range s.WeightDecays {
			l := figure.Line{Name: fmt.Sprintf("%s, λ = %g", schedule, decay)}
			for i, t := range r.trials {
				if t.momentum != (algorithm == momentum) || t.config.Schedule != schedule ||
					t.config.WeightDecay != decay {
					continue
				}
				o := r.tried[i]
				if o.Diverged {
					diverged.X, diverged.Y = append(diverged.X, t.effectiveRate),
						append(diverged.Y, 0)
					continue
				}
				accuracy := 100 * s.heldOut(o)
				l.X, l.Y = append(l.X, t.effectiveRate), append(l.Y, accuracy)
				if o.Fitted() {
					fitted.X, fitted.Y = append(fitted.X, t.effectiveRate),
						append(fitted.Y, accuracy)
				}
			}
			sortByX(&l)
			p.Lines = append(p.Lines, l)
		}
	}
	for _, q := range []figure.Points{fitted, diverged} {
		if len(q.X) > 0 {
			p.Points = append(p.Points, q)
		}
	}
	best := r.Arms[algorithm].best.effectiveRate
	p.Marks = []figure.Mark{{X: best, Label: fmt.Sprintf("chosen: %g", best)}}
	return p
}
