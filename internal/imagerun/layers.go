package imagerun

import (
	"math"
	"slices"
	"strings"

	"momentum/internal/rundir"
	"momentum/models"
)

// relativeStep begins the columns of -diagnose=layers: relative_step_stage1.
const relativeStep = "relative_step_"

// stepsByLayer are the lengths of a step relative to those of the weights before it, ‖Δw‖/‖w‖, by
// layers: stem, stages, head, and the gains and the biases of all layers. Where the weights are
// 0 there is no value.
func stepsByLayer(params []models.Param, before, after []float64) (values []rundir.Value) {
	var names []string
	steps, lengths := map[string]float64{}, map[string]float64{} // squares
	for _, p := range params {
		name, n := layersOf(p.Name), p.Size()
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		for i, w := range before[:n] {
			step := after[i] - w
			steps[name] += step * step
			lengths[name] += w * w
		}
		before, after = before[n:], after[n:]
	}
	for _, name := range names {
		if lengths[name] > 0 {
			values = append(values, rundir.Value{Name: relativeStep + name,
				X: math.Sqrt(steps[name] / lengths[name])})
		}
	}
	return values
}

// layersOf names the layers that a parameter belongs to, by its name: "stage1" for the weights
// stage1/block2/conv1/weights.
func layersOf(name string) string {
	switch name[strings.LastIndex(name, "/")+1:] {
	case "weights":
		layers, _, _ := strings.Cut(name, "/")
		return layers
	case "gain", "scale":
		return "gains"
	}
	return "biases" // and offsets
}
