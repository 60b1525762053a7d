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
// runs; curves join the fastest setting of each rate at which all seeds fitted, in their mean, and
// break at rates without one. Runs that never fitted are squares at the top, those that diverged
// triangles at the bottom. It has no panels if there are no such cells.
func (s *Study) trainability(results []result) figure.Picture {
	var full []result
	var cells []Cell
	for _, r := range results {
		if r.Base.Batch == 0 {
			full, cells = append(full, r), append(cells, r.Cell)
		}
	}
	if len(full) == 0 {
		return figure.Picture{}
	}
	common, own := distinguish(cells)
	var panels []figure.Panel
	for _, r := range full {
		panel := r.trainability()
		panel.Title = own[r.Title]
		panels = append(panels, panel)
	}
	return figure.Picture{Title: common + ": how fast the trials fit",
		OneLegend: true, Width: 7.2, Panels: slices.Collect(slices.Chunk(panels, 2)),
		Note: "Circles: trial runs, at the first epoch with zero training error. Curves: the " +
			"fastest setting at each rate of those that fitted in every trial seed, in the mean " +
			"over these; they break at rates without one."}
}

// trainability is the panel of a cell.
func (r result) trainability() figure.Panel {
	p := figure.Panel{
		X: figure.Axis{Label: "effective learning rate η_eff", Log: true},
		Y: figure.Axis{Label: "epochs to zero training error", High: 1.1 * float64(r.Base.Epochs)},
	}
	for _, t := range r.trials {
		p.X.High = max(p.X.High, 1.5*t.effectiveRate)
		if p.X.Low == 0 || t.effectiveRate/1.5 < p.X.Low {
			p.X.Low = t.effectiveRate / 1.5
		}
	}
	shapes := [3]figure.Points{{Shape: figure.Circle, Filled: true},
		{Name: "never fitted", Shape: figure.Square}, {Name: "diverged", Shape: figure.Triangle}}
	for _, arm := range []int{plain, momentum} {
		line, places := r.fits(arm == momentum)
		line.Color = colors[arm]
		p.Lines = append(p.Lines, line)
		for i, at := range places {
			if len(at.X) > 0 {
				p.Points = append(p.Points, figure.Points{Color: colors[arm],
					Shape: shapes[i].Shape, Filled: shapes[i].Filled, X: at.X, Y: at.Y})
			}
		}
	}
	// The legend names the shapes in black, since the points have the colors of the arms.
	for _, q := range shapes[1:] {
		if slices.ContainsFunc(p.Points, func(o figure.Points) bool { return o.Shape == q.Shape }) {
			q.Color = figure.Black
			p.Points = append(p.Points, q)
		}
	}
	return p
}

// fits are the trials of an algorithm: the curve of the fastest settings, and where the runs are
// that fitted, those that never did, and those that diverged.
func (r result) fits(withMomentum bool) (line figure.Line, places [3]figure.Curve) {
	epochs := float64(r.Base.Epochs)
	add := func(i int, x, y float64) {
		places[i].X, places[i].Y = append(places[i].X, x), append(places[i].Y, y)
	}
	fastest := map[float64]float64{} // by rate
	for i, t := range r.trials {
		if t.momentum != withMomentum {
			continue
		}
		rate := t.effectiveRate
		var fits []float64 // by seed, NaN where it has not fitted
		for _, o := range r.tried[i] {
			fit := math.NaN()
			switch zero := o.ZeroError(); {
			case o.Diverged:
				add(2, rate, epochs/40)
			case zero < 0:
				add(1, rate, epochs)
			default:
				fit = float64(zero)
				add(0, rate, fit)
			}
			fits = append(fits, fit)
		}
		mean := stats.Mean95(fits).Mean
		if old, ok := fastest[rate]; !ok || math.IsNaN(old) || mean < old {
			fastest[rate] = mean
		}
	}
	line.Name = r.algorithm(withMomentum)
	for rate, mean := range fastest {
		line.X, line.Y = append(line.X, rate), append(line.Y, mean)
	}
	sortByX(&line)
	return line, places
}
