package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/cli"
)

// completed is a run of two rows and its final row.
type completed struct {
	opt               string
	seed              int
	loss, train, test float64
	holdout           int
	testColumn        string // test_accuracy if empty
}

// write writes the folder of a run below root.
func (c completed) write(t *testing.T, root, state string) string {
	t.Helper()
	if c.testColumn == "" {
		c.testColumn = "test_accuracy"
	}
	dir := filepath.Join(root, fmt.Sprintf("%s-%d", c.opt, c.seed))
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"state": state + "\n",
		"config.json": fmt.Sprintf(`{"settings":{"opt":%q,"seed":%d,"lr":0.5,"schedule":"cosine",`+
			`"holdout":%d},"derived":{"rule":%q,"eta_eff":5},"execution":{}}`, c.opt, c.seed,
			c.holdout, c.opt),
		"metrics.jsonl": fmt.Sprintf(`{"step":0,"epoch":0,"loss":2,"train_accuracy":0.5,%[1]q:0.1}
{"step":7,"epoch":7,"loss":1,"train_accuracy":1}
{"step":9,"epoch":9,"loss":%g,"train_accuracy":%g,%[1]q:%[4]g}
`, c.testColumn, c.loss, c.train, c.test),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTable(t *testing.T) {
	root := t.TempDir()
	args := []string{root} // not a run folder
	for _, c := range []completed{
		{opt: "gd", seed: 1, loss: 0.1, train: 1, test: 0.20},
		{opt: "gd", seed: 2, loss: 0.3, train: 1, test: 0.22},
		{opt: "gdm", seed: 2, loss: 0.2, train: 1, test: 0.32},
		{opt: "gdm", seed: 1, loss: 0.2, train: 1, test: 0.26},
	} {
		args = append(args, c.write(t, root, "done"))
	}
	// With n = 2 the interval is t·s/√2 = 12.706·|a−b|/2: 0.2 ± 1.27 for losses 0.1 and 0.3, 21 ±
	// 12.7 for accuracies 20 and 22; the paired differences are 6 and 10: 8 ± 25.4.
	checkOutput(t, args, `| rule | η | schedule | η_eff | n | training loss | `+
		`training accuracy, % | test accuracy, % | zero training error at epoch |
|---|---|---|---|---|---|---|---|---|
| gd | 0.5 | cosine | 5 | 2 | 0.2 ± 1.3 | 100 ± 0 | 21 ± 13 | 7, 7 |
| gdm | 0.5 | cosine | 5 | 2 | 0.2 ± 0 | 100 ± 0 | 29 ± 38 | 7, 7 |

Test accuracy of (gdm, η = 0.5) minus (gd, η = 0.5), paired by seed: 8 ± 25 points, n = 2.
`)
}

// Rows are paired by the seeds that both have; a single pair has no interval and is left out.
func TestDifference(t *testing.T) {
	gd := []outcome{{settings: settings{Seed: 1}, testAccuracy: 0.5},
		{settings: settings{Seed: 3}, testAccuracy: 0.25}}
	gdm := []outcome{{settings: settings{Seed: 1}, testAccuracy: 0.75},
		{settings: settings{Seed: 2}, testAccuracy: 1}}
	if got := difference(gd, gdm); got != "" {
		t.Errorf("one pair: %q, want nothing", got)
	}
	gdm[1].Seed = 3 // 25 and 75 points: 50 ± 12.7·25
	if got := difference(gd, gdm); !strings.Contains(got, "50 ± 318 points, n = 2.") {
		t.Errorf("two pairs: %q", got)
	}
}

// Held-out images are read from either column and are named as such.
func TestHeldOut(t *testing.T) {
	root := t.TempDir()
	var args []string
	for _, c := range []completed{
		{opt: "gd", seed: 1, loss: 0.2, train: 1, test: 0.25},
		{opt: "gd", seed: 2, loss: 0.2, train: 1, test: 0.25},
		{opt: "gdm", seed: 1, loss: 0.2, train: 1, test: 0.5, testColumn: "held_out_accuracy"},
		{opt: "gdm", seed: 2, loss: 0.2, train: 1, test: 0.5, testColumn: "held_out_accuracy"},
	} {
		c.holdout = 100
		args = append(args, c.write(t, root, "done"))
	}
	checkOutput(t, args, `| rule | η | schedule | η_eff | n | training loss | `+
		`training accuracy, % | test accuracy, % | zero training error at epoch |
|---|---|---|---|---|---|---|---|---|
| gd | 0.5 | cosine | 5 | 2 | 0.2 ± 0 | 100 ± 0 | 25 ± 0 (held-out) | 7, 7 |
| gdm | 0.5 | cosine | 5 | 2 | 0.2 ± 0 | 100 ± 0 | 50 ± 0 (held-out) | 7, 7 |

Held-out accuracy of (gdm, η = 0.5) minus (gd, η = 0.5), paired by seed: 25 ± 0 points, n = 2.
`)
}

func checkOutput(t *testing.T, args []string, want string) {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), &out, &out, args); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

func TestRefuses(t *testing.T) {
	unfinished := completed{opt: "gd", seed: 1}.write(t, t.TempDir(), "running")
	err := run(t.Context(), t.Output(), t.Output(), []string{unfinished})
	if err == nil || !strings.Contains(err.Error(), `state is "running", want "done"`) {
		t.Error(err)
	}
	err = run(t.Context(), t.Output(), t.Output(), []string{t.TempDir()})
	if cli.Status(err) != cli.BadUsage {
		t.Error(err)
	}
}
