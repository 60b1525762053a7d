// Package markdown writes the tables of reports as Markdown.
package markdown

import "strings"

// Header returns the first two lines of a table: the titles of its columns and the rule below them.
func Header(titles ...string) string {
	return Row(titles...) + "|" + strings.Repeat("---|", len(titles)) + "\n"
}

// Row returns one line of a table.
func Row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// Table returns a whole table: its header and then its rows.
func Table(titles []string, rows [][]string) string {
	var b strings.Builder
	b.WriteString(Header(titles...))
	for _, row := range rows {
		b.WriteString(Row(row...))
	}
	return b.String()
}
