package figure

import (
	"fmt"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/font/sfnt"
	"gonum.org/v1/plot/vg"
)

// write draws the picture and returns the files.
func write(t *testing.T, p Picture) (svg, png []byte) {
	t.Helper()
	base := filepath.Join(t.TempDir(), "picture")
	if err := p.Write(base); err != nil {
		t.Fatal(err)
	}
	return read(t, base+".svg"), read(t, base+".png")
}

// golden compares with testdata/<name>.svg and .png.
func golden(t *testing.T, name string, svg, png []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		os.WriteFile(path+".svg", svg, 0o666)
		os.WriteFile(path+".png", png, 0o666)
	}
	if diff := cmp.Diff(string(read(t, path+".svg")), string(svg)); diff != "" {
		t.Errorf("%s.svg has changed (look at it, then -update):\n%s", path, diff)
	}
	if d := pixelDifference(t, read(t, path+".png"), png); d > 0.001 {
		t.Errorf("%s.png has changed in %.2f%% of the pixels (look at it, then -update)", path,
			100*d)
	}
}

// line samples a curve with a band at n steps from 1 to 1e5 in equal ratios.
func line(name string, n int, y, half func(t float64) float64) Line {
	l := Line{Name: name}
	for i := range n {
		t := math.Pow(1e5, float64(i)/float64(n-1))
		l.X, l.Y = append(l.X, t), append(l.Y, y(t))
		l.Low, l.High = append(l.Low, y(t)-half(t)), append(l.High, y(t)+half(t))
	}
	return l
}

// training is a page like the paper's Figure 3: curves with bands and events.
func training() Picture {
	learns := func(at float64) func(float64) float64 {
		return func(t float64) float64 { return 50 + 50/(1+math.Pow(at/t, 2)) }
	}
	unsure := func(at, most float64) func(float64) float64 {
		return func(t float64) float64 { return most / (1 + math.Pow(math.Log(t/at), 2)) }
	}
	loss := func(at float64) func(float64) float64 {
		return func(t float64) float64 { return math.Ln2 / (1 + math.Pow(t/at, 1.3)) }
	}
	share := func(f func(float64) float64, s float64) func(float64) float64 {
		return func(t float64) float64 { return s * f(t) }
	}
	steps := Axis{Label: "step t", Log: true}
	events := []Mark{{X: 900, Label: "Z₁ learned", Color: Blue},
		{X: 1500, Label: "Z₁ learned", Color: Vermilion}, {X: 20_000, Label: "noise memorized"}}
	return Picture{
		Title: "GD and GD+M (γ = 0.99) on the distribution D: d = 30, P = 5, m = 5, N = 20,000, " +
			"5 seeds",
		Note: "Means and 95% t intervals over the seeds. α = d^0.49, β = 0.2, σ = 0.5, σ₀ = " +
			"0.03, η = 0.2. " +
			"Accuracies are of 2,000 test samples of each kind; ‖w*‖ = 1, ν₂ = (1/N) ∑ ℓᵢ.",
		Panels: [][]Panel{{
			{
				Title: "(a) training loss", X: steps, Y: Axis{Label: "loss (nats)", Log: true},
				Lines: []Line{line("GD", 90, loss(300), share(loss(300), 0.4)),
					line("GD+M", 90, loss(500), share(loss(500), 0.3))},
			},
			{
				Title: "(b) test accuracy, large margin", X: steps,
				Y: Axis{Label: "accuracy (%)", Low: 40, High: 102},
				Lines: []Line{line("GD", 90, learns(300), unsure(300, 8)),
					line("GD+M", 90, learns(500), unsure(500, 8))},
				Marks: []Mark{{X: 900, Label: "Z₁ learned"}},
			},
			{
				Title: "(c) test accuracy, small margin", X: steps,
				Y: Axis{Label: "accuracy (%)", Low: 40, High: 102},
				Lines: []Line{
					line("GD", 90, func(float64) float64 { return 52 }, unsure(3e4, 3)),
					line("GD+M", 90, learns(2e4), unsure(2e4, 12)),
					{Name: "chance", Color: Black, Dashed: true, X: []float64{1, 1e5},
						Y: []float64{50, 50}},
				},
				Marks: events,
			},
		}},
	}
}

