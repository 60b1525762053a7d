package main

import (
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/figure"
	"momentum/internal/runtest"
)

// GD is blue and GD+M vermilion in every panel; what is dashed is a second quantity of either.
func TestTheoryPicture(t *testing.T) {
	steps, values := seenAll()
	for row, panels := range handMade().theoryPicture(newRun(steps, values)).Panels {
		for i, p := range panels {
			for _, l := range p.Lines {
				want := figure.Blue
				if strings.HasSuffix(l.Name, "GD+M") {
					want = figure.Vermilion
				}
				if l.Color != want {
					t.Errorf("row %d, panel %d: %s is in color %v", row, i, l.Name, l.Color)
				}
			}
		}
	}
}

// In each panel the arms have colors of their own, and the axis ends where the curves do. "Z₁ kept
// out" lies on GD, which it equals for long, and is dashed.
func TestMechanismPicture(t *testing.T) {
	set := preset("quick", defaultD)
	m := mechanismRuns{Settings: set, interventions: set.interventions()}
	values := columns{}
	for _, i := range m.interventions {
		values[i.lane.Name+"/test_2"] = []float64{0.5, 0.5, 0.75}
		values[i.lane.Name+"/c"] = []float64{0.1, 0.2, 0.4}
	}
	m.main = []trained{newRun([]int64{0, 1, 13000}, values)}
	arms := 0
	for _, panels := range m.picture().Panels {
		for _, p := range panels {
			place, colors := map[string]int{}, map[any]bool{}
			for i, l := range p.Lines {
				place[l.Name], colors[l.Color] = i, true
				if l.Dashed != (l.Name == "Z₁ kept out") || l.X[len(l.X)-1] != 13000 {
					t.Errorf("%s, %s: dashed %v, up to step %g", p.Title, l.Name, l.Dashed,
						l.X[len(l.X)-1])
				}
			}
			if len(colors) != len(p.Lines) || p.X.Low != 0 || p.X.High != 0 {
				t.Errorf("%s: %d colors of %d arms, an axis from %g to %g", p.Title, len(colors),
					len(p.Lines), p.X.Low, p.X.High)
			}
			kept, found := place["Z₁ kept out"]
			if gd, foundGD := place["GD"]; found != foundGD || found && kept > gd {
				t.Errorf("%s: %v, want what is kept out before GD", p.Title, place)
			}
			arms += len(p.Lines)
		}
	}
	if arms != 2*len(m.interventions) {
		t.Errorf("%d curves of %d arms, want two of each", arms, len(m.interventions))
	}
}

// The legend of Figure 2 names each group by its margin and its label.
func TestFigure2(t *testing.T) {
	root := t.TempDir()
	succeed(t, "-figure=2", "-backend=go", "-offline", "-runs="+root)
	svg := runtest.Read(t, filepath.Join(root, "synthetic-quick"), "figure2.svg")
	for _, want := range []string{"large margin, y = 1", "large margin, y = −1",
		"small margin, y = 1", "small margin, y = −1"} {
		if strings.Count(svg, ">"+want+"</text>") != 1 {
			t.Errorf("the legend lacks %q", want)
		}
	}
}
