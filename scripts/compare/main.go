// Compare lays runs over each other: one picture of their losses, accuracies and norms, and a table
// of what differs between them. Runs that differ only in their seed are one curve, the mean over
// the seeds, in a band of its 95% t interval; on logarithmic axes both are of the logarithm.
//
//	go run ./scripts/compare runs/*-gd-lr0.05-* runs/*-gdm-undamped-g0.9-lr0.01-*
//
// It writes compare.svg and compare.png, or -out=NAME, and compare.html: one page with the picture,
// the table, the settings and the origin of the runs. The panels are the training loss, the
// accuracy on the training images, both on the evaluated images, the norms of the gradient, the
// step and the weights and, where the runs have them, what -diagnose measured: sharpness, critical
// sharpness, noise of the gradient, groups of images, and steps by layer. A run that ended early
// keeps its last values. Runs that have not ended are drawn as far as they are, as curves of their
// own. Of several configurations a table gives the accuracies at equal training losses (-at-loss),
// and by how much the later ones that differ from the first only in the algorithm and its rate are
// above it, paired by seed.
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
	"momentum/internal/markdown"
	"momentum/internal/page"
	"momentum/internal/rundir"
	"momentum/internal/runtable"
)

const manual = `compare lays runs over each other: one picture, a table of what differs, and a page.
Runs that differ only in their seed are one curve, their mean, in a band of its 95% t interval.

  go run ./scripts/compare runs/*-gd-lr0.05-* runs/*-gdm-undamped-g0.9-lr0.01-*`

func main() { os.Exit(cli.Main("compare", run)) }

func run(_ context.Context, stdout, stderr io.Writer, args []string) error {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	out := flags.String("out", "compare", "the name of the picture and the page, without .svg")
	levels := []float64{1, 0.3, 0.1, 0.03}
	flags.Func("at-loss", "`list` of training losses, in nats: the accuracies of several "+
		"configurations where they first fall to these (default 1,0.3,0.1,0.03)",
		cli.Floats(&levels))
	runs, err := runtable.Arguments(flags, args, manual, stdout, stderr)
	if err != nil {
		return err
	}
	if low := slices.Min(levels); low <= 0 {
		return cli.Usagef("-at-loss must be positive, got %g: name losses such as 0.1", low)
	}
	rows := runtable.Rows(runs)
	if len(rows) > most {
		return cli.Usagef("%d configurations are too many for one picture, want at most %d: name "+
			"fewer folders", len(rows), most)
	}
	settings := runtable.Differing(rows)
	table := runtable.Table(rows, settings)
	fmt.Fprint(stdout, markdown.Align(table.Markdown()))
	tables := []page.Table{table}
	if len(rows) > 1 {
		t, reached := atLosses(rows, names(rows), levels)
		if reached {
			fmt.Fprintf(stdout, "\n%s\n\n%s", t.Title, markdown.Align(t.Markdown()))
			tables = append(tables, t)
		} else {
			fmt.Fprintf(stdout, "\nNo run that is done falls to a training loss of %g: name "+
				"higher ones with -at-loss to compare accuracies at equal losses.\n",
				slices.Max(levels))
		}
	}
	if err := picture(rows, settings).Write(*out); err != nil {
		return err
	}
	if err := report(args, runs, rows, tables, *out).Write(*out + ".html"); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\npicture   %s.png\npage      %[1]s.html\n", *out)
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
	summary figure.Summary
}

var percent, cosine = figure.Within(0, 100), figure.Within(-1, 1)

