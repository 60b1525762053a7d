package figure

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Band summarizes only the points that all curves have, in the order of x.
func TestBand(t *testing.T) {
	a := Curve{X: []float64{3, 1, 2}, Y: []float64{30, 10, 20}}
	b := Curve{X: []float64{1, 3, 4}, Y: []float64{14, 40, 0}}
	got := Band([]Curve{a, b}, Range)
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
