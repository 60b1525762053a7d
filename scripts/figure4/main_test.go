package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"momentum/internal/runlist"
	"momentum/internal/sweep"
)

// plan writes the first list of what the arguments ask for and returns its runs.
func plan(t *testing.T, args ...string) ([]runlist.Run, error) {
	t.Helper()
	out := t.TempDir()
	var stdout bytes.Buffer
	if err := figure4().Run(t.Context(), &stdout, &stdout,
		append([]string{"plan", "-launcher=slurm", "-out=" + out, "-runs=" + out}, args...)); err !=
		nil {
		return nil, err
	}
	l, err := sweep.Read(out+"/trials-1", out)
	if err != nil {
		t.Fatal(err)
	}
	return l.Runs, nil
}

// Every run has the degraded images, in the way that the flags say.
func TestSmallMargin(t *testing.T) {
	for args, want := range map[string]string{
		"":             `"small_margin":0.1,"small_margin_factor":2,"small_margin_noise":0.005,"small_margin_shuffle":"image","small_margin_seed":1,`,
		"-scale=paper": `"small_margin":0.1,"small_margin_factor":2,"small_margin_noise":0.005,"small_margin_shuffle":"image","small_margin_seed":1,`,
		"-small-margin-shuffle=fixed -small-margin-factor=4": `"small_margin":0.1,"small_margin_factor":4,"small_margin_noise":0.005,"small_margin_shuffle":"fixed","small_margin_seed":1,`,
		"-small-margin=0.25 -small-margin-noise=0.01":        `"small_margin":0.25,"small_margin_factor":2,"small_margin_noise":0.01,"small_margin_shuffle":"image","small_margin_seed":1,`,
		"-scale=medium -small-margin-seed=7 -holdout=99":     `"small_margin":0.1,"small_margin_factor":2,"small_margin_noise":0.005,"small_margin_shuffle":"image","small_margin_seed":7,`,
	} {
		runs, err := plan(t, strings.Fields(args)...)
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		for _, r := range runs {
			if !strings.Contains(string(r.Settings), want) {
				t.Errorf("%s: %s, want %s", args, r.Settings, want)
				break
			}
		}
	}
	if _, err := plan(t, "-small-margin=0"); err == nil ||
		!strings.Contains(err.Error(), "without small-margin images this is figure1") {
		t.Errorf("-small-margin=0: %v", err)
	}
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
