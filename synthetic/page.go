package main

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"os"
	"strings"

	"momentum/internal/durable"
	"momentum/internal/markdown"
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
	Text bool // cells are text: all columns to the left
}

func (t *table) add(cells ...string) { t.Rows = append(t.Rows, cells) }

// print writes the table with aligned columns: the first to the left, the others to the right
// unless they are text.
func (t table) print(w io.Writer) {
	widths := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			switch {
			case i == 0:
				line.WriteString(cell + pad)
			case t.Text:
				line.WriteString("  " + cell + pad)
			default:
				line.WriteString("  " + pad + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// markdown is the table as Markdown.
func (t table) markdown() string { return markdown.Table(t.Head, t.Rows) }

// page is synthetic.html: the sections one after the other, in one file that needs no other.
type page struct{ Sections []section }

func (p *page) add(s section) { p.Sections = append(p.Sections, s) }

//go:embed page.html
var pageTemplate string

func (p *page) write(path string) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"picture": func(path string) (template.URL, error) {
			svg, err := os.ReadFile(path)
			return template.URL("data:image/svg+xml;base64," +
				base64.StdEncoding.EncodeToString(svg)), err
		},
	}).Parse(pageTemplate)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, func(w io.Writer) error { return t.Execute(w, p) })
}

// writeText writes a small file of the -out folder.
func (s *session) writeText(name, text string) error {
	return durable.WriteBytes(s.out(name), []byte(text))
}
