package imagerun

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// No other process may use the folder of a run that goes on. SIGINT and SIGTERM stop the run with a
// checkpoint, from which the next process resumes it.
func TestInUseAndSignals(t *testing.T) {
	root := t.TempDir()
	args := testArgs(root, "-epochs=100000", "-holdout=1", "-checkpoint-every=1h")
	for i, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		p := start(t, args...)
		if i > 0 && !p.until("          resumed before step ", 1) || !p.until("epoch ", 2) {
			_, _, stderr := p.end()
			t.Fatalf("ended: %s", stderr)
		}
		for _, more := range []string{"-fresh", "-epochs=100000"} {
			status, _, stderr := cifar(t, t.Context(), append(args, more)...)
			want := fmt.Sprintf("cifar: %s is in use, wait for it or stop it: "+
				"%[1]s.lock: held by process %d on ", folder(t, root), p.Process.Pid)
			if status != cli.Failed || !strings.HasPrefix(stderr, want) ||
				strings.Count(stderr, "\n") != 1 {
				t.Errorf("a second process: status %d, %q, want 1 and %q", status, stderr, want)
			}
		}
		p.Process.Signal(signal)
		status, stdout, stderr := p.end()
		want := regexp.MustCompile(
			`^cifar: stopped by a signal before step \d+; the same command resumes it\n$`)
		if status != cli.Stopped || !want.MatchString(stderr) {
			t.Errorf("%v: status %d, %q; want 75, %s", signal, status, stderr, want)
		}
		if strings.ContainsRune(stdout, '\x1b') || strings.ContainsRune(stdout, '\r') {
			t.Errorf("escape codes in a pipe: %q", stdout)
		}
		if got := runtest.Read(t, folder(t, root), "state"); got != "preempted\n" {
			t.Errorf("%v: state %q", signal, got)
		}
	}
}

// A run that is stopped again and again, in a step or in an evaluation, ends with the bytes of a
// run that was not stopped.
func TestStoppedRunEndsTheSame(t *testing.T) {
	for _, algorithm := range [][]string{
		{"-opt=gdm", "-epochs=6"},
		// Also within an epoch, of 3 steps with 3 images in the last, with the sums over
		// small-margin images.
		{"-opt=sgdm", "-epochs=6", "-batch=5", "-chunk=4", "-small-margin=0.25"},
		{"-opt=gd", "-epochs=6", "-eval-every=4"},
		untilLoss,
	} {
		calm, root := t.TempDir(), t.TempDir()
		succeed(t, testArgs(calm, algorithm...)...)
		random := rand.New(rand.NewPCG(3, 0))
		stops := 0
		for ; ; stops++ {
			// An epoch asks 3 times in its evaluation and 3 or 5 times in its steps.
			ctx := &runtest.Countdown{Context: t.Context(), Calls: random.IntN(16)}
			every := []string{"-checkpoint-every=0s", "-checkpoint-every=1h"}[random.IntN(2)]
			status, _, stderr := cifar(t, ctx, testArgs(root, append(algorithm, every)...)...)
			if status == cli.Done {
				break
			}
			if status != cli.Stopped || runtest.Read(t, folder(t, root), "state") != "preempted\n" {
				t.Fatalf("status %d, %q, state %q", status, stderr,
					runtest.Read(t, folder(t, root), "state"))
			}
			if stops > 100 {
				t.Fatal("no progress")
			}
		}
		t.Logf("%q: stopped %d times", algorithm, stops)
		if stops < 4 {
			t.Errorf("%q: stopped %d times only", algorithm, stops)
		}
		sameResult(t, folder(t, root), folder(t, calm))
	}
}

// A run that is stopped within its first epoch, before its first step or after one of three, keeps
// its name and tags, and counts the images of both processes: 4 epochs of 13.
func TestStoppedInTheFirstEpoch(t *testing.T) {
	for _, algorithm := range []string{"-opt=gdm", "-opt=sgdm -batch=5"} {
		root := t.TempDir()
		args := testArgs(root, strings.Fields(algorithm)...)
		ctx := &runtest.Countdown{Context: t.Context(), Calls: 3} // 2 in the evaluation
		status, _, stderr := cifar(t, ctx, append(args, "-name=base", "-tags=a,b")...)
		if status != cli.Stopped {
			t.Fatalf("%s: status %d, %s", algorithm, status, stderr)
		}
		succeed(t, args...)
		var got Manifest
		text := runtest.Read(t, folder(t, root), "manifest.json")
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if got.Name != "base" || !slices.Equal(got.Tags, []string{"a", "b"}) || got.Images != 52 {
			t.Errorf("%s: name %q, tags %q, %d images; want base, a and b, 52", algorithm, got.Name,
				got.Tags, got.Images)
		}
	}
}

