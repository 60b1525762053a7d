package imagerun

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// killedAt is the standard output of a run. As the rows of some epochs are shown, it copies the
// run's folder: to what a kill at that moment leaves.
type killedAt struct {
	root   string            // of the run
	copies map[string]string // where to copy its folder, by the beginning of an epoch's line
	err    error
}

func (k *killedAt) Write(line []byte) (int, error) {
	for epoch, root := range k.copies {
		if !bytes.HasPrefix(line, []byte(epoch)) {
			continue
		}
		found, err := filepath.Glob(filepath.Join(k.root, "*-??????????"))
		for _, dir := range found {
			err = errors.Join(err, os.CopyFS(filepath.Join(root, filepath.Base(dir)),
				os.DirFS(dir)))
		}
		k.err = errors.Join(k.err, err)
	}
	return len(line), nil
}

// A run with all diagnoses, or with weights along the way, that was stopped again and again, in the
// middle of a diagnosis, too, or was killed, ends with the bytes of one that was not disturbed.
func TestDiagnosedRunEndsTheSame(t *testing.T) {
	for name, more := range map[string][]string{
		"weights": {"-save-weights-every=1"},
		"diagnoses": {"-diagnose=" + strings.Join(diagnoses, ","), "-diagnose-every=2",
			"-small-margin=0.25"},
	} {
		args := func(root string) []string {
			return testArgs(root, append(more, "-opt=gdm", "-checkpoint-every=0s")...)
		}
		k := &killedAt{root: t.TempDir(), copies: map[string]string{"epoch 3/4 ": t.TempDir()}}
		if err := execute(t.Context(), k, io.Discard, args(k.root)); err != nil || k.err != nil {
			t.Fatal(err, k.err)
		}
		want := folder(t, k.root)
		check := func(root, how string) {
			t.Helper()
			sameResult(t, folder(t, root), want)
			if !maps.Equal(alongRun(t, folder(t, root)), alongRun(t, want)) {
				t.Errorf("%s, %s: other weights along the run", name, how)
			}
		}
		for epoch, root := range k.copies {
			if state := runtest.Read(t, folder(t, root), "state"); state != "running\n" {
				t.Fatalf("%s: a run under way has the state %q", name, state)
			}
			stdout := succeed(t, args(root)...)
			if !strings.Contains(stdout, "resumed before step "+epoch[len("epoch "):][:1]+" of 4") {
				t.Errorf("%s, killed at %s: not resumed there\n%s", name, epoch, stdout)
			}
			check(root, "killed")
		}

		stopped, stops := t.TempDir(), 0
		for calls := 4; ; calls += 12 {
			ctx := &runtest.Countdown{Context: t.Context(), Calls: calls}
			status, _, stderr := cifar(t, ctx, args(stopped)...)
			if status == cli.Done {
				break
			}
			if stops++; status != cli.Stopped || stops > 100 {
				t.Fatalf("%s, %d calls: status %d, %s", name, calls, status, stderr)
			}
		}
		if stops < 2 {
			t.Errorf("%s: stopped %d times, want several", name, stops)
		}
		check(stopped, "stopped")
	}
}