// quantities are those of all panels.
func quantities() []quantity {
	positive := func(title, label string, columns ...string) quantity {
		return quantity{title, figure.Axis{Label: label, Log: true}, columns, 1,
			figure.Geometric95}
	}
	accuracy := func(title, label string, columns ...string) quantity {
		return quantity{title, figure.Axis{Label: label}, columns, 100, percent}
	}
	all := []quantity{
		positive("training loss", "training loss (nats)", "loss"),
		accuracy("training accuracy", "training accuracy (%)", "train_accuracy"),
		positive("loss on test or held-out images", "loss (nats)", "test_loss", "held_out_loss"),
		accuracy("accuracy on test or held-out images", "accuracy (%)", accuracyColumns...),
		positive("norm of the gradient", "‖gradient‖", "grad_norm"),
		positive("norm of the step", "‖step‖", "update_norm"),
		positive("norm of the weights", "‖weights‖", "param_norm"),
		positive("sharpness", "sharpness", "sharpness"),
		positive("critical sharpness", "critical sharpness", "critical_sharpness"),
		positive("noise scale of the gradient", "noise scale (images)", "noise_scale"),
		accuracy("accuracy on small-margin images", "accuracy (%)", "test_accuracy_small_margin",
			"held_out_accuracy_small_margin"),
		positive("gradient of the small-margin images", "‖gradient‖", "gradient_small_margin"),
		{"cosine of both groups' gradients", figure.Axis{Label: "cosine"},
			[]string{"gradient_cosine"}, 1, cosine},
		{"small-margin loss taken by past large-margin gradients",
			figure.Axis{Label: "nats per step"}, []string{"decrease_small_margin_by_past_large"}, 1,
			figure.Mean95},
	}
	for _, layers := range figure.Layers() {
		all = append(all, positive("relative step, "+layers, "‖step‖ / ‖weights‖",
			"relative_step_"+layers))
	}
	return all
}

// picture has a panel for each quantity that the runs have, two in a row.
func picture(rows []runtable.Row, settings []string) figure.Picture {
	last := 1.0
	for _, row := range rows {
		for _, r := range row {
			last = max(last, float64(r.Epochs()))
		}
	}
	var panels []figure.Panel
	for _, q := range quantities() {
		panel := figure.Panel{Title: q.title, X: figure.Axis{Label: "epoch", High: last}, Y: q.axis}
		var all []figure.Curve
		for i, row := range rows {
			lines, curves := q.lines(row)
			for _, l := range lines {
				l.Color, l.Name = figure.Category(i), name(row, rows, settings)
				panel.Lines = append(panel.Lines, l)
			}
			all = append(all, curves...)
		}
		if q.axis.Log { // the interval of few seeds is far wider than anything measured
			panel.Y = q.axis.Around(all)
		}
		if len(panel.Lines) > 0 {
			panels = append(panels, panel)
		}
	}
	p := figure.Picture{Title: "Comparison of runs", Width: 7.2, OneLegend: true,
		Panels: slices.Collect(slices.Chunk(panels, 2))}
	p.Note = "Means over the seeds and their 95% t intervals; on logarithmic axes those of the " +
		"logarithm. A seed that ended before others keeps its last value."
	return p
}

// report is the page of a comparison, of which the picture has been drawn. args are those of the
// command.
func report(args []string, runs []runtable.Run, rows []runtable.Row, tables []page.Table,
	out string) page.Page {
	names := names(rows)
	title := strings.Join(names, " beside ")
	return page.Page{Title: "Comparison of runs", Text: title,
		Command: cli.CommandLine("go run ./scripts/compare", args...),
		Sections: []page.Section{
			{Title: "Curves", Pictures: []page.Picture{{Path: out + ".svg", Title: title}}},
			{Title: "Results", Text: "Means and 95% t intervals over the seeds that are done (n).",
				Tables: tables},
			{Title: "Settings", Tables: []page.Table{runtable.Settings(rows, names)}},
			{Title: "Runs", Tables: []page.Table{runtable.Origins(runs)}},
		}}
}

// names are those of all curves.
func names(rows []runtable.Row) (names []string) {
	settings := runtable.Differing(rows)
	for _, row := range rows {
		names = append(names, name(row, rows, settings))
	}
	return names
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
		if v := value(row, name); v != "" { // a configuration leaves out what is off
			text += fmt.Sprintf(", %s %s", strings.ReplaceAll(name, "_", " "), v)
		}
	}
	return text
}

// lines are the curves of a row: one of the runs that are done, and one of each other run. curves
// are those of all of its runs.
func (q quantity) lines(row runtable.Row) (lines []figure.Line, curves []figure.Curve) {
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
		lines = append(lines, figure.Band(figure.Hold(done), q.summary))
	}
	for _, c := range others {
		lines = append(lines, figure.Line{X: c.X, Y: c.Y})
	}
	return lines, append(done, others...)
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
