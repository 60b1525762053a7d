// Package markdown writes the tables of reports as Markdown.
package markdown

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Table is a table: the titles of its columns, a rule, and its rows. A | within a cell, as in |Ξ|,
// is written as \|, since it would begin another cell.
func Table(titles []string, rows [][]string) string {
	var b strings.Builder
	row := func(cells []string) {
		b.WriteString("|")
		for _, cell := range cells {
			b.WriteString(" " + strings.ReplaceAll(cell, "|", `\|`) + " |")
		}
		b.WriteString("\n")
	}
	row(titles)
	b.WriteString("|" + strings.Repeat("---|", len(titles)) + "\n")
	for _, cells := range rows {
		row(cells)
	}
	return b.String()
}

// Numeric has the columns of a table that are numbers, which stand to the right: not the first, and
// only those of which each cell is empty, begins with a number or is a word in place of one.
func Numeric(rows [][]string) map[int]bool {
	numbers, texts := map[int]bool{}, map[int]bool{0: true}
	for _, cells := range rows {
		for i, cell := range cells {
			switch {
			case numeric.MatchString(cell):
				numbers[i] = true
			case cell != "":
				texts[i] = true
			}
		}
	}
	maps.DeleteFunc(numbers, func(i int, _ bool) bool { return texts[i] })
	return numbers
}

var numeric = regexp.MustCompile(`^([+−-]?\.?[0-9]|(none|never|diverged|not|NaN)\b|–)`)

// Align pads the cells of the tables in a text for a terminal, so that their columns stand below
// each other: numbers to the right, texts to the left, and \| as the | that it means.
func Align(text string) string {
	var out strings.Builder
	var table [][]string // the lines of a table, as cells
	flush := func() {
		right := Numeric(table[min(2, len(table)):]) // below the titles and the rule
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
				case right[i]:
					out.WriteString("| " + pad + cell + " ")
				default:
					out.WriteString("| " + cell + pad + " ")
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
		cells := strings.Split(strings.ReplaceAll(row[1:len(row)-1], `\|`, pipe), "|")
		for i, cell := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(cell), pipe, "|")
		}
		table = append(table, cells)
	}
	flush()
	return out.String()
}

// pipe stands for \| while a line is split into cells: no text has this character.
const pipe = "\x00"

// isRule reports whether a cell is that of the line below the titles.
func isRule(cell string) bool { return cell == "---" }

func byLength(a, b []string) int { return len(a) - len(b) }