// phases is a page like a map of learning rates: heat maps with diverged cells
// and lines of equal rates, and dots.
func phases() Picture {
	var eta, gamma []float64
	for i := range 9 {
		eta = append(eta, 0.01*math.Pow(2, float64(i)))
	}
	for i := range 7 {
		gamma = append(gamma, math.Pow(10, -float64(6-i)/2))
	}
	var accuracy, loss [][]float64
	for _, g := range gamma {
		a, l := make([]float64, len(eta)), make([]float64, len(eta))
		for j, e := range eta {
			a[j] = 50 + 50/(1+math.Exp(3-2*math.Log(e/g)))
			l[j] = 1e-5 * math.Pow(g/e, 1.5)
			if e > 1 && g > 0.3 {
				a[j], l[j] = math.NaN(), math.Inf(1)
			}
		}
		accuracy, loss = append(accuracy, a), append(loss, l)
	}
	var equal []Line
	for _, c := range []float64{0.1, 1, 10} {
		equal = append(equal, Line{Name: fmt.Sprintf("η/(1−γ) = %g", c), X: []float64{1e-3, 1e2},
			Y: []float64{1e-3 / c, 1e2 / c}, Dashed: true})
	}
	x, y := Axis{Label: "learning rate η", Log: true}, Axis{Label: "1 − γ", Log: true}

	r := rand.New(rand.NewPCG(1, 2))
	cloud := func(n int, x, y, spread float64) (p Points) {
		for range n {
			p.X, p.Y = append(p.X, x+spread*r.NormFloat64()), append(p.Y, y+spread*r.NormFloat64())
		}
		return p
	}
	large, small, other := cloud(80, 2, 0, 0.3), cloud(20, 0.3, 0.1, 0.3), cloud(20, -1, -1, 0.2)
	large.Name, large.Shape = "large margin", Square
	small.Name, small.Filled = "small margin", true
	other.Name, other.Shape, other.Filled, other.Color = "noise", Diamond, true, Green
	broken := Line{Name: "broken", Color: Purple}
	for i := range 100 {
		v := math.Sin(float64(i) / 8)
		if i%30 == 29 || i == 46 || i == 48 {
			v = math.NaN() // leaves a single point
		}
		broken.X, broken.Y = append(broken.X, float64(i)), append(broken.Y, v)
	}
	return Picture{
		Title: "A map over learning rate and momentum",
		Panels: [][]Panel{
			{
				{Title: "(a)", X: x, Y: y, Heat: &Heat{X: eta, Y: gamma, Z: accuracy, Low: 50,
					High: 100, Label: "accuracy (%)"}, Guides: equal},
				{Title: "(b)", X: x, Y: y, Heat: &Heat{X: eta, Y: gamma, Z: loss, Log: true,
					Label: "training loss (nats)"}},
			},
			{
				{
					Title: "(c)", X: Axis{Label: "along w*"}, Y: Axis{Label: "along the noise"},
					Points: []Points{large, small, other},
					Guides: []Line{{Name: "y = x/2", X: []float64{-2, 3}, Y: []float64{-1, 1.5}}},
				},
				{
					Title: "(d)", X: Axis{Label: "step"}, Y: Axis{Label: "c", Low: -0.8, High: 0.8},
					Lines:  []Line{broken},
					Guides: []Line{{Name: "1/β", X: []float64{0, 99}, Y: []float64{0.5, 0.5}}},
				},
			},
		},
	}
}

