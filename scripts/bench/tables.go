package main

import (
	"cmp"
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

// rates is the table of the results, with a row "best" after the chunks of a network.
func (r *report) rates() string {
	columns := slices.DeleteFunc(slices.Clone(r.columns), func(c column) bool {
		return !slices.ContainsFunc(r.Results, func(x result) bool { return c.measured(x.Rates) })
	})
	titles := []string{"model", "width", "precision", "chunk"}
	for _, c := range columns {
		titles = append(titles, c.title("images/s"))
	}
	var rows [][]string
	add := func(x result, chunk string, bestChunks map[string]int) {
		row := []string{x.Model, fmt.Sprint(x.Width), string(x.Precision), chunk}
		for _, c := range columns {
			cell := c.cell(x.Rates, x.GFLOPPerImage)
			if n, found := bestChunks[c.contender]; found && c.baseline == "" {
				cell += fmt.Sprintf(" at %d", n)
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	for i, x := range r.Results {
		add(x, fmt.Sprint(x.Chunk), nil)
		group := r.chunksUpTo(i)
		last := i == len(r.Results)-1 || !sameNetwork(x, r.Results[i+1])
		if last && len(group) > 1 {
			best, bestChunks := bestOf(group)
			add(best, "best", bestChunks)
		}
	}
	return markdown.Table(titles, rows)
}

// sameNetwork reports whether two results differ in their chunk only.
func sameNetwork(a, b result) bool {
	return a.Model == b.Model && a.Width == b.Width && a.Precision == b.Precision
}

// chunksUpTo returns result i, after the results of the same network immediately before it.
func (r *report) chunksUpTo(i int) []result {
	start := i
	for start > 0 && sameNetwork(r.Results[start-1], r.Results[i]) {
		start--
	}
	return r.Results[start : i+1]
}

// bestOf returns each contender's rates at the chunk with its highest median, and that chunk. The
// bare product, which has no chunks, keeps all its rates.
func bestOf(group []result) (best result, chunks map[string]int) {
	best, chunks = group[0], map[string]int{}
	best.Rates = map[string][]float64{}
	for name := range group[0].Rates {
		if name == matmul {
			for _, r := range group {
				best.Rates[name] = append(best.Rates[name], r.Rates[name]...)
			}
			continue
		}
		top := slices.MaxFunc(group, func(a, b result) int {
			return cmp.Compare(measure.Median(a.Rates[name]), measure.Median(b.Rates[name]))
		})
		best.Rates[name], chunks[name] = top.Rates[name], top.Chunk
	}
	return best, chunks
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
