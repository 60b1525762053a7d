package figure

import (
	"image/color"
	"math"
	"testing"
)

// Cells meet halfway between centers, on a logarithmic axis at the geometric mean.
func TestEdges(t *testing.T) {
	tests := []struct {
		centers []float64
		log     bool
		want    []float64
	}{
		{[]float64{1, 2, 4}, false, []float64{0.5, 1.5, 3, 5}},
		{[]float64{1, 4, 16}, true, []float64{0.5, 2, 8, 32}},
		{[]float64{3}, false, []float64{2.5, 3.5}},
		{[]float64{2}, true, []float64{math.Sqrt2, 2 * math.Sqrt2}},
	}
	for _, test := range tests {
		got := edges(test.centers, test.log)
		for i, want := range test.want {
			if len(got) != len(test.want) || math.Abs(got[i]-want) > 1e-12 {
				t.Fatalf("edges(%v, %v) = %v, want %v", test.centers, test.log, got, test.want)
			}
		}
	}
}

// The lightness (L of CIELAB, which is 100 for white) grows in equal steps.
func TestShade(t *testing.T) {
	lightness := func(c color.Color) float64 {
		linear := func(v uint32) float64 {
			s := float64(v) / 0xffff
			if s <= 0.04045 {
				return s / 12.92
			}
			return math.Pow((s+0.055)/1.055, 2.4)
		}
		r, g, b, _ := c.RGBA()
		return 116*math.Cbrt(0.2126*linear(r)+0.7152*linear(g)+0.0722*linear(b)) - 16
	}
	for i := range 11 {
		v := float64(i) / 10
		if got, want := lightness(shade(v)), 100*(0.1+0.85*v); math.Abs(got-want) > 1.5 {
			t.Errorf("shade(%g): lightness %.1f, want %.1f", v, got, want)
		}
	}
	for _, c := range [][2]float64{{-1, 0}, {2, 1}, {math.NaN(), 0}} {
		if shade(c[0]) != shade(c[1]) {
			t.Errorf("shade(%g) is not shade(%g)", c[0], c[1])
		}
	}
}
