// Package markdown writes the tables of reports as Markdown.
package markdown

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Table is a table: the titles of its columns, a rule, and its rows.
func Table(titles []string, rows [][]string) string {
	var b strings.Builder
	row := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	row(titles)
	b.WriteString("|" + strings.Repeat("---|", len(titles)) + "\n")
	for _, cells := range rows {
		row(cells)
	}
	return b.String()
}

// Align pads the cells of the tables in a text, so that their columns stand below each other in a
// terminal: the first column to the left, the others to the right. It remains Markdown.
func Align(text string) string {
	var out strings.Builder
	var table [][]string // the lines of a table, as cells
	flush := func() {
		widths := make([]int, len(slices.MaxFunc(append(table, nil), byLength)))
		for _, cells := range table {
			for i, cell := range cells {
				if !isRule(cell) {
					widths[i] = max(widths[i], utf8.RuneCountInString(cell))
				}
			}
		}
		for _, cells := range table {
			for i, cell := range cells {
				pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
				switch {
				case isRule(cell):
					out.WriteString("|" + strings.Repeat("-", widths[i]+2))
				case i == 0:
					out.WriteString("| " + cell + pad + " ")
				default:
					out.WriteString("| " + pad + cell + " ")
				}
			}
			out.WriteString("|\n")
		}
		table = nil
	}
	for line := range strings.Lines(text) {
		row := strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(row, "|") || !strings.HasSuffix(row, "|") || len(row) < 2 {
			flush()
			out.WriteString(line)
			continue
		}
		cells := strings.Split(row[1:len(row)-1], "|")
		for i, cell := range cells {
			cells[i] = strings.TrimSpace(cell)
		}
		table = append(table, cells)
	}
	flush()
	return out.String()
}

// isRule reports whether a cell is that of the line below the titles.
func isRule(cell string) bool { return cell == "---" }

func byLength(a, b []string) int { return len(a) - len(b) }
