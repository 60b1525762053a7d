package figure

import (
	"slices"

	"momentum/internal/stats"
)

// Curve is one of the curves that [Band] summarizes, such as that of one seed.
type Curve struct{ X, Y []float64 }

// Summary is the point of a band's curve and the ends of the band at one x.
type Summary func(values []float64) (low, middle, high float64)

// Range summarizes values by their mean, the smallest and the largest.
func Range(values []float64) (low, mean, high float64) {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return slices.Min(values), sum / float64(len(values)), slices.Max(values)
}

// Mean95 summarizes values by their mean and its 95% t interval.
func Mean95(values []float64) (low, mean, high float64) {
	v := stats.Mean95(values)
	return v.Mean - v.Half, v.Mean, v.Mean + v.Half
}

// Band is the line through the summary of several curves, at every x that all of them have. x
// increases. A single curve has no band.
func Band(curves []Curve, summary Summary) Line {
	at := map[float64][]float64{}
	for _, c := range curves {
		for i, x := range c.X {
			at[x] = append(at[x], c.Y[i])
		}
	}
	var l Line
	for x, values := range at {
		if len(values) == len(curves) {
			l.X = append(l.X, x)
		}
	}
	slices.Sort(l.X)
	for _, x := range l.X {
		low, middle, high := summary(at[x])
		l.Low, l.Y, l.High = append(l.Low, low), append(l.Y, middle), append(l.High, high)
	}
	if len(curves) == 1 {
		l.Low, l.High = nil, nil
	}
	return l
}