func TestPictures(t *testing.T) {
	for name, p := range map[string]Picture{"training": training(), "phases": phases()} {
		t.Run(name, func(t *testing.T) {
			svg, png := write(t, p)
			again, image := write(t, p)
			if string(svg) != string(again) || string(png) != string(image) {
				t.Error("drawing again gave other bytes")
			}
			golden(t, name, svg, png)
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	one := []float64{1}
	grid := [][]float64{{1}}
	panels := func(p Panel) Picture { return Picture{Panels: [][]Panel{{{}, p}}} }
	tests := []struct {
		picture Picture
		want    string
	}{
		{Picture{}, "no panels, want at least one"},
		{panels(Panel{X: Axis{Low: 2, High: 1}}),
			"row 1, panel 2: x axis: from 2 to 1, want low < high, finite and not almost equal"},
		{panels(Panel{X: Axis{Low: 1, High: 1 + 1e-12}}), "row 1, panel 2: x axis: from 1 to " +
			"1.000000000001, want low < high, finite and not almost equal"},
		{panels(Panel{Y: Axis{High: 1, Log: true}}),
			"row 1, panel 2: y axis: logarithmic from 0 to 1, want low > 0"},
		{panels(Panel{Y: Axis{Low: math.Inf(-1), High: 1}}), "row 1, panel 2: y axis: from -Inf " +
			"to 1, want low < high, finite and not almost equal"},
		{panels(Panel{Lines: []Line{{Name: "GD", X: one}}}),
			`row 1, panel 2: line "GD": 1, 0, 0 and 0 values in X, Y, Low and High, want as many in each, or none in Low and High`},
		{panels(Panel{Guides: []Line{{X: one, Y: one, Low: one}}}),
			`row 1, panel 2: line "": 1, 1, 1 and 0 values in X, Y, Low and High, want as many in each, or none in Low and High`},
		{panels(Panel{Points: []Points{{Name: "a", Y: one}}}),
			`row 1, panel 2: points "a": 0 and 1 values in X and Y, want as many in each`},
		{panels(Panel{Heat: &Heat{Y: one, Z: grid}}),
			"row 1, panel 2: heat: X: no centers, want at least one"},
		{panels(Panel{Heat: &Heat{X: []float64{1, 1}, Y: one, Z: grid}}),
			"row 1, panel 2: heat: X: center 1 is 1, want finite increasing numbers, positive " +
				"ones on a logarithmic axis"},
		{panels(Panel{Y: Axis{Log: true}, Heat: &Heat{X: one, Y: []float64{0}, Z: grid}}),
			"row 1, panel 2: heat: Y: center 0 is 0, want finite increasing numbers, positive " +
				"ones on a logarithmic axis"},
		{panels(Panel{Heat: &Heat{X: one, Y: one}}),
			"row 1, panel 2: heat: 0 rows of Z, want 1 as in Y"},
		{panels(Panel{Heat: &Heat{X: one, Y: one, Z: [][]float64{{}}}}),
			"row 1, panel 2: heat: 0 values in row 0 of Z, want 1 as in X"},
		{panels(Panel{Heat: &Heat{X: one, Y: one, Z: grid, Low: 3, High: 2}}),
			"row 1, panel 2: heat: scale: from 3 to 2, want low < high, finite and not almost equal"},
		{Picture{Panels: [][]Panel{{{}}}, Width: 1, Height: 1},
			"1 by 1 inches leave panels of 6 by 31 points, want at least 40: choose another size"},
		{Picture{Panels: [][]Panel{{{}}}, Width: math.NaN()}, "NaN by 2.57 inches leave panels " +
			"of NaN by 144 points, want at least 40: choose another size"},
	}
	for _, test := range tests {
		base := filepath.Join(t.TempDir(), "p")
		want := "figure: " + base + ": " + test.want
		if err := test.picture.Write(base); err == nil || err.Error() != want {
			t.Errorf("got error  %v\nwant error %s", err, want)
		}
		if files, _ := filepath.Glob(base + "*"); files != nil {
			t.Errorf("%s: wrote %v", test.want, files)
		}
	}
}

// Whatever the numbers are, a picture comes out, without NaN or Inf.
func TestOddPictures(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	odd := []float64{nan, 1, inf, -inf, -1, 0, 1e308, -1e308, 5e-324, 1, nan}
	for _, log := range []bool{false, true} {
		a := Axis{Log: log}
		tests := map[string]Panel{
			"empty": {X: a, Y: a},
			"odd": {X: a, Y: a, Lines: []Line{{Name: "l", X: odd, Y: odd, Low: odd,
				High: odd}}, Points: []Points{{X: odd, Y: odd}}},
			"one point": {X: a, Y: a, Points: []Points{{X: []float64{0.5}, Y: []float64{0.5}}}},
			"all far": {X: Axis{Low: 1, High: 2, Log: log}, Y: Axis{Low: 1, High: 2, Log: log},
				Lines: []Line{{X: odd, Y: odd, Low: odd, High: odd}}},
			"one cell": {X: a, Y: a, Heat: &Heat{X: []float64{1}, Y: []float64{1},
				Z: [][]float64{{nan}}, Log: log}},
			"equal": {X: a, Y: a, Heat: &Heat{X: []float64{1, 2}, Y: []float64{1},
				Z: [][]float64{{7, 7}}, Log: log}},
			"many names": {X: a, Y: a, Title: strings.Repeat("title ", 50),
				Lines: []Line{{Name: strings.Repeat("long ", 50)}},
				Marks: []Mark{{X: 0.5, Label: strings.Repeat("long ", 50)}, {X: 0.6, Label: "b"},
					{X: nan, Label: "c"}, {X: 7}}},
		}
		for name, p := range tests {
			svg, _ := write(t, Picture{Panels: [][]Panel{{p}}, Note: "a\n\nb"})
			if s := string(svg); strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
				t.Errorf("%s, log %v: NaN or Inf in the SVG", name, log)
			}
		}
	}
}

// Every character the package comment promises is in the font.
func TestCharacters(t *testing.T) {
	style := textStyle(9, 0, 0)
	f := style.Handler.Cache().Lookup(style.Font, 9).Face
	var b sfnt.Buffer
	has := func(r rune) bool {
		i, err := f.GlyphIndex(&b, r)
		return err == nil && i != 0
	}
	for _, p := range split("αβγδεηθλμνξπρστφψωΓΔΘΛΞΠΣΦΨΩℓ∂∑√∞‖×·±−≤≥≈≠→–…′" + superscripts +
		subscripts) {
		for _, r := range p.text {
			if !has(r) {
				t.Errorf("no %c in %s", r, style.Font.Name())
			}
		}
	}
	for _, r := range "∇⟨⟩∈∝≫𝒢" {
		if has(r) {
			t.Errorf("%c is there: the comment of Picture says it is not", r)
		}
	}
}

func TestSplit(t *testing.T) {
	got := split("aσ₀²b⁻¹ᵀ")
	want := []piece{{"aσ", 1, 0}, {"0", 0.75, -0.15}, {"2", 0.75, 0.48}, {"b", 1, 0},
		{"−1T", 0.75, 0.48}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(piece{})); diff != "" {
		t.Error(diff)
	}
	style := textStyle(8, 0, 0)
	if got, want := style.Width("a²"), style.Width("a")+style.Width("2")*0.75; math.Abs(
		float64(got-want)) > 1e-9 {
		t.Errorf("width %g, want %g", got, want)
	}
}

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

// The ends of axes that are left to the data.
func TestSpanning(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		axis      Axis
		values    []float64
		exactly   bool
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
		got := test.axis.spanning(test.values, test.exactly)
		if math.Abs(got.Low-test.low) > 1e-12 || math.Abs(got.High-test.high) > 1e-12 {
			t.Errorf("%v over %v: from %g to %g, want %g to %g", test.axis, test.values, got.Low,
				got.High, test.low, test.high)
		}
	}
}

// The y axis fits what the x axis shows, not what it cuts off.
func TestAxesOfPart(t *testing.T) {
	p := Panel{X: Axis{Low: 0, High: 10}, Lines: []Line{{X: []float64{0, 10, 20},
		Y: []float64{-1, 1, 1000}, Low: []float64{-3, 0, 0}, High: []float64{0, 2, 0}}}}
	if _, y := p.axes(); y.Low != -3.25 || y.High != 2.25 {
		t.Errorf("y from %g to %g, want -3.25 to 2.25", y.Low, y.High)
	}
}

// On any axis ticks lie within it, rise, and have labels that differ and do not
// touch.
func FuzzTicks(f *testing.F) {
	f.Add(0.0, 300.0, false, 100.0)
	f.Add(1e-5, 1.0, true, 100.0)
	f.Add(12345.678, 12345.679, false, 50.0)
	f.Add(-1e300, 1e300, false, 200.0)
	f.Add(0.02, 0.9, true, 40.0)
	f.Add(3e3, 2e5, true, 60.0)
	f.Fuzz(func(t *testing.T, low, high float64, log bool, length float64) {
		a := Axis{Low: low, High: high, Log: log}
		if a.check() != nil || a.fromData() || !(length >= 40 && length <= 1e4) {
			return
		}
		seen, last, end := map[string]bool{}, math.Inf(-1), math.Inf(-1)
		ticks := a.ticks(vg.Length(length), labelWidth)
		for _, tick := range ticks {
			at := a.at(tick.Value)
			if !(at >= -1e-6 && at <= 1+1e-6) || !(tick.Value > last) {
				t.Fatalf("%v: tick %g at %g after %g", a, tick.Value, at, last)
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
			if start := at*length - half; start < end && len(seen) > 2 {
				t.Fatalf("%v: label %s covers the one before", a, tick.Label)
			}
			end = at*length + half
		}
	})
}

// Texts of marks never touch each other, and no line crosses a text.
func TestMarkTexts(t *testing.T) {
	const width = 200
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		p := Panel{X: Axis{Low: 0, High: width}}
		for range 1 + r.IntN(6) {
			// 60 for the text on the right
			p.Marks = append(p.Marks, Mark{X: 140 * r.Float64(),
				Label: strings.Repeat("x", r.IntN(12))})
		}
		all := p.markTexts(width)
		for i, a := range all {
			for j, b := range all {
				if i == j || a.Label == "" || b.Label == "" {
					continue
				}
				if a.row == b.row && a.from < b.to && b.from < a.to {
					t.Fatalf("%v: %q and %q touch", p.Marks, a.Label, b.Label)
				}
				if b.row > a.row && a.from < b.at && b.at < a.to {
					t.Fatalf("%v: the line of %q crosses %q", p.Marks, b.Label, a.Label)
				}
			}
			if a.from < 0 || a.to > width {
				t.Fatalf("%v: %q reaches from %g to %g", p.Marks, a.Label, a.from, a.to)
			}
		}
	}
}

// The legend's rows are no wider than the panel, and hold every name once.
func TestLegendRows(t *testing.T) {
	p := Panel{Lines: []Line{{Name: "GD"}, {}, {Name: "GD+M"}, {Name: "a longer name"}},
		Points: []Points{{Name: "points"}}}
	one := textStyle(labelSize, 0, 0)
	rows, first := p.legendRows(110)
	var names []string
	for _, row := range rows {
		width, line := -3*gap, ""
		for _, e := range row {
			width += 3*gap + sample + gap + one.Width(e.name)
			line += "[" + e.name + "]"
		}
		if width > 110 {
			t.Errorf("%s: %g points wide", line, width)
		}
		if len(names) == 0 && math.Abs(float64(width-first)) > 1e-9 {
			t.Errorf("the first row is %g points wide, said to be %g", width, first)
		}
		names = append(names, line)
	}
	if diff := cmp.Diff([]string{"[GD][GD+M]", "[a longer name]", "[points]"}, names); diff != "" {
		t.Error(diff)
	}
}

// Bands and curves end at the panel's edges.
func TestClip(t *testing.T) {
	far := Line{X: []float64{-10, 10}, Y: []float64{-10, 10}, Low: []float64{-20, -20},
		High: []float64{20, 20}}
	p := Picture{Panels: [][]Panel{{{X: Axis{Low: -1, High: 1}, Y: Axis{Low: -1, High: 1},
		Lines: []Line{far}}}}}
	svg, _ := write(t, p)
	// 3.6 by 2.57 inches less margins of 7 and the labels' 44, 8 and 27.
	if want := `d="M51,34L244.2,178"`; !strings.Contains(string(svg), want) {
		t.Errorf("no curve from corner to corner, want %s", want)
	}
	if want := `d="M244.2,34L244.2,178L51,178L51,34Z" style="fill:#0071B1;fill-opacity:0.21961"`; !strings.Contains(string(svg), want) {
		t.Errorf("no band, want %s", want)
	}
}

// Lightness (L of CIELAB, which is 100 for white) grows in even steps.
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
		if got, want := lightness(Shade(v)), 100*(0.1+0.85*v); math.Abs(got-want) > 1.5 {
			t.Errorf("Shade(%g): lightness %.1f, want %.1f", v, got, want)
		}
	}
	for _, c := range [][2]float64{{-1, 0}, {2, 1}, {math.NaN(), 0}} {
		if Shade(c[0]) != Shade(c[1]) {
			t.Errorf("Shade(%g) is not Shade(%g)", c[0], c[1])
		}
	}
}
