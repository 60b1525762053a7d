package study

import (
	"fmt"
	"math"
	"slices"

	"momentum/internal/figure"
)

// grid is the picture of a cell's trials: accuracy on the held-out images against the effective
// rate, a panel for each algorithm and, for each schedule and weight decay, a curve of the mean
// over the seeds and a circle for each seed. A setting of which a seed diverged is a triangle at
// the bottom, where its curve breaks; a square is around those that fitted all training images
// in every seed.
func (s *Study) grid(r result) figure.Picture {
	least, most := 100.0, 0.0
	var rates []float64
	for i, t := range r.trials {
		rates = append(rates, t.effectiveRate)
		for _, o := range r.tried[i] {
			if x := 100 * s.heldOut(o); !math.IsNaN(x) {
				least, most = min(least, x), max(most, x)
			}
		}
	}
	if least > most { // all diverged
		least, most = 0, 100
	}
	room := max(1, 0.15*(most-least))
	x := figure.Axis{Label: "effective learning rate η_eff", Log: true,
		Low: slices.Min(rates) / 1.3, High: slices.Max(rates) * 1.3}
	y := figure.Axis{Label: "held-out accuracy (%)", Low: least - room, High: most + room}
	panels := []figure.Panel{s.gridPanel(r, false, x, y), s.gridPanel(r, true, x, y)}
	seeds := "seed 1"
	if s.TrialSeeds > 1 {
		seeds = fmt.Sprintf("seeds 1 to %d: their mean, and a circle for each", s.TrialSeeds)
	}
	triangles, edge := "", ""
	if slices.ContainsFunc(slices.Concat(panels[0].Points, panels[1].Points),
		func(q figure.Points) bool { return q.Shape == figure.Triangle }) {
		triangles = " Triangles at the bottom have no accuracy: a seed diverged."
	}
	if slices.ContainsFunc(r.Arms[:chosen], func(a arm) bool {
		return a.exists() && a.choices[0].edge != 0
	}) {
		edge = " Largest or least: of its grid of rates."
	}
	return figure.Picture{
		Title: r.Title + ": the trials", Panels: [][]figure.Panel{panels},
		OneLegend: true, Width: 7.2,
		Note: fmt.Sprintf("Accuracy at the last step on %d training images that were held out, "+
			"%s.%s Chosen: among settings without a diverged seed, the one with %s.%s", s.Holdout,
			seeds, triangles, s.rule(), edge),
	}
}

// gridPanel is the panel of an algorithm.
func (s *Study) gridPanel(r result, withMomentum bool, x, y figure.Axis) figure.Panel {
	p := figure.Panel{Title: r.algorithm(withMomentum), X: x, Y: y}
	chosenArms := r.Arms[plain:momentum]
	if withMomentum {
		chosenArms = r.Arms[momentum:chosen]
	}
	fitted := figure.Points{Name: "zero training error", Color: figure.Black, Shape: figure.Square}
	diverged := figure.Points{Name: "diverged", Color: figure.Black, Shape: figure.Triangle,
		Filled: true}
	for _, schedule := range s.Schedules {
		for _, decay := range s.WeightDecays {
			l := figure.Line{Name: fmt.Sprintf("%s, λ = %g", schedule, decay),
				Color: figure.Category(len(p.Lines))}
			each := figure.Points{Color: l.Color}
			for i, t := range r.trials {
				if t.momentum != withMomentum || t.schedule() != schedule || t.decay() != decay {
					continue
				}
				c := s.judge(t, r.tried[i])
				if c.diverged > 0 {
					add(&diverged, t.effectiveRate, y.Low+(y.High-y.Low)/40)
					l.X, l.Y = append(l.X, t.effectiveRate), append(l.Y, math.NaN())
					continue
				}
				l.X, l.Y = append(l.X, t.effectiveRate), append(l.Y, 100*c.heldOut)
				if c.fits == s.TrialSeeds {
					add(&fitted, t.effectiveRate, 100*c.heldOut)
				}
				for _, accuracy := range c.bySeed {
					add(&each, t.effectiveRate, 100*accuracy)
				}
			}
			sortByX(&l)
			p.Lines = append(p.Lines, l)
			if s.TrialSeeds > 1 && len(each.X) > 0 {
				p.Points = append(p.Points, each)
			}
		}
	}
	for _, q := range []figure.Points{fitted, diverged} {
		if len(q.X) > 0 {
			p.Points = append(p.Points, q)
		}
	}
	for i, a := range chosenArms {
		if a.exists() {
			best := a.choices[0]
			label := "chosen"
			if i == 1 {
				label = "of the grid of η"
			}
			label += fmt.Sprintf(": %g", best.effectiveRate) +
				map[int]string{-1: " (least)", 1: " (largest)"}[best.edge]
			if len(s.Schedules) > 1 {
				label += ", " + best.schedule()
			}
			if len(s.WeightDecays) > 1 {
				label += fmt.Sprintf(", λ = %g", best.decay())
			}
			p.Marks = append(p.Marks, figure.Mark{X: best.effectiveRate, Label: label})
		}
	}
	return p
}

// add adds a point.
func add(p *figure.Points, x, y float64) { p.X, p.Y = append(p.X, x), append(p.Y, y) }
