package markdown

import "testing"

func TestTable(t *testing.T) {
	got := Table([]string{"", "GD"}, [][]string{{"loss", "0.5"}, {"error", ""}})
	want := "|  | GD |\n|---|---|\n| loss | 0.5 |\n| error |  |\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
