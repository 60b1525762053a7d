package main

import (
	"math"
	"slices"
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
// and how far they are above those of the first row, paired by seed, for the rows that differ from
// it only in the algorithm and its rate. reached says whether any run falls to a level.
func atLosses(rows []runtable.Row, names []string, levels []float64) (t page.Table, reached bool) {
	title := rows[0][0].AccuracyTitle()
	mixed := slices.ContainsFunc(rows, func(r runtable.Row) bool {
		return r[0].Evaluated != rows[0][0].Evaluated
	})
	if mixed {
		title = "Accuracy"
	}
	t = page.Table{Title: title + " at equal training loss, %", Head: []string{"training loss"}}
	for i, row := range rows {
		name := names[i]
		if mixed {
			name += " (" + row[0].Evaluated + " accuracy)"
		}
		t.Head = append(t.Head, name)
		if i > 0 && runtable.SameButRule(rows[0], row) {
			t.Head = append(t.Head, "minus the first, paired by seed")
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
			own = stats.Known(own)
			reached = reached || len(own) > 0
			cells = append(cells, counted(own, len(row)))
			if i > 0 && runtable.SameButRule(rows[0], row) {
				seeds := max(len(rows[0]), len(row))
				cells = append(cells, counted(runtable.Paired(rows[0], row, at), seeds))
			}
		}
		t.Add(cells...)
	}
	return t, reached
}

// counted is the mean of values with its interval, the values where they are few, and how many they
// are if they are not those of all seeds.
func counted(values []float64, seeds int) string {
	text := stats.WithFew(values)
	if n := len(values); n > 0 && n != seeds {
		text += ", n = " + strconv.Itoa(n)
	}
	return text
}
