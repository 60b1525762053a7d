package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"

	"momentum/internal/durable"
	"momentum/internal/figure"
	"momentum/internal/imagerun"
	"momentum/internal/markdown"
)

// result is what was measured.
type result struct {
	line         []point // empty without points
	apart        []apart // first that of the ends, then those by epoch
	evaluated    string  // the split that the runs evaluate
	standardized bool    // the network uses standardized weights
	title        string  // of the picture
}

// byEpoch are the distances by epoch.
func (r *result) byEpoch() []apart { return r.apart[1:] }

// column is the column of the evaluated images that corresponds to one of the test images.
func (r *result) column(name string) string {
	if r.evaluated == imagerun.HeldOutSplit {
		return imagerun.HeldOut(name)
	}
	return name
}

// write prints the tables and writes the files.
func (o *options) write(ctx context.Context, r *result, stdout io.Writer) error {
	fmt.Fprintf(stdout, "\n%s", markdown.Align(r.distanceTable()))
	files := ""
	save := func(ending string, write func(io.Writer) error) error {
		files += ", " + o.out + ending
		return durable.WriteFile(o.out+ending, write)
	}
	if len(r.line) > 0 {
		fmt.Fprintf(stdout, "\n%s", markdown.Align(r.lineTable()))
		height, at := barrier(r.line)
		fmt.Fprintf(stdout, "\nloss barrier %.4g nats", height)
		if height > 0 {
			fmt.Fprintf(stdout, ", at t = %.4g", at)
		}
		fmt.Fprintln(stdout, ": how far the training loss rises above the straight line between "+
			"its ends")
		if err := save(".csv", table(r.lineRows())); err != nil {
			return err
		}
	}
	if len(r.byEpoch()) > 0 {
		if err := save("-distances.csv", table(r.distanceRows())); err != nil {
			return err
		}
	}
	p := r.picture()
	if len(p.Panels) > 0 {
		if err := p.Write(ctx, o.out); err != nil {
			return err
		}
		files += fmt.Sprintf(", %s.png, %[1]s.svg", o.out)
	}
	if files != "" {
		fmt.Fprintf(stdout, "\nfiles     %s\n", files[2:])
	}
	return nil
}

// table writes rows as CSV.
func table(rows [][]string) func(io.Writer) error {
	return func(w io.Writer) error { return csv.NewWriter(w).WriteAll(rows) }
}

// number is a value with all its digits.
func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// short is a value for people.
func short(x float64) string { return strconv.FormatFloat(x, 'g', 4, 64) }

// lineRows are the rows of the points, with a head.
func (r *result) lineRows() [][]string {
	rows := [][]string{{"t", "loss", "train_accuracy", r.column("test_loss"),
		r.column("test_accuracy")}}
	for _, p := range r.line {
		rows = append(rows, []string{short(p.t), number(p.loss), number(p.accuracy),
			number(p.evaluatedLoss), number(p.evaluatedRight)})
	}
	return rows
}

// lineTable is the table of the points.
func (r *result) lineTable() string {
	var rows [][]string
	percent := func(x float64) string { return fmt.Sprintf("%.2f%%", 100*x) }
	for _, p := range r.line {
		rows = append(rows, []string{short(p.t), short(p.loss), percent(p.accuracy),
			short(p.evaluatedLoss), percent(p.evaluatedRight)})
	}
	return markdown.Table([]string{"t", "training loss", "training accuracy", r.evaluated + " loss",
		r.evaluated + " accuracy"}, rows)
}

// titles are those of the columns of distances.
func (r *result) titles(first, prefix string, names ...string) []string {
	titles := append([]string{first}, names...)
	if r.standardized {
		for _, name := range names {
			titles = append(titles, prefix+name)
		}
	}
	return titles
}

// distanceRow is a row of distances. none stands where there is no cosine.
func (r *result) distanceRow(first string, a apart, text func(float64) string,
	none string) []string {
	row := []string{first}
	all := []distance{a.raw}
	if r.standardized {
		all = append(all, a.used)
	}
	for _, d := range all {
		cosine := none
		if !math.IsNaN(d.cosine) {
			cosine = text(d.cosine)
		}
		row = append(row, text(d.between), text(d.a), text(d.b), cosine)
	}
	return row
}

