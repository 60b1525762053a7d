package imagerun

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"momentum/internal/durable"
	"momentum/internal/rundir"
)

// extend lets a run that is at its start go on from one that is done with fewer epochs and
// otherwise the same settings: it copies that run's rows and its last checkpoint, from which the
// run is then resumed. The result is that of a run from the start, except that the epochs before
// keep their evaluations, of which -eval-every=0 may make more in the shorter run. This needs rates
// that do not depend on the number of epochs; if they do, extend says so.
func (t *training) extend() error {
	done, shorter := t.shorterRun(false)
	if done == "" && t.Schedule == "constant" {
		if other, c := t.shorterRun(true); other != "" {
			t.bar.Println(fmt.Sprintf("          %s is done after %d epochs with another warm-up: "+
				"give -warmup=%d to go on from it", other, c.Epochs, c.Warmup))
		}
	}
	if done == "" {
		return nil
	}
	place := fmt.Sprintf("%s is done after %d epochs with the same settings", done, shorter.Epochs)
	if t.Schedule != "constant" {
		t.bar.Println(fmt.Sprintf("          %s, but with -schedule=%s the rates depend on the "+
			"number of epochs: this run starts from the beginning", place, t.Schedule))
		return nil
	}
	checkpoints, _ := filepath.Glob(filepath.Join(done, "checkpoints", "step-????????"))
	if len(checkpoints) == 0 {
		t.bar.Println(fmt.Sprintf("          %s, but it kept no checkpoint (-slim): this run "+
			"starts from the beginning", place))
		return nil
	}
	if err := rundir.Verify(done, derivedFiles()); err != nil {
		return fmt.Errorf("%w; -fresh starts from the beginning", err)
	}
	t.bar.Println(fmt.Sprintf("          %s: goes on from there", place))
	return t.copyFrom(done, slices.Max(checkpoints))
}

// shorterRun finds the run folder with the most epochs among those that are done with fewer epochs
// than this run and otherwise the same settings, but for the warm-up if that may be another. The
// folder is "" if there is none.
func (t *training) shorterRun(anyWarmup bool) (folder string, c Config) {
	entries, _ := os.ReadDir(t.Runs) // it holds the folder of this run
	for _, e := range entries {
		path := filepath.Join(t.Runs, e.Name())
		if !e.IsDir() || !strings.HasPrefix(e.Name(), t.Label()+"-") {
			continue
		}
		text, _, _, err := rundir.ReadConfig(filepath.Join(path, "config.json"))
		if err != nil {
			continue // a folder that is no run, or is damaged, is not this run's concern
		}
		var other Config
		if err := (settingsFile{place: path, settings: text}).decode(&other); err != nil {
			continue
		}
		shorter := other
		other.Epochs = t.Epochs
		if anyWarmup {
			other.Warmup = t.Warmup
		}
		state, err := rundir.ReadState(path)
		if err == nil && state == rundir.Done && other.Settings == t.Settings &&
			shorter.Epochs < t.Epochs && shorter.Epochs > c.Epochs {
			folder, c = path, shorter
		}
	}
	return folder, c
}

// copyFrom copies what a run leaves before its final evaluation. The checkpoint comes last: without
// it, the next process starts with all this again.
func (t *training) copyFrom(done, checkpoint string) error {
	rows, err := rundir.ReadMetrics(context.Background(), filepath.Join(done, "metrics.jsonl"))
	if err != nil {
		return err
	}
	if err := t.dir.CutRows(-1); err != nil {
		return err
	}
	if err := t.dir.AppendRows(rows[:max(0, len(rows)-1)]); err != nil {
		return err
	}
	names := []string{initialWeights, "manifest.json", eventsFile}
	for epoch := range len(rows) - 1 {
		if t.savesEpoch(epoch) {
			names = append(names, epochWeights(epoch))
		}
	}
	if t.SaveWeightsEvery > 0 {
		if err := os.MkdirAll(t.dir.Path(epochsFolder), 0o777); err != nil {
			return err
		}
	}
	for _, name := range names {
		err := durable.CopyFile(t.dir.Path(name), filepath.Join(done, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	var step int64
	if _, err := fmt.Sscanf(filepath.Base(checkpoint), "step-%d", &step); err != nil {
		return fmt.Errorf("%s: %w", checkpoint, err)
	}
	return t.dir.SaveCheckpoint(step, func(folder string) error {
		err := os.CopyFS(folder, os.DirFS(checkpoint))
		return errors.Join(err, os.Remove(filepath.Join(folder, "SHA256SUMS"))) // written anew
	})
}
