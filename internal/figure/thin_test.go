package figure

import (
	"context"
	"errors"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"

	"momentum/internal/runtest"
)

// one is an axis on which the columns of a panel have the width 1.
var one = Axis{Low: 0, High: thinColumns}

// Each column keeps its first, lowest, highest and last point, in their order.
func TestThinned(t *testing.T) {
	var l Line
	for i := range 5 * thinColumns {
		l.add((float64(i)+0.5)/5, []float64{3, 1, 2, 9, 4}[i%5])
	}
	got := l.thinned(one, Axis{Low: 0, High: 10})
	if len(got.X) != 4*thinColumns {
		t.Fatalf("%d points are left, want 4 in each of %d columns", len(got.X), thinColumns)
	}
	for i, x := range got.X {
		place := (float64([]int{0, 1, 3, 4}[i%4]) + 0.5) / 5
		if want := float64(i/4) + place; math.Abs(x-want) > 1e-9 ||
			got.Y[i] != []float64{3, 1, 9, 4}[i%4] {
			t.Fatalf("point %d is (%g, %g), want x = %g", i, x, got.Y[i], want)
		}
	}
	short := Line{X: l.X[:thinColumns], Y: l.Y[:thinColumns]}
	if got := short.thinned(one, one); len(got.X) != thinColumns {
		t.Errorf("%d points are left of %d in as many columns", len(got.X), thinColumns)
	}
}

// A random curve with a band and breaks keeps the extremes of each column, the breaks, and its
// ends.
func TestThinnedBand(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var l Line
	for i := range 20000 {
		y := math.Exp(3 * r.NormFloat64())
		if r.IntN(3000) == 0 {
			y = []float64{math.NaN(), 0, math.Inf(1)}[r.IntN(3)]
		}
		l.add(float64(i)*thinColumns/20000, y)
		l.Low, l.High = append(l.Low, y/(1+r.Float64())), append(l.High, y*(1+r.Float64()))
	}
	y := Axis{Log: true, Low: 1e-3, High: 1e3}
	got := l.thinned(one, y)
	if len(got.X) > 8*thinColumns+100 || got.X[0] != 0 || got.X[len(got.X)-1] != l.X[19999] {
		t.Errorf("%d points from %g to %g", len(got.X), got.X[0], got.X[len(got.X)-1])
	}
	// By column: the extremes of what the axis can show, and the number of breaks.
	summary := func(x, values []float64) (all [thinColumns]struct {
		low, high float64
		breaks    int
	}) {
		before := true
		for i, v := range values {
			c := &all[int(x[i])]
			shown := y.shows(v)
			if shown && (c.low == 0 || v < c.low) {
				c.low = v
			}
			if shown {
				c.high = max(c.high, v)
			} else if before {
				c.breaks++
			}
			before = shown
		}
		return all
	}
	for name, values := range map[string][2][]float64{"Y": {l.Y, got.Y}, "Low": {l.Low, got.Low},
		"High": {l.High, got.High}} {
		if summary(l.X, values[0]) != summary(got.X, values[1]) {
			t.Errorf("%s has other extremes or breaks", name)
		}
	}
}

// Many points in few columns do not become dots.
func TestThinnedToFew(t *testing.T) {
	var l Line
	for i := range 1000 {
		l.add(float64(i)/1000, float64(i%7))
	}
	got := l.thinned(one, Axis{Low: 0, High: 10})
	if n := len(got.X); n <= dotLimit || n > dotLimit+5 || !slices.IsSorted(got.X) ||
		slices.Max(got.Y) != 6 {
		t.Errorf("%d points %v, want a few more than %d", n, got.X, dotLimit)
	}
}

