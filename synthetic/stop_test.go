package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"momentum/internal/backend/backendtest"
	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// With this variable in its environment the test binary acts as the command, so that tests can send
// signals to it.
const asCommand = "MOMENTUM_TEST_AS_SYNTHETIC"

func TestMain(m *testing.M) {
	backendtest.CompileQuickly()
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// process is the command in a process of its own.
type process struct {
	*exec.Cmd
	stderr bytes.Buffer
	ended  chan struct{} // closed at the end of the process
}

// start starts the command. It is killed when the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(t.Context(), os.Args[0], args...),
		ended: make(chan struct{})}
	p.Env = append(os.Environ(), asCommand+"=1")
	p.Stderr = &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.Wait()
		close(p.ended)
	}()
	return p
}

// until waits until the condition holds, and returns false if the process ends first.
func (p *process) until(ok func() bool) bool {
	for !ok() {
		select {
		case <-p.ended:
			return false
		case <-time.After(time.Millisecond):
		}
	}
	return true
}

// end waits for the end of the process and returns its exit status, -1 if a signal killed it.
func (p *process) end() (status int, stderr string) {
	<-p.ended
	return p.ProcessState.ExitCode(), p.stderr.String()
}

// written is the number of bytes in the metrics below root.
func written(root string) (size int64) {
	found, _ := filepath.Glob(filepath.Join(root, "*", "metrics.jsonl"))
	for _, path := range found {
		if info, err := os.Stat(path); err == nil {
			size += info.Size()
		}
	}
	return size
}

// However often and wherever a run is stopped, in a step or in an observation, it ends at the bytes
// of an uninterrupted run.
func TestStoppedRunEndsTheSame(t *testing.T) {
	t.Parallel()
	calm, root := t.TempDir(), t.TempDir()
	succeed(t, smallRun(calm, "-T=30")...)
	random := rand.New(rand.NewPCG(3, 0))
	stops := 0
	for ; ; stops++ {
		// A step and an observation each call Err once.
		ctx := &runtest.Countdown{Context: t.Context(), Calls: random.IntN(16)}
		every := []string{"-checkpoint-every=0s", "-checkpoint-every=1h"}[random.IntN(2)]
		status, _, stderr := synthetic(ctx, smallRun(root, "-T=30", every)...)
		if status == cli.Done {
			break
		}
		want := regexp.MustCompile(`^synthetic: synthetic-figure3-N60-d8-s1: stopped by a signal ` +
			`before step \d+; the same command resumes it\n$`)
		if state := runtest.Read(t, folder(t, root), "state"); status != cli.Stopped ||
			!want.MatchString(stderr) || state != "preempted\n" {
			t.Fatalf("status %d, %q, state %q; want 75, %s, preempted", status, stderr, state, want)
		}
		if stops > 60 {
			t.Fatal("no progress")
		}
	}
	t.Logf("stopped %d times", stops)
	if stops < 4 {
		t.Errorf("stopped %d times only", stops)
	}
	sameResult(t, folder(t, root), folder(t, calm))
}

// The same if not every step has a row, so that most stops are between two rows.
func TestStoppedBetweenRows(t *testing.T) {
	c, _ := mustParse(t, smallRun(t.TempDir(), "-T=40")...)
	b := c.bundle("sparse", 1, c.gdm())
	train := func(ctx context.Context, root string) error {
		s := &session{be: goBackend(t), execution: Execution{Runs: root,
			CheckpointEvery: cli.Duration(time.Hour)}, stdout: io.Discard, stderr: io.Discard}
		_, err := s.train(ctx, "test", []bundle{b})
		return err
	}
	calm, root := t.TempDir(), t.TempDir()
	if err := train(t.Context(), calm); err != nil {
		t.Fatal(err)
	}
	stops := 0
	for ; ; stops++ {
		err := train(&runtest.Countdown{Context: t.Context(), Calls: 7}, root) // at most 7 steps
		if err == nil {
			break
		}
		if cli.Status(err) != cli.Stopped || stops > 40 {
			t.Fatal(err)
		}
	}
	if stops < 5 {
		t.Errorf("stopped %d times only", stops)
	}
	sameResult(t, folder(t, root), folder(t, calm))
}

// A run that is killed at any moment and restarted until it is done ends at the bytes of an
// uninterrupted run. The moments are random at the start, after a row, and while a checkpoint is
// being written. On a busy machine a run may end before its kill: then there is another run.
func TestKilledRunEndsTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the command 7 times or more")
	}
	t.Parallel()
	const kills = 6
	args := func(root string) []string { return smallRun(root, "-T=60", "-checkpoint-every=0s") }
	calm := t.TempDir()
	succeed(t, args(calm)...)
	random := rand.New(rand.NewPCG(1, 0))
	tries, killed, writing, runs := 0, 0, 0, 0
	for ; killed < kills && runs < 20; runs++ {
		root := t.TempDir()
		for {
			p := start(t, args(root)...)
			if killed < kills {
				before := written(root)
				switch tries % 3 {
				case 0:
					time.Sleep(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
				case 1:
					p.until(func() bool { return written(root) > before })
				default:
					p.until(func() bool {
						return written(root) > before && len(runtest.HalfWritten(root)) > 0
					})
				}
				p.Process.Kill()
				tries++
			}
			status, stderr := p.end()
			if status == cli.Done {
				break
			}
			if status != -1 {
				t.Fatalf("status %d, %s", status, stderr)
			}
			killed++
			if len(runtest.HalfWritten(root)) > 0 {
				writing++
			}
		}
		sameResult(t, folder(t, root), folder(t, calm))
		if left := runtest.HalfWritten(root); len(left) > 0 {
			t.Errorf("the killed processes left %q behind", left)
		}
	}
	t.Logf("%d run(s) killed %d times, %d of them while a checkpoint was being written", runs,
		killed, writing)
	if killed < kills {
		t.Errorf("killed %d times only", killed)
	}
}

