package markdown

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	got := Table([]string{"", "GD"}, [][]string{{"loss", "0.5"}, {"error", ""}})
	want := "|  | GD |\n|---|---|\n| loss | 0.5 |\n| error |  |\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestAlign(t *testing.T) {
	text := "Two:\n\n" + Table([]string{"rule", "η", "schedule"}, [][]string{
		{"gd", "0.05", "cosine"}, {"GD+M γ", "1", ""}}) +
		"\nend\n" + Table([]string{"a"}, [][]string{{""}})
	want := `Two:

| rule   |    η | schedule |
|--------|------|----------|
| gd     | 0.05 | cosine   |
| GD+M γ |    1 |          |

end
| a |
|---|
|   |
`
	if got := Align(text); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// A | within a cell does not begin another one, and a terminal shows it as it is.
func TestPipe(t *testing.T) {
	table := Table([]string{"", "|Ξ|, GD"}, [][]string{{"-opt=gd|gdm", "1.5"}})
	want := "|  | \\|Ξ\\|, GD |\n|---|---|\n| -opt=gd\\|gdm | 1.5 |\n"
	if table != want {
		t.Errorf("got\n%swant\n%s", table, want)
	}
	want = `|             | |Ξ|, GD |
|-------------|---------|
| -opt=gd|gdm |     1.5 |
`
	if got := Align(table); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// documents are the Markdown files of the repository, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"README.md", "docs/*.md", "results/*.md", "results/*/*.md",
		"scripts/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pattern)))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %v", pattern, paths, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts[path] = string(text)
		}
	}
	return texts
}

// Each row of a table in the documents has as many cells as its titles, and a rule stands below the
// titles: otherwise it is no table, or a cell is lost.
func TestDocumentTables(t *testing.T) {
	tables, rule := 0, regexp.MustCompile(`^ *\|( *:?-+:? *\|)+$`)
	for path, text := range documents(t) {
		titles := 0 // of the table that the line before belongs to
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			line = strings.ReplaceAll(strings.TrimSpace(line), `\|`, "")
			cells := strings.Count(line, "|") - 1
			switch {
			case !strings.HasPrefix(line, "|"):
				titles = 0
			case titles == 0:
				titles = cells
				tables++
				if i+1 == len(lines) || !rule.MatchString(lines[i+1]) {
					t.Errorf("%s:%d: no rule below the titles of a table", path, i+1)
				}
			case cells != titles:
				t.Errorf("%s:%d has %d cells, want %d", path, i+1, cells, titles)
			}
		}
	}
	if tables < 50 {
		t.Errorf("%d tables, want at least 50", tables)
	}
}

// The symbols of the paper stand in docs as the programs print them: with an index, not a digit.
func TestIndices(t *testing.T) {
	digit := regexp.MustCompile(`\b[ZT][0-2]\b|[α-ω][0-9]`)
	for path, text := range documents(t) {
		if filepath.Base(filepath.Dir(path)) != "docs" {
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			if found := digit.FindString(line); found != "" {
				t.Errorf("%s:%d: %s, want an index such as ₀, ₁ or ₂", path, i+1, found)
			}
		}
	}
}

// Each link of a document to a file leads to one, and one to a heading to a heading of that file.
func TestDocumentLinks(t *testing.T) {
	texts := documents(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped := regexp.MustCompile(`[^\p{L}\p{N}_ -]`) // by GitHub, from a heading's anchor
	links := 0
	for path, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			file, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			links++
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), filepath.FromSlash(file))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
			}
			if anchor == "" || filepath.Ext(target) != ".md" {
				continue
			}
			if !slices.ContainsFunc(heading.FindAllStringSubmatch(texts[target], -1),
				func(h []string) bool {
					name := dropped.ReplaceAllString(strings.ToLower(h[1]), "")
					return strings.ReplaceAll(name, " ", "-") == anchor
				}) {
				t.Errorf("%s links to %s, which is not a heading there", path, m[1])
			}
		}
	}
	if links < 100 {
		t.Errorf("%d links, want at least 100", links)
	}
}

func TestNumeric(t *testing.T) {
	for cell, want := range map[string]bool{"0.5 ± 0.1 (5)": true, "−1.5": true, "+8.85": true,
		"-.5": true, "": true, "none": true, "never, 120": true, "not by 138": true, "–": true,
		"nothing": false, "-lr=1": false, "gd": false, "(1)": false, "η": false} {
		rows := [][]string{{"1", "2", ""}, {"1", cell, ""}}
		got := Numeric(rows)
		if got[0] || got[1] != want || got[2] {
			t.Errorf("%q: %v, want %v in the second column alone", cell, got, want)
		}
	}
	// Rows of different lengths, as a | within a cell makes them, and no rows.
	if got := Numeric([][]string{{"a", "1", "x"}, {"b"}, {"c", "2"}}); !got[1] || got[2] {
		t.Errorf("rows of different lengths: %v, want the second column", got)
	}
	if got := Numeric(nil); len(got) > 0 {
		t.Errorf("no rows: %v", got)
	}
}
