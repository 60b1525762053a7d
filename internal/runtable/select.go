package runtable

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"momentum/internal/cli"
)

// Number is a result of a run, by the name that it has in tables for programs.
type Number struct {
	Name  string
	value func(Run) float64
}

// Of is the number of a run, and whether it is known: a run that diverged has no loss.
func (n Number) Of(r Run) (x float64, known bool) {
	x = n.value(r)
	return x, !math.IsNaN(x) && !math.IsInf(x, 0)
}

// Numbers are the results of a run.
var Numbers = []Number{
	{"epochs_done", func(r Run) float64 { return float64(r.Epochs()) }},
	{"loss", func(r Run) float64 { return r.Last("loss") }},
	{"train_accuracy", func(r Run) float64 { return r.Last("train_accuracy") }},
	{"zero_error_at", func(r Run) float64 {
		if zero := r.ZeroError(); zero >= 0 {
			return float64(zero)
		}
		return math.Inf(1) // never
	}},
	{"accuracy", func(r Run) float64 { return r.Accuracy }},
}

// value is a number or a setting of a run, or one of folder, name, tags, state, rule, eta_eff and
// evaluated. A setting that it lacks is 0: those are left out of config.json.
func (r Run) value(name string) string {
	for _, n := range Numbers {
		if n.Name == name {
			return strconv.FormatFloat(n.value(r), 'g', -1, 64)
		}
	}
	switch name {
	case "folder":
		return r.Folder
	case "state":
		return string(r.State)
	case "name", "tags":
		return r.Label(name)
	case "rule":
		return r.Rule
	case "eta_eff":
		return r.EffectiveRate
	case "evaluated":
		return r.Evaluated
	}
	return cmp.Or(r.Settings[name], "0")
}

// columns are all names that [Run.value] knows of some runs.
func columns(runs []Run) []string {
	all := []string{"folder", "name", "tags", "state", "rule", "eta_eff", "evaluated"}
	for _, n := range Numbers {
		all = append(all, n.Name)
	}
	for _, r := range runs {
		for _, name := range r.order {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// checkColumn refuses a name that no run has.
func checkColumn(flag, name string, runs []Run) error {
	all := columns(runs)
	if flag == "where" {
		all = append(all, "tag") // one of the tags
	}
	if !slices.Contains(all, name) {
		return cli.Usagef("-%s: no column %q, want one of %s", flag, name, strings.Join(all, ", "))
	}
	return nil
}

// Where are the runs that have all values of a list such as "opt=gdm,lr=0.01". Numbers are compared
// as numbers; tag=WORD are the runs with that tag. An empty list keeps all runs; that no run is
// left is an error.
func Where(runs []Run, list string) ([]Run, error) {
	if list == "" {
		return runs, nil
	}
	kept := slices.Clone(runs)
	for condition := range strings.SplitSeq(list, ",") {
		name, want, found := strings.Cut(condition, "=")
		if !found {
			return nil, cli.Usagef("-where: got %q, want NAME=VALUE,…, such as opt=gdm,lr=0.01",
				condition)
		}
		if name == "tag" {
			kept = slices.DeleteFunc(kept, func(r Run) bool {
				return !slices.Contains(r.Tags, want)
			})
			continue
		}
		if err := checkColumn("where", name, runs); err != nil {
			return nil, err
		}
		kept = slices.DeleteFunc(kept, func(r Run) bool {
			return compare(r.value(name), want) != 0
		})
	}
	if len(kept) == 0 {
		return nil, cli.Usagef("-where=%s: none of the %d runs is like that", list, len(runs))
	}
	return kept, nil
}

// Sort are the runs by a column, from the least value on or, with a minus before the name, from the
// largest. Runs without a value come last. Without a name they keep their order.
func Sort(runs []Run, column string) ([]Run, error) {
	if column == "" {
		return runs, nil
	}
	name, descending := strings.CutPrefix(column, "-")
	if err := checkColumn("sort", name, runs); err != nil {
		return nil, err
	}
	sorted := slices.Clone(runs)
	slices.SortStableFunc(sorted, func(a, b Run) int {
		x, y := a.value(name), b.value(name)
		switch {
		case x == y:
			return 0
		case x == "NaN":
			return 1
		case y == "NaN":
			return -1
		case descending:
			return compare(y, x)
		}
		return compare(x, y)
	})
	return sorted, nil
}

// compare compares numbers as numbers and other texts as texts.
func compare(x, y string) int {
	a, err := strconv.ParseFloat(x, 64)
	b, err2 := strconv.ParseFloat(y, 64)
	if err == nil && err2 == nil {
		return cmp.Compare(a, b)
	}
	return cmp.Compare(x, y)
}