// distanceRows are the rows of the distances by epoch, with a head.
func (r *result) distanceRows() [][]string {
	rows := [][]string{r.titles("epoch", "standardized_", "distance", "displacement_a",
		"displacement_b", "cosine")}
	for _, a := range r.byEpoch() {
		rows = append(rows, r.distanceRow(strconv.Itoa(a.epoch), a, number, ""))
	}
	return rows
}

// distanceTable is the table of the distances of the ends and by epoch.
func (r *result) distanceTable() string {
	var rows [][]string
	for _, a := range r.apart {
		first := "a, b"
		if a.epoch >= 0 {
			first = strconv.Itoa(a.epoch)
		}
		rows = append(rows, r.distanceRow(first, a, short, "–"))
	}
	return markdown.Table(r.titles("epoch", "standardized ", "‖a − b‖", "‖a − a₀‖", "‖b − b₀‖",
		"cosine"), rows)
}

// picture has the losses and accuracies along the line, and the distances by epoch.
func (r *result) picture() figure.Picture {
	p := figure.Picture{Title: r.title, Width: 7.2}
	if len(r.line) > 0 {
		p.Panels = append(p.Panels, r.linePanels())
	}
	if len(r.byEpoch()) > 2 { // more than the first and the last
		p.Panels = append(p.Panels, r.distancePanels())
		if r.standardized {
			p.Note = "Distances and cosine of the standardized weights, which the network uses."
		}
	}
	p.Height = 0.5 + 2.5*float64(len(p.Panels))
	return p
}

// linePanels are the panels of the line.
func (r *result) linePanels() []figure.Panel {
	var loss, right [2]figure.Line
	for i, name := range []string{imagerun.TrainSplit, r.evaluated} {
		color := []figure.Category{figure.Blue, figure.Vermilion}[i]
		loss[i], right[i] = figure.Line{Name: name, Color: color}, figure.Line{Name: name,
			Color: color}
	}
	for _, p := range r.line {
		for i, y := range [2][2]float64{{p.loss, p.accuracy}, {p.evaluatedLoss, p.evaluatedRight}} {
			loss[i].X, loss[i].Y = append(loss[i].X, p.t), append(loss[i].Y, y[0])
			right[i].X, right[i].Y = append(right[i].X, p.t), append(right[i].Y, 100*y[1])
		}
	}
	x := figure.Axis{Label: "t, for the weights a + t (b − a)", Low: r.line[0].t,
		High: r.line[len(r.line)-1].t}
	ends := []figure.Mark{{X: 0, Label: "a"}, {X: 1, Label: "b"}}
	return []figure.Panel{
		{X: x, Y: figure.Axis{Label: "loss (nats)", Log: true}, Lines: loss[:], Marks: ends},
		{X: x, Y: figure.Axis{Label: "accuracy (%)", High: 100}, Lines: right[:], Marks: ends},
	}
}

// distancePanels are the panels of the distances by epoch.
func (r *result) distancePanels() []figure.Panel {
	lines := []figure.Line{{Name: "‖a − b‖"}, {Name: "‖a − a₀‖"}, {Name: "‖b − b₀‖"}}
	var cosine figure.Line
	last := 0
	for _, a := range r.byEpoch() {
		d := a.raw
		if r.standardized {
			d = a.used
		}
		epoch := float64(a.epoch)
		for i, y := range []float64{d.between, d.a, d.b} {
			lines[i].X, lines[i].Y = append(lines[i].X, epoch), append(lines[i].Y, y)
		}
		if !math.IsNaN(d.cosine) {
			cosine.X, cosine.Y = append(cosine.X, epoch), append(cosine.Y, d.cosine)
		}
		last = max(last, a.epoch)
	}
	x := figure.Epochs(cmp.Or(float64(last), 1))
	return []figure.Panel{
		{X: x, Y: figure.Axis{Label: "distance"}, Lines: lines},
		{X: x, Y: figure.Axis{Label: "cosine of the displacements", Low: -1, High: 1},
			Lines: []figure.Line{cosine}},
	}
}
