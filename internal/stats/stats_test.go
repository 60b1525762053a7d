package stats

import (
	"math"
	"testing"
)

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
		// s² = (4+1+0+1+4)/4 = 2.5, t_{0.975, 4} = 2.776445: 2.776445·√(2.5/5).
		{[]float64{10, 11, 12, 13, 14}, Interval{Mean: 12, Half: 2.776445 * math.Sqrt(0.5), N: 5},
			"12.0 ± 2.0"},
		{[]float64{4, 4, 4}, Interval{Mean: 4, N: 3}, "4 ± 0"},
	} {
		got := Mean95(c.x)
		if got.N != c.want.N || math.Abs(got.Mean-c.want.Mean) > 1e-12 ||
			math.Abs(got.Half-c.want.Half) > 1e-4 || got.String() != c.text {
			t.Errorf("%v: %+v, %q, want %+v, %q", c.x, got, got, c.want, c.text)
		}
	}
}