// A damaged checkpoint is skipped, with a warning, and the one before it gives the same result. It
// is long because it is a table of cases.
func TestDamagedCheckpoint(t *testing.T) {
	calm, stopped := t.TempDir(), t.TempDir()
	succeed(t, testArgs(calm)...)
	// A signal in the evaluation of epoch 3.
	ctx := &runtest.Countdown{Context: t.Context(), Calls: 3*(2+3) + 1}
	status, _, stderr := cifar(t, ctx, testArgs(stopped, "-checkpoint-every=0s")...)
	if status != cli.Stopped {
		t.Fatalf("status %d, %s", status, stderr)
	}

	one := func(pattern string) func(folder string) string {
		return func(folder string) string {
			found, err := filepath.Glob(filepath.Join(folder, pattern))
			if err != nil || len(found) != 1 {
				t.Fatalf("%s in %s: %q, %v", pattern, folder, found, err)
			}
			return found[0]
		}
	}
	bin, description, sums := one("*.bin"), one("checkpoint-*.json"), one("SHA256SUMS")
	write := func(path, content string) {
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		damage func(folder string)
	}{
		{"a flipped bit", func(f string) {
			b := []byte(runtest.Read(t, bin(f)))
			b[len(b)/2] ^= 1
			write(bin(f), string(b))
		}},
		{"a short file", func(f string) { os.Truncate(bin(f), 100) }},
		{"a longer file", func(f string) {
			write(description(f), runtest.Read(t, description(f))+" ")
		}},
		{"a missing file", func(f string) { os.Remove(bin(f)) }},
		{"no checksums", func(f string) { os.Remove(sums(f)) }},
		{"empty checksums", func(f string) { write(sums(f), "") }},
		{"no files", func(f string) { os.RemoveAll(f); os.Mkdir(f, 0o777) }},
	} {
		root := t.TempDir()
		if err := os.CopyFS(root, os.DirFS(stopped)); err != nil {
			t.Fatal(err)
		}
		newest := filepath.Join(folder(t, root), "checkpoints", "step-00000003")
		tt.damage(newest)
		status, stdout, stderr := cifar(t, t.Context(), testArgs(root)...)
		if status != cli.Done || !strings.Contains(stdout, "resumed before step 2 of 4\n") {
			t.Errorf("%s: status %d, %s%s", tt.name, status, stdout, stderr)
		}
		want := "warning: " + newest + ": the checkpoint cannot be used, "
		if !strings.HasPrefix(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: warning %q, want %q", tt.name, stderr, want)
		}
		sameResult(t, folder(t, root), folder(t, calm))
	}

	// Without an undamaged checkpoint the run starts over, with warnings.
	found, err := filepath.Glob(filepath.Join(folder(t, stopped), "checkpoints", "*"))
	if err != nil || len(found) != 2 {
		t.Fatalf("checkpoints %q, %v; want two", found, err)
	}
	for _, f := range found {
		os.Remove(bin(f))
	}
	status, stdout, stderr := cifar(t, t.Context(), testArgs(stopped)...)
	if status != cli.Done || strings.Contains(stdout, "resumed") ||
		strings.Count(stderr, "\n") != 2 {
		t.Errorf("status %d, %s%s; want two warnings and a run from the start", status, stdout,
			stderr)
	}
	sameResult(t, folder(t, stopped), folder(t, calm))
}

// A run that goes on with another number of devices says so, and ends all the same.
func TestOtherDevices(t *testing.T) {
	root := t.TempDir()
	ctx := &runtest.Countdown{Context: t.Context(), Calls: 3*(2+3) + 1}
	if status, _, stderr := cifar(t, ctx, testArgs(root, "-checkpoint-every=0s",
		"-devices=1")...); status != cli.Stopped {
		t.Fatalf("status %d, %s", status, stderr)
	}
	path := filepath.Join(folder(t, root), "manifest.json")
	one := runtest.Read(t, path)
	damage(t, path, strings.Replace(one, `"devices": 1`, `"devices": 3`, 1))
	const want = "warning: the run goes on with another number of devices, 1 instead of 3: the " +
		"last digits may differ from those of an undisturbed run\n"
	if status, _, stderr := cifar(t, t.Context(), testArgs(root, "-devices=1")...); status !=
		cli.Done || stderr != want {
		t.Errorf("status %d, %q, want %q", status, stderr, want)
	}
	if got := runtest.Read(t, path); !strings.Contains(got, `"devices": 1`) {
		t.Errorf("the manifest does not name the one device: %s", got)
	}
}