// A long line that is drawn in pieces has the pixels of one that is drawn at once, but for some at
// the edges where two pieces meet. So has a dashed one, whose dashes go on where they were.
func TestPieces(t *testing.T) {
	var path vg.Path
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		at := vg.Point{X: 10 + 0.09*vg.Length(i), Y: vg.Length(20 + 60*r.Float64())}
		if i == 0 || i == 600 {
			path.Move(at)
		} else {
			path.Line(at)
		}
	}
	for _, dashes := range [][]vg.Length{nil, {3.5, 1.75}} {
		draw := func(stroke func(c *curveCanvas)) []byte {
			c := &curveCanvas{pngCanvas: pngCanvas{vgimg.NewWith(vgimg.UseWH(120, 100),
				vgimg.UseDPI(dpi))}, ctx: t.Context()}
			c.SetLineWidth(1.25)
			c.SetLineDash(dashes, 0)
			stroke(c)
			var b strings.Builder
			if _, err := (vgimg.PngCanvas{Canvas: c.Canvas}).WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			return []byte(b.String())
		}
		whole := draw(func(c *curveCanvas) { c.Canvas.Stroke(path) })
		pieces := draw(func(c *curveCanvas) { c.Stroke(path) })
		d := pixelDifference(t, whole, pieces)
		if t.Logf("dashes %v: %.2f%% of the pixels differ", dashes, 100*d); d > 0.01 {
			t.Errorf("dashes %v: %.2f%% of the pixels differ, want at most 1%%", dashes, 100*d)
		}
	}
}

// long returns the folder of a run of n epochs.
func long(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o666); err != nil {
		t.Fatal(err)
	}
	runtest.LongMetrics(t, dir, n)
	return dir
}

// The spike of one epoch among many is drawn, in both files.
func TestSpike(t *testing.T) {
	dir := long(t, 30_000)
	if err := Curves(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "curves.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	// The blue pixels of the left panel: most lie in the rows of the oscillation, and a few above.
	blue := func(x, y int) bool {
		r, g, b, _ := picture.At(x, y).RGBA()
		return r < 0x4000 && g > 0x5000 && g < 0x9000 && b > 0x9000
	}
	size := picture.Bounds().Size()
	rows := map[int]int{}
	for y := size.Y / 5; y < size.Y; y++ {
		for x := range size.X / 2 {
			if blue(x, y) {
				rows[y]++
			}
		}
	}
	narrow, wide := 0, 0
	for _, n := range rows {
		if n < 8 {
			narrow++
		} else if n > 300 {
			wide++
		}
	}
	if narrow < 50 || wide < 20 {
		t.Errorf("%d rows of pixels have a spike and %d the oscillation", narrow, wide)
	}
}

// A context that has ended ends the drawing, and leaves no file.
func TestCurvesStop(t *testing.T) {
	dir := long(t, 10_000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Curves(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was stopped", err)
	}
	p := Picture{Panels: [][]Panel{{{Lines: []Line{{X: []float64{0, 1}, Y: []float64{0, 1}}}}}}}
	if err := p.Write(ctx, filepath.Join(dir, "curves")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was stopped", err)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "*curves*")); len(found) > 0 {
		t.Errorf("left %q", found)
	}
}

// BenchmarkCurves draws a million rows.
func BenchmarkCurves(b *testing.B) {
	dir := long(b, 1_000_000)
	for b.Loop() {
		if err := Curves(b.Context(), dir); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStop measures how long it takes until the drawing of a million rows has stopped, at
// moments that are spread evenly over it.
func BenchmarkStop(b *testing.B) {
	dir := long(b, 1_000_000)
	began := time.Now()
	if err := Curves(b.Context(), dir); err != nil {
		b.Fatal(err)
	}
	whole := time.Since(began)
	const moments = 20
	var longest time.Duration
	for b.Loop() {
		for i := range moments {
			ctx, cancel := context.WithCancel(b.Context())
			stopped := make(chan time.Time, 1)
			timer := time.AfterFunc(whole*time.Duration(i)/moments, func() {
				stopped <- time.Now()
				cancel()
			})
			if err := Curves(ctx, dir); err != nil {
				longest = max(longest, time.Since(<-stopped))
			}
			timer.Stop()
			cancel()
		}
	}
	b.ReportMetric(longest.Seconds(), "s-to-stop")
}
