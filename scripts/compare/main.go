// Compare lays runs over each other: one picture of their losses, accuracies and norms, and a table
// of what differs between them. Runs that differ only in their seed are one curve, the mean over
// the seeds, in a band from the least to the largest.
//
//	go run ./scripts/compare runs/*-gd-lr0.05-* runs/*-gdm-undamped-g0.9-lr0.01-*
//
// It writes compare.svg and compare.png, or -out=NAME. The panels are the training loss, the
// accuracies on the training and on the evaluated images, the norm of the gradient and, where the
// runs have them, the sharpness and the diagnosis of both groups of images. A run that ended early
// keeps its last values. Runs that have not ended are drawn as far as they are, as curves of their
// own.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"momentum/internal/cli"
	"momentum/internal/figure"
	"momentum/internal/rundir"
	"momentum/internal/runtable"
)

func main() { os.Exit(cli.Main("compare", run)) }

func run(_ context.Context, stdout, stderr io.Writer, args []string) error {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	out := flags.String("out", "compare", "the picture's name, without .svg and .png")
	runs, err := runtable.Arguments(flags, args,
		"go run ./scripts/compare [-out=NAME] RUN_FOLDER...", stdout, stderr)
	if err != nil {
		return err
	}
	rows := runtable.Rows(runs)
	if len(rows) > most {
		return cli.Usagef("%d configurations are too many for one picture, want at most %d: name "+
			"fewer folders", len(rows), most)
	}
	settings := runtable.Differing(rows)
	fmt.Fprint(stdout, runtable.Table(rows, settings))
	if err := picture(rows, settings).Write(*out); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\npicture   %s.png\n", *out)
	return nil
}

// most is the number of curves that can be told apart.
const most = 8

// quantity is a panel.
type quantity struct {
	title   string
	axis    figure.Axis
	columns []string // the first that a run has is drawn
	factor  float64
}

var quantities = []quantity{
	{"training loss", figure.Axis{Label: "training loss (nats)", Log: true}, []string{"loss"}, 1},
	{"training accuracy", figure.Axis{Label: "training accuracy (%)"}, []string{"train_accuracy"},
		100},
	{"accuracy on test or held-out images", figure.Axis{Label: "accuracy (%)"},
		[]string{"test_accuracy", "held_out_accuracy"}, 100},
	{"norm of the gradient", figure.Axis{Label: "‖gradient‖", Log: true}, []string{"grad_norm"}, 1},
	{"sharpness", figure.Axis{Label: "sharpness", Log: true}, []string{"sharpness"}, 1},
	{"accuracy on small-margin images", figure.Axis{Label: "accuracy (%)"},
		[]string{"test_accuracy_small_margin", "held_out_accuracy_small_margin"}, 100},
	{"gradient of the small-margin images", figure.Axis{Label: "‖gradient‖", Log: true},
		[]string{"gradient_small_margin"}, 1},
	{"cosine of both groups' gradients", figure.Axis{Label: "cosine"}, []string{"gradient_cosine"},
		1},
	{"small-margin loss taken by past large-margin gradients", figure.Axis{Label: "nats per step"},
		[]string{"decrease_small_margin_by_past_large"}, 1},
}

// picture has a panel for each quantity that the runs have, two in a row.
func picture(rows []runtable.Row, settings []string) figure.Picture {
	last := 1.0
	for _, row := range rows {
		for _, r := range row {
			last = max(last, float64(r.Epochs()))
		}
	}
	p := figure.Picture{Title: "Comparison of runs", Width: 7.2}
	n := 0
	for _, q := range quantities {
		panel := figure.Panel{Title: fmt.Sprintf("(%c) %s", 'a'+n, q.title),
			X: figure.Axis{Label: "epoch", High: last}, Y: q.axis}
		for i, row := range rows {
			for _, l := range q.lines(row) {
				l.Color = figure.Category(i)
				if n == 0 {
					l.Name = name(row, rows, settings)
				}
				panel.Lines = append(panel.Lines, l)
			}
		}
		if len(panel.Lines) == 0 {
			continue
		}
		if n%2 == 0 {
			p.Panels = append(p.Panels, nil)
		}
		k := len(p.Panels) - 1
		p.Panels[k] = append(p.Panels[k], panel)
		n++
	}
	p.Note = "Means over the seeds; bands from the least to the largest. A seed that ended " +
		"before others keeps its last value."
	return p
}

// name names a curve by its algorithm, its rate and what else differs between the rows. The form
// and γ count among those with momentum alone.
func name(row runtable.Row, rows []runtable.Row, settings []string) string {
	value := func(row runtable.Row, name string) string { return row[0].Settings[name] }
	opt := value(row, "opt")
	text := strings.ToUpper(strings.TrimSuffix(opt, "m"))
	if opt != strings.TrimSuffix(opt, "m") {
		text += "+M"
	}
	text += ", η = " + value(row, "lr")
	own := []string{"weight_decay", "clip"}
	if strings.HasSuffix(opt, "m") {
		own = append(own, "form", "momentum")
	}
	for _, name := range own {
		ofOthers := func(r runtable.Row) bool {
			return value(r, "opt") == opt && value(r, name) != value(row, name)
		}
		if slices.ContainsFunc(rows, ofOthers) {
			settings = append(slices.Clone(settings), name)
		}
	}
	for _, name := range settings {
		text += fmt.Sprintf(", %s %s", strings.ReplaceAll(name, "_", " "), value(row, name))
	}
	return text
}

// lines are the curves of a row: one of the runs that are done, and one of each other run.
func (q quantity) lines(row runtable.Row) (lines []figure.Line) {
	var done, others []figure.Curve
	for _, r := range row {
		c, ok := q.curve(r)
		switch {
		case !ok:
		case r.State == rundir.Done:
			done = append(done, c)
		default:
			others = append(others, c)
		}
	}
	if len(done) > 0 {
		lines = append(lines, figure.Band(figure.Hold(done), figure.Range))
	}
	for _, c := range others {
		lines = append(lines, figure.Line{X: c.X, Y: c.Y})
	}
	return lines
}

// curve is the curve of a run, if it has the quantity.
func (q quantity) curve(r runtable.Run) (figure.Curve, bool) {
	for _, column := range q.columns {
		if x, y := r.Series(column); len(x) > 0 {
			y = slices.Clone(y)
			for i := range y {
				y[i] *= q.factor
			}
			return figure.Curve{X: x, Y: y}, true
		}
	}
	return figure.Curve{}, false
}
