package imagerun

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/runtest"
	"momentum/internal/tbevents"
)

// flipped is a text with one bit changed in the middle.
func flipped(text string) string {
	b := []byte(text)
	b[len(b)/2] ^= 1
	return string(b)
}

// damage changes a file: to a text, to nothing for "-", to a folder for "/", or to a link to
// nothing for "->".
func damage(t *testing.T, path, text string) {
	t.Helper()
	var err error
	if text == "-" || text == "/" || text == "->" {
		err = os.RemoveAll(path)
	}
	switch text {
	case "-":
	case "/":
		err = errors.Join(err, os.Mkdir(path, 0o777))
	case "->":
		err = errors.Join(err, os.Symlink("nowhere", path))
	default:
		err = os.WriteFile(path, []byte(text), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A run that has ended is not believed without looking: each damaged file is named with the remedy,
// and what follows from the metrics is made anew. It is long because it is a table of cases.
func TestDamagedResult(t *testing.T) {
	root := t.TempDir()
	succeed(t, testArgs(root)...)
	dir := folder(t, root)
	files := runtest.Files(t, dir)
	metrics := files["metrics.jsonl"]
	for _, tt := range []struct{ file, text string }{
		{"metrics.jsonl", strings.Replace(metrics, "1", "2", 1)}, {"metrics.jsonl", ""},
		{"metrics.jsonl", metrics[:len(metrics)/2]}, {"metrics.jsonl", "-"},
		{"weights.safetensors", flipped(files["weights.safetensors"])},
		{"initial.safetensors", "-"}, {"manifest.json", "{}"}, {"state", "diverged\n"},
		{"SHA256SUMS", "-"}, {"SHA256SUMS", files["SHA256SUMS"] + "x"},
		{"config.json", files["config.json"] + "\n"}, {"metrics.csv", "/"}, // see below
	} {
		if tt.file == "metrics.csv" { // a second file, which cannot be made anew
			damage(t, filepath.Join(dir, "weights.safetensors"), "")
		}
		damage(t, filepath.Join(dir, tt.file), tt.text)
		name := strings.Replace(tt.file, "metrics.csv", "weights.safetensors", 1)
		status, _, stderr := cifar(t, t.Context(), testArgs(root)...)
		if status != cli.Failed || strings.Count(stderr, "\n") != 1 ||
			!strings.HasPrefix(stderr, "cifar: "+filepath.Join(dir, name)+": ") ||
			!strings.Contains(stderr, "; restore it, or start over with -fresh") {
			t.Errorf("%s %.20q: status %d, %q", tt.file, tt.text, status, stderr)
		}
		if _, err := ReadOutcome(t.Context(), dir); err == nil {
			t.Errorf("%s: the outcome is read", tt.file)
		}
		for _, name := range []string{tt.file, name} {
			damage(t, filepath.Join(dir, name), "-")
			damage(t, filepath.Join(dir, name), files[name])
		}
	}
	succeed(t, testArgs(root)...)

	for name, text := range map[string]string{"metrics.csv": "step\n",
		"curves.svg": flipped(files["curves.svg"]), "curves.png": "-", eventsFile: "/",
		settingsEvents: "-"} {
		damage(t, filepath.Join(dir, name), text)
		status, stdout, stderr := cifar(t, t.Context(), testArgs(root)...)
		if status != cli.Done || !strings.Contains(stdout, "is done") ||
			!strings.HasPrefix(stderr, "warning: "+filepath.Join(dir, name)+": ") ||
			!strings.HasSuffix(stderr, "; it is made anew from the metrics\n") ||
			strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: status %d, %q", name, status, stderr)
		}
		if got := runtest.Read(t, dir, name); name != eventsFile && got != files[name] {
			t.Errorf("%s has other bytes than before", name)
		}
		succeed(t, testArgs(root)...)
	}
	events := tbevents.NewReader(strings.NewReader(runtest.Read(t, dir, eventsFile)))
	n := 0
	for ; ; n++ {
		if _, err := events.Next(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n != 1+5 { // the version, four epochs and the final weights
		t.Errorf("%d events, want 6", n)
	}
}

// otherDigit changes the last digit of a row: it is a row as before, with another number.
func otherDigit(row string) string {
	i := strings.LastIndexAny(row, "0123456789")
	return row[:i] + string('0'+('9'-row[i])) + row[i+1:]
}

// Whatever is damaged in the folder of a run that was stopped, the run ends with the bytes of an
// undisturbed one, or is refused with a remedy. It is long because it is a table of cases.
func TestDamagedWhileStopped(t *testing.T) {
	calm, stopped := t.TempDir(), t.TempDir()
	succeed(t, testArgs(calm)...)
	// A signal in the evaluation of epoch 3, with checkpoints of steps 2 and 3.
	ctx := &runtest.Countdown{Context: t.Context(), Calls: 3*(2+3) + 1}
	if status, _, stderr := cifar(t, ctx, testArgs(stopped, "-checkpoint-every=0s")...); status !=
		cli.Stopped {
		t.Fatalf("status %d, %s", status, stderr)
	}
	rows := slices.Collect(strings.Lines(runtest.Read(t, folder(t, stopped), "metrics.jsonl")))
	initial := runtest.Read(t, folder(t, stopped), "initial.safetensors")
	newest := "step-00000003: the checkpoint cannot be used, going back to the one before it: "
	for _, tt := range []struct {
		file, text string
		resumed    string // "" if the run starts over
		warnings   []string
	}{
		{"metrics.jsonl", "-", "", []string{newest, "step-00000002: the checkpoint cannot be " +
			"used, starting from the first step: "}},
		{"metrics.jsonl", "", "", []string{newest, "metrics.jsonl: has 0 bytes, want at least "}},
		{"metrics.jsonl", rows[0] + rows[2], "", []string{newest, "metrics.jsonl: has "}},
		{"metrics.jsonl", rows[0] + rows[1] + otherDigit(rows[2]), "2 of 4",
			[]string{newest + "DIR/metrics.jsonl: the first "}},
		{"metrics.jsonl", otherDigit(rows[0]) + rows[1] + rows[2], "", []string{newest,
			"starting from the first step: DIR/metrics.jsonl: the first "}},
		{"metrics.jsonl", rows[0] + rows[1] + rows[2][:9], "2 of 4", []string{newest}},
		{"initial.safetensors", flipped(initial), "3 of 4",
			[]string{"initial.safetensors: did not hold the initial weights"}},
		{"initial.safetensors", "/", "3 of 4",
			[]string{"initial.safetensors: did not hold the initial weights"}},
		{"checkpoints", "-", "", nil},
		{"checkpoints/step-00000003/SHA256SUMS", "->", "2 of 4", []string{newest}},
		{"checkpoints/step-00000003", "->", "2 of 4", []string{newest}},
		{"checkpoints/step-00000003", "/", "2 of 4", []string{newest}},
	} {
		root := t.TempDir()
		if err := os.CopyFS(root, os.DirFS(stopped)); err != nil {
			t.Fatal(err)
		}
		dir := folder(t, root)
		path := filepath.Join(dir, tt.file)
		damage(t, path, tt.text)
		status, stdout, stderr := cifar(t, t.Context(), testArgs(root)...)
		_, resumed, _ := strings.Cut(stdout, "          resumed before step ")
		if status != cli.Done || strings.Contains(stdout, "resumed") != (tt.resumed != "") ||
			!strings.HasPrefix(resumed, tt.resumed) ||
			strings.Count(stderr, "\n") != len(tt.warnings) {
			t.Errorf("%s %q: status %d, resumed %.10s, %q", tt.file, tt.text, status, resumed,
				stderr)
		}
		for _, want := range tt.warnings {
			if want = strings.ReplaceAll(want, "DIR", dir); !strings.Contains(stderr, want) {
				t.Errorf("%s %q: warnings %q, want %q", tt.file, tt.text, stderr, want)
			}
		}
		sameResult(t, dir, folder(t, calm))
	}

	dir := folder(t, stopped)
	damage(t, filepath.Join(dir, "state"), "done\n")
	fails(t, cli.Failed, "SHA256SUMS: is missing; restore it, or start over with -fresh",
		testArgs(stopped)...)
	damage(t, filepath.Join(dir, "state"), "running\n")
	damage(t, filepath.Join(dir, "checkpoints"), "-")
	damage(t, filepath.Join(dir, "checkpoints"), "a file")
	fails(t, cli.Failed, "checkpoints: is a file or a link to nothing, want a folder: remove it, "+
		"and the same command starts from the first step", testArgs(stopped)...)
}

// A result without weights is believed only if the run was slim, however it is shown.
func TestResultWithoutWeights(t *testing.T) {
	root := t.TempDir()
	succeed(t, testArgs(root)...)
	dir := folder(t, root)
	damage(t, filepath.Join(dir, "weights.safetensors"), "-")
	sums := runtest.Files(t, dir)["SHA256SUMS"]
	lines := slices.DeleteFunc(slices.Collect(strings.Lines(sums)), func(line string) bool {
		return strings.HasSuffix(line, "  weights.safetensors\n")
	})
	damage(t, filepath.Join(dir, "SHA256SUMS"), strings.Join(lines, ""))
	for _, flag := range []string{"-slim", "-slim=false"} {
		fails(t, cli.Failed, "SHA256SUMS: does not list weights.safetensors; restore it, or",
			testArgs(root, flag)...)
	}
	succeed(t, testArgs(root, "-slim", "-fresh")...)
	before := runtest.Files(t, dir)
	succeed(t, testArgs(root, "-slim=false")...)
	if !maps.Equal(runtest.Files(t, dir), before) {
		t.Error("showing the result has changed the folder")
	}
}
