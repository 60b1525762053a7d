//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// TestMain makes the test's binary a victim.
func TestMain(m *testing.M) {
	if command := os.Getenv(asVictim); command != "" {
		os.Exit(act(command))
	}
	os.Exit(m.Run())
}

// reported is the report of a campaign in which nothing goes wrong, and what it printed. It has a
// folder of temporary files of its own.
func reported(t *testing.T, args ...string) (report, printed string) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	out := t.TempDir()
	var stdout bytes.Buffer
	err := run(t.Context(), &stdout, &stdout, append(args, "-seed=1", "-out="+out))
	if err != nil {
		t.Fatalf("%v\n%s", err, stdout.String())
	}
	return runtest.Read(t, out, "README.md"), stdout.String()
}

// A short campaign, always the same cases: no kill, no damage and no crowd goes wrong, and the
// tables say so. It is without the study, which takes long and whose tests have kills and damages
// of their own.
func TestShortCampaign(t *testing.T) {
	if testing.Short() {
		t.Skip("starts commands some 40 times")
	}
	report, _ := reported(t, "-kills=10", "-damages=20", "-crowds=2", "-servers=0",
		"-archives=0", "-victims=cifar,cifar-2,cifar100,sgdm,synthetic")
	for _, want := range []string{`(?m)^\d+ kills with SIGKILL`,
		`(?m)^\d\d folders with one damaged`, `(?m)^\d+ processes in crowds`, `After 2 crowds`,
		`(?m)^Nothing\.$`} {
		if !regexp.MustCompile(want).MatchString(report) {
			t.Errorf("no %s in\n%s", want, report)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "torture*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// What counts as recovered, refused and wrong.
func TestJudge(t *testing.T) {
	c := &campaign{}
	v := &victim{command: "cifar", want: map[string]string{"runs/a/metrics.csv": "1\n"}}
	for _, tt := range []struct {
		content      string
		status       int
		stderr, want string
	}{
		{"1\n", cli.Done, "", recovered},
		{"1\n", cli.Done, "warning: made anew\n", recovered},
		{"2\n", cli.Done, "", wrong},
		{"1\n", cli.Done, "cifar: but not well\n", wrong},
		{"2\n", cli.Failed, "cifar: runs/a/metrics.csv: damaged; restore it\n", refused},
		{"2\n", cli.Failed, "warning: old\ncifar: runs/a/metrics.csv: damaged\n", refused},
		{"2\n", cli.Failed, "cifar: runs/a: damaged\nand more\n", wrong},
		{"2\n", cli.Failed, "cifar: EOF\n", wrong}, // of which file?
		{"2\n", cli.BadUsage, "panic: runs/a\n", wrong},
	} {
		root := t.TempDir()
		path := filepath.Join(root, "runs/a/metrics.csv")
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(tt.content), 0o666); err != nil {
			t.Fatal(err)
		}
		if got, reason := c.judge(v, root, tt.status, tt.stderr); got != tt.want {
			t.Errorf("%q, %d, %q: %s (%s), want %s", tt.content, tt.status, tt.stderr, got, reason,
				tt.want)
		}
	}
}

// A file that differs, is missing or is left behind is found.
func TestDifferences(t *testing.T) {
	want := map[string]string{"a": "1", "b": "2"}
	got := strings.Join(differences(map[string]string{"a": "2", "c": "3"}, want), ", ")
	for _, text := range []string{"a differs", "b is missing", "c is left behind"} {
		if !strings.Contains(got, text) {
			t.Errorf("%q, want %q", got, text)
		}
	}
	if got := differences(want, want); got != nil {
		t.Errorf("%q of equal results", got)
	}
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"-kills=-1":            "-archives and -fuzz must be at least 0, got -1",
		"-servers=-1":          "-archives and -fuzz must be at least 0, got 60, 200, 10, -1",
		"-patience=0s":         "-patience must be positive, got 0s",
		"-only=kill-3":         "-only must be a case such as kill-17 or server-3, with its -seed",
		"-only=fuzz-3 -seed=1": "-only must be a case such as",
		"-victims=gdm":         "-victims must be some of " + allVictims + `, got "gdm"`,
		"more":                 `unexpected argument "more"`,
	} {
		var out bytes.Buffer
		err := run(t.Context(), &out, &out, strings.Fields(args))
		if cli.Status(err) != cli.BadUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

// Only the end of the time is no failure of a parser.
func TestEndOfTime(t *testing.T) {
	const failed = "--- FAIL: FuzzA (3.20s)\n    "
	for out, want := range map[string]bool{
		failed + "context deadline exceeded\nFAIL\nexit status 1\nFAIL\tm/p\t3.202s\n": true,
		failed + "--- FAIL: FuzzA (0.00s)\n        a_test.go:7: context deadline exceeded\n" +
			"    \n    Failing input written to testdata/fuzz/FuzzA/1\nFAIL\n": false,
		failed + "fuzzing process hung or terminated unexpectedly\nFAIL\n": false,
		"go: m@v1: Get \"https://host\": context deadline exceeded\n":      false,
		"FAIL\tm/p [build failed]\n":                                       false,
	} {
		if got := endOfTime.MatchString(out); got != want {
			t.Errorf("%q: %v, want %v", out, got, want)
		}
	}
}
