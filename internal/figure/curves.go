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
	"context"
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
// left panel shows the losses on a logarithmic scale: loss, test_loss and held_out_loss, whichever
// the metrics have. The right panel shows the accuracies in percent: train_accuracy, test_accuracy
// and held_out_accuracy. If the metrics have losses and accuracies on the small-margin and the
// large-margin images that are evaluated, two panels below show them. If they have a sharpness, a
// panel below shows it, the curvature along the steps, and the stability limit. If they have a
// diagnosis by groups, two panels below show the norms of both groups' gradients, and what each
// step takes from the small-margin images' loss. If they have relative steps by layer, a panel
// below shows these. The x axis counts epochs.
//
// Losses that are not finite and positive and accuracies outside [0, 1] are left out. A dashed line
// marks the first loss that is not finite. The title is derived.title of config.json, or else the
// folder's name without its hash. A million rows take a few seconds, in which the context may end
// it.
func Curves(ctx context.Context, dir string) error {
	path := filepath.Join(dir, "metrics.jsonl")
	rows, err := rundir.ReadMetrics(ctx, path)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("figure: %s: no rows, want at least one", path)
	}
	c, err := newCurves(ctx, rows)
	if err != nil {
		return err
	}
	if c.title, err = title(dir); err != nil {
		return err
	}

	return c.picture().Write(ctx, filepath.Join(dir, "curves"))
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
	title           string
	first, last     float64 // epochs
	losses          []Line
	accuracies      []Line // percent
	groupLosses     []Line // of the evaluated images, by group
	groupAccuracies []Line // the same, percent
	curvature       []Line // sharpness, along the steps
	limit           Line   // of stability
	gradients       []Line // norms, by group of images
	decrease        []Line // of the small-margin images' loss in a step, to first order
	steps           []Line // ‖step‖/‖weights‖, by layer
	noise           []Line // scale of the gradient noise, in images
	diverged        bool
	divergedStep    int64
	divergedEpoch   float64
}

func newCurves(ctx context.Context, rows []rundir.Row) (curves, error) {
	var c curves
	m := metrics{ctx: ctx, rows: rows, epochs: make([]float64, len(rows)), columns: columns(rows)}
	for i := range m.epochs {
		m.epochs[i] = math.NaN()
	}
	for i, epoch := range rundir.Column(rows, "epoch") {
		if finite(epoch) {
			m.epochs[i] = epoch
			c.first, c.last = min(c.first, epoch), max(c.last, epoch)
		}
	}
	for i, loss := range rundir.Column(rows, "loss") {
		if !finite(loss) && finite(m.epochs[i]) {
			c.diverged, c.divergedStep, c.divergedEpoch = true, rows[i].Step, m.epochs[i]
			break
		}
	}
	if c.last == c.first {
		c.last = c.first + 1
	}
	positive := func(x float64) bool { return finite(x) && x > 0 }
	c.losses = m.lines(positive,
		columnLine{"loss", Line{Name: "train", Color: Blue}},
		columnLine{"test_loss", Line{Name: "test", Color: Vermilion}},
		columnLine{"held_out_loss", Line{Name: "held-out", Color: Green}})
	c.accuracies = m.percentages(
		columnLine{"train_accuracy", Line{Name: "train", Color: Blue}},
		columnLine{"test_accuracy", Line{Name: "test", Color: Vermilion}},
		columnLine{"held_out_accuracy", Line{Name: "held-out", Color: Green}})
	c.groupLosses = m.lines(positive, byGroup("loss")...)
	c.groupAccuracies = m.percentages(byGroup("accuracy")...)
	c.curvature = m.lines(finite,
		columnLine{"sharpness", Line{Name: "sharpness", Color: Blue}},
		columnLine{"sharpness_update", Line{Name: "along the step", Color: Vermilion}})
	c.limit = m.stabilityLimit()
	c.gradients = m.lines(finite,
		columnLine{"gradient_small_margin", Line{Name: "small margin", Color: Vermilion}},
		columnLine{"gradient_large_margin", Line{Name: "large margin", Color: Blue}})
	c.decrease = m.lines(finite,
		columnLine{"decrease_small_margin", Line{Name: "in all", Color: Black}},
		columnLine{"decrease_small_margin_by_large",
			Line{Name: "by the large margin", Color: Blue}},
		columnLine{"decrease_small_margin_by_past_large", Line{Name: "by its past", Color: Green}})
	c.steps = m.relativeSteps()
	c.noise = m.lines(finite, columnLine{"noise_scale", Line{Color: Blue}})
	return c, stopped(ctx)
}

// metrics are the rows of a run, with their epochs: NaN where a row has none that is finite.
type metrics struct {
	ctx     context.Context // once it has ended there are no more lines
	rows    []rundir.Row
	epochs  []float64
	columns map[string]bool // that some row has
}

// columns are the names of all values.
func columns(rows []rundir.Row) map[string]bool {
	names := map[string]bool{}
	var before []rundir.Value // those of the row before, which are mostly the same
	for _, r := range rows {
		for i, v := range r.Values {
			if i >= len(before) || before[i].Name != v.Name {
				names[v.Name] = true
			}
		}
		before = r.Values
	}
	return names
}

