// Package stats computes means over seeds and their confidence intervals.
package stats

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Interval is a mean with its 95% t interval, Mean ± Half.
type Interval struct {
	Mean float64 `json:"mean"`
	Half float64 `json:"half"` // t_{0.975, n−1}·s/√n; 0 for n = 1, where it is unknown
	N    int     `json:"n"`    // number of values
}

// Mean95 returns the mean and 95% interval of independent values, such as one number for each seed.
// A NaN among them, such as the result of a run that diverged, makes the mean NaN: see [Known].
func Mean95(x []float64) Interval {
	switch len(x) {
	case 0:
		return Interval{}
	case 1:
		return Interval{Mean: x[0], N: 1}
	}
	mean, s := stat.MeanStdDev(x, nil)
	n := float64(len(x))
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(0.975)
	return Interval{Mean: mean, Half: t * s / math.Sqrt(n), N: len(x)}
}

// Known returns the values that are not NaN. The N of their interval then says how many there are.
func Known(values []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(values), math.IsNaN)
}

// Paired returns the differences a − b, seed by seed: NaN where either is NaN.
func Paired(a, b []float64) []float64 {
	d := make([]float64, min(len(a), len(b)))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	return d
}

// Geometric95 returns the geometric mean of the values and the ends of its 95% interval: the
// exponentials of Mean95 of the logarithms. The ends are not symmetric around the mean.
func Geometric95(values []float64) (low, mean, high float64) {
	logs := make([]float64, len(values))
	for i, x := range values {
		logs[i] = math.Log(x)
	}
	v := Mean95(logs)
	return math.Exp(v.Mean - v.Half), math.Exp(v.Mean), math.Exp(v.Mean + v.Half)
}

// Fixed formats a number with some decimals. What is less than 100 stays so: 99.96% are 99.9 with
// one decimal, for 100.0 would say that all images are classified correctly.
func Fixed(x float64, decimals int) string {
	return strconv.FormatFloat(below100(x, decimals), 'f', decimals, 64)
}

// digits formats a number with some significant digits, at least three. What is less than 100 stays
// so.
func digits(x float64, n int) string {
	return strconv.FormatFloat(below100(x, n-2), 'g', n, 64)
}

// below100 is a number that, rounded to some decimals, is less than 100 if x is.
func below100(x float64, decimals int) float64 {
	if x < 100 {
		return min(x, 100-math.Pow10(-decimals))
	}
	return x
}

// String formats the interval as in "93.48 ± 0.25", with two significant digits of Half. A single
// value has no ±, and an interval of no values is "none".
func (i Interval) String() string {
	switch i.N {
	case 0:
		return "none"
	case 1:
		return digits(i.Mean, 4)
	}
	digit := math.Floor(math.Log10(i.Half)) // place of the first digit: −1 in 0.25
	if digit < -5 || digit > 5 {            // Half is 0 or needs an exponent
		return fmt.Sprintf("%s ± %.2g", digits(i.Mean, 4), i.Half)
	}
	decimals := max(0, 1-int(digit))
	mean := Fixed(i.Mean, decimals)
	if strings.Trim(mean, "-0.") == "" { // rounded to zero, which has no sign
		mean = strings.TrimPrefix(mean, "-")
	}
	return fmt.Sprintf("%s ± %.*f", mean, decimals, i.Half)
}

// Few lists the values that are not NaN, with three digits, where they say more than their
// interval, which is wide: where there are two or three that differ. Otherwise it is empty.
func Few(values []float64) string {
	known := Known(values)
	if len(known) > 3 || len(slices.Compact(slices.Clone(known))) < 2 {
		return ""
	}
	var words []string
	for _, x := range known {
		words = append(words, digits(x, 3))
	}
	return strings.Join(words, ", ")
}

// WithFew is the mean of the values that are not NaN with its interval and, where there are few,
// the values: "72.0 ± 5.0 (70, 72, 74)".
func WithFew(values []float64) string {
	text := Mean95(Known(values)).String()
	if few := Few(values); few != "" {
		text += " (" + few + ")"
	}
	return text
}
