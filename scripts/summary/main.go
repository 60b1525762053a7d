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
	"momentum/internal/rundir"
	"momentum/internal/runtable"
	"momentum/internal/stats"
)

func main() { os.Exit(cli.Main("summary", run)) }

func run(_ context.Context, stdout, stderr io.Writer, args []string) error {
	flags := flag.NewFlagSet("summary", flag.ContinueOnError)
	asCSV := flags.Bool("csv", false, "write a table for programs, a line for each run")
	runs, err := runtable.Arguments(flags, args, "go run ./scripts/summary [-csv] RUN_FOLDER...",
		stdout, stderr)
	if err != nil {
		return err
	}
	rows := runtable.Rows(runs)
	settings := runtable.Differing(rows)
	if *asCSV {
		return writeCSV(stdout, runs, settings)
	}
	fmt.Fprint(stdout, runtable.Table(rows, settings).Markdown())
	for i, a := range rows {
		for _, b := range rows[i+1:] {
			fmt.Fprint(stdout, difference(a, b))
		}
	}
	return nil
}

// difference is a sentence on the accuracies of row b minus those of row a, over the seeds that
// both rows have done. It is empty for fewer than two such seeds, and for rows that differ in more
// than the algorithm and its rate.
func difference(a, b runtable.Row) string {
	algorithm := []string{"opt", "form", "momentum", "lr"}
	if a[0].Without(algorithm...) != b[0].Without(algorithm...) {
		return ""
	}
	accuracies := map[string]float64{} // of a, by seed
	for _, o := range a {
		if o.State == rundir.Done {
			accuracies[o.Seed()] = o.Accuracy
		}
	}
	var points []float64
	for _, o := range b {
		if accuracy, found := accuracies[o.Seed()]; found && o.State == rundir.Done {
			points = append(points, 100*(o.Accuracy-accuracy))
		}
	}
	if len(points) < 2 {
		return ""
	}
	name := strings.ToUpper(a[0].Evaluated[:1]) + a[0].Evaluated[1:]
	values := ""
	if len(points) <= runtable.Few {
		values = " (" + runtable.Listed(points) + ")"
	}
	return fmt.Sprintf("\n%s accuracy of (%s, η = %s) minus (%s, η = %s), paired by seed: %s%s "+
		"points, n = %d.\n", name, b[0].Rule, b[0].Settings["lr"], a[0].Rule,
		a[0].Settings["lr"], stats.Mean95(points), values, len(points))
}

// writeCSV writes a line for each run: its folder, rule, settings and numbers.
func writeCSV(w io.Writer, runs []runtable.Run, settings []string) error {
	text := csv.NewWriter(w)
	_ = text.Write(slices.Concat([]string{"folder", "state", "rule", "lr", "eta_eff", "seed"},
		settings, []string{"epochs_done", "loss", "train_accuracy", "zero_error_at", "evaluated",
			"accuracy"})) // kept by the writer until Error
	for _, o := range runs {
		line := []string{o.Folder, string(o.State), o.Rule, o.Settings["lr"], o.EffectiveRate,
			o.Seed()}
		for _, name := range settings {
			line = append(line, o.Settings[name])
		}
		_ = text.Write(append(line, strconv.Itoa(o.Epochs()), fmt.Sprint(o.Last("loss")),
			fmt.Sprint(o.Last("train_accuracy")), strconv.Itoa(o.ZeroError()), o.Evaluated,
			fmt.Sprint(o.Accuracy)))
	}
	text.Flush()
	return text.Error()
}
