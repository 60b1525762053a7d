package figure

import (
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A guide at the edge of a panel has its name, too: beside it, where there is room.
func TestNamesOfGuidesAtTheEdge(t *testing.T) {
	for _, y := range []float64{0, 0.001, 0.01, 0.5, 0.99, 1} {
		p := Panel{X: Axis{Low: 0, High: 1}, Y: Axis{Low: 0, High: 1},
			Lines:  []Line{{X: []float64{0, 1}, Y: []float64{0, 1}}},
			Guides: []Line{{Name: "limit", X: []float64{0, 1}, Y: []float64{y, y}, Dashed: true}}}
		svg, _ := write(t, Picture{Panels: [][]Panel{{p}}})
		if !strings.Contains(string(svg), ">limit</text>") {
			t.Errorf("no name of the guide at %g", y)
		}
	}
}

// A name stands as near to the end of its guide as the edge, 6 points away, allows, but not on
// another guide. The boxes are 20 points wide and 10 high, in a panel of 100 by 100.
func TestNamesKeepOffOtherGuides(t *testing.T) {
	p := panel{Canvas: draw.Canvas{Rectangle: vg.Rectangle{Max: vg.Point{X: 100, Y: 100}}}}
	half := vg.Point{X: 10, Y: 5}
	straight := func(from, to vg.Point) []vg.Point { return waypoints([][]vg.Point{{from, to}}) }
	way := straight(vg.Point{Y: 50}, vg.Point{X: 100, Y: 50})
	across := straight(vg.Point{X: 81}, vg.Point{X: 81, Y: 100})
	for _, tt := range []struct {
		name   string
		others []vg.Point
		want   vg.Point // the middle of the box
	}{
		{"alone", nil, vg.Point{X: 84, Y: 50}},
		{"across its end", across, vg.Point{X: 70, Y: 50}},
		{"along it", straight(vg.Point{Y: 48}, vg.Point{X: 100, Y: 48}), vg.Point{X: 84, Y: 56}},
	} {
		box, ok := p.room(way, half, nil, tt.others)
		if got := box.Min.Add(half); !ok || got != tt.want {
			t.Errorf("%s: the name is at %v, want %v", tt.name, got, tt.want)
		}
	}

	// Where there is no such place, a name stands on another guide.
	var guides []Line
	for i := range 40 { // 144 points for 40 guides
		y := float64(i) / 40
		guides = append(guides, Line{X: []float64{0, 1}, Y: []float64{y, y}})
	}
	guides[20].Name = "crowded"
	svg, _ := write(t, Picture{Panels: [][]Panel{{{X: Axis{High: 1}, Y: Axis{High: 1},
		Guides: guides}}}})
	if !strings.Contains(string(svg), ">crowded</text>") {
		t.Error("no name of a guide among others")
	}
}
