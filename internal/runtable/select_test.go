package runtable

import (
	"math"
	"strings"
	"testing"

	"momentum/internal/imagerun"
	"momentum/internal/rundir"
)

// three runs of rates 0.1, 0.02 and 0.1 with accuracies 0.2, none and 0.3; the last has a clip.
func three() []Run {
	run := func(folder, rate string, accuracy float64) Run {
		return Run{Outcome: imagerun.Outcome{Folder: folder,
			Rows: []rundir.Row{{Values: []rundir.Value{{Name: "epoch", X: 1}}}}},
			State: rundir.Done, Accuracy: accuracy, order: []string{"opt", "lr"},
			Settings: map[string]string{"opt": "gd", "lr": rate}}
	}
	runs := []Run{run("a", "0.1", 0.2), run("b", "0.02", math.NaN()), run("c", "0.1", 0.3)}
	runs[1].Name, runs[1].Tags = "first try", []string{"old", "slow"}
	runs[2].Settings["clip"], runs[2].order = "5", append(runs[2].order, "clip")
	return runs
}

func names(runs []Run) (all string) {
	for _, r := range runs {
		all += r.Folder
	}
	return all
}

// Numbers are compared as numbers; a setting that a run lacks is 0.
func TestWhere(t *testing.T) {
	for list, want := range map[string]string{"": "abc", "lr=0.10": "ac", "lr=1e-1,clip=0": "a",
		"clip=5": "c", "name=first try": "b", "tag=slow,lr=0.02": "b", "state=done,folder=b": "b"} {
		if got, err := Where(three(), list); err != nil || names(got) != want {
			t.Errorf("%q: %s, %v; want %s", list, names(got), err, want)
		}
	}
	for list, want := range map[string]string{"lr": "want NAME=VALUE", "eta=1": "" +
		`no column "eta", ` +
		"want one of folder, name, tags, state, rule, eta_eff, evaluated, epochs_done, loss, " +
		"train_accuracy, zero_error_at, accuracy, opt, lr, clip, tag",
		"lr=3": "none of the 3 runs"} {
		if _, err := Where(three(), list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", list, err, want)
		}
	}
}

// What a run does not have is not known: an accuracy, or an epoch with zero training error.
func TestNumbers(t *testing.T) {
	known := map[string]bool{}
	for _, n := range Numbers {
		_, known[n.Name] = n.Of(three()[1])
	}
	if !known["epochs_done"] || known["zero_error_at"] || known["accuracy"] || known["loss"] {
		t.Errorf("known: %v", known)
	}
}

// Equal runs keep their order, and those without a value are last either way.
func TestSort(t *testing.T) {
	for column, want := range map[string]string{"": "abc", "lr": "bac", "-lr": "acb",
		"accuracy": "acb", "-accuracy": "cab", "-folder": "cba",
		"-tags": "bac"} {
		if got, err := Sort(three(), column); err != nil || names(got) != want {
			t.Errorf("%q: %s, %v; want %s", column, names(got), err, want)
		}
	}
	if _, err := Sort(three(), "-eta"); err == nil ||
		!strings.Contains(err.Error(), `-sort: no column "eta"`) {
		t.Error(err)
	}
}
