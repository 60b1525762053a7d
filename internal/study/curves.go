package study

import (
	"fmt"
	"slices"

	"momentum/internal/figure"
	"momentum/internal/imagerun"
)

// colors of the arms, the same in all pictures.
var colors = [arms]figure.Category{plain: figure.Blue, momentum: figure.Vermilion,
	sameRate: figure.Green, longer: figure.Purple}

// curves is the picture of a cell's final runs: training loss and accuracies against epochs, the
// mean over the seeds with a band from the smallest to the largest. The longer runs are drawn
// against their share of the epochs.
func (s *Study) curves(r result) figure.Picture {
	last := float64(r.Base.Epochs)
	epochs := figure.Axis{Label: "epoch", High: last}
	loss := figure.Panel{Title: "(a)", X: epochs, Y: figure.Axis{Label: "training loss (nats)",
		Log: true}}
	loss.Lines = lines(r, func(o imagerun.Outcome) ([]float64,
		[]float64) {
		return o.Series("loss")
	})
	panels := []figure.Panel{loss}
	for _, m := range s.Measures {
		if m.Over != "" {
			continue
		}
		p := figure.Panel{Title: fmt.Sprintf("(%c)", 'a'+len(panels)), X: epochs,
			Y: figure.Axis{Label: m.Title + " (%)"}}
		p.Lines = lines(r, func(o imagerun.Outcome) ([]float64, []float64) {
			x, y := o.Series(m.Column)
			y = slices.Clone(y)
			for i := range y {
				y[i] *= 100
			}
			return x, y
		})
		panels = append(panels, p)
	}
	for i := range panels[1:] { // one legend is enough
		for j := range panels[i+1].Lines {
			panels[i+1].Lines[j].Name = ""
		}
	}
	note := fmt.Sprintf("%d seeds; bands from the least to the largest.",
		len(r.Arms[plain].Outcomes))
	for _, a := range r.Arms[:sameRate] {
		note += fmt.Sprintf(" %s: η_eff = %g, %s, λ = %g.", a.Title,
			tidy(a.Config.Rule().EffectiveRate(a.Config.Rate)), a.Config.Schedule,
			a.Config.WeightDecay)
	}
	if r.Arms[longer].exists() {
		note += fmt.Sprintf(" The runs of %d times the epochs are drawn against a %dth of their "+
			"epochs.", s.Longer, s.Longer)
	}
	return figure.Picture{Title: r.Title, Note: note, Panels: [][]figure.Panel{panels},
		Width: 2.9 * float64(len(panels)), Height: 2.9}
}

// lines are the curves of all arms.
func lines(r result, series func(imagerun.Outcome) (x, y []float64)) []figure.Line {
	var all []figure.Line
	for i, a := range r.Arms {
		if !a.exists() {
			continue
		}
		var curves []figure.Curve
		for _, o := range a.Outcomes {
			x, y := series(o)
			curves = append(curves, figure.Curve{X: x, Y: y})
		}
		l := figure.Band(curves, figure.Range)
		l.Name, l.Color, l.Dashed = a.Title, colors[i], i >= sameRate
		if i == longer {
			for j := range l.X {
				l.X[j] *= float64(r.Base.Epochs) / float64(a.Config.Epochs)
			}
		}
		all = append(all, l)
	}
	return all
}
