package figure

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

// line samples a curve with a band at n steps from 1 to 1e5, which have equal ratios.
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
	accuracy := func(middle float64) func(float64) float64 {
		return func(t float64) float64 { return 50 + 50/(1+math.Pow(middle/t, 2)) }
	}
	halfWidth := func(middle, largest float64) func(float64) float64 {
		return func(t float64) float64 { return largest / (1 + math.Pow(math.Log(t/middle), 2)) }
	}
	loss := func(middle float64) func(float64) float64 {
		return func(t float64) float64 { return math.Ln2 / (1 + math.Pow(t/middle, 1.3)) }
	}
	scaled := func(f func(float64) float64, factor float64) func(float64) float64 {
		return func(t float64) float64 { return factor * f(t) }
	}
	steps := Axis{Label: "step t", Log: true}
	events := []Mark{{X: 900, Label: "Z₁ learned", Color: Blue},
		{X: 1500, Label: "Z₁ learned", Color: Vermilion}, {X: 20_000, Label: "noise memorized"}}
	return Picture{
		Title: "GD and GD+M (γ = 0.99) on the distribution D: d = 30, P = 5, m = 5, N = 20,000, " +
			"5 seeds",
		Note: "Means and 95% t intervals over the seeds. α = d^0.49, β = 0.2, σ = 0.5, " +
			"σ₀ = 0.03, η = 0.2. Accuracies are of 2,000 test samples of each kind; " +
			"‖w*‖ = 1, ν₂ = (1/N) ∑ ℓᵢ.",
		Panels: [][]Panel{{
			{
				Title: "(a) training loss", X: steps, Y: Axis{Label: "loss (nats)", Log: true},
				Lines: []Line{line("GD", 90, loss(300), scaled(loss(300), 0.4)),
					line("GD+M", 90, loss(500), scaled(loss(500), 0.3))},
			},
			{
				Title: "(b) test accuracy, large margin", X: steps,
				Y: Axis{Label: "accuracy (%)", Low: 40, High: 102},
				Lines: []Line{line("GD", 90, accuracy(300), halfWidth(300, 8)),
					line("GD+M", 90, accuracy(500), halfWidth(500, 8))},
				Marks: []Mark{{X: 900, Label: "Z₁ learned"}},
			},
			{
				Title: "(c) test accuracy, small margin", X: steps,
				Y: Axis{Label: "accuracy (%)", Low: 40, High: 102},
				Lines: []Line{
					line("GD", 90, func(float64) float64 { return 52 }, halfWidth(3e4, 3)),
					line("GD+M", 90, accuracy(2e4), halfWidth(2e4, 12)),
					{Name: "chance", Color: Black, Dashed: true, X: []float64{1, 1e5},
						Y: []float64{50, 50}},
				},
				Marks: events,
			},
		}},
	}
}

// phases is a page like a map of learning rates. It has heat maps with diverged cells and lines of
// equal effective rate, dots, and a broken curve.
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

	broken := Line{Name: "broken", Color: Purple}
	for i := range 100 {
		v := math.Sin(float64(i) / 8)
		if i%30 == 29 || i == 46 || i == 48 {
			v = math.NaN() // 47 remains, a single point
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
					Points: clouds(),
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

// clouds returns normally distributed points around three centers.
func clouds() []Points {
	r := rand.New(rand.NewPCG(1, 2))
	cloud := func(p Points, n int, x, y, deviation float64) Points {
		for range n {
			p.X = append(p.X, x+deviation*r.NormFloat64())
			p.Y = append(p.Y, y+deviation*r.NormFloat64())
		}
		return p
	}
	return []Points{
		cloud(Points{Name: "large margin", Shape: Square}, 80, 2, 0, 0.3),
		cloud(Points{Name: "small margin", Filled: true}, 20, 0.3, 0.1, 0.3),
		cloud(Points{Name: "noise", Shape: Diamond, Filled: true, Color: Green}, 20, -1, -1, 0.2),
	}
}

// oneLegend has four panels with names in common, one legend, and a name with an index.
func oneLegend() Picture {
	x := []float64{0, 1, 2}
	panel := func(title string, names ...string) Panel {
		p := Panel{Title: title, X: Axis{Label: "epoch"}, Y: Axis{Label: "accuracy (%)", High: 10}}
		for i, name := range names {
			y := float64(i)
			p.Lines = append(p.Lines, Line{Name: name, X: x, Y: []float64{y, y + 1, y + 3}})
		}
		return p
	}
	return Picture{Title: "one legend", OneLegend: true, Width: 7.2, Panels: [][]Panel{
		{panel("all", "GD", "GD+M", "GD at the η_eff of GD+M"), panel("second", "GD", "GD+M")},
		{panel("third", "GD", "GD+M", "GD at the η_eff of GD+M",
			"a name so long that the legend has a second row for it"), panel("fourth", "GD")}}}
}

// bars has two lines with bars beside each other, which are partly cut off, and one with a band.
func bars() Picture {
	x := []float64{512, 1000, 2048}
	return Picture{Title: "bars", Panels: [][]Panel{{{
		X: Axis{Label: "training images", Log: true, At: x,
			Names: []string{"512", "1,000", "2,048"}},
		Y: Axis{Label: "test accuracy (%)", Low: 25, High: 45},
		Lines: []Line{
			{Name: "GD", X: x, Y: []float64{28, 34, 39}, Low: []float64{24, 33, 37},
				High: []float64{30, 35, 41}, Bars: true},
			{Name: "GD+M", X: x[1:], Y: []float64{34, 40}, Low: []float64{33, 38},
				High: []float64{35, 46}, Bars: true, Dashed: true},
			{Name: "band", X: x, Y: []float64{30, 30, 30}, Low: []float64{29, 29, 28},
				High: []float64{31, 31, 32}},
		},
		Guides: []Line{{Name: "a guide", X: []float64{512, 2048}, Y: []float64{27, 27}}},
	}}}}
}

func TestPictures(t *testing.T) {
	for name, p := range map[string]Picture{"training": training(), "phases": phases(),
		"legend": oneLegend(), "bars": bars()} {
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
			`row 1, panel 2: line "GD": 1, 0, 0 and 0 values in X, Y, Low and High, ` +
				"want as many in each, or none in Low and High"},
		{panels(Panel{Guides: []Line{{X: one, Y: one, Low: one}}}),
			`row 1, panel 2: line "": 1, 1, 1 and 0 values in X, Y, Low and High, ` +
				"want as many in each, or none in Low and High"},
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
			"row 1, panel 2: heat: scale: from 3 to 2, want low < high, finite and not almost " +
				"equal"},
		{Picture{Panels: [][]Panel{{{}}}, Width: 1, Height: 1},
			"1 by 1 inches leave panels of 6 by 31 points, want at least 40: choose another size"},
		{Picture{Panels: [][]Panel{{{}}}, Width: math.NaN()}, "NaN by 2.57 inches leave panels " +
			"of NaN by 144 points, want at least 40: choose another size"},
	}
	for _, test := range tests {
		base := filepath.Join(t.TempDir(), "p")
		want := "figure: " + base + ": " + test.want
		if err := test.picture.Write(t.Context(), base); err == nil || err.Error() != want {
			t.Errorf("got error  %v\nwant error %s", err, want)
		}
		if files, _ := filepath.Glob(base + "*"); files != nil {
			t.Errorf("%s: wrote %v", test.want, files)
		}
	}
}

// Write draws a picture, without NaN or Inf, whatever the numbers are.
func TestPicturesOfOddNumbers(t *testing.T) {
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