// No other process can use the folder of a running training. SIGINT stops it with its work saved.
func TestInUseAndSignal(t *testing.T) {
	root := t.TempDir()
	args := smallRun(root, "-T=10000000", "-stop=0", "-checkpoint-every=1h")
	p := start(t, args...)
	if !p.until(func() bool { return written(root) > 0 }) {
		_, stderr := p.end()
		t.Fatalf("ended: %s", stderr)
	}
	fails(t, cli.Failed, fmt.Sprintf(": %s is in use, wait for it or stop it: ",
		folder(t, root)), args...)
	fails(t, cli.Failed, fmt.Sprintf("held by process %d on ", p.Process.Pid),
		append(args, "-fresh")...)
	p.Process.Signal(os.Interrupt)
	status, stderr := p.end()
	want := regexp.MustCompile(`^synthetic: \S+: stopped by a signal before step \d+; ` +
		`the same command resumes it\n$`)
	if status != cli.Stopped || !want.MatchString(stderr) {
		t.Errorf("status %d, %q; want 75, %s", status, stderr, want)
	}
	if found, _ := filepath.Glob(filepath.Join(folder(t, root), "checkpoints",
		"step-????????")); len(found) != 1 {
		t.Errorf("checkpoints %q, want one", found)
	}
}

// A damaged checkpoint is skipped with a warning, and resuming from the one before it, or from the
// start, gives the same result.
func TestDamagedCheckpoint(t *testing.T) {
	calm, root := t.TempDir(), t.TempDir()
	succeed(t, smallRun(calm, "-T=10")...)
	ctx := &runtest.Countdown{Context: t.Context(), Calls: 12} // rows 0 to 5 and 6 steps
	if status, _, stderr := synthetic(ctx, smallRun(root, "-T=10",
		"-checkpoint-every=0s")...); status != cli.Stopped {
		t.Fatalf("status %d, %s", status, stderr)
	}
	dir := folder(t, root)
	for i, damage := range []func(checkpoint string){
		func(c string) { write(t, runtest.Read(t, c, "state.json")+" ", c, "state.json") },
		func(c string) { os.Truncate(filepath.Join(c, "state.safetensors"), 100) },
	} {
		found, err := filepath.Glob(filepath.Join(dir, "checkpoints", "step-????????"))
		if err != nil || len(found) == 0 {
			t.Fatalf("checkpoints %q, %v", found, err)
		}
		newest := found[len(found)-1]
		damage(newest)
		status, _, stderr := synthetic(&runtest.Countdown{Context: t.Context(), Calls: 3},
			smallRun(root, "-T=10", "-checkpoint-every=0s")...)
		if status != cli.Stopped || !strings.HasPrefix(stderr,
			"warning: "+newest+": the checkpoint cannot be used, ") ||
			strings.Count(stderr, "\n") != 2 {
			t.Errorf("%d: status %d, %q; want 75 and a warning of %s", i, status, stderr, newest)
		}
	}
	succeed(t, smallRun(root, "-T=10")...)
	sameResult(t, dir, folder(t, calm))
}

func TestOtherSettingsInTheFolder(t *testing.T) {
	root := t.TempDir()
	succeed(t, smallRun(root, "-T=2")...)
	config := filepath.Join(folder(t, root), "config.json")
	content := runtest.Read(t, config)
	for _, tt := range []struct{ content, want string }{
		{strings.Replace(content, `"m": 2`, `"m": 3`, 1), "config.json: written with other " +
			"settings: m is 3, want 2; restore it, or start over with -fresh"},
		{"", "config.json:1: unexpected end of JSON input; restore it, or start over with -fresh"},
	} {
		write(t, tt.content, config)
		fails(t, cli.Failed, tt.want, smallRun(root, "-T=2")...)
	}
	succeed(t, smallRun(root, "-T=2", "-fresh")...)
	old, err := filepath.Glob(filepath.Join(root, "*.old-1"))
	if err != nil || len(old) != 1 {
		t.Errorf("folders set aside: %q, %v; want one", old, err)
	}
}

// A folder that is done but has lost its rows is not drawn.
func TestDoneWithoutMetrics(t *testing.T) {
	root := t.TempDir()
	succeed(t, smallRun(root, "-T=2")...)
	write(t, "", folder(t, root), "metrics.jsonl")
	runtest.Seal(t, folder(t, root)) // so that the rows alone are missing
	fails(t, cli.Failed, "metrics.jsonl: done but without metrics; -fresh starts over",
		smallRun(root, "-T=2")...)
}

func TestUnwritable(t *testing.T) {
	root := filepath.Join(t.TempDir(), "file")
	write(t, "", root)
	fails(t, cli.Failed, "file: not a directory", smallRun(filepath.Join(root, "runs"))...)
	fails(t, cli.Failed, "-out: mkdir", smallRun(t.TempDir(), "-out="+root)...)
}
