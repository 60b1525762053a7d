// Package figure draws pictures of runs: pages of curves, dots and heat maps ([Picture]), and the
// curves of a run folder ([Curves]). A picture depends on nothing but the given values, so drawing
// it again gives the same bytes.
//
// The package lays out the axes itself. With gonum's plot.Align the panels line up too, but their
// size depends on the data, because a logarithmic axis reserves room for its label in the wrong
// place: in three test pictures of the same size, the panels are 125, 132 and 141 points high.
// Align also needs the ticks and the legends before it finds the widths that they must fit.
package figure

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"regexp"
	"slices"

	"momentum/internal/rundir"
)

// Curves draws dir/curves.svg and dir/curves.png from dir/metrics.jsonl and dir/config.json. The
// left panel shows the training loss on a logarithmic scale. The right panel shows the accuracies
// in percent: train_accuracy, test_accuracy and held_out_accuracy, whichever the metrics have. If
// they have a sharpness, a panel below shows it, the curvature along the steps, and the stability
// limit. If they have a diagnosis by groups, two panels below show the norms of both groups'
// gradients, and what each step takes from the small-margin images' loss. If they have relative
// steps by layer, a panel below shows these. The x axis counts epochs.
//
// Losses that are not finite and positive and accuracies outside [0, 1] are left out. A dashed line
// marks the first loss that is not finite. The title is derived.title of config.json, or else the
// folder's name without its hash.
func Curves(dir string) error {
	path := filepath.Join(dir, "metrics.jsonl")
	rows, err := rundir.ReadMetrics(path)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("figure: %s: no rows, want at least one", path)
	}
	c := newCurves(rows)
	if c.title, err = title(dir); err != nil {
		return err
	}

	return c.picture().Write(filepath.Join(dir, "curves"))
}

var hashSuffix = regexp.MustCompile("-[0-9a-f]{10}$")

func title(dir string) (string, error) {
	_, derived, _, err := rundir.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var d struct{ Title string }
	if json.Unmarshal(derived, &d) == nil && d.Title != "" {
		return d.Title, nil
	}
	dir, err = filepath.Abs(dir)
	return hashSuffix.ReplaceAllString(filepath.Base(dir), ""), err
}

// curves holds the contents of the picture.
type curves struct {
	title         string
	first, last   float64 // epochs
	loss          Line
	accuracies    []Line // percent
	curvature     []Line // sharpness, along the steps, stability limit
	gradients     []Line // norms, by group of images
	decrease      []Line // of the small-margin images' loss in a step, to first order
	steps         []Line // ‖step‖/‖weights‖, by layer
	noise         []Line // scale of the gradient noise, in images
	diverged      bool
	divergedStep  int64
	divergedEpoch float64
}

func newCurves(rows []rundir.Row) curves {
	accuracies := []struct {
		column  string
		present bool
		line    Line
	}{
		{column: "train_accuracy", line: Line{Name: "train", Color: Blue}},
		{column: "test_accuracy", line: Line{Name: "test", Color: Vermilion}},
		{column: "held_out_accuracy", line: Line{Name: "held-out", Color: Green}},
	}
	var c curves
	for _, r := range rows {
		epoch, ok := r.Get("epoch")
		if !ok || !finite(epoch) {
			continue
		}
		c.first, c.last = min(c.first, epoch), max(c.last, epoch)
		if loss, ok := r.Get("loss"); ok && !finite(loss) && !c.diverged {
			c.diverged, c.divergedStep, c.divergedEpoch = true, r.Step, epoch
		} else if ok && finite(loss) && loss > 0 {
			c.loss.add(epoch, loss)
		}
		for i := range accuracies {
			a := &accuracies[i]
			if v, ok := r.Get(a.column); ok {
				a.present = true
				if 0 <= v && v <= 1 {
					a.line.add(epoch, 100*v)
				}
			}
		}
	}
	c.curvature = diagnosis(rows, []columnLine{
		{"sharpness", Line{Name: "sharpness", Color: Blue}},
		{"sharpness_update", Line{Name: "along the step", Color: Vermilion}},
		{"stability_limit", Line{Name: "stability limit", Color: Black, Dashed: true}},
	})
	c.gradients = diagnosis(rows, []columnLine{
		{"gradient_small_margin", Line{Name: "small margin", Color: Vermilion}},
		{"gradient_large_margin", Line{Name: "large margin", Color: Blue}},
	})
	c.decrease = diagnosis(rows, []columnLine{
		{"decrease_small_margin", Line{Name: "in all", Color: Black}},
		{"decrease_small_margin_by_large", Line{Name: "by the large margin", Color: Blue}},
		{"decrease_small_margin_by_past_large", Line{Name: "by its past", Color: Green}},
	})
	c.steps = relativeSteps(rows)
	c.noise = diagnosis(rows, []columnLine{{"noise_scale", Line{Color: Blue}}})
	for _, a := range accuracies {
		if a.present {
			c.accuracies = append(c.accuracies, a.line)
		}
	}
	if c.last == c.first {
		c.last = c.first + 1
	}
	return c
}

