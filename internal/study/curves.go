package study

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"momentum/internal/figure"
	"momentum/internal/imagerun"
)

// colors of the arms, the same in all pictures.
var colors = [arms]figure.Category{plain: figure.Blue, momentum: figure.Vermilion,
	etaGrid: figure.Orange, sameRate: figure.Green, longer: figure.Purple}

// series are the epochs and values of a quantity of a run.
type series func(imagerun.Outcome) (x, y []float64)

// curves is the picture of a cell's final runs: training loss and accuracies against epochs, the
// mean over the seeds that did not diverge, up to the end of the longest run. GD and the first GD+M
// have bands, their 95% t intervals: those of all arms would cover each other. There are at most
// two panels in a row, and all accuracies have one axis.
func (s *Study) curves(r result) figure.Picture {
	last := 1.0
	for _, a := range r.Arms {
		for _, o := range a.Outcomes {
			last = max(last, float64(o.Epochs()))
		}
	}
	epochs := figure.Epochs(last)
	loss := func(o imagerun.Outcome) ([]float64, []float64) { return o.Series("loss") }
	panels := []figure.Panel{{Title: "training loss", X: epochs,
		Y:     figure.Axis{Label: "training loss (nats)", Log: true}.Around(r.finite(loss)),
		Lines: r.lines(loss, figure.Geometric95)}}
	accuracies := figure.Axis{Label: "accuracy (%)"}
	var ends []figure.Curve // of all bands
	for _, m := range s.Measures {
		if m.Over != "" {
			continue
		}
		p := figure.Panel{Title: m.Title, X: epochs, Lines: r.lines(
			func(o imagerun.Outcome) ([]float64, []float64) {
				x, y := o.Series(m.Column)
				y = slices.Clone(y)
				for i := range y {
					y[i] *= 100
				}
				return x, y
			}, figure.Within(0, 100))}
		for _, l := range p.Lines {
			ends = append(ends, figure.Curve{Y: slices.Concat(l.Y, l.Low, l.High)})
		}
		panels = append(panels, p)
	}
	accuracies = accuracies.Around(ends)
	for i := range panels[1:] {
		panels[i+1].Y = accuracies
	}
	note := fmt.Sprintf("%d seeds: means, and bands for %s and %s, their 95%% t intervals, those "+
		"of the loss on its logarithm.", len(r.Arms[plain].Outcomes), r.Arms[plain].Legend,
		r.Arms[momentum].Legend)
	if r.Base.UntilLoss > 0 {
		note += " A seed that ended before others keeps its last value."
	}
	for _, a := range r.Arms[:chosen] {
		if !a.exists() {
			continue
		}
		note += fmt.Sprintf(" %s: η_eff = %g, %s, λ = %g.", a.Title,
			tidy(a.Config.Rule().EffectiveRate(a.Config.Rate)), a.Config.Schedule,
			a.Config.WeightDecay)
	}
	for _, a := range r.Arms {
		note += a.divergedNote()
	}
	note += s.legendNote(r.Arms[etaGrid].exists(), r.Base.Opt)
	return figure.Picture{Title: r.Title, Note: note, OneLegend: true, Width: 7.2,
		Panels: slices.Collect(slices.Chunk(panels, 2))}
}

// divergedNote is a sentence on the seeds that diverged, "" if none did.
func (a arm) divergedNote() string {
	var ends []string
	for _, o := range a.Outcomes {
		if o.Diverged {
			ends = append(ends, strconv.Itoa(o.Epochs()))
		}
	}
	at := "at epochs " + strings.Join(ends, ", ")
	switch len(ends) {
	case 0:
		return ""
	case len(a.Outcomes):
		return fmt.Sprintf(" %s: all %d seeds diverged, %s.", a.Legend, len(ends), at)
	case 1:
		at = "at epoch " + ends[0]
	}
	return fmt.Sprintf(" %s: without %d of %d seeds, which diverged %s.", a.Legend, len(ends),
		len(a.Outcomes), at)
}

// finite are the curves of the arms with a seed that did not diverge, or of all if there is none:
// the last losses of a run that diverges would leave the others a line.
func (r result) finite(s series) (all []figure.Curve) {
	for _, a := range r.Arms {
		if a.diverged() < len(a.Outcomes) {
			all = append(all, held(a.Outcomes, s)...)
		}
	}
	if len(all) > 0 {
		return all
	}
	for _, a := range r.Arms {
		all = append(all, held(a.Outcomes, s)...)
	}
	return all
}

// lines are the curves of all arms. Where the control at the effective rate has the very runs of
// the arm without momentum, only its name is there, and says so.
func (r result) lines(s series, summary figure.Summary) []figure.Line {
	var all []figure.Line
	for i, a := range r.Arms {
		if !a.exists() {
			continue
		}
		l := figure.Line{Name: a.Legend + " (= " + r.Arms[plain].Legend + ")"}
		if i != sameRate || !a.sameRuns(r.Arms[plain]) {
			l = figure.Band(held(a.Outcomes, s), summary)
			l.Name = a.Legend
		}
		if i > momentum {
			l.Low, l.High = nil, nil
		}
		l.Color, l.Dashed = colors[i], i >= sameRate
		all = append(all, l)
	}
	return all
}

// sameRuns reports whether two arms have the same run folders.
func (a arm) sameRuns(b arm) bool {
	return slices.EqualFunc(a.Outcomes, b.Outcomes,
		func(x, y imagerun.Outcome) bool { return x.Folder != "" && x.Folder == y.Folder })
}

// held are the curves of the runs that did not diverge, or of all if all did. Those that ended
// early without diverging keep their last value up to the end of the longest.
func held(outcomes []imagerun.Outcome, s series) []figure.Curve {
	var kept, all []figure.Curve
	for _, o := range outcomes {
		x, y := s(o)
		all = append(all, figure.Curve{X: x, Y: y})
		if !o.Diverged {
			kept = append(kept, all[len(all)-1])
		}
	}
	if len(kept) == 0 {
		return all
	}
	return figure.Hold(kept)
}
