package markdown

import (
	"os"
	"path/filepath"
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

// Each row of a table in the documents has as many cells as its titles: otherwise it is no table,
// or a cell is lost.
func TestDocuments(t *testing.T) {
	tables := 0
	for _, pattern := range []string{"README.md", "docs/*.md", "results/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pattern)))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %v", pattern, paths, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			titles := 0 // of the table that the line before belongs to
			for i, line := range strings.Split(string(text), "\n") {
				line = strings.ReplaceAll(strings.TrimSpace(line), `\|`, "")
				cells := strings.Count(line, "|") - 1
				switch {
				case !strings.HasPrefix(line, "|"):
					titles = 0
				case titles == 0:
					titles = cells
					tables++
				case cells != titles:
					t.Errorf("%s:%d has %d cells, want %d", path, i+1, cells, titles)
				}
			}
		}
	}
	if tables < 50 {
		t.Errorf("%d tables, want at least 50", tables)
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
