package study

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"momentum/internal/figure"
	"momentum/internal/sweep"
)

// colors of the arms, the same in all pictures.
var colors = [arms]figure.Category{plain: figure.Blue, momentum: figure.Vermilion,
	effective: figure.Green, longer: figure.Purple}

// curves is the picture of a cell's final runs: training loss and accuracies against epochs, the
// mean over the seeds with a band from the least to the largest. The longer runs are drawn against
// their share of the epochs.
func (s *Study) curves(r result) figure.Picture {
	last := float64(r.Base.Epochs)
	epochs := figure.Axis{Label: "epoch", High: last}
	loss := figure.Panel{Title: "(a)", X: epochs, Y: figure.Axis{Label: "training loss (nats)",
		Log: true}}
	loss.Lines = lines(r, func(o sweep.Outcome) ([]float64, []float64) { return o.Series("loss") })
	panels := []figure.Panel{loss}
	for _, m := range s.Measures {
		if m.Over != "" {
			continue
		}
		p := figure.Panel{Title: fmt.Sprintf("(%c)", 'a'+len(panels)), X: epochs,
			Y: figure.Axis{Label: m.Title + " (%)"}}
		p.Lines = lines(r, func(o sweep.Outcome) ([]float64, []float64) {
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
	for _, a := range r.Arms[:effective] {
		note += fmt.Sprintf(" %s: η_eff = %g, %s, λ = %g.", a.Title,
			tidy(a.Config.Rule().EffectiveRate(a.Config.Rate)), a.Config.Schedule,
			a.Config.WeightDecay)
	}
	if r.Arms[longer].has() {
		note += fmt.Sprintf(" The runs of %d times the epochs are drawn against a %dth of their "+
			"epochs.", s.Longer, s.Longer)
	}
	return figure.Picture{Title: r.Title, Note: note, Panels: [][]figure.Panel{panels}, Width: 2.9 *
		float64(len(panels)), Height: 2.9}
}

// lines are the curves of all arms.
func lines(r result, series func(sweep.Outcome) (x, y []float64)) []figure.Line {
	var all []figure.Line
	for i, a := range r.Arms {
		if !a.has() {
			continue
		}
		l := band(a, series)
		l.Name, l.Color, l.Dashed = a.Title, colors[i], i >= effective
		if i == longer {
			for j := range l.X {
				l.X[j] *= float64(r.Base.Epochs) / float64(a.Config.Epochs)
			}
		}
		all = append(all, l)
	}
	return all
}

// band is the mean over the seeds, from the least to the largest, at the epochs that all of them
// have.
func band(a arm, series func(sweep.Outcome) (x, y []float64)) figure.Line {
	at := map[float64][]float64{}
	for _, o := range a.Outcomes {
		x, y := series(o)
		for i := range x {
			at[x[i]] = append(at[x[i]], y[i])
		}
	}
	var l figure.Line
	for x, values := range at {
		if len(values) == len(a.Outcomes) {
			l.X = append(l.X, x)
		}
	}
	slices.Sort(l.X)
	for _, x := range l.X {
		values := at[x]
		sum := 0.0
		for _, v := range values {
			sum += v
		}
		l.Y = append(l.Y, sum/float64(len(values)))
		l.Low, l.High = append(l.Low, slices.Min(values)), append(l.High, slices.Max(values))
	}
	return l
}

// grid is the picture of a cell's trials: accuracy on the held-out images against the effective
// rate, a panel for each algorithm and a curve for each schedule and weight decay. Settings that
// diverged lie at the bottom; a ring is around those that fitted all training images.
func (s *Study) grid(r result) figure.Picture {
	var panels []figure.Panel
	top := 0.0
	var rates []float64
	for _, o := range r.tried {
		if x := 100 * o.Last(s.Measures[0].Column); x > top {
			top = x
		}
	}
	for _, t := range r.trials {
		rates = append(rates, t.effective)
	}
	xs := figure.Axis{Label: "effective learning rate", Log: true, Low: slices.Min(rates) / 1.3,
		High: slices.Max(rates) * 1.3}
	for algorithm := range 2 {
		p := figure.Panel{Title: r.Arms[algorithm].Title, X: xs,
			Y: figure.Axis{Label: "held-out accuracy (%)", High: 1.1*top + 1}}
		fitted := figure.Points{Name: "zero training error", Color: figure.Black,
			Shape: figure.Square}
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
					if r.tried[i].Diverged {
						diverged.X, diverged.Y = append(diverged.X, t.effective),
							append(diverged.Y, 0)
						continue
					}
					y := 100 * r.tried[i].Last(s.Measures[0].Column)
					l.X, l.Y = append(l.X, t.effective), append(l.Y, y)
					if r.tried[i].Last("train_accuracy") == 1 {
						fitted.X, fitted.Y = append(fitted.X, t.effective), append(fitted.Y, y)
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
		best := r.Arms[algorithm].best
		p.Marks = []figure.Mark{{X: best.effective,
			Label: fmt.Sprintf("chosen: %g", best.effective)}}
		panels = append(panels, p)
	}
	for i := range panels[1].Lines {
		panels[1].Lines[i].Name = ""
	}
	return figure.Picture{
		Title: r.Title + ": the trials", Panels: [][]figure.Panel{panels},
		Note: fmt.Sprintf("Accuracy at the last step on %d training images that were held out, "+
			"seed %d.", s.Holdout, trialSeed),
	}
}

// sortByX orders the points of a line: a grid that has grown has rates out of order.
func sortByX(l *figure.Line) {
	order := make([]int, len(l.X))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(l.X[i], l.X[j]) })
	for _, values := range []*[]float64{&l.X, &l.Y, &l.Low, &l.High} {
		if *values == nil {
			continue
		}
		sorted := make([]float64, len(order))
		for i, from := range order {
			sorted[i] = (*values)[from]
		}
		*values = sorted
	}
}

// byBatch are pictures of the first measure against the batch size, one for all cells that differ
// in nothing else: the mean over the seeds at the last step, with a band from the least to the
// largest. A set of images and a network with one batch size has none.
func (s *Study) byBatch(results []result) []figure.Picture {
	var pictures []figure.Picture
	for i, first := range results {
		same := func(r result) bool {
			a, b := first.Base, r.Base
			return a.Data == b.Data && a.Model == b.Model && a.Width == b.Width
		}
		if slices.IndexFunc(results, same) < i {
			continue // in an earlier picture
		}
		var cells []result
		for _, r := range results {
			if same(r) {
				cells = append(cells, r)
			}
		}
		if len(cells) < 2 {
			continue
		}
		m := s.Measures[0]
		p := figure.Panel{X: figure.Axis{Label: "images per step", Log: true},
			Y: figure.Axis{Label: m.Title + " (%)"}}
		for arm := range arms {
			l := figure.Line{Color: colors[arm], Dashed: arm >= effective}
			for _, r := range cells {
				a := r.Arms[arm]
				var values []float64
				for _, x := range a.each(func(o sweep.Outcome) float64 { return m.of(o.Last) }) {
					if !math.IsNaN(x) {
						values = append(values, x)
					}
				}
				if len(values) == 0 {
					continue
				}
				l.Name = strings.Replace(a.Title, "SGD", "GD", -1)
				l.X = append(l.X, float64(cmp.Or(r.Base.Batch, r.Images)))
				l.Y = append(l.Y, mean95(values).Mean)
				l.Low, l.High = append(l.Low, slices.Min(values)),
					append(l.High, slices.Max(values))
			}
			sortByX(&l)
			p.Lines = append(p.Lines, l)
		}
		title, _, _ := strings.Cut(first.Title, ", batch")
		title, _, _ = strings.Cut(title, ", full batch")
		pictures = append(pictures, figure.Picture{
			Title: title, Panels: [][]figure.Panel{{p}}, Width: 5, Height: 3.2,
			Note: fmt.Sprintf("%d seeds, at the last step; bands from the least to the largest. "+
				"The rightmost point is the full batch where it has all %d images.", s.Seeds,
				first.Images),
		})
	}
	return pictures
}
