package study

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/runtest"
	"momentum/internal/sweep"
)

// tiny is a figure whose runs take a second on the Go backend: 5 images, networks of 788 parameters.
func tiny() *Figure {
	return &Figure{
		Name: "figure", Manual: "a figure for tests\n",
		Scales: []Scale{{Name: "tiny", Says: "seconds", Values: map[string]string{
			"data": "cifar10-mini", "model": "wrn16-1", "width": "1", "images": "5", "holdout": "5", "epochs": "2", "eval-every": "1", "rates": "0.1,0.2",
			"schedules": "cosine", "weight-decays": "0", "seeds": "2", "grow": "0", "longer": "2",
		}}},
		Title:    func(*Options) string { return "A figure" },
		Cells:    func(o *Options) ([]Cell, error) { return o.Cells([]int{0}) },
		Measures: func(*Options) []Measure { return []Measure{{Column: "test_accuracy", Title: "test accuracy"}} },
	}
}

// program builds cifar once for all tests of this package.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cifar")
	if out, err := exec.Command("go", "build", "-o", path, "momentum/cifar").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return path
}

// start runs the command of a tiny figure in a folder.
func start(ctx context.Context, root, cifar string, args ...string) (stdout string, err error) {
	var out, errs bytes.Buffer
	words := args[:0:0]
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		words, args = args[:1:1], args[1:]
	}
	words = append(words, "-cifar="+cifar, "-out="+filepath.Join(root, "out"), "-runs="+filepath.Join(root, "runs"), "-backend=go", "-offline", "-chunk=5")
	err = tiny().Run(ctx, &out, &errs, append(words, args...))
	return out.String() + errs.String(), err
}

// A whole study: the stages follow from one another, nothing is made twice, and the tables are the same bytes again, also after the study was stopped.
func TestStudy(t *testing.T) {
	cifar := program(t)
	calm := t.TempDir()

	// A plan makes no run, and says what comes.
	stdout, err := start(t.Context(), calm, cifar, "plan")
	if err != nil {
		t.Fatal(err, stdout)
	}
	for _, want := range []string{
		`trials-1  4 runs`, `1 comparison\(s\), in each 4 trials, half of them with momentum, and 6 final runs \(2 seeds of GD, GD\+M and GD at the effective rate of GD\+M\) and 2 of 2 times the epochs`,
		`(?m)^cost      \S+ FLOP for training: `, `(?m)^          about \d+ min on this machine, and at most \S+ GB of disk$`,
	} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("no %s in\n%s", want, stdout)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(calm, "runs", "*", "metrics.jsonl")); len(found) > 0 {
		t.Errorf("a plan made %q", found)
	}
	if _, err := start(t.Context(), calm, cifar, "collect"); err == nil || !strings.Contains(err.Error(), "is pending, want every run done") {
		t.Errorf("collecting nothing: %v", err)
	}

	if stdout, err = start(t.Context(), calm, cifar); err != nil {
		t.Fatal(err, stdout)
	}
	out := filepath.Join(calm, "out")
	for _, name := range []string{"report.md", "table.md", "table.csv", "table.json", "curves-cifar10-mini-wrn16-1-full.png", "trials-cifar10-mini-wrn16-1-full.svg"} {
		if runtest.Read(t, out, name) == "" {
			t.Errorf("%s is empty", name)
		}
	}
	table := runtest.Read(t, out, "table.md")
	if !strings.Contains(stdout, table) || !strings.Contains(table, "| GD, 2 times the epochs |") {
		t.Errorf("the table is not printed, or lacks a control:\n%s", stdout)
	}
	report := runtest.Read(t, out, "report.md")
	for _, want := range []string{"    go run ./scripts/figure -cifar=", "| revision | ", "| device | ", "| precision | f32 |", "| time | "} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q:\n%s", want, report)
		}
	}
	// Selection saw held-out images only, the final runs none of them.
	finals, err := sweep.Read(filepath.Join(out, "final"), filepath.Join(calm, "runs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range finals.Runs {
		if !strings.Contains(string(r.Settings), `"holdout":0,`) || strings.Contains(string(r.Settings), `"seed":1}`) {
			t.Errorf("final run %s", r.Settings)
		}
	}

	// Once more: nothing is made, the same bytes.
	runs := runtest.Files(t, filepath.Join(calm, "runs"))
	tables := runtest.Files(t, out)
	if stdout, err = start(t.Context(), calm, cifar); err != nil || !strings.Contains(stdout, "0 to make") {
		t.Errorf("once more: %v\n%s", err, stdout)
	}
	if stdout, err = start(t.Context(), calm, cifar, "collect"); err != nil {
		t.Errorf("collect: %v\n%s", err, stdout)
	}
	if again := runtest.Files(t, filepath.Join(calm, "runs")); !equalFiles(again, runs) {
		t.Error("run folders have changed")
	}
	for name, content := range runtest.Files(t, out) {
		if content != tables[name] && name != "report.md" && name != "cifar" {
			t.Errorf("%s has changed", name)
		}
	}

	// Stopped in the middle of a stage, and another time, and then let go on.
	root := t.TempDir()
	for range 2 {
		ctx, stop := context.WithCancel(t.Context())
		before, _ := filepath.Glob(filepath.Join(root, "runs", "*", "SHA256SUMS"))
		done := make(chan error)
		go func() { _, err := start(ctx, root, cifar); done <- err }()
		for {
			now, _ := filepath.Glob(filepath.Join(root, "runs", "*", "SHA256SUMS"))
			if len(now) > len(before)+1 {
				break
			}
			select {
			case err := <-done:
				t.Fatalf("ended before it was stopped: %v", err)
			default:
			}
		}
		stop()
		if err := <-done; !errors.Is(err, cli.ErrStopped) {
			t.Fatalf("stopped: %v", err)
		}
	}
	if stdout, err := start(t.Context(), root, cifar); err != nil {
		t.Fatal(err, stdout)
	}
	for _, ending := range []string{".md", ".csv", ".json"} {
		if runtest.Read(t, root, "out", "table"+ending) != runtest.Read(t, out, "table"+ending) {
			t.Errorf("table%s of a study that was stopped twice differs", ending)
		}
	}
}

