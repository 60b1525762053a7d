package figure

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The panel's edges clip bands and curves.
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
	if want := `d="M244.2,34L244.2,178L51,178L51,34Z" ` +
		`style="fill:#0071B1;fill-opacity:0.21961"`; !strings.Contains(string(svg), want) {
		t.Errorf("no band, want %s", want)
	}
}

// Points of two groups with the same shape and place stand side by side, 2.25 points to the left
// and to the right of it. A single one stands at its place.
func TestDotsSideBySide(t *testing.T) {
	square := func(x ...float64) Points {
		return Points{Shape: Square, X: x, Y: make([]float64, len(x))}
	}
	circle := Points{Shape: Circle, Filled: true, X: []float64{0}, Y: []float64{0}}
	p := Picture{Panels: [][]Panel{{{X: Axis{Low: -1, High: 1}, Y: Axis{Low: -1, High: 1},
		Points: []Points{square(0, 0, 0.5), square(0), circle}}}}}
	svg, _ := write(t, p)
	// The middle is 147.6 points from the left. Squares begin 1.71 to the left of their middles,
	// circles 1.9 to the right.
	for start, want := range map[string]int{"M143.64,": 2, "M148.14,": 1, "M194.19,": 1,
		"M149.5,": 1, "M145.89,": 0} {
		if got := strings.Count(string(svg), `<path d="`+start); got != want {
			t.Errorf("%d points begin at %s, want %d", got, start, want)
		}
	}
}

// The texts of marks never touch each other, and no line crosses a text.
func TestMarkTexts(t *testing.T) {
	const width = 200
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		p := Panel{X: Axis{Low: 0, High: width}}
		for range 1 + r.IntN(6) {
			p.Marks = append(p.Marks, Mark{X: 140 * r.Float64(), // leaves 60 for the last text
				Label: strings.Repeat("x", r.IntN(12))})
		}
		all := p.markTexts(width)
		for i, a := range all {
			for j, b := range all {
				if i == j || a.Label == "" || b.Label == "" {
					continue
				}
				if a.row == b.row && a.start < b.end && b.start < a.end {
					t.Fatalf("%v: %q and %q touch", p.Marks, a.Label, b.Label)
				}
				if b.row > a.row && a.start < b.position && b.position < a.end {
					t.Fatalf("%v: the line of %q crosses %q", p.Marks, b.Label, a.Label)
				}
			}
			if a.start < 0 || a.end > width {
				t.Fatalf("%v: %q reaches from %g to %g", p.Marks, a.Label, a.start, a.end)
			}
		}
	}
}

// The line of a mark does not strike its own text, also where the right end pushes the text over
// it.
func TestMarkBelowItsText(t *testing.T) {
	p := Panel{X: Axis{Low: 0, High: 100}, Marks: []Mark{{X: 10, Label: "GD fits Z1"},
		{X: 86, Label: "GD+M fits all of Z2"}, {X: 88, Label: "GD fits Z2"}}}
	across := 0
	for _, m := range p.markTexts(190) {
		middle, end := m.heights()
		if m.start < m.position && m.position < m.end {
			across++
			if end > middle-labelSize/2 {
				t.Errorf("the line of %q strikes it", m.Label)
			}
		}
	}
	if across != 2 {
		t.Errorf("%d texts lie across their lines, want those of Z2", across)
	}
}

// The rows of the legend are no wider than the panel, and contain every name once.
func TestLegendRows(t *testing.T) {
	p := Panel{Lines: []Line{{Name: "GD"}, {}, {Name: "GD+M"}, {Name: "a longer name"}},
		Points: []Points{{Name: "points"}}}
	style := textStyle(labelSize, 0, 0)
	rows, first := legendRows(p.entries(), 110)
	var names []string
	for _, row := range rows {
		width, line := -3*gap, ""
		for _, e := range row {
			width += 3*gap + sampleWidth + gap + style.Width(e.name)
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
