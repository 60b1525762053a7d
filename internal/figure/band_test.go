package figure

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Band summarizes only the points that all curves have, in the order of x.
func TestBand(t *testing.T) {
	a := Curve{X: []float64{3, 1, 2}, Y: []float64{30, 10, 20}}
	b := Curve{X: []float64{1, 3, 4}, Y: []float64{14, 40, 0}}
	got := Band([]Curve{a, b}, func(v []float64) (low, middle, high float64) {
		return slices.Min(v), (v[0] + v[1]) / 2, slices.Max(v)
	})
	want := Line{X: []float64{1, 3}, Y: []float64{12, 35}, Low: []float64{10, 30},
		High: []float64{14, 40}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	single := Band([]Curve{a}, Mean95)
	want = Line{X: []float64{1, 2, 3}, Y: []float64{10, 20, 30}}
	if d := cmp.Diff(want, single); d != "" {
		t.Error(d)
	}
}

// Intervals by hand: for two values they reach t = 12.706 times half of their difference to either
// side of the mean. That of 98 and 100 is 99 ± 12.7, cut at 100; that of 2 and 8 on a logarithmic
// axis has the factor 2 in place of the difference, around 4.
func TestSummaries(t *testing.T) {
	near := func(got, want float64) bool { return math.Abs(got/want-1) < 1e-3 }
	low, mean, high := Within(0, 100)([]float64{98, 100})
	if !near(low, 99-12.706) || mean != 99 || high != 100 {
		t.Errorf("98 and 100: %g, %g, %g", low, mean, high)
	}
	low, mean, high = Geometric95([]float64{2, 8})
	if !near(low, 4/math.Pow(2, 12.706)) || !near(mean, 4) || !near(high, 4*math.Pow(2, 12.706)) {
		t.Errorf("2 and 8: %g, %g, %g", low, mean, high)
	}
}

// An axis around curves leaves out what it cannot show, and is a factor of 1.1 longer at its ends.
func TestAround(t *testing.T) {
	curves := []Curve{{Y: []float64{0, 2, 4}}, {Y: []float64{math.NaN(), 8}}}
	if a := (Axis{Log: true}).Around(curves); math.Abs(a.Low-2/1.1) > 1e-9 ||
		math.Abs(a.High-8.8) > 1e-9 {
		t.Errorf("from %g to %g, want 2/1.1 to 8.8", a.Low, a.High)
	}
	if a := (Axis{Low: 1, High: 3}).Around(curves); a.Low != 1 || a.High != 3 {
		t.Errorf("given ends became %g and %g", a.Low, a.High)
	}
}
