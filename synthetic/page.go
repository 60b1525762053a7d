package main

import (
	"fmt"
	"io"
	"strings"

	"momentum/internal/durable"
	"momentum/internal/markdown"
	"momentum/internal/page"
)

// section is what the page shows of an experiment: one paragraph, a table and pictures.
type section struct {
	Title    string
	Text     string   // one paragraph, with the numbers in it
	Table    table    // may be empty
	Pictures []string // paths of SVG files
}

// table is rows of cells under a head.
type table struct {
	Head []string
	Rows [][]string
}

func (t *table) add(cells ...string) { t.Rows = append(t.Rows, cells) }

// print writes the table with aligned columns: numbers to the right, texts to the left.
func (t table) print(w io.Writer) {
	widths := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	right := markdown.Numeric(t.Rows)
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if right[i] {
				pad, cell = "", pad+cell
			}
			if i > 0 {
				line.WriteString("  ")
			}
			line.WriteString(cell + pad)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// markdown is the table as Markdown.
func (t table) markdown() string { return markdown.Table(t.Head, t.Rows) }

// report is synthetic.html: the sections one after the other, in one file that needs no other.
type report struct {
	Command  string // that makes it again
	Settings string // paragraphs
	Sections []section
}

func (r *report) add(s section) { r.Sections = append(r.Sections, s) }

const introduction = "Full-batch gradient descent (GD) and gradient descent with momentum (GD+M) " +
	"on the distribution D of " +
	"“Towards understanding how momentum improves generalization in deep " +
	"learning”: a cubic convolutional network, samples with a large margin (Z1) and a few with a " +
	"small one (Z2)."

func (r *report) write(path string) error {
	p := page.Page{Title: "The synthetic world", Text: introduction + "\n\n" + r.Settings,
		Command: r.Command}
	for _, s := range r.Sections {
		shown := page.Section{Title: s.Title, Text: s.Text}
		for _, path := range s.Pictures {
			shown.Pictures = append(shown.Pictures, page.Picture{Path: path, Title: s.Title})
		}
		if len(s.Table.Rows) > 0 {
			shown.Tables = []page.Table{{Head: s.Table.Head, Rows: s.Table.Rows}}
		}
		p.Sections = append(p.Sections, shown)
	}
	return p.Write(path)
}

// writeText writes a small file of the -out folder.
func (s *session) writeText(name, text string) error {
	return durable.WriteBytes(s.out(name), []byte(text))
}
