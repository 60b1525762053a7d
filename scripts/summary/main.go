// Summary writes a table of run folders. Runs that differ only in their seed share a row, with
// means and 95% t intervals over the seeds that are done.
//
//	go run ./scripts/summary runs/*
//	go run ./scripts/summary -csv runs/* > runs.csv
//	go run ./scripts/summary -where=opt=gdm,width=8 -sort=-accuracy runs/*
//
// The columns are the rule and its rate, every other setting that differs between the rows, and,
// at the final weights, the loss and the accuracy on the training images, the epochs at which
// each seed first had zero training error, and the accuracy on the evaluated images. Below the
// table, each pair of rows that differ only in the algorithm or its rate has the difference of
// the accuracies, paired by seed. Runs that have not ended or have diverged are shown as such;
// folders that are no runs on images are named on the standard error. -csv writes a line for
// each run, -json an object for each, with all settings. -where keeps the runs that have all of
// some values, and -sort orders them by a column of the CSV, a setting, or eta_eff; a row of the
// table stands where its first run does.
package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
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
	asJSON := flags.Bool("json", false, "write an object for each run")
	where := flags.String("where", "", "NAME=VALUE,…: keep runs that have these values")
	sort := flags.String("sort", "", "order by a `column`; -column: from the largest on")
	runs, err := runtable.Arguments(flags, args, "go run ./scripts/summary [-csv|-json] "+
		"[-where=NAME=VALUE,...] [-sort=[-]COLUMN] RUN_FOLDER...", stdout, stderr)
	if err != nil {
		return err
	}
	if *asCSV && *asJSON {
		return cli.Usagef("-csv and -json contradict each other: leave one out")
	}
	if runs, err = runtable.Where(runs, *where); err != nil {
		return err
	}
	if runs, err = runtable.Sort(runs, *sort); err != nil {
		return err
	}
	if *asJSON {
		return writeJSON(stdout, runs)
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

// writeJSON writes an array with an object for each run. Numbers that are not known are null.
func writeJSON(w io.Writer, runs []runtable.Run) error {
	type object struct {
		Folder    string         `json:"folder"`
		State     rundir.State   `json:"state"`
		Rule      string         `json:"rule"`
		EtaEff    json.Number    `json:"eta_eff"`
		Settings  map[string]any `json:"settings"`
		Epochs    int            `json:"epochs_done"`
		Loss      *float64       `json:"loss"`
		Train     *float64       `json:"train_accuracy"`
		Zero      int            `json:"zero_error_at"` // −1: never
		Evaluated string         `json:"evaluated"`
		Accuracy  *float64       `json:"accuracy"`
	}
	known := func(x float64) *float64 {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil
		}
		return &x
	}
	all := []object{}
	for _, r := range runs {
		settings := map[string]any{}
		for name, text := range r.Settings {
			settings[name] = text
			if json.Valid([]byte(text)) { // a number, with all of its digits
				settings[name] = json.RawMessage(text)
			}
		}
		all = append(all, object{r.Folder, r.State, r.Rule, json.Number(r.EffectiveRate), settings,
			r.Epochs(), known(r.Last("loss")), known(r.Last("train_accuracy")), r.ZeroError(),
			r.Evaluated, known(r.Accuracy)})
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(all)
}
