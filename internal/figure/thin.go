package figure

import (
	"math"
	"slices"
)

// thinColumns is more than the width of a panel in pixels.
const thinColumns = 720

// thinned is a line in a panel with these axes without the points that make no difference there: a
// run may have a million. It keeps at most four points of a curve in each of the equal columns
// between the ends of x, which are no wider than a pixel: the first, the lowest, the highest and
// the last of those that follow one another in the column. So the picture looks the same, spikes
// included (Jugel et al., "M4", VLDB 2014). The ends of a band count as curves; a break stays one.
func (l Line) thinned(x, y Axis) Line {
	if len(l.X) <= thinColumns {
		return l
	}
	curves := [][]float64{l.Y}
	if l.Low != nil {
		curves = append(curves, l.Low, l.High)
	}
	at := func(i int) spot { return spotOf(x, y, l.X[i], curves, i) }
	var kept []int
	group := make([]int, 0, 2+2*len(curves)) // indices to keep of those in one spot
	for start, end := 0, 0; start < len(l.X); start = end {
		group = append(group[:0], start)
		for range curves {
			group = append(group, start, start) // the lowest and the highest
		}
		here := at(start)
		for end = start + 1; end < len(l.X) && at(end) == here; end++ {
			for k, c := range curves {
				if low := &group[1+2*k]; c[end] < c[*low] {
					*low = end
				}
				if high := &group[2+2*k]; c[end] > c[*high] {
					*high = end
				}
			}
		}
		group = append(group, end-1)
		slices.Sort(group)
		kept = append(kept, slices.Compact(group)...)
	}
	if len(kept) <= dotLimit { // few are left of many: they get no dots
		for i := range dotLimit + 1 {
			kept = append(kept, i*(len(l.X)-1)/dotLimit)
		}
		slices.Sort(kept)
		kept = slices.Compact(kept)
	}
	take := func(values []float64) (few []float64) {
		for _, i := range kept {
			few = append(few, values[i])
		}
		return few
	}
	l.X, l.Y = take(l.X), take(l.Y)
	if l.Low != nil {
		l.Low, l.High = take(l.Low), take(l.High)
	}
	return l
}

// spot is where a point of a line lies: points that follow one another in one spot may be thinned.
type spot struct {
	column int     // of the panel
	shown  [3]bool // which of the curves have a position there
}

// spotOf is the spot of point i of the curves, which is at this x.
func spotOf(x, y Axis, at float64, curves [][]float64, i int) (s spot) {
	if !x.shows(at) {
		return s
	}
	s.column = int(math.Floor(x.position(at) * thinColumns))
	for k, c := range curves {
		s.shown[k] = y.shows(c[i])
	}
	return s
}
