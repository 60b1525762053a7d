package stats

import (
	"math"
	"testing"
)

// The intervals of small samples agree with tables of the t distribution.
func TestMean95(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want Interval
		text string
	}{
		{nil, Interval{}, "none"},
		{[]float64{7}, Interval{Mean: 7, N: 1}, "7"},
		// s = √2, t_{0.975, 1} = 12.7062 (tables): 12.7062·√2/√2.
		{[]float64{1, 3}, Interval{Mean: 2, Half: 12.7062, N: 2}, "2 ± 13"},
		{[]float64{-1.2, 0.8}, Interval{Mean: -0.2, Half: 12.7062, N: 2}, "0 ± 13"},
		// s² = (4+1+0+1+4)/4 = 2.5, t_{0.975, 4} = 2.776445: 2.776445·√(2.5/5).
		{[]float64{10, 11, 12, 13, 14}, Interval{Mean: 12, Half: 2.776445 * math.Sqrt(0.5), N: 5},
			"12.0 ± 2.0"},
		{[]float64{4, 4, 4}, Interval{Mean: 4, N: 3}, "4 ± 0"},
		// What is less than 100 is not rounded to 100.
		{[]float64{99.996}, Interval{Mean: 99.996, N: 1}, "99.99"},
		{[]float64{99.996, 99.996}, Interval{Mean: 99.996, N: 2}, "99.99 ± 0"},
		{[]float64{98.6, 100.6}, Interval{Mean: 99.6, Half: 12.7062, N: 2}, "99 ± 13"},
		{[]float64{100, 100}, Interval{Mean: 100, N: 2}, "100 ± 0"},
	} {
		got := Mean95(c.x)
		if got.N != c.want.N || math.Abs(got.Mean-c.want.Mean) > 1e-12 ||
			math.Abs(got.Half-c.want.Half) > 1e-4 || got.String() != c.text {
			t.Errorf("%v: %+v, %q, want %+v, %q", c.x, got, got, c.want, c.text)
		}
	}
}

// A missing value counts neither in a difference nor in a mean.
func TestPaired(t *testing.T) {
	d := Paired([]float64{5, math.NaN(), 9, 1}, []float64{1, 2, 3})
	if got := Mean95(Known(d)); len(d) != 3 || got.N != 2 || got.Mean != 5 { // 4 and 6
		t.Errorf("%v: %+v, want 4, NaN and 6, whose mean is 5", d, got)
	}
	if got := Mean95(d); got.N != 3 || !math.IsNaN(got.Mean) {
		t.Errorf("%v: %+v, want the mean NaN of three values", d, got)
	}
}

// The geometric mean of 1 and e² is e. The logarithms 0 and 2 have the half-width 12.7062.
func TestGeometric95(t *testing.T) {
	low, mean, high := Geometric95([]float64{1, math.E * math.E})
	for _, x := range [][2]float64{{math.Log(low), 1 - 12.7062}, {mean, math.E},
		{math.Log(high), 1 + 12.7062}} {
		if math.Abs(x[0]-x[1]) > 1e-4 {
			t.Errorf("%v, %v, %v: got %v, want %v", low, mean, high, x[0], x[1])
		}
	}
}

// Few values that differ are listed, without those that are not numbers.
func TestWithFew(t *testing.T) {
	for want, values := range map[string][]float64{
		"72.0 ± 5.0 (70, 72, 74)":   {70, math.NaN(), 72, 74}, // t = 4.303, s/√3 = 1.155
		"5 ± 0":                     {5, 5},
		"70":                        {70},
		"99.97 ± 0.25 (99.9, 99.9)": {99.95, 99.99},   // t = 12.706, s/√2 = 0.02
		"72.5 ± 2.1":                {71, 72, 73, 74}, // t = 3.182, s/√4 = 0.645
	} {
		if got := WithFew(values); got != want {
			t.Errorf("%v: %q, want %q", values, got, want)
		}
	}
}

// A number is rounded as usual, but what is less than 100 is not 100.
func TestFixed(t *testing.T) {
	for want, x := range map[string]float64{"99.9": 99.96, "99.4": 99.44, "100.0": 100,
		"100.1": 100.06, "-0.3": -0.26, "12.0": 11.96} {
		if got := Fixed(x, 1); got != want {
			t.Errorf("%v: %q, want %q", x, got, want)
		}
	}
	if got := Fixed(99.98, 0); got != "99" {
		t.Errorf("without decimals, 99.98 is %q, want 99", got)
	}
}
