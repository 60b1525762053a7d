package study

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"momentum/internal/figure"
	"momentum/internal/imagerun"
	"momentum/internal/stats"
)

// against is a property of cells against which a picture draws accuracies, if it is a number.
type against struct {
	name  string // of the picture's file
	label string // of the axis
	value func(result) float64
	only  func(*Cell) // clears the property: cells that differ in nothing else are the same
}

var (
	images = against{name: "images", label: "training images",
		value: func(r result) float64 { return float64(r.Images) },
		only:  func(c *Cell) { c.Images = 0 }}
	parameterization = against{only: func(c *Cell) { c.Parameterization = "" }}
	batches          = against{name: "batch", label: "images per step",
		value: func(r result) float64 { return float64(cmp.Or(r.Base.Batch, r.Images)) },
		only:  func(c *Cell) { c.Base.Batch, c.Base.Opt = 0, "" }}
)

// same reports whether two cells differ in nothing else.
func (a against) same(c, d Cell) bool {
	a.only(&c)
	a.only(&d)
	return c.Base.Data == d.Base.Data && c.Base.Model == d.Base.Model &&
		c.Base.Width == d.Base.Width && c.Parameterization == d.Parameterization &&
		c.Images == d.Images && c.Base.Batch == d.Base.Batch && c.Base.Opt == d.Base.Opt
}

// against are pictures of the first measure against a property: on the left the accuracy of each
// arm, on the right what momentum adds, both with 95% t intervals. There is one picture for all
// cells that differ in nothing else, if there are at least two.
func (s *Study) against(results []result, a against) []figure.Picture {
	var pictures []figure.Picture
	for i, first := range results {
		same := func(r result) bool { return a.same(first.Cell, r.Cell) }
		if slices.IndexFunc(results, same) < i {
			continue // in an earlier picture
		}
		var cells []result
		for _, r := range results {
			if same(r) {
				cells = append(cells, r)
			}
		}
		if len(cells) > 1 {
			pictures = append(pictures, s.picture(cells, a))
		}
	}
	return pictures
}

// picture is the picture of cells that differ only in a property.
func (s *Study) picture(cells []result, a against) figure.Picture {
	m := s.Measures[0]
	last := func(o imagerun.Outcome) float64 { return m.value(o.Last) }
	var xs []float64
	for _, r := range cells {
		xs = append(xs, a.value(r))
	}
	x := figure.Axis{Label: a.label, Log: true, At: slices.Sorted(slices.Values(xs))}
	for _, v := range x.At {
		x.Names = append(x.Names, strconv.Itoa(int(v)))
	}
	accuracy := figure.Panel{Title: m.Title, X: x, Y: figure.Axis{Label: m.Title + " (%)"}}
	gain := figure.Panel{Title: "what momentum adds", X: x}
	opt, names := cells[0].Base.Opt, ""
	if slices.ContainsFunc(cells, func(r result) bool { return r.Base.Opt != opt }) {
		opt, names = "(s)gd", " (S)GD is SGD on mini-batches and GD on the full batch."
	}
	second := slices.ContainsFunc(cells, func(r result) bool { return r.Arms[etaGrid].exists() })
	for arm := range arms {
		if !slices.ContainsFunc(cells, func(r result) bool { return r.Arms[arm].exists() }) {
			continue
		}
		l := figure.Line{Name: s.armLegend(arm, second, opt), Color: colors[arm],
			Dashed: arm >= sameRate, Bars: true}
		d := l
		d.Name = ""
		if plus, minus, ok := pair(arm); ok && minus == plain {
			d.Color = colors[plus]
		}
		for i, r := range cells {
			addInterval(&l, xs[i], r.arm(arm).values(last), 0, 100)
			if points, ok := r.paired(arm, m); ok {
				addInterval(&d, xs[i], points, -100, 100)
			}
		}
		sortByX(&l)
		sortByX(&d)
		accuracy.Lines = append(accuracy.Lines, l)
		if len(d.X) > 0 {
			gain.Lines = append(gain.Lines, d)
		}
	}
	ends := []float64{slices.Min(xs), slices.Max(xs)}
	gain.Guides = []figure.Line{{X: ends, Y: []float64{0, 0}}}
	if paper, ok := m.paper(cells[0].Cell); ok && a.name == images.name {
		y := paper[momentum] - paper[plain]
		gain.Guides = append(gain.Guides, figure.Line{X: ends, Y: []float64{y, y},
			Name: fmt.Sprintf("paper (all images): %+.2f", y)})
	}
	gain.Y = around(slices.Concat(gain.Lines, gain.Guides))
	var all []Cell
	for _, r := range cells {
		all = append(all, r.Cell)
	}
	common, _ := distinguish(all)
	return figure.Picture{
		Title:     common + ": " + m.Title,
		OneLegend: true, Panels: [][]figure.Panel{{accuracy, gain}},
		Note: fmt.Sprintf("%d seeds, at the last step; bars are 95%% t intervals. What momentum "+
			"adds is its accuracy minus that of %s, paired by seed, in the color of the momentum; "+
			"dashed: minus the control of that color.%s%s", s.Seeds,
			s.armLegend(plain, second, opt), names, s.legendNote(second, opt)),
	}
}

// around is the axis of differences, with some space around them also where they end at zero:
// whether a bar crosses zero must be seen.
func around(lines []figure.Line) figure.Axis {
	var low, high float64
	for _, l := range lines {
		for _, y := range slices.Concat(l.Y, l.Low, l.High) {
			low, high = min(low, y), max(high, y)
		}
	}
	room := 0.05 * (high - low)
	return figure.Axis{Label: "difference (points)", Low: low - room, High: high + room}
}

// arm is an arm of a cell. Where both protocols chose the same setting, the second has its runs.
func (r result) arm(i int) arm {
	if i == etaGrid && !r.Arms[i].exists() {
		i = momentum
	}
	return r.Arms[i]
}

// addInterval adds a point to a line: the mean of the values that are known, with the 95% t
// interval within limits. Without values it adds nothing.
func addInterval(l *figure.Line, x float64, values []float64, least, most float64) {
	i := stats.Mean95(stats.Known(values))
	if i.N == 0 || math.IsInf(i.Mean, 0) {
		return
	}
	l.X, l.Y = append(l.X, x), append(l.Y, i.Mean)
	l.Low = append(l.Low, max(least, i.Mean-i.Half))
	l.High = append(l.High, min(most, i.Mean+i.Half))
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
