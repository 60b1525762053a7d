package figure

import (
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
	var xs []float64 // of all curves
	for _, c := range curves {
		xs = append(xs, c.X...)
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
	values := map[float64][]float64{} // [x]
	for _, c := range curves {
		for i, x := range c.X {
			values[x] = append(values[x], c.Y[i])
		}
	}
	var l Line
	for x, y := range values {
		if len(y) == len(curves) {
			l.X = append(l.X, x)
		}
	}
	slices.Sort(l.X)
	for _, x := range l.X {
		low, middle, high := summary(values[x])
		l.Low, l.Y, l.High = append(l.Low, low), append(l.Y, middle), append(l.High, high)
	}
	if len(curves) == 1 {
		l.Low, l.High = nil, nil
	}
	return l
}
