package study

import (
	"strings"
	"testing"

	"momentum/internal/imagerun"
	"momentum/internal/rundir"
)

// The table of the groups by hand: the large-margin images lower the loss in all three steps, their
// past in one of the two that have one, and in sum by −2 of 8. The first step has no past: its
// rounding does not count.
func TestMechanism(t *testing.T) {
	s := two()
	all := results(t, s)
	if table := s.mechanism(all); len(table.Rows) > 0 {
		t.Errorf("a study without a diagnosis has the table\n%s", table.Markdown())
	}
	row := func(step int64, small, large, cosine, decrease, byLarge, past float64) rundir.Row {
		return rundir.Row{Step: step, Values: []rundir.Value{{Name: "epoch", X: float64(step)},
			{Name: "gradient_small_margin", X: small}, {Name: "gradient_large_margin", X: large},
			{Name: "gradient_cosine", X: cosine}, {Name: "decrease_small_margin", X: decrease},
			{Name: "decrease_small_margin_by_large", X: byLarge},
			{Name: "decrease_small_margin_by_past_large", X: past}}}
	}
	end := rundir.Row{Step: 3, Values: []rundir.Value{{Name: "epoch", X: 3},
		{Name: "test_margin_q50_small_margin", X: -1.5},
		{Name: "test_margin_q50_large_margin", X: 2.5}}}
	all[0].Arms[momentum].Outcomes = []imagerun.Outcome{
		{Rows: []rundir.Row{row(0, 1, 2, 0.25, 1, 0.5, 1e-12), row(1, 2, 4, 0.75, 3, 1.5, 1),
			row(2, 2, 4, 0.5, 4, 1.5, -3), end}},
		{Rows: []rundir.Row{row(0, 9, 2, 0.5, 1, 0.5, 0)}, Diverged: true}} // counts nowhere
	want := "| GD+M | 0.5 (1) | 0.5 (1) | 100 (1) | 50 (1) | -25 (1) | -1.5 (1) | 2.5 (1) |"
	text := s.mechanism(all).Markdown()
	if !strings.Contains(text, want) || strings.Contains(text, "| GD |") {
		t.Errorf("no %q, or a row of GD in\n%s", want, text)
	}
}
