package table1

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	s, students := handMade()
	r := s.result(students)
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	if err := r.writeMarkdown(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		// The standard deviations are 2√2 and √2.
		"| teacher \\ student | linear |\n|---|---|\n| 1-mlp | 72.00 ± 25.41 / 81.00 ± 12.71 |\n",
		"| 1-mlp | 93.48 / 93.25 |\n",
		"| 1-mlp | +9.00 ± 12.71 (paper -0.23) |\n",
		"Over all cells: +9.00 ± 12.71, and +1.50 ± 6.35 with both at the rate chosen without " +
			"momentum. 0 is outside of 0 of 1 intervals",
		"| 1-mlp | none / 50.00 ± 0.00 |\n",
		"| 1-mlp | linear | 1: 0.0, 1 diverged | 10*: 0.0 | none, 3 diverged | 0.1*: 0.0 |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := r.writeCSV(&out); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 5 {
		t.Fatalf("%v, %v, want a header and 4 rows", rows, err)
	}
	for i, want := range []string{
		"1-mlp gdm 10 true 90 81 12.7062 2 0 0 0 93.25 9 12.7062 1.5 6.3531 -0.23",
		"1-mlp sgd  false    0   3      ",
	} {
		row := rows[2+i]
		if got := strings.Join(slices.Concat(row[:1], row[2:]), " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
