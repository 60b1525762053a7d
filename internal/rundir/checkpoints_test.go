package rundir

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// saved makes a run folder with checkpoints of the given steps. Each has one file, which holds the
// step.
func saved(t *testing.T, steps ...int64) *Dir {
	t.Helper()
	d, err := Open(Spec{Root: t.TempDir(), Label: "run", Settings: map[string]any{"seed": 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	for _, step := range steps {
		if err := d.SaveCheckpoint(step, func(folder string) error {
			return os.WriteFile(filepath.Join(folder, "state"), []byte(fmt.Sprint(step)), 0o666)
		}); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// loaded returns the content of the checkpoint that LoadCheckpoint picks: "" if there is none.
func loaded(t *testing.T, d *Dir) (content string, warnings []string) {
	t.Helper()
	found, warnings, err := d.LoadCheckpoint(func(folder string) error {
		b, err := os.ReadFile(filepath.Join(folder, "state"))
		content = string(b)
		return err
	})
	if err != nil || found != (content != "") {
		t.Fatalf("found %v, %q, %v", found, content, err)
	}
	return content, warnings
}

func TestNewestCheckpointsAreKept(t *testing.T) {
	// A step of nine digits is newer than one of eight, although its name sorts before.
	d := saved(t, 5, 99_999_999, 100_000_000)
	names, err := d.checkpoints()
	if want := []string{"step-99999999", "step-100000000"}; err != nil ||
		!slices.Equal(names, want) {
		t.Errorf("%q, %v, want %q", names, err, want)
	}
	if got, warnings := loaded(t, d); got != "100000000" || warnings != nil {
		t.Errorf("loaded %q, %q", got, warnings)
	}
	if got, _ := loaded(t, saved(t)); got != "" {
		t.Errorf("loaded %q from no checkpoints", got)
	}
}

func TestDamagedCheckpointIsSetAside(t *testing.T) {
	for name, damage := range map[string]func(folder string) error{
		"bit": func(f string) error {
			return os.WriteFile(filepath.Join(f, "state"), []byte("3"), 0o666)
		},
		"truncated": func(f string) error { return os.Truncate(filepath.Join(f, "state"), 0) },
		"file":      func(f string) error { return os.Remove(filepath.Join(f, "state")) },
		"history":   func(f string) error { return os.Remove(filepath.Join(f, historyFile)) },
		"sums":      func(f string) error { return os.Remove(filepath.Join(f, sumsFile)) },
		"no sums":   func(f string) error { return os.Truncate(filepath.Join(f, sumsFile), 0) },
	} {
		d := saved(t, 1, 2)
		if err := damage(d.Path(checkpointsDir, "step-00000002")); err != nil {
			t.Fatal(err)
		}
		got, warnings := loaded(t, d)
		if got != "1" || len(warnings) != 1 || !strings.Contains(warnings[0], "step-00000002") {
			t.Errorf("%s: loaded %q, warnings %q; want step 1 and a warning about step 2", name,
				got, warnings)
		}
		if _, err := os.Stat(d.Path(checkpointsDir, "step-00000002.damaged")); err != nil {
			t.Errorf("%s: the damaged checkpoint is not kept: %v", name, err)
		}
	}
}

// A checkpoint that cannot be read is an error, and both stay for the next process. One that lacks
// a file which its reader wants, or has a folder in its place, is damaged.
func TestUnreadableCheckpointStays(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string // of the error; "" for damage
	}{
		{syscall.EIO, "step-00000002, which stays as it is: weights: read x: input/output error"},
		{syscall.EACCES, "step-00000002, which stays as it is: weights: read x: permission denied"},
		{syscall.ENOENT, ""},
		{syscall.EISDIR, ""},
	} {
		d := saved(t, 1, 2)
		found, warnings, err := d.LoadCheckpoint(func(string) error {
			return fmt.Errorf("weights: %w", &fs.PathError{Op: "read", Path: "x", Err: tt.err})
		})
		names, _ := d.checkpoints()
		switch {
		case tt.want == "" && (found || len(warnings) != 2 || err != nil || len(names) != 0):
			t.Errorf("%v: found %v, %q, %v, left %q; want two warnings and none left", tt.err,
				found, warnings, err, names)
		case tt.want != "" && (found || warnings != nil || len(names) != 2 || err == nil ||
			!strings.Contains(err.Error(), tt.want)):
			t.Errorf("%v: found %v, %q, %v, left %q; want the error %q and both left", tt.err,
				found, warnings, err, names, tt.want)
		}
	}
}

// A checkpoint is used only with the rows before its step as they were, whichever of them is
// changed. Rows from that step on do not matter: the run writes them again.
func TestRowsOfACheckpoint(t *testing.T) {
	s := spec(t.TempDir())
	for _, tt := range []struct{ metrics, want string }{
		{"{\"step\":0,\"loss\":1}\n{\"step\":1,\"loss\":2}\n{\"step\":2,\"loss\":3}\n", "2"},
		{"{\"step\":0,\"loss\":1}\n{\"step\":1,\"loss\":2}\n{\"step\":2,\"loss\":4}\n", "2"},
		{"{\"step\":0,\"loss\":1}\n{\"step\":1,\"loss\":2}\n", "2"},
		{"{\"step\":0,\"loss\":1}\n{\"step\":1,\"loss\":3}\n{\"step\":2,\"loss\":3}\n", "1"},
		{"{\"step\":0,\"loss\":1}\n", "1"},
		{"{\"step\":0,\"loss\":2}\n{\"step\":1,\"loss\":2}\n{\"step\":2,\"loss\":3}\n", ""},
		{"", ""},
	} {
		s.Fresh = true
		d := open(t, s)
		for i := range int64(3) {
			must(t, d.AppendRow(Row{i, []Value{{"loss", float64(i + 1)}}}))
			if step := i; step > 0 { // the row of the checkpoint's own step is there, too
				must(t, d.SaveCheckpoint(step, func(folder string) error {
					path := filepath.Join(folder, "state")
					return os.WriteFile(path, fmt.Append(nil, step), 0o666)
				}))
			}
		}
		must(t, d.Close())
		must(t, os.WriteFile(d.Path(metricsFile), []byte(tt.metrics), 0o666))
		s.Fresh = false
		d = open(t, s)
		if got, warnings := loaded(t, d); got != tt.want || (got == "2") != (warnings == nil) {
			t.Errorf("%q: loaded %q, want %q; %q", tt.metrics, got, tt.want, warnings)
		}
		must(t, d.Close())
	}
}

// A checkpoint of an earlier version, which has no checksum of the rows, is used as it is.
func TestCheckpointWithoutHistory(t *testing.T) {
	d := saved(t, 1)
	folder := d.Path(checkpointsDir, "step-00000001")
	must(t, os.Remove(filepath.Join(folder, historyFile)))
	must(t, writeSums(folder, func(name string) bool { return name != sumsFile }))
	if got, warnings := loaded(t, d); got != "1" || warnings != nil {
		t.Errorf("loaded %q, %q", got, warnings)
	}
}

// A failed save leaves the older checkpoints and nothing else.
func TestFailedSave(t *testing.T) {
	d := saved(t, 1)
	full := errors.New("no space left on device")
	err := d.SaveCheckpoint(2, func(folder string) error {
		return errors.Join(os.WriteFile(filepath.Join(folder, "state"), []byte("2"), 0o666), full)
	})
	if !errors.Is(err, full) || !strings.Contains(err.Error(), "checkpoint of step 2") {
		t.Errorf("error %v", err)
	}
	entries, err := os.ReadDir(d.Path(checkpointsDir))
	if err != nil || len(entries) != 1 || entries[0].Name() != "step-00000001" {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// Whatever SHA256SUMS holds, a checkpoint is accepted only if each line is the right checksum of a
// file of the folder.
func FuzzVerify(f *testing.F) {
	content := []byte("weights")
	sum := sha256.Sum256(content)
	good := hex.EncodeToString(sum[:]) + "  state\n"
	for _, s := range []string{good, good + good, good[:30], "", "\n", "  state\n", good + "x",
		strings.Replace(good, "state", "../state", 1), strings.ToUpper(good)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sums string) {
		dir := t.TempDir()
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "state"), content, 0o666),
			os.WriteFile(filepath.Join(dir, sumsFile), []byte(sums), 0o666)); err != nil {
			t.Fatal(err)
		}
		if verify(dir) != nil {
			return
		}
		for line := range strings.Lines(sums) {
			if strings.TrimRight(line, "\r\n") != strings.TrimSuffix(good, "\n") {
				t.Errorf("accepted the line %q", line)
			}
		}
	})
}

// Whatever metrics.json of a checkpoint holds, the rows are accepted only with their checksum.
func FuzzHistory(f *testing.F) {
	d, err := Open(spec(f.TempDir()))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { d.Close() })
	if err := d.AppendRow(row(0, 1)); err != nil {
		f.Fatal(err)
	}
	metrics, err := os.ReadFile(d.Path(metricsFile))
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range []int{0, 7, len(metrics), len(metrics) + 1, -1} {
		sum := sha256.Sum256(metrics[:min(max(n, 0), len(metrics))])
		f.Add(fmt.Sprintf(`{"bytes":%d,"sha256":"%x"}`, n, sum))
	}
	for _, s := range []string{`{"bytes":1e99}`, `{"bytes":9223372036854775807}`, "null", "[]",
		""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		folder := t.TempDir()
		must(t, os.WriteFile(filepath.Join(folder, historyFile), []byte(text), 0o666))
		if d.checkHistory(folder) != nil {
			return
		}
		var got history
		must(t, json.Unmarshal([]byte(text), &got))
		if n := got.Bytes; n < 0 || n > int64(len(metrics)) ||
			got.SHA256 != fmt.Sprintf("%x", sha256.Sum256(metrics[:n])) {
			t.Errorf("%q is accepted", text)
		}
	})
}
