// Package markdown writes the tables of reports as Markdown.
package markdown

import "strings"

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
