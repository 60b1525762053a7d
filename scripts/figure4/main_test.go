package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"momentum/internal/imagerun"
	"momentum/internal/runlist"
	"momentum/internal/runtest"
	"momentum/internal/sweep"
)

// plan writes the first list of what the arguments ask for and returns its runs.
func plan(t *testing.T, args ...string) ([]runlist.Run, error) {
	t.Helper()
	out := t.TempDir()
	var stdout bytes.Buffer
	args = append([]string{"plan", "-launcher=slurm", "-out=" + out, "-runs=" + out}, args...)
	if err := figure4().Run(t.Context(), &stdout, &stdout, args); err != nil {
		return nil, err
	}
	l, err := sweep.Read(out+"/trials-1", out)
	if err != nil {
		t.Fatal(err)
	}
	return l.Runs, nil
}

// Every run has small-margin images of the kind that the flags describe.
func TestSmallMargin(t *testing.T) {
	paper := imagerun.Settings{SmallMargin: 0.1, SmallMarginFactor: 2, SmallMarginNoise: 0.005,
		SmallMarginShuffle: "image", SmallMarginSeed: 1}
	changed := func(change func(*imagerun.Settings)) imagerun.Settings {
		s := paper
		change(&s)
		return s
	}
	for args, want := range map[string]imagerun.Settings{
		"":             paper,
		"-scale=paper": paper,
		"-small-margin-shuffle=fixed -small-margin-factor=4": changed(func(s *imagerun.Settings) {
			s.SmallMarginShuffle, s.SmallMarginFactor = "fixed", 4
		}),
		"-small-margin=0.25 -small-margin-noise=0.01": changed(func(s *imagerun.Settings) {
			s.SmallMargin, s.SmallMarginNoise = 0.25, 0.01
		}),
		"-scale=medium -small-margin-seed=7 -holdout=99": changed(func(s *imagerun.Settings) {
			s.SmallMarginSeed = 7
		}),
	} {
		runs, err := plan(t, strings.Fields(args)...)
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		for _, r := range runs {
			var all imagerun.Settings
			if err := json.Unmarshal(r.Settings, &all); err != nil {
				t.Fatal(err)
			}
			got := imagerun.Settings{SmallMargin: all.SmallMargin,
				SmallMarginFactor: all.SmallMarginFactor, SmallMarginNoise: all.SmallMarginNoise,
				SmallMarginShuffle: all.SmallMarginShuffle, SmallMarginSeed: all.SmallMarginSeed}
			if got != want {
				t.Errorf("%s: %s, want %+v", args, r.Settings, want)
				break
			}
		}
	}
	if _, err := plan(t, "-small-margin=0"); err == nil ||
		!strings.Contains(err.Error(), "without small-margin images this is figure1") {
		t.Errorf("-small-margin=0: %v", err)
	}
}

func TestHelp(t *testing.T) {
	var help bytes.Buffer
	if err := figure4().Run(t.Context(), &help, t.Output(), []string{"-h"}); err != nil {
		t.Error(err)
	}
	runtest.Manual(t, "figure4", help.String(), "-trial-seeds settings are tried with seed 1, and "+
		"those that may still be chosen with the seeds up to this (default quick 2, medium 2, "+
		"paper 1)",
		"-scale quick|medium|paper: values to start from; every other flag overrides them "+
			"(default quick)", "-schedules constant|cosine|step, with commas (default ")
}

// The manual's examples are command lines that can be run.
func TestManualExamples(t *testing.T) {
	for _, e := range regexp.MustCompile(
		`(?m)^  go run \./scripts/figure4((?: -\S+)*)`).FindAllStringSubmatch(manual, -1) {
		if _, err := plan(t, strings.Fields(strings.NewReplacer("-dry-run", "", "-gpus=0,1",
			"").Replace(e[1]))...); err != nil {
			t.Errorf("%s: %v", e[0], err)
		}
	}
}
