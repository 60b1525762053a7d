package runtable

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"momentum/internal/cli"
	"momentum/internal/imagerun"
	"momentum/internal/page"
	"momentum/internal/provenance"
	"momentum/internal/rundir"
	"momentum/internal/stats"
)

// Arguments reads the run folders that a command line names after its flags, as [ReadAll] does. For
// -h it prints the manual and returns [flag.ErrHelp]. Without a run it is a usage error, unless one
// is damaged.
func Arguments(ctx context.Context, flags *flag.FlagSet, args []string, manual string, stdout,
	stderr io.Writer) ([]Run, error) {
	flags.SetOutput(io.Discard)
	if err := cli.ParseOnce(flags, args); errors.Is(err, flag.ErrHelp) {
		cli.PrintManual(stdout, flags, manual)
		return nil, err
	} else if err != nil {
		return nil, cli.Usagef("%w; see -h", err)
	}
	runs, damaged := readAll(ctx, flags.Args(), stderr)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(runs) == 0 && damaged {
		return nil, fmt.Errorf("no run among %q can be read, for the reasons above", flags.Args())
	} else if len(runs) == 0 {
		return nil, cli.Usagef("no runs on images among %q: name their folders, for example runs/*",
			flags.Args())
	}
	return runs, nil
}

// ReadAll reads run folders. What is no folder, such as a lock file, is skipped, unless it has the
// name of a run folder; what cannot be read as a run on images gets a line on stderr, and so does a
// folder with the settings and the seed of an earlier one, such as NAME.old-1 beside NAME: it would
// count twice. It ends with the context.
func ReadAll(ctx context.Context, folders []string, stderr io.Writer) []Run {
	runs, _ := readAll(ctx, folders, stderr)
	return runs
}

// readAll also reports whether it left out a damaged run.
func readAll(ctx context.Context, folders []string, stderr io.Writer) (runs []Run, damaged bool) {
	places := map[string]string{} // folders, by configuration and seed
	for _, folder := range folders {
		info, err := os.Stat(folder)
		if err == nil && !info.IsDir() && !rundir.IsName(filepath.Base(folder)) {
			continue
		}
		r, err := Read(ctx, folder)
		if ctx.Err() != nil {
			return runs, damaged
		} else if err != nil {
			damaged = damaged || errors.As(err, new(*rundir.DamagedError))
			fmt.Fprintf(stderr, "left out: %s\n", cli.Line(err))
			continue
		}
		key := r.Without() + " seed " + r.Seed()
		if first, found := places[key]; found {
			fmt.Fprintf(stderr, "left out: %s: the same settings and seed as %s\n", folder, first)
			continue
		}
		places[key] = folder
		runs = append(runs, r)
	}
	return runs, damaged
}

// Row are the runs of one configuration, by seed.
type Row []Run

// Rows are the runs by their configuration, in the order of their first folders, and each row by
// seed.
func Rows(runs []Run) (rows []Row) {
	places := map[string]int{} // of rows, by configuration
	for _, o := range runs {
		configuration := o.Without()
		i, ok := places[configuration]
		if !ok {
			i = len(rows)
			places[configuration], rows = i, append(rows, nil)
		}
		rows[i] = append(rows[i], o)
	}
	for _, row := range rows {
		slices.SortFunc(row, func(a, b Run) int { // whole numbers, without leading zeros
			return cmp.Or(len(a.Seed())-len(b.Seed()), strings.Compare(a.Seed(), b.Seed()))
		})
	}
	return rows
}

// shown are settings that the table shows anyway: the seeds share a row, and the rule has its parts
// in its name. Whether images were held out is said by the name of the accuracy.
var shown = []string{"seed", "opt", "form", "momentum", "weight_decay", "clip", "lr"}

