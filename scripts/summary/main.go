// Summary writes a table of run folders. Runs that differ only in their seed share a row, with
// means and 95% t intervals over the seeds that are done.
//
//	go run ./scripts/summary runs/*
//	go run ./scripts/summary -csv runs/* > runs.csv
//
// The columns are the rule and its rate, every other setting that differs between the rows, and, at
// the final weights, the loss and the accuracy on the training images, the epochs at which each
// seed first had zero training error, and the accuracy on the evaluated images. Below the table,
// each pair of rows that differ only in the algorithm or its rate has the difference of the
// accuracies, paired by seed. Runs that have not ended or have diverged are shown as such; folders
// that are no runs on images are named on the standard error. -csv writes a line for each run.
package main

import (
	"context"
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"momentum/internal/cli"
	"momentum/internal/markdown"
	"momentum/internal/rundir"
	"momentum/internal/stats"
)

func main() { os.Exit(cli.Main("summary", run)) }

func run(_ context.Context, stdout, stderr io.Writer, args []string) error {
	flags := flag.NewFlagSet("summary", flag.ContinueOnError)
	asCSV := flags.Bool("csv", false, "write a table for programs, a line for each run")
	flags.SetOutput(io.Discard)
	switch err := cli.ParseOnce(flags, args); {
	case cli.Status(err) == cli.Done && err != nil: // -h
		fmt.Fprintln(stdout, "usage: go run ./scripts/summary [-csv] RUN_FOLDER...")
		return nil
	case err != nil:
		return &cli.UsageError{Err: err}
	}
	var runs []outcome
	for _, folder := range flags.Args() {
		if info, err := os.Stat(folder); err == nil && !info.IsDir() {
			continue // a lock file among runs/*
		}
		o, err := read(folder)
		if err != nil {
			fmt.Fprintf(stderr, "summary: left out: %v\n", err)
			continue
		}
		runs = append(runs, o)
	}
	if len(runs) == 0 {
		return cli.Usagef("no runs on images among %q: name their folders, for example runs/*",
			flags.Args())
	}
	rows := grouped(runs)
	if *asCSV {
		return writeCSV(stdout, runs, differing(runs, rows))
	}
	fmt.Fprint(stdout, table(rows, differing(runs, rows)))
	for i, a := range rows {
		for _, b := range rows[i+1:] {
			fmt.Fprint(stdout, difference(a, b))
		}
	}
	return nil
}

// grouped are the runs by their configuration, in the order of their first folders, and each row by
// seed.
func grouped(runs []outcome) (rows [][]outcome) {
	for _, o := range runs {
		i := slices.IndexFunc(rows, func(row []outcome) bool {
			return row[0].configuration() == o.configuration()
		})
		if i < 0 {
			rows = append(rows, []outcome{o})
		} else {
			rows[i] = append(rows[i], o)
		}
	}
	for _, row := range rows {
		slices.SortFunc(row, func(a, b outcome) int { return strings.Compare(a.seed(), b.seed()) })
	}
	return rows
}

// shown are settings that the table shows anyway: the seeds share a row, and the rule has its parts
// in its name. Whether images were held out is said by the name of the accuracy.
var shown = []string{"seed", "opt", "form", "momentum", "weight_decay", "clip", "lr"}

// differing are the other settings that differ between rows, in the order of the configurations.
func differing(runs []outcome, rows [][]outcome) (names []string) {
	for _, o := range runs {
		for _, name := range o.order {
			if !slices.Contains(shown, name) && !slices.Contains(names, name) &&
				slices.ContainsFunc(rows, func(row []outcome) bool {
					return row[0].settings[name] != rows[0][0].settings[name]
				}) {
				names = append(names, name)
			}
		}
	}
	return names
}

