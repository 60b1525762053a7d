package study

import (
	"cmp"
	"slices"

	"momentum/internal/page"
	"momentum/internal/stats"
)

// contrast says how much more momentum adds in a comparison than in another one, from which it
// differs in one property.
type contrast struct {
	values []float64       // to Points
	Than   string          `json:"than"`            // title of the other comparison
	Points *stats.Interval `json:"points"`          // paired by seed
	Paper  *float64        `json:"paper,omitempty"` // points
	Status string          `json:"status,omitempty"`
}

// contrasted are the properties in which two comparisons may differ that are contrasted.
var contrasted = []against{images, parameterization, batches}

// contrasts compares the difference in the row of an arm of a cell with the same difference of
// other cells: for each property, of the first cell that has another value and is the same
// otherwise.
func (s *Study) contrasts(results []result, cell, arm int, m Measure) (all []contrast) {
	r := results[cell]
	own, ok := r.paired(arm, m)
	if !ok {
		return nil
	}
	for _, a := range contrasted {
		first := slices.IndexFunc(results, func(q result) bool { return a.same(q.Cell, r.Cell) })
		if first == cell {
			continue
		}
		other, ok := results[first].paired(arm, m)
		if !ok {
			continue
		}
		points := stats.Paired(own, other)
		c := contrast{values: points, Than: results[first].Title, Points: interval(points)}
		mine, ok := m.paper(r.Cell)
		theirs, both := m.paper(results[first].Cell)
		if ok && both && r.Paper != results[first].Paper && arm < chosen {
			paper := mine[momentum] - mine[plain] - (theirs[momentum] - theirs[plain])
			c.Paper, c.Status = &paper, status(paper, stats.Mean95(stats.Known(points)))
		}
		if arm == sameRate {
			c.Status = untrained(cmp.Or(r.beyond(), results[first].beyond()))
		}
		all = append(all, c)
	}
	return all
}

// contrastTable is the table of all contrasts, without rows if there are none.
func (s *Study) contrastTable(rows []row) page.Table {
	_, own := distinguish(s.Cells)
	var lines [][]string
	for _, r := range rows {
		for _, c := range r.More {
			paper := ""
			if c.Paper != nil {
				paper = points(*c.Paper)
			}
			lines = append(lines, []string{r.Cell, own[c.Than], r.Measure, r.Of, paper,
				withSeeds(c.values), c.Status})
		}
	}
	titles := []string{"", "than with", "measure", "difference", "paper", "ours",
		"beside the paper, or a remark"}
	if len(s.Measures) == 1 {
		titles, lines = without(2, titles, lines)
	}
	return s.table(titles, lines)
}