// Differing are the other settings that differ between rows, in the order of the configurations.
func Differing(rows []Row) (names []string) {
	for _, row := range rows {
		for _, name := range row[0].order {
			if !slices.Contains(shown, name) && !slices.Contains(names, name) &&
				slices.ContainsFunc(rows, func(row Row) bool {
					return row[0].Settings[name] != rows[0][0].Settings[name]
				}) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Table is the table of the rows, with columns for the names and tags of the runs and for some
// settings.
func Table(rows []Row, settings []string) page.Table {
	labels := Labels(slices.Concat(rows...))
	header := slices.Concat([]string{"rule", "η", "η_eff"}, labels, settings, []string{"n",
		"training loss", "training accuracy, %", "zero training error at epoch"})
	evaluated := []string{}
	for _, name := range []string{"test", "held-out"} {
		if slices.ContainsFunc(rows, func(r Row) bool { return r[0].Evaluated == name }) {
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
			if o.State == rundir.Done {
				n++
			}
		}
		line := []string{row[0].Rule, row[0].Settings["lr"], row[0].EffectiveRate}
		for _, column := range labels {
			line = append(line, row.labels(column))
		}
		for _, name := range settings {
			line = append(line, Short(row[0].Settings[name]))
		}
		last := func(column string, factor float64) string {
			return mean(row, func(r Run) float64 { return factor * r.Last(column) })
		}
		line = append(line, strconv.Itoa(n), last("loss", 1), last("train_accuracy", 100),
			strings.Join(zero, ", "))
		for _, name := range evaluated {
			accuracy := ""
			if row[0].Evaluated == name {
				accuracy = mean(row, func(r Run) float64 { return 100 * r.Accuracy })
			}
			line = append(line, accuracy)
		}
		cells = append(cells, line)
	}
	return page.Table{Head: header, Rows: cells}
}

// Short is a setting as tables and pictures show it: a number that is not whole has four digits.
func Short(setting string) string {
	if x, err := strconv.ParseFloat(setting, 64); err == nil && x != math.Trunc(x) {
		return strconv.FormatFloat(x, 'g', 4, 64)
	}
	return setting
}

// labels are the different names or tags of the runs of a row.
func (row Row) labels(column string) string {
	var all []string
	for _, r := range row {
		if text := r.Label(column); text != "" && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return strings.Join(all, "; ")
}

// Settings is the table of all settings of the rows, whose titles head the columns. The seeds of a
// row stand in one cell.
func Settings(rows []Row, titles []string) page.Table {
	t := page.Table{Head: append([]string{"setting"}, titles...)}
	var names []string
	for _, row := range rows {
		for _, name := range row[0].order {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		line := []string{name}
		for _, row := range rows {
			cell := row[0].Settings[name]
			if name == "seed" {
				var seeds []string
				for _, r := range row {
					seeds = append(seeds, r.Seed())
				}
				cell = strings.Join(seeds, ", ")
			}
			line = append(line, cell)
		}
		t.Add(line...)
	}
	return t
}

// Origins is the table of where runs are and what made them.
func Origins(runs []Run) page.Table {
	t := page.Table{Head: []string{"folder", "state", "epochs", "revision", "backend", "device"}}
	for _, r := range runs {
		var m imagerun.Manifest
		provenance.Read(filepath.Join(r.Folder, "manifest.json"), &m)
		t.Add(r.Folder, string(r.State), strconv.Itoa(r.Epochs()),
			m.Revision, m.Backend, m.Device)
	}
	return t
}

// SameButRule reports whether rows differ only in the algorithm and its rate: then the difference
// of their accuracies is that of the algorithms.
func SameButRule(a, b Row) bool {
	algorithm := []string{"opt", "form", "momentum", "lr", "intervene", "intervene_at"}
	return a[0].Without(algorithm...) == b[0].Without(algorithm...)
}

// Paired are the values of row b minus those of row a, by seed, over the seeds that both have done
// and that have values.
func Paired(a, b Row, value func(Run) float64) (differences []float64) {
	first := map[string]float64{} // of a, by seed
	for _, r := range a {
		if r.State == rundir.Done {
			first[r.Seed()] = value(r)
		}
	}
	for _, r := range b {
		if x, found := first[r.Seed()]; found && r.State == rundir.Done {
			differences = append(differences, value(r)-x)
		}
	}
	return stats.Known(differences)
}

// mean is the mean over the runs of a row that are done, with its 95% interval and, if there are
// few, the values; "none" if there are none.
func mean(row Row, value func(Run) float64) string {
	var values []float64
	for _, o := range row {
		if o.State == rundir.Done {
			values = append(values, value(o))
		}
	}
	if len(values) == 0 {
		return "none"
	}
	return stats.WithFew(values)
}
