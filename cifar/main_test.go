package main

import (
	"bytes"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/imagerun"
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

// -h prints the manual and every flag, in lines of at most 100 columns.
func TestHelp(t *testing.T) {
	stdout := succeed(t, "-epochs=3", "-h")
	if !strings.HasPrefix(stdout, manual+"\nWhat to do:\n  -preset ") {
		t.Errorf("-h does not begin with the manual and the first flag:\n%s", stdout)
	}
	for line := range strings.Lines(stdout) {
		if columns := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); columns > 100 {
			t.Errorf("a line of %d columns: %s", columns, line)
		}
	}
}

func TestUsageError(t *testing.T) {
	var out, errs bytes.Buffer
	status := cli.Report(&errs, "cifar", run(t.Context(), &out, &errs, []string{"-fast"}))
	const want = "cifar: flag provided but not defined: -fast (see go run ./cifar -h)\n"
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
	if len(examples) != 6 {
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
