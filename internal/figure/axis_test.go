package figure

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
)

// The ticks of typical axes have round labels, at most seven.
func TestTicks(t *testing.T) {
	tests := []struct {
		axis Axis
		want string
	}{
		{Axis{Low: 0, High: 300}, "0 50 100 150 200 250 300"},
		{Axis{Low: 0, High: 1}, "0 0.2 0.4 0.6 0.8 1"},
		{Axis{Low: 0, High: 63}, "0 20 40 60"},
		{Axis{Low: 0, High: 100_000}, "0 20000 40000 60000 80000 100000"},
		{Axis{Low: 0, High: 1_000_000}, "0 200000 400000 600000 800000 1000000"},
		{Axis{Low: 2.25, High: 2.34, Log: true}, "2.26 2.28 2.3 2.32 2.34"},
		{Axis{Low: 0.03, High: 2.5, Log: true}, "0.05 0.1 0.2 0.5 1 2"},
		{Axis{Low: 0.002, High: 2.5, Log: true}, "0.01 0.1 1"},
		{Axis{Low: 5, High: 3000, Log: true}, "10 100 1000"},
		{Axis{Low: 3e3, High: 2e5, Log: true}, "5000 10000 20000 50000 100000 200000"},
		{Axis{Low: 5e4, High: 2e6, Log: true}, "50000 100000 200000 500000 1000000 2000000"},
		{Axis{Low: 2e-6, High: 2.5, Log: true}, "10⁻⁵ 10⁻⁴ 10⁻³ 10⁻² 10⁻¹ 10⁰"},
		{Axis{Low: -0.5, High: 3.5, Names: []string{"cat", "dog", "frog", "ship"}},
			"cat dog frog ship"},
		{Axis{Low: -0.5, High: 3.5, Names: strings.Fields("longer_than_75_points1 " + // 300/4
			"longer_than_75_points2 longer_than_75_points3 longer_than_75_points4")},
			"longer_than_75_points1 longer_than_75_points3"},
		{Axis{Low: 1e-12, High: 1, Log: true}, "10⁻¹² 10⁻¹⁰ 10⁻⁸ 10⁻⁶ 10⁻⁴ 10⁻² 10⁰"},
	}
	for _, test := range tests {
		var labels []string
		for _, tick := range test.axis.ticks(300, labelWidth) {
			if !tick.IsMinor() {
				labels = append(labels, tick.Label)
			}
			if x := test.axis.position(tick.Value); x < -1e-9 || x > 1+1e-9 {
				t.Errorf("%v: tick %g lies outside", test.axis, tick.Value)
			}
		}
		if got := strings.Join(labels, " "); got != test.want {
			t.Errorf("%v: got %s, want %s", test.axis, got, test.want)
		}
	}
}

// The ticks of any axis lie within it and increase. Their labels differ and do not touch.
func FuzzTicks(f *testing.F) {
	f.Add(0.0, 300.0, false, 100.0)
	f.Add(1e-5, 1.0, true, 100.0)
	f.Add(12345.678, 12345.679, false, 50.0)
	f.Add(-1e300, 1e300, false, 200.0)
	f.Add(0.02, 0.9, true, 40.0)
	f.Add(3e3, 2e5, true, 60.0)
	f.Fuzz(func(t *testing.T, low, high float64, log bool, length float64) {
		a := Axis{Low: low, High: high, Log: log}
		if a.check() != nil || a.automatic() || !(length >= 40 && length <= 1e4) {
			return
		}
		seen, last, end := map[string]bool{}, math.Inf(-1), math.Inf(-1)
		ticks := a.ticks(vg.Length(length), labelWidth)
		for _, tick := range ticks {
			x := a.position(tick.Value)
			if !(x >= -1e-6 && x <= 1+1e-6) || !(tick.Value > last) {
				t.Fatalf("%v: tick %g at %g after %g", a, tick.Value, x, last)
			}
			last = tick.Value
			if tick.IsMinor() {
				continue
			}
			if seen[tick.Label] {
				t.Fatalf("%v: label %s twice", a, tick.Label)
			}
			seen[tick.Label] = true
			half := float64(labelWidth(tick.Label)) / 2
			if start := x*length - half; start < end && len(seen) > 2 {
				t.Fatalf("%v: label %s covers the one before", a, tick.Label)
			}
			end = x*length + half
		}
	})
}

// Automatic ends enclose the values that the axis can show.
func TestFitted(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		axis      Axis
		values    []float64
		exact     bool
		low, high float64
	}{
		{Axis{}, nil, false, 0, 1},
		{Axis{Log: true}, []float64{0, -1, nan}, false, 0.1, 1},
		{Axis{}, []float64{3, nan, -1, math.Inf(1)}, true, -1, 3},
		{Axis{}, []float64{-1, 3}, false, -1.2, 3.2},
		{Axis{}, []float64{0, 3}, false, 0, 3.15}, // not below zero
		{Axis{}, []float64{5, 5}, true, 4.5, 5.5},
		{Axis{}, []float64{0}, true, -1, 1},
		{Axis{Log: true}, []float64{-5, 1, 10}, true, 1, 10},
		{Axis{Log: true}, []float64{1.1, 10}, false, 1, 11},
		{Axis{Low: 1, High: 2}, []float64{-5, 5}, false, 1, 2},
	}
	for _, test := range tests {
		got := test.axis.fitted(slices.Values(test.values), test.exact)
		if math.Abs(got.Low-test.low) > 1e-12 || math.Abs(got.High-test.high) > 1e-12 {
			t.Errorf("%v over %v: from %g to %g, want %g to %g", test.axis, test.values, got.Low,
				got.High, test.low, test.high)
		}
	}
}

// The y axis fits only the points within the x axis.
func TestAxesIgnorePointsOutside(t *testing.T) {
	p := Panel{X: Axis{Low: 0, High: 10}, Lines: []Line{{X: []float64{0, 10, 20},
		Y: []float64{-1, 1, 1000}, Low: []float64{-3, 0, 0}, High: []float64{0, 2, 0}}}}
	if _, y := p.axes(); y.Low != -3.25 || y.High != 2.25 {
		t.Errorf("y from %g to %g, want -3.25 to 2.25", y.Low, y.High)
	}
}
