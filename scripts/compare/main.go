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
// own. GD is blue and GD+M vermilion; interventions are dashed. Of several configurations a table
// gives the accuracies at equal training losses (-at-loss), and by how much the later ones that
// differ from the first only in the algorithm and its rate are above it, paired by seed.
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

func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	out := flags.String("out", "compare", "the name of the picture and the page, without .svg")
	levels := []float64{1, 0.3, 0.1, 0.03}
	flags.Func("at-loss", "`list` of training losses, in nats: the accuracies of several "+
		"configurations where they first fall to these (default 1,0.3,0.1,0.03)",
		cli.Floats(&levels))
	runs, err := runtable.Arguments(ctx, flags, args, manual, stdout, stderr)
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
	if err := picture(rows, settings).Write(ctx, *out); err != nil {
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

// quantities are those of all panels. If runs bound the gradient, the titles tell which norm is
// that of the bounded one.
func quantities(clipped bool) []quantity {
	used, plain := "", ""
	if clipped {
		used, plain = " as used, clipped", ", not clipped"
	}
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
		positive("norm of the gradient"+used, "‖gradient‖", "grad_norm"),
		positive("norm of the step", "‖step‖", "update_norm"),
		positive("norm of the weights", "‖weights‖", "param_norm"),
		positive("sharpness", "sharpness", "sharpness"),
		positive("critical sharpness", "critical sharpness", "critical_sharpness"),
		positive("noise scale of the gradient", "noise scale (images)", "noise_scale"),
		accuracy("accuracy on small-margin images", "accuracy (%)", "test_accuracy_small_margin",
			"held_out_accuracy_small_margin"),
		positive("gradient of the small-margin images"+plain, "‖gradient‖",
			"gradient_small_margin"),
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

// picture has a panel for each quantity that the runs have, two in a row. Interventions are dashed
// and lie on top, because up to the fit most of them are the runs that they intervene in.
func picture(rows []runtable.Row, settings []string) figure.Picture {
	last := 1.0
	for _, row := range rows {
		for _, r := range row {
			last = max(last, float64(r.Epochs()))
		}
	}
	colors, order := colors(rows), fromTheTop(rows)
	var panels []figure.Panel
	for _, q := range quantities(slices.ContainsFunc(rows, clipped)) {
		panel := figure.Panel{Title: q.title, X: figure.Epochs(last), Y: q.axis}
		var all []figure.Curve
		for _, i := range order {
			lines, curves := q.lines(rows[i])
			for _, l := range lines {
				l.Color, l.Name = colors[i], name(rows[i], rows, settings)
				l.Dashed = value(rows[i], "intervene") != ""
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
	p := figure.Picture{Title: title(rows), Note: note(rows, order), Width: 7.2, OneLegend: true,
		Panels: slices.Collect(slices.Chunk(panels, 2))}
	if n := len(p.Panels); n > 3 { // lower axes, which still fit a page
		p.Height = 0.8 + 2.1*float64(n)
	}
	return p
}

// clipped reports whether the runs of a row bound the gradient.
func clipped(row runtable.Row) bool {
	clip := value(row, "clip")
	return clip != "" && clip != "0"
}

// fromTheTop are the indices of the rows in the order of their curves, the uppermost first:
// interventions, then the others.
func fromTheTop(rows []runtable.Row) (order []int) {
	for _, intervened := range []bool{true, false} {
		for i, row := range rows {
			if intervened == (value(row, "intervene") != "") {
				order = append(order, i)
			}
		}
	}
	return order
}

// colors are those of the rows: blue for the first without momentum and vermilion for the first
// with it, as in the studies, whatever their order. The others have the other colors.
func colors(rows []runtable.Row) []figure.Category {
	first := func(momentum bool) int {
		return slices.IndexFunc(rows, func(row runtable.Row) bool {
			return momentum == hasMomentum(row) && value(row, "intervene") == ""
		})
	}
	gd, gdm := first(false), first(true)
	rest := []figure.Category{figure.Green, figure.Black, figure.Purple, figure.Orange, figure.Sky,
		figure.Yellow}
	if gd < 0 {
		rest = append(rest, figure.Blue)
	}
	if gdm < 0 {
		rest = append(rest, figure.Vermilion)
	}
	colors := make([]figure.Category, len(rows))
	for i := range rows {
		switch i {
		case gd:
			colors[i] = figure.Blue
		case gdm:
			colors[i] = figure.Vermilion
		default:
			colors[i], rest = rest[0], rest[1:]
		}
	}
	return colors
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
