package descent

import (
	"math"
	"testing"

	"momentum/models"
)

// With chunks of single images the noise is that of its definition, from the gradient of each
// image. With larger chunks it is, on average over all ways to form them, the same; here over the
// ways to pair four images. The number of devices does not matter.
func TestGradientNoise(t *testing.T) {
	set := imageSet(4)
	net := models.Config{Model: "resnet18", Width: 1, Norm: "weights"}
	for _, devices := range []int{1, 2} {
		b := goDevices(t, devices)
		tr := trainer(t, b, uploaded(t, b, set, Layout{Chunk: 1}), net, Rule{Form: Undamped})
		noise := func(order []int, chunk int) Noise {
			d := uploaded(t, b, set.Select(order), Layout{Chunk: chunk})
			n, err := tr.GradientNoise(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		gradient := func(order ...int) []float64 {
			d := uploaded(t, b, set.Select(order), Layout{Chunk: 1})
			g, err := tr.Gradient(t.Context(), d, len(order))
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		all := []int{0, 1, 2, 3}
		mean := gradient(all...)
		want := Noise{Gradient: dot(mean, mean)}
		for i := range all {
			off := add(gradient(i), mean, -1)
			want.Variance += dot(off, off) / 3
		}
		got := noise(all, 1)
		if math.Abs(got.Gradient/want.Gradient-1) > 1e-9 ||
			math.Abs(got.Variance/want.Variance-1) > 1e-9 {
			t.Errorf("%d device(s): %+v, want %+v", devices, got, want)
		}
		pairs := 0.0
		for _, order := range [][]int{{0, 1, 2, 3}, {0, 2, 1, 3}, {0, 3, 1, 2}} {
			pairs += noise(order, 2).Variance / 3
		}
		if math.Abs(pairs/want.Variance-1) > 1e-9 {
			t.Errorf("%d device(s): %v on average over pairs, want %v", devices, pairs,
				want.Variance)
		}
		if scale := got.Scale(); math.Abs(scale-want.Variance/want.Gradient) > 1e-9*scale {
			t.Errorf("scale %v", scale)
		}
		d := uploaded(t, b, set, Layout{Chunk: 4})
		if _, err := tr.GradientNoise(t.Context(), d); err == nil {
			t.Error("the noise of one chunk is measured")
		}
	}
}

// The last chunk may be smaller: the estimate is Σ n_c ‖G_c − ∇L‖²/(K−1).
func TestGradientNoiseOfUnequalChunks(t *testing.T) {
	b := goBackend(t)
	set := imageSet(5)
	net := models.Config{Model: "resnet18", Width: 1, Norm: "none"}
	tr := trainer(t, b, uploaded(t, b, set, Layout{Chunk: 2}), net, Rule{Form: Undamped})
	gradient := func(from, to int) []float64 {
		g, err := tr.Gradient(t.Context(), uploaded(t, b, set.Slice(from, to), Layout{Chunk: 2}),
			to-from)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	mean, want := gradient(0, 5), 0.0
	for _, c := range [][2]int{{0, 2}, {2, 4}, {4, 5}} {
		off := add(gradient(c[0], c[1]), mean, -1)
		want += float64(c[1]-c[0]) * dot(off, off) / 2
	}
	got, err := tr.GradientNoise(t.Context(), uploaded(t, b, set, Layout{Chunk: 2}))
	if err != nil || math.Abs(got.Variance/want-1) > 1e-9 {
		t.Errorf("variance %v, want %v; %v", got.Variance, want, err)
	}
}
