package main

import (
	"bytes"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/imagerun"
	"momentum/internal/runtable"
	"momentum/internal/runtest"
)

// succeed executes the command, which must end well and without a warning, and returns its output.
func succeed(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	var out, errs bytes.Buffer
	status := cli.Report(&errs, "cifar", run(t.Context(), &out, &errs, args))
	if status != cli.Done || errs.Len() > 0 {
		t.Fatalf("%q: status %d, %q", args, status, errs.String())
	}
	return out.String()
}

// -h prints the manual and every flag, with the defaults of the presets.
func TestHelp(t *testing.T) {
	stdout := succeed(t, "-epochs=3", "-h")
	if !strings.HasPrefix(stdout, manual+"\nWhat to do:\n  -preset ") {
		t.Errorf("-h does not begin with the manual and the first flag:\n%s", stdout)
	}
	runtest.Manual(t, "cifar", stdout, "-momentum γ, in [0, 1) (default 0.9)",
		"(default tiny 20, quick 300, paper 300)",
		"-branch-scale", "(default auto)", "-checkpoint-every time between checkpoints, such as "+
			"30s; 0s: every step (default 1m0s)", "-runs folder of the run folders (default runs)")
}

func TestUsageError(t *testing.T) {
	var out, errs bytes.Buffer
	status := cli.Report(&errs, "cifar", run(t.Context(), &out, &errs, []string{"-fast"}))
	const want = "cifar: flag provided but not defined: -fast; see -h\n"
	if status != cli.BadUsage || errs.String() != want || out.Len() > 0 {
		t.Errorf("status %d, %q, output %q; want 2 and %q", status, errs.String(), out.String(),
			want)
	}
}

// The commands of the manual and of the package comment do what they say, with smaller numbers.
func TestManualExamples(t *testing.T) {
	comment, _, _ := strings.Cut(runtest.Read(t, "main.go"), "\npackage main")
	t.Chdir(t.TempDir())
	examples := regexp.MustCompile(
		`(?m)^(?://\t|  )go run \./cifar((?: [^\s]+)+)`).FindAllStringSubmatch(comment+manual, -1)
	if len(examples) != 7 {
		t.Errorf("%d examples in\n%s\n%s", len(examples), comment, manual)
	}
	for _, example := range examples {
		args := strings.Fields(example[1])
		if i := slices.Index(args, "-config=runs/NAME/config.json"); i >= 0 {
			args[i] = strings.Replace(args[i], "NAME", nameOf(t, "gdm"), 1)
		}
		command, err := imagerun.ParseCommand(args)
		if err != nil {
			t.Fatalf("go run ./cifar%s: %v", example[1], err)
		}
		// Whatever -preset=auto is then.
		for _, kind := range []backend.Kind{backend.CUDA, backend.CPU, backend.Go} {
			if c, _, err := command.Config(kind); err != nil || c.Images > 0 && c.Batch > c.Images {
				t.Errorf("go run ./cifar%s on %s: %v, batch %d of %d images", example[1], kind, err,
					c.Batch, c.Images)
			}
		}
		args = runtest.Changed(args, "-backend=go", "-offline", "-data=cifar10-mini", "-images=13",
			"-holdout=10", "-width=1", "-epochs=2", "-lr=0.1", "-chunk=0")
		if strings.Contains(example[1], "-seeds") {
			args = runtest.Changed(args, "-seeds=1")
		}
		if strings.Contains(example[1], "-batch") {
			args = runtest.Changed(args, "-batch=5")
		}
		if stdout := succeed(t, args...); !strings.Contains(stdout, "\ntraining images") {
			t.Errorf("go run ./cifar%s prints no result:\n%s", example[1], stdout)
		}
	}
	for _, opt := range []string{"gd", "gdm", "sgdm"} {
		nameOf(t, opt)
	}
}

// nameOf is the name of the only run folder of an algorithm.
func nameOf(t *testing.T, opt string) string {
	t.Helper()
	found, err := filepath.Glob("runs/*-" + opt + "-*")
	if err != nil || len(found) != 1 {
		t.Fatalf("runs of %s: %q, %v", opt, found, err)
	}
	return filepath.Base(found[0])
}

// -seeds makes a run for each seed, in folders of their own, and ends with their table. A name and
// tags are kept in the manifest, also by a process without them.
func TestSeeds(t *testing.T) {
	root := t.TempDir()
	args := []string{"-preset=tiny", "-backend=go", "-epochs=2", "-model=wrn16-1", "-width=1",
		"-images=5", "-holdout=10", "-chunk=5", "-opt=gdm", "-seed=7", "-runs=" + root}
	stdout := succeed(t, append(args, "-seeds=3", "-name=first", "-tags=a,b")...)
	folders, err := filepath.Glob(root + "/*-s[789]-*[0-9a-f]")
	if err != nil || len(folders) != 3 {
		t.Fatalf("folders %q, %v; want those of the seeds 7, 8 and 9", folders, err)
	}
	for _, line := range []string{"\nseed      7 (1 of 3)\n", "\nseed      9 (3 of 3)\n",
		"\n| rule", "| 3 | "} {
		if !strings.Contains(stdout, line) {
			t.Errorf("no %q in\n%s", line, stdout)
		}
	}
	// The seeds share compiled graphs and nothing else: each gives the bytes of a run by itself.
	alone := t.TempDir()
	succeed(t, runtest.Changed(args, "-seed=9", "-runs="+alone)...)
	for _, file := range []string{"weights.safetensors", "metrics.csv"} {
		path := filepath.Join(filepath.Base(folders[2]), file)
		if runtest.Read(t, alone, path) != runtest.Read(t, root, path) {
			t.Errorf("%s of seed 9 differs from that of a run by itself", file)
		}
	}
	if again := succeed(t, append(args, "-seeds=3")...); strings.Count(again, "is done") != 3 {
		t.Errorf("the same command again:\n%s", again)
	}
	runs := runtable.ReadAll(t.Context(), folders, t.Output())
	if kept, err := runtable.Where(runs, "name=first,tag=b,seed=8"); err != nil || len(kept) != 1 {
		t.Errorf("%d runs have name, tag and seed, %v; want 1", len(kept), err)
	}
	for wrong, want := range map[string]string{"-seeds=0": "-seeds must be in [1, 1000], got 0",
		"-seeds=2 -dry-run":                   "-dry-run is about one run, of which -seeds=2 ",
		"-seeds=2 -seed=18446744073709551615": "-seeds=2 from -seed=18446744073709551615 on"} {
		err := run(t.Context(), t.Output(), t.Output(), runtest.Changed(args,
			strings.Fields(wrong)...))
		if cli.Status(err) != cli.BadUsage || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", wrong, err, want)
		}
	}
}
