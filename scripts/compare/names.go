package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"momentum/datasets"
	"momentum/internal/imagerun"
	"momentum/internal/rundir"
	"momentum/internal/runtable"
	"momentum/models"
)

// value is a setting of a row, empty where the configuration leaves it out.
func value(row runtable.Row, name string) string { return row[0].Settings[name] }

// hasMomentum reports whether the runs of a row have momentum.
func hasMomentum(row runtable.Row) bool { return imagerun.HasMomentum(value(row, "opt")) }

// names are those of all curves.
func names(rows []runtable.Row) (names []string) {
	settings := runtable.Differing(rows)
	for _, row := range rows {
		names = append(names, name(row, rows, settings))
	}
	return names
}

// name names a curve by its algorithm, its rate and what else differs between the rows. The form
// and γ count among those with momentum alone.
func name(row runtable.Row, rows []runtable.Row, settings []string) string {
	opt := value(row, "opt")
	text := imagerun.Algorithm(opt)
	own := []string{"weight_decay", "clip"}
	if hasMomentum(row) {
		own = append(own, "form", "momentum")
	}
	text += ", η = " + value(row, "lr")
	for _, name := range own {
		ofOthers := func(r runtable.Row) bool {
			return value(r, "opt") == opt && value(r, name) != value(row, name)
		}
		if slices.ContainsFunc(rows, ofOthers) {
			settings = append(slices.Clone(settings), name)
		}
	}
	for _, name := range settings {
		if v := value(row, name); v != "" && !isDetail(name, rows, settings) {
			text += ", " + inWords(name, v)
		}
	}
	return text
}

// isDetail reports whether a setting belongs to another one, as intervene_at to intervene, and is
// the same wherever it is set: then the other one says all.
func isDetail(name string, rows []runtable.Row, settings []string) bool {
	var values []string
	for _, row := range rows {
		if v := value(row, name); v != "" {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return len(slices.Compact(values)) == 1 &&
		slices.ContainsFunc(settings, func(other string) bool {
			return strings.HasPrefix(name, other+"_")
		})
}

// inWords is a setting with its value, in words.
func inWords(name, value string) string {
	switch name {
	case "images", "epochs":
		return value + " " + name
	case "intervene":
		return cmp.Or(map[string]string{"reset": "buffer reset",
			"keep-out": "large margins kept out", "phase1": "GD from the fit on",
			"phase2": "GD until the fit"}[value], value)
	}
	return strings.ReplaceAll(name, "_", " ") + " " + runtable.Short(value)
}

// title names the images, the network and the batch, as far as they are those of all rows.
func title(rows []runtable.Row) string {
	shared := func(name string) string {
		for _, row := range rows {
			if value(row, name) != value(rows[0], name) {
				return ""
			}
		}
		return value(rows[0], name)
	}
	var parts []string
	if facts, err := datasets.Describe(shared("data")); err == nil {
		parts = append(parts, facts.Title)
	}
	if n := shared("images"); n != "" && n != "0" {
		parts = append(parts, n+" images")
	}
	if model, width := shared("model"), shared("width"); model != "" && width != "" {
		parts = append(parts, models.Title(model)+" of width "+width)
	} else if model != "" {
		parts = append(parts, models.Title(model))
	}
	switch batch := shared("batch"); batch {
	case "":
	case "0":
		parts = append(parts, "full batch")
	default:
		parts = append(parts, "batch "+batch)
	}
	if len(parts) == 0 {
		return "Comparison of runs"
	}
	return strings.Join(parts, ", ")
}

// note says what the curves of the rows are, and of how many seeds. order is that of the legend.
func note(rows []runtable.Row, order []int) string {
	text, going := "", false
	var counts []string // of the seeds that are done
	for _, i := range order {
		done := 0
		for _, r := range rows[i] {
			if r.State == rundir.Done {
				done++
			} else {
				going = true
			}
		}
		counts = append(counts, strconv.Itoa(done))
	}
	const means = "%s and their 95%% t intervals; on logarithmic axes those of the logarithm. A " +
		"seed that ended before others keeps its last value."
	switch different := slices.Compact(slices.Sorted(slices.Values(counts))); {
	case len(different) > 1:
		text = fmt.Sprintf(means, "Means over the seeds (n = "+strings.Join(counts, ", ")+
			", in the order of the legend)")
	case different[0] == "1":
		text = "One seed."
	case different[0] != "0":
		text = fmt.Sprintf(means, "Means over "+different[0]+" seeds")
	}
	if going {
		text += " Each run that diverged or has not ended is a curve of its own."
	}
	return strings.TrimSpace(text)
}
