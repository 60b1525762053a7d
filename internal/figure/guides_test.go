package figure

import (
	"strings"
	"testing"
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
