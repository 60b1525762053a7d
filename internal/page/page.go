// Package page writes HTML pages that need no other file: reports of runs, comparisons, studies and
// the synthetic world. Pictures and styles stand in the page itself, and a policy in its head keeps
// a browser from loading anything else. The page is also well-formed XML.
package page

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"momentum/internal/durable"
	"momentum/internal/markdown"
)

// Page is a title, an introduction and sections, which a list of contents names. All texts are
// plain: markup in them is shown as it is, a hyphen before a number as a minus sign, 1.4e-06 as
// 1.4·10⁻⁶, and the r of w_r as an index.
type Page struct {
	Title    string
	Text     string // paragraphs, with an empty line between them; may be empty
	Command  string // that makes it again; may be empty
	Sections []Section
}

// Section is a part of a page under a title: its texts, pictures and tables, in this order.
type Section struct {
	Title    string
	Text     string // paragraphs, with an empty line between them; may be empty
	Pictures []Picture
	Tables   []Table
	Notes    string // paragraphs below the tables; may be empty
}

// Picture is a file to show.
type Picture struct {
	Path  string // .svg, which becomes part of the page as it is, or .png
	Title string // for readers who do not see it; empty: the section's
}

// Table is rows of cells under a head. Columns of numbers stand to the right, texts to the left. A
// page leaves out columns without a text below the head, and a head without a text.
type Table struct {
	Title string // above it; may be empty
	Head  []string
	Rows  [][]string
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Markdown is the table, without its title, as Markdown.
func (t Table) Markdown() string { return markdown.Table(t.Head, t.Rows) }

//go:embed page.html
var pageTemplate string

// Write writes the page. The same page gives the same bytes.
func (p Page) Write(path string) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"paragraphs": paragraphs, "picture": picture, "text": text, "class": class,
		"filled": filled, "numeric": markdown.Numeric, "lines": lines,
	}).Parse(pageTemplate)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		if err := t.Execute(w, p); err != nil {
			return fmt.Errorf("page: %w", err)
		}
		return nil
	})
}

// paragraphs are the paragraphs of a text.
func paragraphs(s string) (all []string) {
	for p := range strings.SplitSeq(s, "\n\n") {
		if p = strings.TrimSpace(p); p != "" {
			all = append(all, p)
		}
	}
	return all
}

// picture is a picture's file as HTML, with a title for readers who do not see it.
func picture(p Picture, title string) (template.HTML, error) {
	content, err := os.ReadFile(p.Path)
	if err != nil {
		return "", err
	}
	switch filepath.Ext(p.Path) {
	case ".svg":
		start := bytes.Index(content, []byte("<svg"))
		if start < 0 {
			return "", fmt.Errorf("%s: no <svg in it", p.Path)
		}
		return template.HTML(bytes.TrimSpace(content[start:])), nil
	case ".png":
		return template.HTML(fmt.Sprintf(`<img alt="%s" src="data:image/png;base64,%s" />`,
			html.EscapeString(title), base64.StdEncoding.EncodeToString(content))), nil
	}
	return "", fmt.Errorf("%s: want a .svg or a .png", p.Path)
}

// What a text says in plain characters, with what stands before it.
var (
	hyphen = regexp.MustCompile(`(^|[\s(])-([\d.])`)                            // a minus sign
	power  = regexp.MustCompile(`(^|[\s(−])([\d.]+)e([+-])0*(\d+)\b`)           // 1.4e-06
	index  = regexp.MustCompile(`(^|[^\pL\d_])(\pL)_(?:(eff|[a-z])\b|{(.+?)})`) // η_eff or Ξ_{i,j}
)

// text is a text as HTML, with true minus signs, powers of ten and indices.
func text(s string) template.HTML {
	s = html.EscapeString(hyphen.ReplaceAllString(s, "$1−$2"))
	s = power.ReplaceAllString(s, "$1$2·10<sup>$3$4</sup>")
	s = strings.NewReplacer("<sup>-", "<sup>−", "<sup>+", "<sup>").Replace(s)
	return template.HTML(index.ReplaceAllString(s, "$1$2<sub>$3$4</sub>"))
}

// filled is the table without the columns that have no text below the head, and without a head that
// has none.
func filled(t Table) Table {
	hasText := func(s string) bool { return s != "" }
	used := map[int]bool{}
	for _, row := range t.Rows {
		for i, cell := range row {
			used[i] = used[i] || hasText(cell)
		}
	}
	keep := func(cells []string) (kept []string) {
		for i, cell := range cells {
			if used[i] {
				kept = append(kept, cell)
			}
		}
		return kept
	}
	result := Table{Title: t.Title, Head: keep(t.Head)}
	if !slices.ContainsFunc(result.Head, hasText) {
		result.Head = nil
	}
	for _, row := range t.Rows {
		result.Rows = append(result.Rows, keep(row))
	}
	return result
}

// class is the class of a cell in a column, of numbers or not: a list of three numbers or more and
// a long text may be broken into lines, a number may not.
func class(numeric map[int]bool, column int, s string) (name string) {
	if numeric[column] {
		name = "number"
	}
	switch {
	case numeric[column] && strings.Count(s, ", ") > 1:
		name += " list"
	case utf8.RuneCountInString(s) > 28:
		name += " long"
	}
	return strings.TrimSpace(name)
}

// lines are the lines of a command as a shell takes them: broken between its arguments, but not
// within the quotes of cli.CommandLine.
func lines(command string) string {
	const width = 92
	var b strings.Builder
	column, quoted := 0, false
	for i, word := range strings.Split(command, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i > 0 && !quoted && column+1+n > width:
			b.WriteString(" \\\n    ")
			column = 4
		case i > 0:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += n
		if (strings.Count(word, "'")-strings.Count(word, `\'`))%2 == 1 {
			quoted = !quoted
		}
	}
	return b.String()
}
