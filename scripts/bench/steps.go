package main

import (
	"fmt"
	"slices"
	"strings"

	"momentum/internal/markdown"
	"momentum/internal/measure"
)

// row holds the rates of all contenders at a setting, or of each at its best chunk.
type row struct {
	setting                      // with chunk 0 if contenders have different ones
	chunks  map[string]int       // by contender, if they differ
	rates   map[string][]float64 // by contender
	gflop   float64              // per image
}

// legend explains the columns of a comparison of ours with others.
const legend = "JAX computes in the precision of the row. PyTorch has a column for float32 and " +
	"one for bfloat16 (autocast), both channels-last. matmul is a bare product of two " +
	"matrices.\n\n"

// steps are the tables of the results. Rates and ratios have tables of their own, narrow enough to
// read.
func (r *report) steps() string {
	rows := r.rows()
	top := best(rows)
	isRatio := func(c column) bool { return c.baseline != "" }
	rates := slices.DeleteFunc(slices.Clone(r.columns), isRatio)
	ratios := slices.DeleteFunc(slices.Clone(r.columns), func(c column) bool { return !isRatio(c) })

	var b strings.Builder
	section := func(title string, rows []row, columns []column) {
		columns = slices.DeleteFunc(slices.Clone(columns), func(c column) bool {
			return !slices.ContainsFunc(rows, func(x row) bool { return c.measured(x.rates) })
		})
		if len(columns) == 0 {
			return // an error came before the others' turn
		}
		fmt.Fprintf(&b, "## %s\n\n%s\n", title, table(rows, columns, r.Rounds))
	}
	section("Ratios of the medians, each contender at its best chunk", top, ratios)
	if r.columns[0].contender == ours {
		b.WriteString(legend)
		if scaled, columns := scaling(top); scaled != nil {
			section("Scaling of our step", scaled, columns)
		}
	}
	section("Rates at the best chunk", top, rates)
	if len(top) < len(rows) {
		section("Rates at every chunk", rows, rates)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// rows returns a row for each setting of the first column's contender.
func (r *report) rows() []row {
	var all []row
	for _, x := range r.Results {
		if x.Contender != r.columns[0].contender {
			continue
		}
		rates := map[string][]float64{}
		for _, c := range r.columns {
			if other := r.find(c.contender, x.of(c.contender)); other != nil {
				rates[c.contender] = other.Rates
			}
		}
		all = append(all, row{setting: x.setting, rates: rates, gflop: x.GFLOPPerImage})
	}
	return all
}

// best joins the rows that differ in their chunk only. It keeps each contender's rates at the chunk
// with the highest median.
func best(rows []row) []row {
	var all []row
	for _, x := range rows {
		group := slices.DeleteFunc(slices.Clone(rows), func(y row) bool {
			y.Chunk = x.Chunk
			return y.setting != x.setting
		})
		if group[0].Chunk != x.Chunk {
			continue // joined already
		}
		if len(group) > 1 {
			x.Chunk = 0
			x.chunks, x.rates = bestChunks(group)
		}
		all = append(all, x)
	}
	return all
}

// bestChunks returns, by contender, the best chunk and its rates. The bare product has no chunks.
func bestChunks(group []row) (chunks map[string]int, rates map[string][]float64) {
	chunks, rates = map[string]int{}, map[string][]float64{}
	for _, x := range group {
		for name, got := range x.rates {
			if median(got) > median(rates[name]) {
				rates[name], chunks[name] = got, x.Chunk
			}
		}
	}
	delete(chunks, matmul)
	return chunks, rates
}

// median is 0 for no rates.
func median(rates []float64) float64 {
	if len(rates) == 0 {
		return 0
	}
	return measure.Median(rates)
}

// scaling returns the rows of our step, and columns with its rate and the ratio to that of the same
// network on one core or, if one core was not measured, on one device. There are none if no other
// number was measured.
func scaling(rows []row) ([]row, []column) {
	baseline := "one core"
	isBase := func(x row) bool { return x.Cores == 1 }
	if !slices.ContainsFunc(rows, isBase) {
		baseline, isBase = "one device", func(x row) bool { return x.Devices == 1 }
	}
	var scaled []row
	others := false
	for _, x := range rows {
		i := slices.IndexFunc(rows, func(y row) bool {
			y.Chunk = x.Chunk
			return isBase(y) && y.Setting == x.Setting
		})
		if i < 0 {
			continue // an error came before its turn
		}
		x.rates = map[string][]float64{ours: x.rates[ours], baseline: rows[i].rates[ours]}
		scaled = append(scaled, x)
		others = others || !isBase(x)
	}
	if !others {
		return nil, nil
	}
	return scaled, []column{{contender: ours}, {contender: ours, baseline: baseline}}
}

// keys are the titles of the columns that identify a row.
var keys = []string{"model", "width", "precision", "cores", "devices", "chunk"}

// key are the cells of these columns.
func (x row) key() []string {
	devices, chunk := fmt.Sprint(x.Devices), fmt.Sprint(x.Chunk)
	if x.Devices == 0 {
		devices = "auto"
	}
	if x.Chunk == 0 {
		chunk = "best"
	}
	return []string{x.Model, fmt.Sprint(x.Width), string(x.Precision), fmt.Sprint(x.Cores), devices,
		chunk}
}

// table shows rows. The line above the table says what is the same in all of them.
func table(rows []row, columns []column, rounds int) string {
	same := []string{fmt.Sprintf("Rounds %d", rounds)}
	if columns[0].baseline == "" {
		same[0] += ", median (minimum–maximum)"
	}
	var titles []string
	cells := make([][]string, len(rows))
	for i, title := range keys {
		first := rows[0].key()[i]
		if !slices.ContainsFunc(rows, func(x row) bool { return x.key()[i] != first }) {
			same = append(same, title+" "+first)
			continue
		}
		titles = append(titles, title)
		for j, x := range rows {
			cells[j] = append(cells[j], x.key()[i])
		}
	}
	for _, c := range columns {
		titles = append(titles, c.title("images/s"))
		for j, x := range rows {
			cell := c.cell(x.rates, x.gflop)
			if chunk, found := x.chunks[c.contender]; found && c.baseline == "" && !c.gflop {
				cell += fmt.Sprintf(" at %d", chunk)
			}
			cells[j] = append(cells[j], cell)
		}
	}
	return strings.Join(same, "; ") + ".\n\n" + markdown.Table(titles, cells)
}
