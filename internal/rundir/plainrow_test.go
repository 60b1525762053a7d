package rundir

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Rows as a run writes them are read with three allocations each, whatever their number of values:
// a million rows take seconds. The allocations are the values, and the growth of the two lists.
func TestManyRows(t *testing.T) {
	const n = 1000
	var text strings.Builder
	for step := range n {
		fmt.Fprintf(&text, `{"step":%d,"epoch":%d,"loss":%g,"rate":1e-05,"x":"NaN"}`+"\n", step,
			step/2, 1/float64(step+1))
	}
	var rows []Row
	allocations := testing.AllocsPerRun(1, func() {
		var err error
		rows, _, err = parseMetrics(t.Context(), "metrics.jsonl", []byte(text.String()))
		if err != nil {
			t.Fatal(err)
		}
	})
	if allocations > 3*n {
		t.Errorf("%v allocations for %d rows, want at most 3 each", allocations, n)
	}
	last := rows[n-1]
	if loss, _ := last.Get("loss"); len(rows) != n || last.Step != 999 || loss != 0.001 {
		t.Errorf("%d rows, the last is %+v", len(rows), last)
	}
}

// Whatever the quick parser accepts, the thorough one reads the same.
func TestPlainRowsAgree(t *testing.T) {
	for line, quick := range map[string]bool{
		`{"step":3}`: true,
		`{"step":3,"loss":0.5,"a":-1e-300,"b":"NaN"}`: true,
		`{"step":3,"b":"+Inf","c":"-Inf","d":1E+5}`:   true,
		`{"step":-0,"a":-0,"b":0.0}`:                  true,
		`{"step":03}`:                                 false,
		`{"step":3,"a":01}`:                           false,
		`{"step":3,"a":1.}`:                           false,
		`{"step":3,"a":+1}`:                           false,
		`{"step":3,"a":0x1}`:                          false,
		`{"step":3,"a":1e}`:                           false,
		`{"step":3,"a":1e999}`:                        false,
		`{"step":3,"a":1,"a":2}`:                      false,
		`{"step":3,"step":4}`:                         false,
		`{"step":3,"a":1} `:                           false,
		`{"step":3, "a":1}`:                           false,
		`{"step":3,"\\u0061":1}`:                      false,
		`{"step":3,"ä":1}`:                            false,
		`{"step":9223372036854775808}`:                false,
		`{"step":3,"a":1`:                             false,
	} {
		p := plainRows{names: map[string]string{}}
		got, ok := p.parse([]byte(line + "\n"))
		if ok != quick {
			t.Errorf("%s: accepted %v, want %v", line, ok, quick)
		}
		if want, err := parseRow([]byte(line + "\n")); ok &&
			(err != nil || cmp.Diff(got, want, sameNumbers) != "") {
			t.Errorf("%s: %+v, want %+v, %v", line, got, want, err)
		}
	}
}
