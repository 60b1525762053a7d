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

// folder writes a finished run of one row before its last.
func folder(t *testing.T, root, opt string, seed int, loss, train, test float64,
	state string) string {
	t.Helper()
	dir := filepath.Join(root, fmt.Sprintf("%s-%d", opt, seed))
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"state": state,
		"config.json": fmt.Sprintf(
			`{"settings":{"opt":%q,"seed":%d,"lr":0.5,"schedule":"cosine"},"derived":{"rule":%q,"eta_eff":5},"execution":{}}`, opt, seed, opt),
		"metrics.jsonl": `{"step":0,"epoch":0,"loss":2,"train_accuracy":0.5,"test_accuracy":0.1}` +
			"\n" +
			`{"step":7,"epoch":7,"loss":1,"train_accuracy":1}` + "\n" +
			fmt.Sprintf(
				`{"step":9,"epoch":9,"loss":%g,"train_accuracy":%g,"test_accuracy":%g}`+"\n", loss,
				train, test),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTable(t *testing.T) {
	root := t.TempDir()
	args := []string{
		folder(t, root, "gd", 1, 0.1, 1, 0.20, "done\n"),
		folder(t, root, "gd", 2, 0.3, 1, 0.22, "done\n"),
		folder(t, root, "gdm", 2, 0.2, 1, 0.32, "done\n"),
		folder(t, root, "gdm", 1, 0.2, 1, 0.26, "done\n"), root,
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out, &out, args); err != nil {
		t.Fatal(err)
	}
	// With n = 2 the interval is t·s/√2 = 12.706·|a−b|/2: 0.2 ± 1.27 for losses 0.1 and 0.3, 21 ±
	// 12.7 for accuracies 20 and 22; the paired differences are 6 and 10: 8 ± 25.4.
	for _, want := range []string{
		"| gd | 0.5 | cosine | 5 | 2 | 0.2 ± 1.3 | 100 ± 0 | 21 ± 13 | 7, 7 |",
		"| gdm | 0.5 | cosine | 5 | 2 | 0.2 ± 0 | 100 ± 0 | 29 ± 38 | 7, 7 |",
		"Test accuracy of (gdm, η = 0.5) minus (gd, η = 0.5), paired by seed: 8 ± 25 points, n = 2.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestRefuses(t *testing.T) {
	root := t.TempDir()
	unfinished := folder(t, root, "gd", 1, 0.1, 1, 0.2, "running\n")
	if err := run(t.Context(), os.Stdout, os.Stderr, []string{unfinished}); err == nil ||
		!strings.Contains(err.Error(), `state is "running", want "done"`) {
		t.Error(err)
	}
	if err := run(t.Context(), os.Stdout, os.Stderr, []string{t.TempDir()}); cli.Status(err) !=
		cli.BadUsage {
		t.Error(err)
	}
}