// relativeSteps are the lines of steps by layer. Those of the gains and the biases are dashed.
func relativeSteps(rows []rundir.Row) []Line {
	var all []columnLine
	for i, name := range []string{"stem", "stage1", "stage2", "stage3", "stage4", "stage5",
		"head"} {
		all = append(all, columnLine{"relative_step_" + name, Line{Name: name, Color: Category(i)}})
	}
	return diagnosis(rows, append(all,
		columnLine{"relative_step_gains", Line{Name: "gains", Color: Black, Dashed: true}},
		columnLine{"relative_step_biases", Line{Name: "biases", Color: Blue, Dashed: true}}))
}

// columnLine is a line with the column that it shows.
type columnLine struct {
	column string
	line   Line
}

// diagnosis are those lines that the rows have values for.
func diagnosis(rows []rundir.Row, all []columnLine) (lines []Line) {
	for _, l := range all {
		for _, r := range rows {
			epoch, _ := r.Get("epoch")
			if x, ok := r.Get(l.column); ok && finite(epoch) && finite(x) {
				l.line.add(epoch, x)
			}
		}
		if len(l.line.X) > 0 {
			lines = append(lines, l.line)
		}
	}
	return lines
}

// add appends a point.
func (l *Line) add(x, y float64) { l.X, l.Y = append(l.X, x), append(l.Y, y) }

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func (c *curves) picture() Picture {
	epochs := Axis{Label: "epoch", Low: c.first, High: c.last}
	loss := Panel{X: epochs, Y: Axis{Label: "training loss (nats)", Log: true},
		Lines: []Line{c.loss}}
	accuracy := Panel{X: epochs, Y: Axis{Label: "accuracy (%)", High: 100}, Lines: c.accuracies}
	if c.diverged {
		label := fmt.Sprintf("diverged at step %d", c.divergedStep)
		loss.Marks = []Mark{{X: c.divergedEpoch, Label: label}}
		accuracy.Marks = []Mark{{X: c.divergedEpoch}}
	}
	p := Picture{Title: c.title, Panels: [][]Panel{{loss, accuracy}}, Width: 7.2, Height: 2.9}
	if len(c.curvature) > 0 {
		p.Panels = append(p.Panels, []Panel{c.curvaturePanel(epochs)})
	}
	if len(c.gradients) > 0 {
		p.Panels = append(p.Panels, []Panel{
			{X: epochs, Y: Axis{Label: "‖gradient‖ by group", Log: true}, Lines: c.gradients},
			{X: epochs, Y: Axis{Label: "small-margin loss taken (nats)"}, Lines: c.decrease}})
	}
	if len(c.steps) > 0 {
		p.Panels = append(p.Panels, []Panel{
			{X: epochs, Y: Axis{Label: "‖step‖ / ‖weights‖", Log: true}, Lines: c.steps}})
	}
	if len(c.noise) > 0 {
		p.Panels = append(p.Panels, []Panel{
			{X: epochs, Y: Axis{Label: "noise scale (images)", Log: true}, Lines: c.noise}})
	}
	p.Height += 2.3 * float64(len(p.Panels)-1)
	return p
}

// curvaturePanel shows up to twice the largest sharpness: at the ends of a schedule the stability
// limit is far above.
func (c *curves) curvaturePanel(epochs Axis) Panel {
	y := Axis{Label: "curvature"}
	for _, l := range c.curvature {
		if !l.Dashed {
			y.Low, y.High = min(y.Low, slices.Min(l.Y)), max(y.High, 2*slices.Max(l.Y))
		}
	}
	return Panel{X: epochs, Y: y, Lines: c.curvature}
}
