package main

import (
	"fmt"
	"slices"

	"momentum/internal/markdown"
	"momentum/internal/measure"
)

// column shows the rates of a contender or, with a baseline, the ratio of the contender's median
// rate to the baseline's.
type column struct {
	contender, baseline string

	gflop bool // in GFLOP/s instead of units of work per second
}

// ourColumns returns the columns of a comparison of ours with other contenders: all rates, the
// GFLOP/s of ours and of the bare product, and the ratios of ours to all others.
func ourColumns(others ...string) []column {
	columns := []column{{contender: ours}}
	for _, other := range others {
		columns = append(columns, column{contender: other})
	}
	columns = append(columns, column{contender: ours, gflop: true},
		column{contender: matmul, gflop: true})
	for _, other := range append(slices.Clone(others), matmul) {
		columns = append(columns, column{contender: ours, baseline: other})
	}
	return columns
}

// title names the column; unit is that of the rates, such as images/s.
func (c column) title(unit string) string {
	switch {
	case c.baseline != "":
		return c.contender + "/" + c.baseline
	case c.gflop:
		return c.contender + ", GFLOP/s"
	}
	return c.contender + ", " + unit
}

// measured reports whether rates, by contender, include those of the column.
func (c column) measured(rates map[string][]float64) bool {
	return len(rates[c.contender]) > 0 && (c.baseline == "" || len(rates[c.baseline]) > 0)
}

// cell is the column's text for rates by contender. A unit of work has the given GFLOP.
func (c column) cell(rates map[string][]float64, gflop float64) string {
	if !c.measured(rates) {
		return ""
	}
	values := gflops(c.contender, rates, gflop)
	if c.baseline != "" {
		baseline := gflops(c.baseline, rates, gflop)
		return fmt.Sprintf("%.3f", measure.Median(values)/measure.Median(baseline))
	}
	if !c.gflop {
		values = rates[c.contender]
	}
	return fmt.Sprintf("%s (%s–%s)", number(measure.Median(values)), number(slices.Min(values)),
		number(slices.Max(values)))
}

// gflops returns a contender's rates in GFLOP/s.
func gflops(name string, rates map[string][]float64, gflop float64) []float64 {
	values := slices.Clone(rates[name])
	for i := range values {
		if name != matmul { // whose rates are in GFLOP/s already
			values[i] *= gflop
		}
	}
	return values
}

// memory is the table of the peaks. Three peaks are those of few images, of many images, and of a
// network of full width.
func (r *report) memory() string {
	var rows [][]string
	for _, p := range r.Peaks {
		rows = append(rows, []string{p.Model, fmt.Sprint(p.Width), string(p.Precision),
			fmt.Sprint(p.Chunk), fmt.Sprint(p.Images),
			fmt.Sprintf("%.0f MB", float64(p.Bytes)/1e6)})
	}
	text := markdown.Table([]string{"model", "width", "precision", "chunk", "images",
		"peak memory"}, rows)
	if len(r.Peaks) == 3 {
		text += fmt.Sprintf("\nMany images: %.3f times the peak of few images plus the additional "+
			"images (goal: at most 1.1).\nFull width: %.2f GB (goal: under 2.5).\n",
			growth(r.Peaks[0], r.Peaks[1]), float64(r.Peaks[2].Bytes)/1e9)
	}
	return text
}

// number shows about three digits.
func number(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}