// table is the table of the rows, with columns for some settings.
func table(rows [][]outcome, settings []string) string {
	header := slices.Concat([]string{"rule", "η", "η_eff"}, settings, []string{"n",
		"training loss", "training accuracy, %", "zero training error at epoch"})
	evaluated := []string{}
	for _, name := range []string{"test", "held-out"} {
		if slices.ContainsFunc(rows, func(r []outcome) bool { return r[0].evaluated == name }) {
			evaluated = append(evaluated, name)
			header = append(header, name+" accuracy, %")
		}
	}
	var cells [][]string
	for _, row := range rows {
		var zero []string
		n := 0
		for _, o := range row {
			zero = append(zero, o.end())
			if o.state == rundir.Done {
				n++
			}
		}
		line := []string{row[0].rule, row[0].settings["lr"], row[0].effectiveRate}
		for _, name := range settings {
			line = append(line, row[0].settings[name])
		}
		line = append(line, strconv.Itoa(n), mean(row, func(o outcome) float64 { return o.loss }),
			mean(row, func(o outcome) float64 { return 100 * o.trainAccuracy }),
			strings.Join(zero, ", "))
		for _, name := range evaluated {
			accuracy := ""
			if row[0].evaluated == name {
				accuracy = mean(row, func(o outcome) float64 { return 100 * o.accuracy })
			}
			line = append(line, accuracy)
		}
		cells = append(cells, line)
	}
	return markdown.Table(header, cells)
}

// few is the number of values up to which they stand beside their mean: their interval is wide.
const few = 3

// mean is the mean over the runs of a row that are done, with its 95% interval and, if there are
// few, the values; "none" if there are none.
func mean(row []outcome, value func(outcome) float64) string {
	var values []float64
	for _, o := range row {
		if o.state == rundir.Done {
			values = append(values, value(o))
		}
	}
	if len(values) == 0 {
		return "none"
	}
	text := stats.Mean95(values).String()
	if len(values) > 1 && len(values) <= few {
		text += " (" + listed(values) + ")"
	}
	return text
}

// listed are values with three digits.
func listed(values []float64) string {
	var words []string
	for _, x := range values {
		words = append(words, strconv.FormatFloat(x, 'g', 3, 64))
	}
	return strings.Join(words, ", ")
}

// difference is a sentence on the accuracies of row b minus those of row a, over the seeds that
// both rows have done. It is empty for fewer than two such seeds, and for rows that differ in more
// than the algorithm and its rate.
func difference(a, b []outcome) string {
	algorithm := []string{"opt", "form", "momentum", "lr"}
	if a[0].without(algorithm...) != b[0].without(algorithm...) {
		return ""
	}
	accuracies := map[string]float64{} // of a, by seed
	for _, o := range a {
		if o.state == rundir.Done {
			accuracies[o.seed()] = o.accuracy
		}
	}
	var points []float64
	for _, o := range b {
		if accuracy, found := accuracies[o.seed()]; found && o.state == rundir.Done {
			points = append(points, 100*(o.accuracy-accuracy))
		}
	}
	if len(points) < 2 {
		return ""
	}
	name := strings.ToUpper(a[0].evaluated[:1]) + a[0].evaluated[1:]
	values := ""
	if len(points) <= few {
		values = " (" + listed(points) + ")"
	}
	return fmt.Sprintf("\n%s accuracy of (%s, η = %s) minus (%s, η = %s), paired by seed: %s%s "+
		"points, n = %d.\n", name, b[0].rule, b[0].settings["lr"], a[0].rule,
		a[0].settings["lr"], stats.Mean95(points), values, len(points))
}

// writeCSV writes a line for each run: its folder, rule, settings and numbers.
func writeCSV(w io.Writer, runs []outcome, settings []string) error {
	text := csv.NewWriter(w)
	_ = text.Write(slices.Concat([]string{"folder", "state", "rule", "lr", "eta_eff", "seed"},
		settings, []string{"epochs_done", "loss", "train_accuracy", "zero_error_at", "evaluated",
			"accuracy"})) // kept by the writer until Error
	for _, o := range runs {
		line := []string{o.folder, string(o.state), o.rule, o.settings["lr"], o.effectiveRate,
			o.seed()}
		for _, name := range settings {
			line = append(line, o.settings[name])
		}
		_ = text.Write(append(line, strconv.Itoa(o.epochs), fmt.Sprint(o.loss),
			fmt.Sprint(o.trainAccuracy), strconv.Itoa(o.zeroError), o.evaluated,
			fmt.Sprint(o.accuracy)))
	}
	text.Flush()
	return text.Error()
}
