// Summary makes a table of run folders: runs that differ in their seed only are one row, with means
// and 95% t intervals over the seeds.
//
//	go run ./scripts/summary runs/*
//
// The columns are, at the final weights: loss and accuracy on the training images, accuracy on the
// evaluated images; and the epochs at which each seed first had zero training error. Below the
// table stands, for each pair of rows, the difference of their accuracies paired by seed. A folder
// whose run is not done is an error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"momentum/internal/cli"
	"momentum/internal/imagerun"
	"momentum/internal/rundir"
	"momentum/internal/stats"
)

func main() { os.Exit(cli.Main("summary", run)) }

// outcome is one finished run.
type outcome struct {
	seed          uint64
	loss          float64
	train, test   float64 // accuracies, in [0, 1]
	zeroError     int     // epoch, -1 for never
	rule          string
	rate, etaEff  float64
	schedule      string
	held          bool   // evaluated on held-out training images
	everythingBut string // settings without the seed, as JSON: what makes a row
}

func run(_ context.Context, stdout, _ io.Writer, args []string) error {
	set := flag.NewFlagSet("summary", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(stdout, "usage: go run ./scripts/summary RUN_FOLDER...")
		return nil
	} else if err != nil {
		return &cli.UsageError{Err: err}
	}
	rows := map[string][]outcome{}
	var order []string
	for _, folder := range set.Args() {
		if _, err := os.Stat(filepath.Join(folder, "config.json")); errors.Is(err, fs.ErrNotExist) {
			continue // a lock file, or another folder of runs/*
		}
		o, err := read(folder)
		if err != nil {
			return err
		}
		if rows[o.everythingBut] == nil {
			order = append(order, o.everythingBut)
		}
		rows[o.everythingBut] = append(rows[o.everythingBut], o)
	}
	if len(order) == 0 {
		return cli.Usagef("no run folders among %q: name them, for example runs/*", set.Args())
	}
	print(stdout, rows, order)
	return nil
}

// read takes what the table needs out of a run folder.
func read(folder string) (outcome, error) {
	run, err := imagerun.ReadOutcome(folder)
	if err != nil {
		return outcome{}, err
	}
	if run.Diverged {
		return outcome{}, fmt.Errorf("%s: the run has diverged: leave it out", folder)
	}
	path := filepath.Join(folder, "config.json")
	rawSettings, rawDerived, _, err := rundir.ReadConfig(path)
	if err != nil {
		return outcome{}, err
	}
	var settings struct {
		Seed     uint64  `json:"seed"`
		Rate     float64 `json:"lr"`
		Schedule string  `json:"schedule"`
		Holdout  int     `json:"holdout"`
	}
	var derived struct {
		Rule   string  `json:"rule"`
		EtaEff float64 `json:"eta_eff"`
	}
	all := map[string]any{}
	if err := errors.Join(json.Unmarshal(rawSettings, &settings),
		json.Unmarshal(rawDerived, &derived), json.Unmarshal(rawSettings, &all)); err != nil {
		return outcome{}, fmt.Errorf("%s: %w", path, err)
	}
	delete(all, "seed")
	but, err := json.Marshal(all)
	if err != nil {
		return outcome{}, err
	}
	return outcome{
		seed: settings.Seed, loss: run.Last("loss"), train: run.Last("train_accuracy"),
		test: run.Last("test_accuracy"), zeroError: run.ZeroError(),
		rule: derived.Rule, rate: settings.Rate, etaEff: derived.EtaEff,
		schedule: settings.Schedule, held: settings.Holdout > 0, everythingBut: string(but),
	}, nil
}

// print writes the table and the paired differences as Markdown.
func print(w io.Writer, rows map[string][]outcome, order []string) {
	fmt.Fprintln(w, "| rule | η | schedule | η_eff | n | training loss | training accuracy, % | "+
		"test accuracy, % | zero training error at epoch |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|")
	for _, key := range order {
		group := rows[key]
		slices.SortFunc(group, func(a, b outcome) int { return int(a.seed) - int(b.seed) })
		zero := make([]string, len(group))
		for i, o := range group {
			if zero[i] = fmt.Sprint(o.zeroError); o.zeroError < 0 {
				zero[i] = "never"
			}
		}
		o := group[0]
		test := stats.Mean95(column(group, func(o outcome) float64 {
			return 100 *
				o.test
		})).String()
		if o.held {
			test += " (held-out)"
		}
		fmt.Fprintf(w, "| %s | %g | %s | %.3g | %d | %s | %s | %s | %s |\n", o.rule, o.rate,
			o.schedule, o.etaEff, len(group),
			stats.Mean95(column(group, func(o outcome) float64 { return o.loss })),
			stats.Mean95(column(group, func(o outcome) float64 { return 100 * o.train })), test,
			strings.Join(zero, ", "))
	}
	for i, a := range order {
		for _, b := range order[i+1:] {
			if d := paired(rows[b], rows[a]); len(d) > 1 {
				fmt.Fprintf(w, "\nTest accuracy of (%s, η = %g) minus (%s, η = %g), paired by "+
					"seed: %s points, n = %d.\n",
					rows[b][0].rule, rows[b][0].rate, rows[a][0].rule, rows[a][0].rate,
					stats.Mean95(d), len(d))
			}
		}
	}
}

// paired returns the differences of the test accuracies, in points, for the seeds that both have.
func paired(a, b []outcome) (differences []float64) {
	for _, x := range a {
		for _, y := range b {
			if x.seed == y.seed {
				differences = append(differences, 100*(x.test-y.test))
			}
		}
	}
	return differences
}

func column(group []outcome, f func(outcome) float64) (values []float64) {
	for _, o := range group {
		values = append(values, f(o))
	}
	return values
}
