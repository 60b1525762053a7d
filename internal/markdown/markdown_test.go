package markdown

import "testing"

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
