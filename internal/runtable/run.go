// Package runtable reads run folders on images in any state, puts those that differ only in their
// seed into one row, and writes tables of the rows: what scripts/summary and scripts/compare show.
package runtable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"momentum/internal/imagerun"
	"momentum/internal/provenance"
	"momentum/internal/rundir"
)

// Run is what a run folder says.
type Run struct {
	imagerun.Outcome
	State         rundir.State
	Rule          string
	EffectiveRate string
	Settings      map[string]string // by their names in config.json
	order         []string          // of the settings
	Name          string            // of the user's
	Tags          []string

	Evaluated string  // "test" or "held-out" images
	Accuracy  float64 // on them, at the last evaluation, in [0, 1]; NaN without one
}

// Read reads a run folder in any state.
func Read(ctx context.Context, folder string) (r Run, err error) {
	raw, rawDerived, _, err := rundir.ReadConfig(filepath.Join(folder, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(folder); err != nil {
			return r, fmt.Errorf("%s: there is no such folder", folder)
		}
		return r, fmt.Errorf("%s is no run folder: it has no config.json", folder)
	} else if err != nil {
		return r, err
	}
	if r.Settings, r.order, err = rundir.Texts(raw); err != nil {
		return r, fmt.Errorf("%s: %w", folder, err)
	}
	if r.Settings["opt"] == "" {
		return r, fmt.Errorf("%s: it is no run on images", folder)
	}
	var derived struct {
		Rule          string  `json:"rule"`
		EffectiveRate float64 `json:"eta_eff"`
	}
	if err := json.Unmarshal(rawDerived, &derived); err != nil {
		return r, fmt.Errorf("%s: %w", folder, err)
	}
	r.Rule, r.EffectiveRate = derived.Rule, fmt.Sprintf("%.3g", derived.EffectiveRate)
	var m imagerun.Manifest
	provenance.Read(filepath.Join(folder, "manifest.json"), &m)
	r.Name, r.Tags = m.Name, m.Tags
	if r.State, err = rundir.ReadState(folder); err != nil {
		return r, err
	}
	r.Outcome, err = imagerun.ReadProgress(ctx, folder, r.State)
	if errors.Is(err, fs.ErrNotExist) && !r.State.Ended() { // else more files may be missing
		return r, fmt.Errorf("%s: it has no metrics.jsonl", folder)
	} else if err != nil {
		return r, err
	}
	r.Evaluated, r.Accuracy = "test", r.Last("test_accuracy")
	if holdout := r.Settings["holdout"]; holdout != "" && holdout != "0" {
		r.Evaluated = "held-out"
		// The accuracy on held-out images has a column of its own in newer runs.
		if x := r.Last("held_out_accuracy"); !math.IsNaN(x) {
			r.Accuracy = x
		}
	}
	return r, nil
}

// Seed is the seed of the run.
func (r Run) Seed() string { return r.Settings["seed"] }

// Label is what the user calls the run: its name or its tags.
func (r Run) Label(column string) string {
	if column == "tags" {
		return strings.Join(r.Tags, ", ")
	}
	return r.Name
}

// Labels are the columns of [Run.Label] in which some run has a text.
func Labels(runs []Run) []string {
	return slices.DeleteFunc([]string{"name", "tags"}, func(column string) bool {
		return !slices.ContainsFunc(runs, func(r Run) bool { return r.Label(column) != "" })
	})
}

// Without are all settings but the seed and some others, as one text.
func (r Run) Without(names ...string) string {
	var text []string
	for _, name := range r.order {
		if name != "seed" && !slices.Contains(names, name) {
			text = append(text, name+"="+r.Settings[name])
		}
	}
	slices.Sort(text)
	return fmt.Sprint(text)
}

// AccuracyTitle names the accuracy of the run: "Test accuracy" or "Held-out accuracy".
func (r Run) AccuracyTitle() string {
	return strings.ToUpper(r.Evaluated[:1]) + r.Evaluated[1:] + " accuracy"
}

// end says when the run reached zero training error or, if it is not done, how far it came.
func (r Run) end() string {
	switch zero := r.ZeroError(); {
	case r.Diverged:
		return fmt.Sprintf("diverged at %d", r.Epochs())
	case r.State != rundir.Done:
		return fmt.Sprintf("%s at %d", r.State, r.Epochs())
	case zero < 0:
		return "never"
	default:
		return strconv.Itoa(zero)
	}
}
