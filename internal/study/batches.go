package study

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"momentum/internal/figure"
	"momentum/internal/imagerun"
)

// byBatch are pictures of the first measure against the batch size, one for all cells that differ
// in nothing else. A set of images and a network with one batch size has none.
func (s *Study) byBatch(results []result) []figure.Picture {
	var pictures []figure.Picture
	for i, first := range results {
		same := func(r result) bool {
			a, b := first.Base, r.Base
			return a.Data == b.Data && a.Model == b.Model && a.Width == b.Width
		}
		if slices.IndexFunc(results, same) < i {
			continue // in an earlier picture
		}
		var cells []result
		for _, r := range results {
			if same(r) {
				cells = append(cells, r)
			}
		}
		if len(cells) < 2 {
			continue
		}
		p := figure.Panel{X: figure.Axis{Label: "images per step", Log: true},
			Y: figure.Axis{Label: s.Measures[0].Title + " (%)"}}
		for arm := range arms {
			p.Lines = append(p.Lines, s.batchLine(cells, arm))
		}
		title, _, _ := strings.Cut(first.Title, ", batch")
		title, _, _ = strings.Cut(title, ", full batch")
		pictures = append(pictures, figure.Picture{
			Title: title, Panels: [][]figure.Panel{{p}}, Width: 5, Height: 3.2,
			Note: fmt.Sprintf("%d seeds, at the last step; bands from the least to the largest. "+
				"The rightmost point is the full batch where it has all %d images.", s.Seeds,
				first.Images),
		})
	}
	return pictures
}

// batchLine is the first measure of an arm against the batch size: the mean over the seeds at the
// last step, with a band from the smallest to the largest.
func (s *Study) batchLine(cells []result, arm int) figure.Line {
	l := figure.Line{Color: colors[arm], Dashed: arm >= sameRate}
	for _, r := range cells {
		a := r.Arms[arm]
		values := a.values(func(o imagerun.Outcome) float64 { return s.Measures[0].value(o.Last) })
		values = slices.DeleteFunc(values, math.IsNaN)
		if len(values) == 0 {
			continue
		}
		l.Name = strings.ReplaceAll(a.Title, "SGD", "GD")
		low, mean, high := figure.Range(values)
		l.X, l.Y = append(l.X, float64(cmp.Or(r.Base.Batch, r.Images))), append(l.Y, mean)
		l.Low, l.High = append(l.Low, low), append(l.High, high)
	}
	sortByX(&l)
	return l
}

// sortByX orders the points of a line: a grid that has grown has rates out of order.
func sortByX(l *figure.Line) {
	order := make([]int, len(l.X))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(l.X[i], l.X[j]) })
	for _, values := range []*[]float64{&l.X, &l.Y, &l.Low, &l.High} {
		if *values == nil {
			continue
		}
		sorted := make([]float64, len(order))
		for i, from := range order {
			sorted[i] = (*values)[from]
		}
		*values = sorted
	}
}
