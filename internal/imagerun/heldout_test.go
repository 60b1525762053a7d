package imagerun

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/runtest"
	"momentum/internal/tbevents"
)

// Losses and accuracies on held-out training images and on test images have names of their own,
// wherever a run writes them.
func TestEvaluatedImages(t *testing.T) {
	for _, tt := range []struct {
		args       []string
		columns    string // of the metrics
		data, line string // of the output
		result     string
	}{
		{[]string{"-small-margin=0.25"},
			"held_out_loss held_out_accuracy held_out_loss_small_margin " +
				"held_out_loss_large_margin held_out_accuracy_small_margin " +
				"held_out_accuracy_large_margin",
			`, 10 held-out training images \(\d+ with a small margin\)`,
			`  held-out \d+\.\d\d%`, `held-out training images +10 +\S+ +\S+%`},
		{[]string{"-holdout=0", "-small-margin=0.25"},
			"test_loss test_accuracy test_loss_small_margin test_loss_large_margin " +
				"test_accuracy_small_margin test_accuracy_large_margin",
			`, 1000 test images \(\d+ with a small margin\)`,
			`  test \d+\.\d\d%`, `test images +1000 +\S+ +\S+%`},
		{nil, "held_out_loss held_out_accuracy", `, 10 held-out training images`,
			`  held-out \d+\.\d\d%`, `held-out training images +10 +\S+ +\S+%`},
	} {
		root := t.TempDir()
		stdout := succeed(t, testArgs(root, append(tt.args, "-epochs=1")...)...)
		for _, want := range []string{`data      .+` + tt.data,
			`epoch 0/1  .+` + tt.line, `epoch 1/1  .+` + tt.line, tt.result} {
			if !regexp.MustCompile("(?m)^" + want + "$").MatchString(stdout) {
				t.Errorf("%q: no line %q in\n%s", tt.args, want, stdout)
			}
		}

		dir, want := folder(t, root), strings.Fields(tt.columns)
		check := func(file string, names []string) {
			t.Helper()
			got := slices.DeleteFunc(names, func(name string) bool {
				return !strings.HasPrefix(name, "test") && !strings.HasPrefix(name, "held_out")
			})
			if !slices.Equal(got, want) {
				t.Errorf("%q: %s has %q, want %q", tt.args, file, got, want)
			}
		}
		for _, row := range runtest.Metrics(t, dir) {
			var names []string
			for _, v := range row.Values {
				names = append(names, v.Name)
			}
			check("metrics.jsonl", names)
		}
		check("metrics.csv", strings.Split(header(t, dir), ","))
		events := tbevents.NewReader(strings.NewReader(runtest.Read(t, dir,
			"events.out.tfevents.0.momentum")))
		events.Next() // the version
		rows := 0
		for ; ; rows++ {
			e, err := events.Next()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, s := range e.Scalars {
				names = append(names, strings.Replace(s.Tag, "/", "_", 1))
			}
			check("the event file", names)
		}
		if rows != 2 {
			t.Errorf("%q: %d events, want 2", tt.args, rows)
		}
	}
}

// A done run of an older version has its held-out images under test_*: it is not reported with
// zeros.
func TestOldHeldOutColumns(t *testing.T) {
	root := t.TempDir()
	succeed(t, testArgs(root)...)
	path := filepath.Join(folder(t, root), "metrics.jsonl")
	old := strings.ReplaceAll(runtest.Read(t, path), "held_out_", "test_")
	if err := os.WriteFile(path, []byte(old), 0o666); err != nil {
		t.Fatal(err)
	}
	runtest.Seal(t, filepath.Dir(path))
	fails(t, cli.Failed, path+": the last row has no held_out_loss: an older version of the "+
		"program wrote it; -fresh starts over", testArgs(root)...)
}

func TestHeldOut(t *testing.T) {
	for column, want := range map[string]string{
		"test_loss": "held_out_loss", "test_accuracy": "held_out_accuracy",
		"test_accuracy_small_margin": "held_out_accuracy_small_margin",
		"loss":                       "loss", "train_accuracy": "train_accuracy",
	} {
		if got := HeldOut(column); got != want {
			t.Errorf("%s: %s, want %s", column, got, want)
		}
	}
}
