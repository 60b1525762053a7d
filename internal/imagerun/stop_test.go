package imagerun

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// With this variable in its environment the test's binary is the command, so that tests can send
// signals to it.
const asCommand = "MOMENTUM_TEST_AS_CIFAR"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// process is a command that runs in a process of its own.
type process struct {
	*exec.Cmd
	lines  *bufio.Scanner // of its stdout, a pipe
	stderr bytes.Buffer
}

// start starts the command. It is killed when the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(t.Context(), os.Args[0], args...)}
	p.Env = append(os.Environ(), asCommand+"=1")
	p.Stderr = &p.stderr
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(stdout)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// until reads the lines that the process prints up to the n-th one that begins with prefix. It
// returns false if the process ends before.
func (p *process) until(prefix string, n int) bool {
	for n > 0 && p.lines.Scan() {
		if strings.HasPrefix(p.lines.Text(), prefix) {
			n--
		}
	}
	return n == 0
}

// end waits for the end of the process and returns its exit status, -1 if a signal killed it.
func (p *process) end() (status int, stdout, stderr string) {
	var out strings.Builder
	for p.lines.Scan() {
		fmt.Fprintln(&out, p.lines.Text())
	}
	p.Wait()
	return p.ProcessState.ExitCode(), out.String(), p.stderr.String()
}

// While a run goes on no other process may have its folder. SIGINT and SIGTERM stop it with a
// checkpoint, which the next one goes on from.
func TestInUseAndSignals(t *testing.T) {
	root := t.TempDir()
	args := small(root, "-epochs=100000", "-holdout=1", "-checkpoint-every=1h")
	for i, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		p := start(t, args...)
		if i > 0 && !p.until("          resumed before step ", 1) || !p.until("epoch ", 2) {
			_, _, stderr := p.end()
			t.Fatalf("ended: %s", stderr)
		}
		for _, more := range []string{"-fresh", "-epochs=100000"} {
			status, _, stderr := cifar(t, t.Context(), append(args, more)...)
			want := fmt.Sprintf("cifar: rundir: %s is in use, wait for it or stop it: "+
				"%[1]s.lock: held by process %d on ", folder(t, root), p.Process.Pid)
			if status != cli.Failed || !strings.HasPrefix(stderr, want) ||
				strings.Count(stderr, "\n") != 1 {
				t.Errorf("a second process: status %d, %q, want 1 and %q", status, stderr, want)
			}
		}
		p.Process.Signal(signal)
		status, stdout, stderr := p.end()
		if want := regexp.MustCompile(
			`^cifar: stopped by a signal before step \d+; the same command resumes it\n$`); status != cli.Stopped || !want.MatchString(stderr) {
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

// countdown is a context that ends when it has been asked n times whether it has: a signal at the
// n-th chunk.
type countdown struct {
	context.Context
	n int
}

func (c *countdown) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

// However often and wherever a run is stopped, in a step or in an evaluation, it ends with the
// bytes of a run that was not.
func TestStoppedRunEndsTheSame(t *testing.T) {
	for _, algorithm := range [][]string{
		{"-opt=gdm", "-epochs=6"},
		// In an epoch of 3 steps, too, of which the last one has 3 images, with the sums over
		// degraded images.
		{"-opt=sgdm", "-epochs=6", "-batch=5", "-chunk=4", "-small-margin=0.25"},
		{"-opt=gd", "-epochs=6", "-eval-every=4"},
	} {
		calm, root := t.TempDir(), t.TempDir()
		succeed(t, small(calm, algorithm...)...)
		random := rand.New(rand.NewPCG(3, 0))
		stops := 0
		for ; ; stops++ {
			// An epoch asks 3 times in its evaluation and 3 or 5 times in its steps.
			ctx := &countdown{t.Context(), random.IntN(16)}
			every := []string{"-checkpoint-every=0s", "-checkpoint-every=1h"}[random.IntN(2)]
			status, _, stderr := cifar(t, ctx, small(root, append(algorithm, every)...)...)
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

// A checkpoint that was damaged is left out, with a warning, and the one before it gives the same
// result.
func TestDamagedCheckpoint(t *testing.T) {
	calm, stopped := t.TempDir(), t.TempDir()
	succeed(t, small(calm)...)
	ctx := &countdown{t.Context(), 3*(2+3) + 1} // in the evaluation of epoch 3
	if status, _, stderr := cifar(t, ctx, small(stopped, "-checkpoint-every=0s")...); status !=
		cli.Stopped {
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
	bin, description, sums := one("*.bin"), one("*.json"), one("SHA256SUMS")
	write := func(path, content string) {
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		damage func(folder string)
	}{
		{"a flipped bit",
			func(f string) {
				b := []byte(runtest.Read(t, bin(f)))
				b[len(b)/2] ^= 1
				write(bin(f),
					string(b))
			}},
		{"a short file", func(f string) { os.Truncate(bin(f), 100) }},
		{"a longer file", func(f string) {
			write(description(f),
				runtest.Read(t, description(f))+" ")
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
		status, stdout, stderr := cifar(t, t.Context(), small(root)...)
		if status != cli.Done || !strings.Contains(stdout, "resumed before step 2 of 4\n") {
			t.Errorf("%s: status %d, %s%s", tt.name, status, stdout, stderr)
		}
		if want := "warning: " + newest + ": damaged checkpoint"; !strings.HasPrefix(stderr,
			want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: warning %q, want %q", tt.name, stderr, want)
		}
		sameResult(t, folder(t, root), folder(t, calm))
	}

	// Without any that is whole the run starts over, and says so.
	found, err := filepath.Glob(filepath.Join(folder(t, stopped), "checkpoints", "*"))
	if err != nil || len(found) != 2 {
		t.Fatalf("checkpoints %q, %v; want two", found, err)
	}
	for _, f := range found {
		os.Remove(bin(f))
	}
	status, stdout, stderr := cifar(t, t.Context(), small(stopped)...)
	if status != cli.Done || strings.Contains(stdout, "resumed") || strings.Count(stderr, "\n") !=
		2 {
		t.Errorf("status %d, %s%s; want two warnings and a run from the start", status, stdout,
			stderr)
	}
	sameResult(t, folder(t, stopped), folder(t, calm))
}
