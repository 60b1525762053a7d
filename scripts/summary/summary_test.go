package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/markdown"
	"momentum/internal/runtable"
	"momentum/internal/runtest"
)

// completed is a run of two rows and its final row.
type completed struct {
	opt               string
	seed              int
	loss, train, test float64
	width, holdout    int
	testColumn        string // test_accuracy if empty
	manifest          string // "{}" if empty
	branchScale       string // 1 if empty
}

// write writes the folder of a run below root.
func (c completed) write(t *testing.T, root, state string) string {
	t.Helper()
	c.testColumn = cmp.Or(c.testColumn, "test_accuracy")
	c.manifest, c.branchScale = cmp.Or(c.manifest, "{}"), cmp.Or(c.branchScale, "1")
	dir := filepath.Join(root, fmt.Sprintf("%s-%d-%d", c.opt, c.width, c.seed))
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"state": state + "\n", "manifest.json": c.manifest,
		"config.json": fmt.Sprintf(`{"settings":{"width":%d,"opt":%q,"seed":%d,"lr":0.5,`+
			`"schedule":"cosine","holdout":%d,"branch_scale":%s},`+
			`"derived":{"rule":%q,"eta_eff":5},"execution":{}}`,
			c.width, c.opt, c.seed, c.holdout, c.branchScale,
			c.opt),
		"metrics.jsonl": fmt.Sprintf(`{"step":0,"epoch":0,"loss":2,"train_accuracy":0.5,%[1]q:0.1}
{"step":7,"epoch":7,"loss":1,"train_accuracy":1}
{"step":9,"epoch":9,"loss":%g,"train_accuracy":%g,%[1]q:%[4]g}
`, c.testColumn, c.loss, c.train, c.test),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	runtest.Seal(t, dir)
	return dir
}

func TestTable(t *testing.T) {
	root := t.TempDir()
	var args []string
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
	// A copy of a run is no further seed.
	copied := filepath.Join(root, "gd-0-1.old-1")
	if err := os.CopyFS(copied, os.DirFS(args[0])); err != nil {
		t.Fatal(err)
	}
	args = append(args, copied)
	checkOutput(t, args, `| rule | η | η_eff | n | training loss | `+
		`training accuracy, % | zero training error at epoch | test accuracy, % |
|---|---|---|---|---|---|---|---|
| gd | 0.5 | 5 | 2 | 0.2 ± 1.3 (0.1, 0.3) | 100 ± 0 | 7, 7 | 21 ± 13 (20, 22) |
| gdm | 0.5 | 5 | 2 | 0.2 ± 0 | 100 ± 0 | 7, 7 | 29 ± 38 (26, 32) |

Test accuracy of (gdm, η = 0.5) minus (gd, η = 0.5), paired by seed: 8 ± 25 (6, 10) points, n = 2.
`, "left out: "+copied+": the same settings and seed as "+args[0])
}

// A setting that differs has a column, and rows that differ in more than the algorithm and its rate
// are not paired. Runs that are not done are shown, and do not count.
func TestDifferentSettings(t *testing.T) {
	root := t.TempDir()
	args := []string{root} // not a run folder
	for _, c := range []completed{
		{opt: "gd", seed: 1, test: 0.5, width: 8}, {opt: "gd", seed: 2, test: 0.5, width: 8},
		{opt: "gdm", seed: 1, test: 0.5, width: 16}, {opt: "gdm", seed: 2, test: 0.5, width: 16},
	} {
		args = append(args, c.write(t, root, "done"))
	}
	args = append(args, completed{opt: "gdm", seed: 3, width: 16}.write(t, root, "running"),
		completed{opt: "gd", seed: 3, width: 8}.write(t, root, "diverged"))
	checkOutput(t, args, `| rule | η | η_eff | width | n | training loss | `+
		`training accuracy, % | zero training error at epoch | test accuracy, % |
|---|---|---|---|---|---|---|---|---|
| gd | 0.5 | 5 | 8 | 2 | 0 ± 0 | 0 ± 0 | 7, 7, diverged at 9 | 50 ± 0 |
| gdm | 0.5 | 5 | 16 | 2 | 0 ± 0 | 0 ± 0 | 7, 7, running at 9 | 50 ± 0 |
`, "left out: "+root+" is no run folder: it has no config.json\n")
}

