// Summary writes a table of run folders. Runs that differ only in their seed share a row, with
// means and 95% t intervals over the seeds that are done.
//
//	go run ./scripts/summary runs/*
//	go run ./scripts/summary -csv runs/* > runs.csv
//	go run ./scripts/summary -where=opt=gdm,width=8 -sort=-accuracy runs/*
//
// The columns are the rule and its rate, the names and tags of the runs if they have some, every
// other setting that differs between the rows, and, at the final weights, the loss and the accuracy
// on the training images, the epochs at which each seed first had zero training error, and the
// accuracy on the evaluated images. Below the table, each pair of rows that differ only in the
// algorithm or its rate has the difference of the accuracies, paired by seed. Runs that have not
// ended or have diverged are shown as such; folders that are no runs on images are named on the
// standard error. -csv writes a line for each run, -json an object for each, with all settings;
// what is not known, such as the epoch of zero training error before there is one, is empty or
// null. -where keeps the runs that have all of some values, and -sort orders them by a column of
// the CSV, a setting, or eta_eff; a row of the table stands where its first run does.
package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"

	"momentum/internal/cli"
	"momentum/internal/markdown"
	"momentum/internal/runtable"
	"momentum/internal/stats"
)

const manual = `summary writes a table of run folders. Runs that differ only in their seed share a
row.

  go run ./scripts/summary runs/*
  go run ./scripts/summary -csv runs/* > runs.csv
  go run ./scripts/summary -where=opt=gdm,width=8 -sort=-accuracy runs/*`

func main() { os.Exit(cli.Main("summary", run)) }

func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	flags := flag.NewFlagSet("summary", flag.ContinueOnError)
	asCSV := flags.Bool("csv", false, "write a table for programs, a line for each run")
	asJSON := flags.Bool("json", false, "write an object for each run")
	where := flags.String("where", "", "keep the runs that have these values, such as opt=gdm, "+
		"name=first or tag=slow, with commas; empty: all")
	sort := flags.String("sort", "", "order by a `column`; -column: from the largest on; empty: "+
		"as the folders are named")
	runs, err := runtable.Arguments(ctx, flags, args, manual, stdout, stderr)
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
	fmt.Fprint(stdout, markdown.Align(runtable.Table(rows, settings).Markdown()))
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
	if !runtable.SameButRule(a, b) {
		return ""
	}
	points := runtable.Paired(a, b, func(r runtable.Run) float64 { return 100 * r.Accuracy })
	if len(points) < 2 {
		return ""
	}
	return fmt.Sprintf("\n%s of (%s, η = %s) minus (%s, η = %s), paired by seed: %s "+
		"points, n = %d.\n", a[0].AccuracyTitle(), b[0].Rule, b[0].Settings["lr"], a[0].Rule,
		a[0].Settings["lr"], stats.WithFew(points), len(points))
}

// writeCSV writes a line for each run: its folder, rule, name and tags, settings and
// numbers. A number that is not known is empty.
func writeCSV(w io.Writer, runs []runtable.Run, settings []string) error {
	text := csv.NewWriter(w)
	labels := runtable.Labels(runs)
	head := slices.Concat([]string{"folder", "state", "rule", "lr", "eta_eff", "seed"}, labels,
		settings, []string{"evaluated"})
	for _, n := range runtable.Numbers {
		head = append(head, n.Name)
	}
	_ = text.Write(head) // kept by the writer until Error
	for _, r := range runs {
		line := []string{r.Folder, string(r.State), r.Rule, r.Settings["lr"], r.EffectiveRate,
			r.Seed()}
		for _, column := range labels {
			line = append(line, r.Label(column))
		}
		for _, name := range settings {
			line = append(line, r.Settings[name])
		}
		line = append(line, r.Evaluated)
		for _, n := range runtable.Numbers {
			number := ""
			if x, known := n.Of(r); known {
				number = fmt.Sprint(x)
			}
			line = append(line, number)
		}
		_ = text.Write(line)
	}
	text.Flush()
	return text.Error()
}

// writeJSON writes an array with an object for each run: the columns of the CSV, and all settings.
// A number that is not known is null.
func writeJSON(w io.Writer, runs []runtable.Run) error {
	all := []map[string]any{}
	for _, r := range runs {
		settings := map[string]any{}
		for name, text := range r.Settings {
			settings[name] = text
			if json.Valid([]byte(text)) { // a number, with all of its digits
				settings[name] = json.RawMessage(text)
			}
		}
		object := map[string]any{"folder": r.Folder, "state": r.State, "rule": r.Rule,
			"eta_eff": json.Number(r.EffectiveRate), "settings": settings,
			"evaluated": r.Evaluated, "name": r.Name, "tags": r.Tags}
		for _, n := range runtable.Numbers {
			object[n.Name] = nil
			if x, known := n.Of(r); known {
				object[n.Name] = x
			}
		}
		all = append(all, object)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(all)
}
