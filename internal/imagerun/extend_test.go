package imagerun

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/progress"
	"momentum/internal/runtest"
)

// withEpochs is the folder of root's run of a number of epochs.
func withEpochs(t *testing.T, root string, args []string) string {
	t.Helper()
	c := parse(t, "go", args...)
	name, err := c.Name()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, name)
}

// With a constant rate, more epochs go on from the run that is done with fewer, also after a stop,
// and end with the bytes of a run from the start.
func TestMoreEpochs(t *testing.T) {
	for _, algorithm := range [][]string{
		{"-opt=gdm", "-schedule=constant", "-small-margin=0.25", "-diagnose=groups",
			"-diagnose-every=2"},
		{"-opt=sgd", "-schedule=constant", "-batch=5"},
	} {
		calm, root := t.TempDir(), t.TempDir()
		long := func(root string, more ...string) []string {
			return testArgs(root, append(append(more, "-epochs=6"), algorithm...)...)
		}
		succeed(t, long(calm)...)
		succeed(t, testArgs(root, append(algorithm, "-epochs=2")...)...)
		succeed(t, testArgs(root, append(algorithm, "-epochs=3", "-fresh")...)...)
		short := withEpochs(t, root, testArgs(root, append(algorithm, "-epochs=3")...))
		before := runtest.Files(t, short)

		status, stdout, stderr := cifar(t, &runtest.Countdown{Context: t.Context(), Calls: 3},
			long(root)...)
		want := short + " is done after 3 epochs with the same settings: goes on from there\n"
		if status != cli.Stopped || !strings.Contains(stdout, want) {
			t.Fatalf("status %d, %s\n%s\nwant %s", status, stderr, stdout, want)
		}
		stdout = succeed(t, long(root)...)
		if strings.Contains(stdout, "goes on from there") {
			t.Errorf("begun twice:\n%s", stdout)
		}
		sameResult(t, withEpochs(t, root, long(root)), folder(t, calm))
		for name, content := range runtest.Files(t, short) {
			if before[name] != content {
				t.Errorf("%s of the shorter run changed", name)
			}
		}
	}
}

// A run does not go on from another one if its rates would be others, if there is no checkpoint, or
// if it is to start over; a damaged one is an error.
func TestNotMoreEpochs(t *testing.T) {
	const again = ": this run starts from the beginning\n"
	for _, tt := range []struct {
		short, long []string
		want        string
	}{
		{nil, nil, "but with -schedule=cosine the rates depend on the number of epochs" + again},
		{[]string{"-schedule=constant", "-slim"}, []string{"-schedule=constant"},
			"but it kept no checkpoint (-slim)" + again},
		{[]string{"-schedule=constant"}, []string{"-schedule=constant", "-fresh"}, ""},
		{[]string{"-schedule=constant"}, []string{"-schedule=constant", "-seed=2"}, ""},
		{[]string{"-schedule=constant", "-warmup=1"}, []string{"-schedule=constant"},
			" is done after 1 epochs with another warm-up: give -warmup=1 to go on from it\n"},
		{[]string{"-warmup=1"}, nil, ""},
		{[]string{"-schedule=constant", "-epochs=3"}, []string{"-schedule=constant"}, ""},
	} {
		root := t.TempDir()
		succeed(t, testArgs(root, runtest.Changed([]string{"-epochs=1"}, tt.short...)...)...)
		stdout := succeed(t, testArgs(root, append(tt.long, "-epochs=2")...)...)
		if !strings.Contains(stdout, tt.want) || strings.Contains(stdout, "resumed") ||
			tt.want == "" && strings.Contains(stdout, " is done after ") {
			t.Errorf("%q, %q: want %s in\n%s", tt.short, tt.long, tt.want, stdout)
		}
	}

	root := t.TempDir()
	succeed(t, testArgs(root, "-epochs=1", "-schedule=constant")...)
	file := filepath.Join(folder(t, root), "metrics.jsonl")
	if err := os.Truncate(file, 10); err != nil {
		t.Fatal(err)
	}
	fails(t, cli.Failed, file+": has SHA-256 ", testArgs(root, "-epochs=2",
		"-schedule=constant")...)
}

// What a run says of a shorter one goes by way of the bar, which may be drawn at that time.
func TestShorterRunIsNamedAboveTheBar(t *testing.T) {
	root := t.TempDir()
	succeed(t, testArgs(root, "-epochs=1")...)
	var stdout, lines strings.Builder
	run := &training{bar: progress.Steps(&lines, "images", 1), experiment: &experiment{
		Config: parse(t, "go", testArgs(root, "-epochs=2")...), stdout: &stdout}}
	defer run.bar.Close()
	err := run.extend()
	if want := "          " + folder(t, root) + " is done after 1 epochs"; err != nil ||
		stdout.Len() > 0 || !strings.HasPrefix(lines.String(), want) {
		t.Errorf("%v, past the bar %q, above it %q; want nothing and %q", err, &stdout, &lines,
			want)
	}
}