// What is left out is said in plain words, and long settings are shown short.
func TestLeftOut(t *testing.T) {
	root := t.TempDir()
	missing := filepath.Join(root, "runs", "*")
	begun := completed{opt: "gd", seed: 3}.write(t, root, "")
	if err := os.Remove(filepath.Join(begun, "metrics.jsonl")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(begun, "state")); err != nil {
		t.Fatal(err)
	}
	args := []string{missing, begun}
	for i, scale := range []string{"0.4082482904638631", "12345678"} {
		c := completed{opt: "gd", seed: 1, test: 0.5, width: i, branchScale: scale}
		args = append(args, c.write(t, root, "done"))
	}
	checkOutput(t, args, `| rule | η | η_eff | width | branch_scale | n | training loss | `+
		`training accuracy, % | zero training error at epoch | test accuracy, % |
|---|---|---|---|---|---|---|---|---|---|
| gd | 0.5 | 5 | 0 | 0.4082 | 1 | 0 | 0 | 7 | 50 |
| gd | 0.5 | 5 | 1 | 12345678 | 1 | 0 | 0 | 7 | 50 |
`, "left out: "+missing+": there is no such folder\n"+
		"left out: "+begun+": it has no metrics.jsonl\n")
}

// Held-out images are read from either column and are named as such. A test accuracy has a column
// of its own.
func TestHeldOut(t *testing.T) {
	root := t.TempDir()
	var args []string
	for _, c := range []completed{
		{opt: "gd", seed: 1, loss: 0.2, train: 1, test: 0.25, holdout: 100},
		{opt: "gdm", seed: 1, loss: 0.2, train: 1, test: 0.5, holdout: 100,
			testColumn: "held_out_accuracy"},
		{opt: "gd", seed: 1, loss: 0.2, train: 1, test: 0.75, width: 4},
	} {
		args = append(args, c.write(t, root, "done"))
	}
	checkOutput(t, args, `| rule | η | η_eff | width | holdout | n | training loss | `+
		`training accuracy, % | zero training error at epoch | test accuracy, % | `+
		`held-out accuracy, % |
|---|---|---|---|---|---|---|---|---|---|---|
| gd | 0.5 | 5 | 0 | 100 | 1 | 0.2 | 100 | 7 |  | 25 |
| gdm | 0.5 | 5 | 0 | 100 | 1 | 0.2 | 100 | 7 |  | 50 |
| gd | 0.5 | 5 | 4 | 0 | 1 | 0.2 | 100 | 7 | 75 |  |
`, "")
}

// Seeds are in the order of numbers, and large ones are told apart.
func TestSeeds(t *testing.T) {
	root := t.TempDir()
	var args []string
	for _, seed := range []int{10, 2, 9007199254740993, 9007199254740992} {
		args = append(args, completed{opt: "gd", seed: seed, test: 0.5}.write(t, root, "done"))
	}
	rows := runtable.Rows(runtable.ReadAll(t.Context(), args, t.Output()))
	if len(rows) != 1 {
		t.Fatalf("%d rows, want 1", len(rows))
	}
	for i, want := range []string{"2", "10", "9007199254740992", "9007199254740993"} {
		if got := rows[0][i].Seed(); got != want {
			t.Errorf("seed %d is %s, want %s", i, got, want)
		}
	}
}

func TestCSV(t *testing.T) {
	root := t.TempDir()
	a := completed{opt: "gd", seed: 1, loss: 0.5, train: 1, test: 0.25}.write(t, root, "done")
	b := completed{opt: "gd", seed: 1, loss: 0.5, train: 1, test: 0.25, width: 4}.write(t, root,
		"preempted")
	c := completed{opt: "gd", seed: 1, width: 8}.write(t, root, "diverged")
	checkOutput(t, []string{"-csv", a, b, c}, `folder,state,rule,lr,eta_eff,seed,width,`+
		`evaluated,epochs_done,loss,train_accuracy,zero_error_at,accuracy
`+a+`,done,gd,0.5,5,1,0,test,9,0.5,1,7,0.25
`+b+`,preempted,gd,0.5,5,1,4,test,9,0.5,1,7,0.25
`+c+`,diverged,gd,0.5,5,1,8,test,9,,,7,
`, "")
}

// Names and tags have columns where a run has some. The runs of a row may have different ones.
func TestNames(t *testing.T) {
	root := t.TempDir()
	a := completed{opt: "gd", seed: 1, loss: 0.5, train: 1, test: 0.25,
		manifest: `{"name":"first try","tags":["slow","old"]}`}.write(t, root, "done")
	b := completed{opt: "gd", seed: 2, loss: 0.5, train: 1, test: 0.25,
		manifest: `{"name":"second try","tags":["slow","old"]}`}.write(t, root, "done")
	c := completed{opt: "gd", seed: 1, loss: 0.5, train: 1, test: 0.5, width: 4}.write(t, root,
		"done")
	checkOutput(t, []string{a, b, c}, `| rule | η | η_eff | name | tags | width | n | `+
		`training loss | training accuracy, % | zero training error at epoch | test accuracy, % |
|---|---|---|---|---|---|---|---|---|---|---|
| gd | 0.5 | 5 | first try; second try | slow, old | 0 | 2 | 0.5 ± 0 | 100 ± 0 | 7, 7 | 25 ± 0 |
| gd | 0.5 | 5 |  |  | 4 | 1 | 0.5 | 100 | 7 | 50 |
`, "")
	checkOutput(t, []string{"-csv", a, c}, `folder,state,rule,lr,eta_eff,seed,name,tags,width,`+
		`evaluated,epochs_done,loss,train_accuracy,zero_error_at,accuracy
`+a+`,done,gd,0.5,5,1,first try,"slow, old",0,test,9,0.5,1,7,0.25
`+c+`,done,gd,0.5,5,1,,,4,test,9,0.5,1,7,0.5
`, "")
	var out bytes.Buffer
	if err := run(t.Context(), &out, t.Output(), []string{"-json", a}); err != nil ||
		!strings.Contains(out.String(), `"name": "first try"`) ||
		!strings.Contains(out.String(), "\"tags\": [\n   \"slow\",\n   \"old\"\n  ]") {
		t.Errorf("%v\n%s", err, &out)
	}
}