// stabilityLimit is the limit at every row that has a rate. Between the diagnosed rows it follows
// from the last one: it is inversely proportional to the rate, but for the weight decay, which is
// far smaller and left out. A straight line would miss the end of the warm-up.
func (m metrics) stabilityLimit() Line {
	l := Line{Name: "stability limit", Color: Black, Dashed: true}
	limits := map[int]float64{} // by row
	for i, limit := range rundir.Column(m.rows, "stability_limit") {
		limits[i] = limit
	}
	product := math.NaN() // of limit and rate
	for i, rate := range rundir.Column(m.rows, "rate") {
		if !finite(m.epochs[i]) {
			continue
		}
		if limit, ok := limits[i]; ok {
			product = limit * rate
		}
		if limit := product / rate; finite(limit) {
			l.add(m.epochs[i], limit)
		}
	}
	return l
}

// byGroup are the lines of a quantity of the evaluated images, by group.
func byGroup(quantity string) (all []columnLine) {
	for _, images := range [][2]string{{"test_", "test"}, {"held_out_", "held-out"}} {
		column, name := images[0]+quantity, images[1]
		all = append(all,
			columnLine{column + "_small_margin",
				Line{Name: name + ", small margin", Color: Vermilion}},
			columnLine{column + "_large_margin", Line{Name: name + ", large margin", Color: Blue}})
	}
	return all
}

// Layers end the names of the columns relative_step_*: the stages of layers with weights, and the
// gains and the biases of all.
func Layers() []string {
	return []string{"stem", "stage1", "stage2", "stage3", "stage4", "stage5", "head", "gains",
		"biases"}
}

// relativeSteps are the lines of steps by layer. Those of the gains and the biases are dashed.
func (m metrics) relativeSteps() []Line {
	var all []columnLine
	for i, name := range Layers() {
		l := Line{Name: name, Color: Category(i)}
		switch name {
		case "gains":
			l.Color, l.Dashed = Black, true
		case "biases":
			l.Color, l.Dashed = Blue, true
		}
		all = append(all, columnLine{"relative_step_" + name, l})
	}
	return m.lines(finite, all...)
}

// columnLine is a line with the column that it shows.
type columnLine struct {
	column string
	line   Line
}

// lines are those lines that the rows have values for. Only values to keep count.
func (m metrics) lines(keep func(x float64) bool, all ...columnLine) (lines []Line) {
	for _, l := range all {
		if stopped(m.ctx) != nil {
			return nil
		}
		if !m.columns[l.column] {
			continue
		}
		for i, x := range rundir.Column(m.rows, l.column) {
			if finite(m.epochs[i]) && keep(x) {
				l.line.add(m.epochs[i], x)
			}
		}
		if len(l.line.X) > 0 {
			lines = append(lines, l.line)
		}
	}
	return lines
}

// percentages are lines of accuracies.
func (m metrics) percentages(all ...columnLine) []Line {
	lines := m.lines(func(x float64) bool { return 0 <= x && x <= 1 }, all...)
	for _, l := range lines {
		for i := range l.Y {
			l.Y[i] *= 100
		}
	}
	return lines
}

// add appends a point.
func (l *Line) add(x, y float64) { l.X, l.Y = append(l.X, x), append(l.Y, y) }

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// Epochs is an axis of epochs up to the last, or up to the next label if that is near.
func Epochs(last float64) Axis {
	a := Axis{Label: "epoch", High: last}
	ticks := linearTicks(0, last, 6)
	if n := len(ticks); n > 1 {
		if next := 2*ticks[n-1].Value - ticks[n-2].Value; next <= 1.1*last {
			a.High = next
		}
	}
	return a
}

func (c *curves) picture() Picture {
	epochs := Epochs(c.last)
	epochs.Low = c.first
	loss := Panel{X: epochs, Y: Axis{Label: "loss (nats)", Log: true}, Lines: c.losses}
	accuracy := Panel{X: epochs, Y: Axis{Label: "accuracy (%)", High: 100}, Lines: c.accuracies}
	if c.diverged {
		label := fmt.Sprintf("diverged at step %d", c.divergedStep)
		loss.Marks = []Mark{{X: c.divergedEpoch, Label: label}}
		accuracy.Marks = []Mark{{X: c.divergedEpoch}}
	}
	p := Picture{Title: c.title, Panels: [][]Panel{{loss, accuracy}}, Width: 7.2, Height: 2.9}
	if len(c.groupAccuracies) > 0 {
		p.Panels = append(p.Panels, []Panel{
			{X: epochs, Y: Axis{Label: "loss by group (nats)", Log: true}, Lines: c.groupLosses},
			{X: epochs, Y: Axis{Label: "accuracy by group (%)", High: 100},
				Lines: c.groupAccuracies}})
	}
	if len(c.curvature) > 0 {
		panel := c.curvaturePanel(epochs)
		p.Panels = append(p.Panels, []Panel{panel})
		if len(c.limit.Y) > 0 && slices.Max(c.limit.Y) > panel.Y.High {
			p.Note = "Where the stability limit is not drawn, it is above the panel: it is " +
				"inversely proportional to the rate."
		}
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
		y.Low, y.High = min(y.Low, slices.Min(l.Y)), max(y.High, 2*slices.Max(l.Y))
	}
	lines := c.curvature
	if len(c.limit.Y) > 0 {
		lines = append(slices.Clone(lines), c.limit)
	}
	return Panel{X: epochs, Y: y, Lines: lines}
}
