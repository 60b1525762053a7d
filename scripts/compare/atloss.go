package main

import (
	"math"
	"strconv"

	"momentum/internal/page"
	"momentum/internal/rundir"
	"momentum/internal/runtable"
	"momentum/internal/stats"
)

// accuracyColumns are those of the images that a run evaluates.
var accuracyColumns = []string{"test_accuracy", "held_out_accuracy"}

// accuracyAt is a run's accuracy in % where its training loss first falls to a level, NaN if it
// does not fall so far.
func accuracyAt(r runtable.Run, level float64) float64 {
	for _, column := range accuracyColumns {
		if x := r.AtLoss(level, column); !math.IsNaN(x) {
			return 100 * x
		}
	}
	return math.NaN()
}

// atLosses compares the rows at equal training losses: mean accuracies over the runs that are done,
// and how far they are above those of the first row, paired by seed.
func atLosses(rows []runtable.Row, names []string, levels []float64) page.Table {
	t := page.Table{Title: "Accuracy at equal training loss, %", Head: []string{"training loss"}}
	for i, name := range names {
		t.Head = append(t.Head, name)
		if i > 0 {
			t.Head = append(t.Head, "minus the first")
		}
	}
	for _, level := range levels {
		cells := []string{strconv.FormatFloat(level, 'g', -1, 64)}
		at := func(r runtable.Run) float64 { return accuracyAt(r, level) }
		for i, row := range rows {
			var own []float64
			for _, r := range row {
				if r.State == rundir.Done {
					own = append(own, at(r))
				}
			}
			cells = append(cells, counted(stats.Known(own), len(row)))
			if i > 0 {
				cells = append(cells, counted(runtable.Paired(rows[0], row, at), len(row)))
			}
		}
		t.Add(cells...)
	}
	return t
}

// counted is the mean of values with its interval, and how many they are if they are not all.
func counted(values []float64, all int) string {
	text := stats.Mean95(values).String()
	if n := len(values); n > 0 && n != all {
		text += " (" + strconv.Itoa(n) + ")"
	}
	return text
}
