// Package runtest holds helpers that the tests of several packages share: reading run folders
// and pages, changing arguments, running a command on a full disk, and finding Python.
package runtest

import (
	"context"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"momentum/internal/rundir"
)

// Changed are arguments with others, which replace those of the same name.
func Changed(args []string, more ...string) []string {
	name := func(arg string) string { name, _, _ := strings.Cut(arg, "="); return name }
	kept := slices.DeleteFunc(slices.Clone(args), func(old string) bool {
		return slices.ContainsFunc(more, func(arg string) bool { return name(arg) == name(old) })
	})
	return append(kept, more...)
}

// Manual checks what a command prints for -h: its name comes first, then an example; lines have at
// most 100 columns; and these explanations of flags, with their defaults, are in it, however they
// are broken into lines.
func Manual(t testing.TB, command, text string, want ...string) {
	t.Helper()
	if !strings.HasPrefix(text, command+" ") || !strings.Contains(text, "\n  go run ./") ||
		strings.Contains(text, "\t") {
		t.Errorf("-h of %s has another style:\n%s", command, text)
	}
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("-h has a line of %d columns: %s", n, line)
		}
	}
	words := strings.Join(strings.Fields(text), " ")
	for _, explanation := range want {
		if !strings.Contains(words, explanation) {
			t.Errorf("-h does not have %q:\n%s", explanation, text)
		}
	}
}

// Read returns the content of a file.
func Read(t testing.TB, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// Files returns the content of all files below a folder, by their paths relative to it, but for
// .checked, which the next look at a run folder may write.
func Files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".checked" {
			all[path] = Read(t, dir, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Metrics returns the rows of a run folder.
func Metrics(t testing.TB, dir string) []rundir.Row {
	t.Helper()
	rows, err := rundir.ReadMetrics(t.Context(), filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// LongMetrics writes the metrics of a run of n epochs into a folder. The loss oscillates faster
// than a picture can show, and has a spike in one epoch.
func LongMetrics(t testing.TB, dir string, n int) {
	t.Helper()
	var rows strings.Builder
	for i := range n {
		loss := 1 + 0.2*math.Sin(float64(i))
		if i == 7*n/10 {
			loss = 50
		}
		fmt.Fprintf(&rows, `{"step":%d,"epoch":%[1]d,"loss":%v,"train_accuracy":%v,"test_loss":%v,`+
			`"test_accuracy":0.8125,"grad_norm":%v,"update_norm":%v,"param_norm":%v,`+
			`"rate":0.0123456789}`+"\n", i, loss, 1-1/(1+loss), 1.5*loss, loss/3, loss/30,
			10+loss/7)
	}
	path := filepath.Join(dir, "metrics.jsonl")
	if err := os.WriteFile(path, []byte(rows.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}

// Seal writes SHA256SUMS over all files of a run folder that a test has made up.
func Seal(t testing.TB, dir string) {
	t.Helper()
	var sums strings.Builder
	for name, content := range Files(t, dir) {
		if name == "SHA256SUMS" {
			continue
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256([]byte(content)), name)
	}
	path := filepath.Join(dir, "SHA256SUMS")
	if err := os.WriteFile(path, []byte(sums.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}

// HalfWritten returns the incomplete checkpoints in the run folders of root: those that still have
// a temporary name.
func HalfWritten(root string) []string {
	found, _ := filepath.Glob(filepath.Join(root, "*", "checkpoints", ".*.tmp-*"))
	return found
}

// File writes a file with a content into a new folder and returns its path.
func File(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// Python returns the Python interpreter: $MOMENTUM_PYTHON, or python3. It skips the test if the
// program find fails in it, for lack of the named modules.
func Python(t *testing.T, modules, find string) string {
	t.Helper()
	python := os.Getenv("MOMENTUM_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", find).CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		t.Skipf("%s has no %s (set MOMENTUM_PYTHON): %v: %s", python, modules, err,
			lines[len(lines)-1])
	}
	return python
}

// Countdown is a context that is cancelled once its Err has been called a number of times: a signal
// at that call.
type Countdown struct {
	context.Context
	Calls int

	mu sync.Mutex // several devices may ask at once
}

// Err implements context.Context.
func (c *Countdown) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Calls--; c.Calls < 0 {
		return context.Canceled
	}
	return nil
}

// outside is what a page has that refers to something outside of it.
var outside = regexp.MustCompile(`<script|<link|src="[^d]|href="[^#]|url\(|@import`)

// Page reads a report and checks that it is well-formed and needs no other file.
func Page(t testing.TB, path ...string) string {
	t.Helper()
	content := Read(t, path...)
	d := xml.NewDecoder(strings.NewReader(content))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%s: not well-formed: %v", filepath.Join(path...), err)
		}
	}
	if found := outside.FindAllString(content, -1); found != nil {
		t.Errorf("%s refers to something outside: %q", filepath.Join(path...), found)
	}
	return content
}