// Objects in the order of -sort, of the runs that -where keeps; a diverged run has no loss.
func TestJSON(t *testing.T) {
	root := t.TempDir()
	a := completed{opt: "gd", seed: 1, loss: 0.5, train: 1, test: 0.25}.write(t, root, "diverged")
	b := completed{opt: "gd", seed: 1, loss: 0.5, train: 1, test: 0.25, width: 4}.write(t, root,
		"done")
	c := completed{opt: "gdm", seed: 1, loss: 0.5, train: 1, test: 0.5}.write(t, root, "done")
	object := func(folder, state, width, loss, train string) string {
		return fmt.Sprintf(`{"accuracy":%s,"epochs_done":9,"eta_eff":5,"evaluated":"test",`+
			`"folder":%q,"loss":%s,"name":"","rule":"gd","settings":{"branch_scale":1,`+
			`"holdout":0,"lr":0.5,"opt":"gd","schedule":"cosine","seed":1,"width":%s},`+
			`"state":%q,"tags":null,`+
			`"train_accuracy":%s,"zero_error_at":7}`,
			map[string]string{"null": "null", "1": "0.25"}[train], folder, loss, width, state,
			train)
	}
	var out, got bytes.Buffer
	err := run(t.Context(), &out, t.Output(), []string{"-json", "-where=opt=gd", "-sort=-width", a,
		b, c})
	if err != nil || json.Compact(&got, out.Bytes()) != nil {
		t.Fatal(err, out.String())
	}
	want := "[" + object(b, "done", "4", "0.5", "1") + "," +
		object(a, "diverged", "0", "null", "null") + "]"
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
}

// checkOutput compares what is printed, and the beginning of what is printed on the standard error.
func checkOutput(t *testing.T, args []string, want, wantErr string) {
	t.Helper()
	var out, stderr bytes.Buffer
	if err := run(t.Context(), &out, &stderr, args); err != nil {
		t.Fatal(err)
	}
	if want = markdown.Align(want); out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
	if !strings.HasPrefix(stderr.String(), wantErr) || (wantErr == "") != (stderr.Len() == 0) {
		t.Errorf("on the standard error %q, want %q", &stderr, wantErr)
	}
}

func TestManual(t *testing.T) {
	var help bytes.Buffer
	if err := run(t.Context(), &help, t.Output(), []string{"-h"}); cli.Status(err) != cli.Done {
		t.Error(err)
	}
	runtest.Manual(t, "summary", help.String(), "-csv write a table for programs",
		"-sort order by a column; -column: from the largest on; empty: as the folders are named")
}

func TestRefuses(t *testing.T) {
	var stderr bytes.Buffer
	err := run(t.Context(), t.Output(), &stderr, []string{t.TempDir()})
	if cli.Status(err) != cli.BadUsage || !strings.Contains(stderr.String(), "left out") {
		t.Error(err, stderr.String())
	}
}

// That the only run is damaged is no wrong usage. A file in the place of a run folder is damage
// too, unlike the lock beside it.
func TestDamaged(t *testing.T) {
	root := t.TempDir()
	dir := completed{opt: "gd", seed: 1, test: 0.5}.write(t, root, "done")
	file := filepath.Join(root, "gd-0123456789")
	for path, text := range map[string]string{file: "", file + ".lock": "",
		filepath.Join(dir, "metrics.jsonl"): ""} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{dir: "/metrics.jsonl: has SHA-256 e3b0c44298fc",
		file: "/config.json: not a directory; restore it, or start over with -fresh of the run's"} {
		var stderr bytes.Buffer
		err := run(t.Context(), t.Output(), &stderr, []string{path, file + ".lock"})
		if cli.Status(err) != cli.Failed || strings.Count(stderr.String(), "\n") != 1 ||
			!strings.HasPrefix(stderr.String(), "left out: "+path+want) {
			t.Errorf("%s: %v, %q", path, err, &stderr)
		}
	}
}
