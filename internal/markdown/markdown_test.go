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
	text := "Two:\n\n" + Table([]string{"rule", "η"}, [][]string{{"gd", "0.05"}, {"GD+M γ", "1"}}) +
		"\nend\n" + Table([]string{"a"}, [][]string{{""}})
	want := `Two:

| rule   |    η |
|--------|------|
| gd     | 0.05 |
| GD+M γ |    1 |

end
| a |
|---|
|   |
`
	if got := Align(text); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
