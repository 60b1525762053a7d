// Summary writes a table of run folders. Runs that differ only in their seed share a row, with
// means and 95% t intervals over the seeds.
//
//	go run ./scripts/summary runs/*
//
// The columns are, at the final weights, the loss and the accuracy on the training images and the
// accuracy on the evaluated images, and the epochs at which each seed first had zero training
// error. Below the table, each pair of rows has the difference of the accuracies on the evaluated
// images, paired by seed. A folder whose run is not done is an error.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"momentum/internal/cli"
	"momentum/internal/imagerun"
	"momentum/internal/markdown"
	"momentum/internal/rundir"
	"momentum/internal/stats"
)

func main() { os.Exit(cli.Main("summary", run)) }

// outcome is the outcome of one completed run.
type outcome struct {
	settings

	loss          float64
	trainAccuracy float64 // in [0, 1]
	testAccuracy  float64 // in [0, 1], on the evaluated images
	zeroError     int     // epoch, -1 for never
	rule          string
	effectiveRate float64
	configuration string // all settings but the seed, as JSON; equal within a row of the table
}

// settings are those of a run that the table shows.
type settings struct {
	Seed     uint64  `json:"seed"`
	Rate     float64 `json:"lr"`
	Schedule string  `json:"schedule"`
	Holdout  int     `json:"holdout"` // if positive, held-out training images are evaluated
}

func run(_ context.Context, stdout, _ io.Writer, args []string) error {
	flags := flag.NewFlagSet("summary", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	if err := cli.ParseOnce(flags, args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(stdout, "usage: go run ./scripts/summary RUN_FOLDER...")
		return nil
	} else if err != nil {
		return &cli.UsageError{Err: err}
	}
	groups := map[string][]outcome{}
	var order []string // of the configurations
	for _, folder := range flags.Args() {
		if _, err := os.Stat(filepath.Join(folder, "config.json")); errors.Is(err, fs.ErrNotExist) {
			continue // a lock file, or another folder of runs/*
		}
		o, err := read(folder)
		if err != nil {
			return err
		}
		if groups[o.configuration] == nil {
			order = append(order, o.configuration)
		}
		groups[o.configuration] = append(groups[o.configuration], o)
	}
	if len(order) == 0 {
		return cli.Usagef("no run folders among %q: name them, for example runs/*", flags.Args())
	}
	var rows [][]outcome
	for _, configuration := range order {
		group := groups[configuration]
		slices.SortFunc(group, func(a, b outcome) int { return cmp.Compare(a.Seed, b.Seed) })
		rows = append(rows, group)
	}
	fmt.Fprint(stdout, table(rows))
	for i, a := range rows {
		for _, b := range rows[i+1:] {
			fmt.Fprint(stdout, difference(a, b))
		}
	}
	return nil
}

// read reads the outcome of a run from its folder.
func read(folder string) (outcome, error) {
	result, err := imagerun.ReadOutcome(folder)
	if err != nil {
		return outcome{}, err
	}
	if result.Diverged {
		return outcome{}, fmt.Errorf("%s: the run has diverged: leave it out", folder)
	}
	path := filepath.Join(folder, "config.json")
	rawSettings, rawDerived, _, err := rundir.ReadConfig(path)
	if err != nil {
		return outcome{}, err
	}
	o := outcome{loss: result.Last("loss"), trainAccuracy: result.Last("train_accuracy"),
		zeroError: result.ZeroError()}
	var derived struct {
		Rule          string  `json:"rule"`
		EffectiveRate float64 `json:"eta_eff"`
	}
	allSettings := map[string]any{}
	if err := errors.Join(json.Unmarshal(rawSettings, &o.settings),
		json.Unmarshal(rawSettings, &allSettings),
		json.Unmarshal(rawDerived, &derived)); err != nil {
		return outcome{}, fmt.Errorf("%s: %w", path, err)
	}
	o.rule, o.effectiveRate = derived.Rule, derived.EffectiveRate
	delete(allSettings, "seed")
	configuration, err := json.Marshal(allSettings)
	o.configuration = string(configuration)

	// The accuracy on held-out images has a column of its own in newer runs.
	o.testAccuracy = result.Last("test_accuracy")
	if x := result.Last("held_out_accuracy"); o.Holdout > 0 && !math.IsNaN(x) {
		o.testAccuracy = x
	}
	return o, err
}

// table is the table of the rows, which are runs that differ only in their seed.
func table(rows [][]outcome) string {
	var cells [][]string
	for _, row := range rows {
		var zeroErrors []string
		for _, o := range row {
			epoch := "never"
			if o.zeroError >= 0 {
				epoch = fmt.Sprint(o.zeroError)
			}
			zeroErrors = append(zeroErrors, epoch)
		}
		test := mean(row, func(o outcome) float64 { return 100 * o.testAccuracy })
		if row[0].Holdout > 0 {
			test += " (held-out)"
		}
		cells = append(cells, []string{row[0].rule, fmt.Sprintf("%g", row[0].Rate),
			row[0].Schedule, fmt.Sprintf("%.3g", row[0].effectiveRate), fmt.Sprint(len(row)),
			mean(row, func(o outcome) float64 { return o.loss }),
			mean(row, func(o outcome) float64 { return 100 * o.trainAccuracy }), test,
			strings.Join(zeroErrors, ", ")})
	}
	return markdown.Table([]string{"rule", "η", "schedule", "η_eff", "n", "training loss",
		"training accuracy, %", "test accuracy, %", "zero training error at epoch"}, cells)
}

// mean is the mean over the runs of a row, with its 95% interval.
func mean(row []outcome, value func(outcome) float64) string {
	var values []float64
	for _, o := range row {
		values = append(values, value(o))
	}
	return stats.Mean95(values).String()
}

// difference is a sentence on the accuracies of row b minus those of row a, over the seeds that
// both rows have. It is empty for fewer than two such seeds.
func difference(a, b []outcome) string {
	accuracies := map[uint64]float64{} // of a, by seed
	for _, o := range a {
		accuracies[o.Seed] = o.testAccuracy
	}
	var points []float64
	for _, o := range b {
		if accuracy, found := accuracies[o.Seed]; found {
			points = append(points, 100*(o.testAccuracy-accuracy))
		}
	}
	if len(points) < 2 {
		return ""
	}
	images := "Test"
	if a[0].Holdout > 0 && b[0].Holdout > 0 {
		images = "Held-out"
	}
	return fmt.Sprintf("\n%s accuracy of (%s, η = %g) minus (%s, η = %g), paired by seed: %s "+
		"points, n = %d.\n", images, b[0].rule, b[0].Rate, a[0].rule, a[0].Rate,
		stats.Mean95(points), len(points))
}
