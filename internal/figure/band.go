package figure

import (
	"cmp"
	"math"
	"slices"

	"momentum/internal/stats"
)

// Curve is one of the curves that [Band] summarizes, such as the curve of one seed.
type Curve struct{ X, Y []float64 }

// Summary returns the ends of a band and the point of its curve at one x, given the values there.
type Summary func(values []float64) (low, middle, high float64)

// Mean95 summarizes values by their mean and its 95% t interval.
func Mean95(values []float64) (low, mean, high float64) {
	v := stats.Mean95(values)
	return v.Mean - v.Half, v.Mean, v.Mean + v.Half
}

// Within is [Mean95] for values that cannot lie below least or above most: the interval is cut
// there.
func Within(least, most float64) Summary {
	return func(values []float64) (low, mean, high float64) {
		low, mean, high = Mean95(values)
		return max(low, least), mean, min(high, most)
	}
}

// Geometric95 summarizes positive values by their geometric mean and its 95% t interval, which is
// that of the logarithms: the summary for a logarithmic axis.
func Geometric95(values []float64) (low, mean, high float64) { return stats.Geometric95(values) }

// Hold lets curves that end early keep their last value up to the end of the longest.
func Hold(curves []Curve) []Curve {
	shortest := math.Inf(1)
	for _, c := range curves {
		if n := len(c.X); n > 0 {
			shortest = min(shortest, c.X[n-1])
		}
	}
	var xs []float64 // of all curves, beyond the end of the shortest
	for _, c := range curves {
		for _, x := range c.X {
			if x > shortest {
				xs = append(xs, x)
			}
		}
	}
	slices.Sort(xs)
	xs = slices.Compact(xs)
	held := make([]Curve, len(curves))
	for i, c := range curves {
		held[i] = Curve{slices.Clone(c.X), slices.Clone(c.Y)}
		if len(c.X) == 0 {
			continue
		}
		end, value := c.X[len(c.X)-1], c.Y[len(c.Y)-1]
		for _, x := range xs {
			if x > end {
				held[i].X, held[i].Y = append(held[i].X, x), append(held[i].Y, value)
			}
		}
	}
	return held
}

// Band returns the summary of several curves at every x that all of them have, in increasing order.
// The summary of a single curve has no band.
func Band(curves []Curve, summary Summary) Line {
	var l Line
	if len(curves) == 0 {
		return l
	}
	sorted := make([]Curve, len(curves))
	for i, c := range curves {
		sorted[i] = c.inOrder()
	}
	next := make([]int, len(curves)) // the index in each of the curves
	values := make([]float64, len(curves))
	for _, x := range sorted[0].X {
		all := true // of the curves have x
		for i, c := range sorted {
			for next[i] < len(c.X) && c.X[next[i]] < x {
				next[i]++
			}
			if next[i] == len(c.X) || c.X[next[i]] != x {
				all = false
				break
			}
			values[i] = c.Y[next[i]]
		}
		if all {
			low, middle, high := summary(values)
			l.add(x, middle)
			l.Low, l.High = append(l.Low, low), append(l.High, high)
		}
	}
	if len(curves) == 1 {
		l.Low, l.High = nil, nil
	}
	return l
}

// inOrder is the curve in increasing order of x.
func (c Curve) inOrder() Curve {
	if slices.IsSorted(c.X) {
		return c
	}
	order := make([]int, len(c.X))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(c.X[i], c.X[j]) })
	var sorted Curve
	for _, i := range order {
		sorted.X, sorted.Y = append(sorted.X, c.X[i]), append(sorted.Y, c.Y[i])
	}
	return sorted
}
