package study

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"

	"momentum/internal/imagerun"
	"momentum/internal/page"
	"momentum/internal/rundir"
)

// groupColumn is one that every run has whose groups of images were diagnosed.
const groupColumn = "gradient_cosine"

// mechanism is the table of what both groups of images put into the steps of the final runs,
// without rows if they were not diagnosed.
func (s *Study) mechanism(results []result) page.Table {
	total := func(o imagerun.Outcome, column string) float64 {
		_, values := o.Series(column)
		return floats.Sum(values)
	}
	mean := func(o imagerun.Outcome, column string) float64 {
		_, values := o.Series(column)
		return stat.Mean(values, nil)
	}
	positive := func(o imagerun.Outcome, column string) float64 { // % of the steps
		_, values := o.Series(column)
		return 100 * float64(floats.Count(func(x float64) bool { return x > 0 }, values)) /
			float64(len(values))
	}
	const decrease = "decrease_small_margin"
	quantities := []struct {
		title string
		value func(imagerun.Outcome) float64
	}{
		{"‖∇L_small‖ / ‖∇L_large‖", func(o imagerun.Outcome) float64 {
			return total(o, "gradient_small_margin") / total(o, "gradient_large_margin")
		}},
		{"cosine of both", func(o imagerun.Outcome) float64 { return mean(o, groupColumn) }},
		{"steps in which large-margin gradients lower the small-margin loss, %",
			func(o imagerun.Outcome) float64 { return positive(o, decrease+"_by_large") }},
		{"in which their past does, %", func(o imagerun.Outcome) float64 {
			return positive(withoutFirst(o), decrease+"_by_past_large")
		}},
		{"share of the past in what the steps take, %", func(o imagerun.Outcome) float64 {
			return 100 * total(o, decrease+"_by_past_large") / total(o, decrease)
		}},
		{"median margin of small-margin test images", func(o imagerun.Outcome) float64 {
			return o.Last("test_margin_q50_small_margin")
		}},
		{"of the others", func(o imagerun.Outcome) float64 {
			return o.Last("test_margin_q50_large_margin")
		}},
	}
	head := []string{"", ""}
	for _, q := range quantities {
		head = append(head, q.title)
	}
	var lines [][]string
	for _, r := range results {
		for _, a := range r.Arms {
			diagnosed := slices.ContainsFunc(a.Outcomes, func(o imagerun.Outcome) bool {
				_, values := o.Series(groupColumn)
				return len(values) > 0
			})
			if !diagnosed {
				continue
			}
			line := []string{r.Title, a.Title}
			for _, q := range quantities {
				line = append(line, withSeeds(a.values(func(o imagerun.Outcome) float64 {
					if o.Diverged {
						return math.NaN()
					}
					return q.value(o)
				})))
			}
			lines = append(lines, line)
		}
	}
	return s.table(head, lines)
}

// withoutFirst is a run without its first step, in which there is no past. Runs of earlier versions
// have the rounding of a difference there, whose sign means nothing.
func withoutFirst(o imagerun.Outcome) imagerun.Outcome {
	first := func(r rundir.Row) bool { return r.Step == 0 }
	o.Rows = slices.DeleteFunc(slices.Clone(o.Rows), first)
	return o
}

// Texts of both reports.
const (
	mechanismTitle = "What both groups of images put into the steps"
	mechanismText  = "Sums and means over the diagnosed steps, mean ± 95% t interval over the " +
		"seeds that did not diverge (n). What a step takes from the small-margin images' mean " +
		"training loss is, to first order, the sum of three parts of the momentum buffer: the " +
		"large-margin images', their own, and the weight decay's. The past is the first " +
		"without the gradient of the step; there is none in the first step, which is not " +
		"counted, and without momentum. Margins are logits of the label less the largest " +
		"other, at the end."
)
