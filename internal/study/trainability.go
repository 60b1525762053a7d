package study

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"momentum/internal/figure"
	"momentum/internal/imagerun"
	"momentum/internal/page"
	"momentum/internal/stats"
)

// trialsTable is the table of all trials, a line for each setting.
func (s *Study) trialsTable(results []result) page.Table {
	var lines [][]string
	for _, r := range results {
		for i, t := range r.trials {
			c := t.configs[0]
			var fitted, heldOut []string
			for _, o := range r.tried[i] {
				fitted = append(fitted, fit(o))
				if !o.Diverged {
					heldOut = append(heldOut, stats.Fixed(100*s.heldOut(o), 1))
				}
			}
			mark := ""
			if slices.ContainsFunc(r.Arms[:chosen], func(a arm) bool {
				return slices.ContainsFunc(a.choices, func(c choice) bool { return c.same(t) })
			}) {
				mark = "chosen"
			}
			lines = append(lines, []string{r.Title, r.algorithm(t.momentum),
				fmt.Sprintf("%g", c.Rate), fmt.Sprintf("%g", t.effectiveRate), t.schedule(),
				fmt.Sprintf("%g", t.decay()), strings.Join(fitted, ", "),
				strings.Join(heldOut, ", "), mark})
		}
	}
	return s.table([]string{"", "", "η", "η_eff", "schedule", "λ",
		"zero training error at epoch", "held-out accuracy, %", ""}, lines)
}

// algorithm is the usual name of an algorithm of a cell.
func (r result) algorithm(withMomentum bool) string {
	name := strings.ToUpper(r.Base.Opt)
	if withMomentum {
		name += "+M"
	}
	return name
}

// fit says when a run reached zero training error, or how far it came.
func fit(o imagerun.Outcome) string {
	accuracy := stats.Fixed(100*o.Last("train_accuracy"), 1)
	switch epoch := o.ZeroError(); {
	case o.Diverged:
		return fmt.Sprintf("diverged at %d", o.Epochs())
	case epoch < 0:
		return fmt.Sprintf("never (%s%%)", accuracy)
	case !o.Fitted():
		return fmt.Sprintf("%d, but %s%% in the end", epoch, accuracy)
	default:
		return strconv.Itoa(epoch)
	}
}

// writeTrialsCSV writes all trials as a table for programs, a line for each run. zero_error_at is
// −1 if it was never reached; the accuracies of a diverged run are empty.
func (s *Study) writeTrialsCSV(w io.Writer, results []result) error {
	text := csv.NewWriter(w)
	_ = text.Write([]string{"cell", "images", "parameterization", "batch", "algorithm", "lr",
		"eta_eff", "schedule", "weight_decay", "seed", "diverged", "ended_at", "zero_error_at",
		"train_accuracy", "held_out_accuracy"}) // kept by the writer until Error
	f := func(x float64) string { return strconv.FormatFloat(x, 'g', 8, 64) }
	for _, r := range results {
		for i, t := range r.trials {
			for j, o := range r.tried[i] {
				c := t.configs[j]
				train, heldOut := "", ""
				if !o.Diverged {
					train, heldOut = f(100*o.Last("train_accuracy")), f(100*s.heldOut(o))
				}
				_ = text.Write([]string{r.Title, strconv.Itoa(r.Images), r.Parameterization,
					strconv.Itoa(c.Batch), r.algorithm(t.momentum), f(c.Rate), f(t.effectiveRate),
					c.Schedule, f(c.WeightDecay), strconv.FormatUint(c.Seed, 10),
					strconv.FormatBool(o.Diverged), strconv.Itoa(o.Epochs()),
					strconv.Itoa(o.ZeroError()), train, heldOut})
			}
		}
	}
	text.Flush()
	return text.Error()
}

// trainability is the picture of how fast the trials of full-batch cells fit their images:
// epochs to zero training error against the effective rate, a panel for each cell. Circles are
// runs; curves join the fastest setting of each rate at which a run fitted, in the mean over its
// seeds that did, and break at rates at which none did. Runs that never fitted are squares at
// the top, those that diverged triangles at the bottom. It has no panels if there are no such
// cells.
func (s *Study) trainability(results []result) figure.Picture {
	p := figure.Picture{Title: s.Title + ": how fast the trials fit",
		OneLegend: true,
		Note: "Circles: runs with zero training error, at the first epoch that had it. " +
			"Curves: the fastest setting at each rate, in the mean over its seeds that fitted. " +
			"Squares at the top: never. Triangles at the bottom: diverged."}
	for _, r := range results {
		if r.Base.Batch > 0 {
			continue
		}
		panel := s.trainabilityPanel(r)
		if n := len(p.Panels); n > 0 && len(p.Panels[n-1]) < 3 {
			p.Panels[n-1] = append(p.Panels[n-1], panel)
		} else {
			p.Panels = append(p.Panels, []figure.Panel{panel})
		}
	}
	return p
}

// trainabilityPanel is the panel of a cell.
func (s *Study) trainabilityPanel(r result) figure.Panel {
	epochs := float64(r.Base.Epochs)
	p := figure.Panel{
		Title: fmt.Sprintf("%s, %d images", r.Parameterization, r.Images),
		X:     figure.Axis{Label: "effective learning rate η_eff", Log: true},
		Y:     figure.Axis{Label: "epochs to zero error", High: 1.1 * epochs},
	}
	for _, arm := range []int{plain, momentum} {
		withMomentum := arm == momentum
		fastest := map[float64]float64{} // by rate
		points := [3]figure.Points{{Shape: figure.Circle, Filled: true}, {Shape: figure.Square},
			{Shape: figure.Triangle}}
		for i, t := range r.trials {
			if t.momentum != withMomentum {
				continue
			}
			p.X.High = max(p.X.High, 1.5*t.effectiveRate)
			if p.X.Low == 0 || t.effectiveRate/1.5 < p.X.Low {
				p.X.Low = t.effectiveRate / 1.5
			}
			var fits []float64
			for _, o := range r.tried[i] {
				switch zero := o.ZeroError(); {
				case o.Diverged:
					add(&points[2], t.effectiveRate, epochs/40)
				case zero < 0:
					add(&points[1], t.effectiveRate, epochs)
				default:
					add(&points[0], t.effectiveRate, float64(zero))
					fits = append(fits, float64(zero))
				}
			}
			mean := math.NaN()
			if len(fits) > 0 {
				mean = stats.Mean95(fits).Mean
			}
			if old, ok := fastest[t.effectiveRate]; !ok || math.IsNaN(old) || mean < old {
				fastest[t.effectiveRate] = mean
			}
		}
		line := figure.Line{Name: r.algorithm(withMomentum), Color: colors[arm]}
		for rate, mean := range fastest {
			line.X, line.Y = append(line.X, rate), append(line.Y, mean)
		}
		sortByX(&line)
		p.Lines = append(p.Lines, line)
		for _, q := range points {
			if q.Color = colors[arm]; len(q.X) > 0 {
				p.Points = append(p.Points, q)
			}
		}
	}
	return p
}