func equalFiles(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, content := range a {
		if b[name] != content {
			return false
		}
	}
	return true
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"make", `nothing called "make" to do`},
		{"-scale=huge", `-scale is "huge"`},
		{"-rates=0.2,0.1", "-rates must be positive and increasing, got 0.2, 0.1"},
		{"-rates=0.1,0.1", "-rates must be positive and increasing"},
		{"-rates=x", `"x" is no number`},
		{"-rates=NaN", `"NaN" is no number`},
		{"-holdout=0", "-holdout must be at least 1 image, got 0: settings are never chosen on test images"},
		{"-choose=test", `-choose must be fitted or any, got "test"`},
		{"-momentum=0", "-momentum must be in (0, 1), got 0"},
		{"-longer=1", "-longer must be 0 or at least 2, got 1"},
		{"-seeds=0", "-seeds must be at least 1, got 0"},
		{"-launcher=ray", `-launcher must be local or slurm, got "ray"`},
		{"-schedules=linear", `-schedule must be one of constant, cosine, step, got "linear"`},
		{"-model=mlp", `unknown model "mlp"`},
		{"-data=mnist", `"mnist" is none of`},
		{"run 3", `unexpected argument "3"`},
	} {
		err := tiny().Run(t.Context(), &bytes.Buffer{}, &bytes.Buffer{}, strings.Fields(tt.args))
		var usage *cli.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want a usage error with %q", tt.args, err, tt.want)
		}
	}
}

// The folder's name says what differs from the scale; what only changes how runs are made is not in it.
func TestFolderName(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", "sweeps/figure-tiny"},
		{"-jobs=3 -launcher=slurm -images=5", "sweeps/figure-tiny"},
		{"-norm=batch -seeds=5", "sweeps/figure-tiny-norm=batch-seeds=5"},
		{"-momentum=0.9 -rates=0.1,0.3 -precision=f32", "sweeps/figure-tiny-rates=0.1,0.3"}, // the others are what they would be anyway
	} {
		_, o, err := tiny().parse(strings.Fields(tt.args))
		if err != nil || filepath.ToSlash(o.out) != tt.want {
			t.Errorf("%q: %s, %v; want %s", tt.args, o.out, err, tt.want)
		}
	}
}

// Every flag is in one group of the manual.
func TestManual(t *testing.T) {
	var out bytes.Buffer
	if err := tiny().Run(t.Context(), &out, &bytes.Buffer{}, []string{"-h"}); err != nil {
		t.Fatal(err)
	}
	fs, groups := tiny().flags(&Options{}, Scale{})
	var names []string
	for _, g := range groups {
		names = append(names, g.Names...)
	}
	slices.Sort(names)
	var all []string
	fs.VisitAll(func(f *flag.Flag) { all = append(all, f.Name) })
	if !slices.Equal(names, all) {
		t.Errorf("the groups have %q, want each of %q once", names, all)
	}
	if _, err := os.Stat("sweeps"); err == nil {
		t.Error("the manual made a folder")
	}
}
