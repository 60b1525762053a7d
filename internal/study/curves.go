package study

import (
	"fmt"
	"slices"

	"momentum/internal/figure"
	"momentum/internal/imagerun"
)

// colors of the arms, the same in all pictures.
var colors = [arms]figure.Category{plain: figure.Blue, momentum: figure.Vermilion,
	etaGrid: figure.Orange, sameRate: figure.Green, longer: figure.Purple}

// curves is the picture of a cell's final runs: training loss and accuracies against epochs, the
// mean over the seeds with a band from the smallest to the largest, up to the end of the longest
// run.
func (s *Study) curves(r result) figure.Picture {
	last := 1.0
	for _, a := range r.Arms {
		for _, o := range a.Outcomes {
			last = max(last, float64(o.Epochs()))
		}
	}
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
	note := fmt.Sprintf("%d seeds; bands from the least to the largest. A seed that ended before "+
		"others keeps its last value.", len(r.Arms[plain].Outcomes))
	for _, a := range r.Arms[:chosen] {
		if !a.exists() {
			continue
		}
		note += fmt.Sprintf(" %s: η_eff = %g, %s, λ = %g.", a.Title,
			tidy(a.Config.Rule().EffectiveRate(a.Config.Rate)), a.Config.Schedule,
			a.Config.WeightDecay)
	}
	return figure.Picture{Title: r.Title, Note: note, Panels: [][]figure.Panel{panels},
		Width: 3.4 * float64(len(panels))}
}

// lines are the curves of all arms.
func lines(r result, series func(imagerun.Outcome) (x, y []float64)) []figure.Line {
	var all []figure.Line
	for i, a := range r.Arms {
		if !a.exists() {
			continue
		}
		l := figure.Band(held(a.Outcomes, series), figure.Range)
		l.Name, l.Color, l.Dashed = a.Title, colors[i], i >= sameRate
		all = append(all, l)
	}
	return all
}

// held are the curves of some runs. Those that ended early without diverging keep their last value
// up to the end of the longest.
func held(outcomes []imagerun.Outcome,
	series func(imagerun.Outcome) (x, y []float64)) []figure.Curve {
	var all []figure.Curve
	for _, o := range outcomes {
		x, y := series(o)
		all = append(all, figure.Curve{X: x, Y: y})
	}
	held := figure.Hold(all)
	for i, o := range outcomes {
		if o.Diverged {
			held[i] = all[i]
		}
	}
	return held
}
