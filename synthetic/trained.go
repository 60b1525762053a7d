package main

import (
	"fmt"
	"math"
	"strings"

	"momentum/internal/cubic"
	"momentum/internal/figure"
	"momentum/internal/rundir"
)

// trained is a bundle with the rows of its run folder.
type trained struct {
	bundle
	rows []rundir.Row
}

// series returns the steps and values of one column.
func (t trained) series(lane, name string) (steps, values []float64) {
	for _, row := range t.rows {
		if x, ok := row.Get(lane + "/" + name); ok {
			steps, values = append(steps, float64(row.Step)), append(values, x)
		}
	}
	return steps, values
}

// final is a lane's final row: the first one at which it had converged, or else the last one.
func (t trained) final(lane string) laneRow {
	for _, row := range t.rows {
		if _, ok := row.Get(lane + "/converged"); ok {
			return laneRow{row, lane}
		}
	}
	return t.last(lane)
}

// last is a lane's last row.
func (t trained) last(lane string) laneRow { return laneRow{t.rows[len(t.rows)-1], lane} }

// lastStep is the step of the last row.
func (t trained) lastStep() int64 { return t.rows[len(t.rows)-1].Step }

// laneRow is one lane's part of a row.
type laneRow struct {
	row  rundir.Row
	lane string
}

// get returns a value, or NaN if the row does not have it or the lane has diverged: with weights
// that are not finite no sample counts as wrong.
func (r laneRow) get(name string) float64 {
	if _, diverged := r.event(cubic.Diverged); diverged {
		return math.NaN()
	}
	if x, ok := r.row.Get(r.lane + "/" + name); ok {
		return x
	}
	return math.NaN()
}

// event returns the first step of an event, and whether it has happened.
func (r laneRow) event(e cubic.Event) (int, bool) {
	x, ok := r.row.Get(r.lane + "/" + e.String())
	return int(x), ok
}

// lastValues are the last values of a lane's column, scaled, one for each run.
func lastValues(runs []trained, lane, column string, scale float64) []float64 {
	var values []float64
	for _, t := range runs {
		values = append(values, scale*t.last(lane).get(column))
	}
	return values
}

// stepRange is the number of steps of runs as text.
func stepRange(runs []trained) string {
	low, high := int64(math.MaxInt64), int64(0)
	for _, t := range runs {
		low, high = min(low, t.lastStep()), max(high, t.lastStep())
	}
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

// band is the summary of a lane's column over runs, such as its mean with its 95% t interval. Where
// a seed has no value, because it diverged, the band has a gap.
func band(name string, color figure.Category, runs []trained, lane, column string, scale float64,
	summary figure.Summary) figure.Line {
	var curves []figure.Curve
	for _, t := range runs {
		x, y := t.series(lane, column)
		for i := range y {
			y[i] *= scale
		}
		curves = append(curves, figure.Curve{X: x, Y: y})
	}
	line := figure.Band(curves, summary)
	line.Name, line.Color = name, color
	return line
}

// percent summarizes accuracies: an interval ends at 0 and 100%.
func percent(values []float64) (low, mean, high float64) {
	return figure.Within(0, 100)(values)
}

// largest is the largest finite number of some lists, or least if there is none above it.
func largest(least float64, lists ...[]float64) float64 {
	for _, list := range lists {
		for _, x := range list {
			if x > least && !math.IsInf(x, 1) {
				least = x
			}
		}
	}
	return least
}

// overSeeds describes the curves of a figure.
func overSeeds(n int) string {
	if n == 1 {
		return "One seed"
	}
	return fmt.Sprintf("Mean and 95%% t band over %d seeds", n)
}

// slug turns a text into a part of a folder's name: ASCII letters, digits and points, with single
// hyphens between them.
func slug(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.')
	}), "-")
}
