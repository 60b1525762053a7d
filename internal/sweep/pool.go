package sweep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"momentum/internal/cli"
	"momentum/internal/progress"
	"momentum/internal/rundir"
)

// Pool runs on this machine, one process a run: Command... -config=DIR/runs.jsonl -task=N. Command
// must be the program itself, which saves and exits with 75 at a SIGTERM, not a shell or "go run"
// around it, which keep signals to themselves.
type Pool struct {
	Command []string
	Jobs    int // runs at a time; 0 is one for each GPU, or one
	// as CUDA_VISIBLE_DEVICES names them, shared out among the jobs; none leaves that variable as
	// it is
	GPUs   []string
	Stdout io.Writer
}

func (p *Pool) jobs() int {
	if p.Jobs > 0 {
		return p.Jobs
	}
	return max(1, len(p.GPUs))
}

// Env is the environment of the runs in a slot, from 0 to Jobs-1. Several runs on a CPU share its
// cores: a pool of as many threads as there are cores in each of them would be slower. NPROC is
// what XLA asks for their number.
func (p *Pool) Env(slot int) []string {
	env := os.Environ()
	if len(p.GPUs) > 0 {
		return append(env, "CUDA_VISIBLE_DEVICES="+p.GPUs[slot%len(p.GPUs)])
	}
	if p.jobs() > 1 {
		for _, name := range []string{"NPROC", "GOMAXPROCS"} {
			if os.Getenv(name) == "" {
				env = append(env, fmt.Sprintf("%s=%d", name,
					max(1, runtime.GOMAXPROCS(0)/p.jobs())))
			}
		}
	}
	return env
}

// errFailFast is the cause of a context that ends because a run failed.
var errFailFast = errors.New("a run failed")

// Run implements [Launcher]. When ctx ends the runs get a SIGTERM and are waited for; the error
// then wraps [cli.ErrStopped]. On a full disk nothing more is started, and what runs goes on as far
// as it can.
func (p *Pool) Run(ctx context.Context, l *List, indices []int, failFast bool) error {
	if err := os.MkdirAll(filepath.Join(l.Dir, logsDir), 0o777); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	t := newTally(p.Stdout, len(indices))
	defer t.bar.Close()

	var mu sync.Mutex
	var first error // after which nothing starts
	waiting := indices
	next := func() (index int, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if len(waiting) == 0 || first != nil || ctx.Err() != nil {
			return 0, false
		}
		index, waiting = waiting[0], waiting[1:]
		return index, true
	}
	var slots sync.WaitGroup
	for slot := range p.jobs() {
		slots.Go(func() {
			for index, ok := next(); ok; index, ok = next() {
				s, err := p.one(ctx, l, index, slot, t)
				if err == nil && s.State == Failed && failFast {
					err = fmt.Errorf("sweep: stopped at the first failure, %s: %s; what it "+
						"printed is in %s", s.Run.Name, s.Reason, l.Log(index))
					stop(errFailFast)
				}
				mu.Lock()
				if first == nil {
					first = err
				}
				mu.Unlock()
			}
		})
	}
	slots.Wait()
	if ctx.Err() != nil && context.Cause(ctx) != errFailFast && t.n < t.total {
		return fmt.Errorf("sweep: %w with %d of %d runs ended; the same command goes on",
			cli.ErrStopped, t.n, t.total)
	}
	return first
}

// one makes a run, or waits until another process has made it, and returns its status. After an
// error nothing more should be started.
func (p *Pool) one(ctx context.Context, l *List, index, slot int, t *tally) (Status, error) {
	began := time.Now()
	for {
		waited, err := l.awaitFree(ctx, index, t)
		if err != nil || ctx.Err() != nil {
			return Status{}, err
		}
		var s Status
		if waited {
			if s, err = l.status(index); err != nil {
				return s, err
			}
		}
		if !s.State.Ended() && s.State != Failed && s.State != Running {
			s, err = p.process(ctx, l, index, slot)
		}
		if s.State != Running || err != nil { // else another process was faster
			t.ended(s, time.Since(began))
			return s, err
		}
	}
}

// awaitFree waits while a living process has the folder of a run: one of another sweep, or one that
// the last start of this sweep has left behind and that still saves.
func (l *List) awaitFree(ctx context.Context, index int, t *tally) (waited bool, err error) {
	for {
		holder, held, err := rundir.Held(l.Folder(index))
		if err != nil {
			return waited, fmt.Errorf("sweep: %w", err)
		}
		if !held {
			return waited, nil
		}
		if !waited {
			waited = true
			t.bar.Println(fmt.Sprintf("%-10s%s: waiting for %s, which has it", "",
				l.Runs[index].Name, holder))
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return waited, nil
		}
	}
}

const poll = 200 * time.Millisecond // between looks at a run that another process has

// process runs the command once and returns what has become of the run.
func (p *Pool) process(ctx context.Context, l *List, index, slot int) (Status, error) {
	log, err := os.OpenFile(l.Log(index), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return Status{}, fmt.Errorf("sweep: %w", err)
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, p.Command[0],
		append(slices.Clone(p.Command[1:]), "-config="+filepath.Join(l.Dir, listFile),
			"-task="+strconv.Itoa(index))...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Env = p.Env(slot)
	// files, not pipes: a process whose parent was killed can still print, and save
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()

	// To Linux the parent that a child outlives is the thread that has started it: this goroutine
	// keeps its thread until the child has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return Status{}, nil
		}
		return Status{}, fmt.Errorf("sweep: cannot start %s: %w", l.Runs[index].Name, err)
	}
	cmd.Wait() // what counts is in the folder
	return l.verdict(index, cmd.ProcessState)
}

// verdict is the status of a run whose process has ended. If it left without a result, and was
// neither stopped nor killed, the run has failed, and its folder says so from now on.
func (l *List) verdict(index int, exit *os.ProcessState) (Status, error) {
	s, err := l.status(index)
	if err != nil || s.State != Interrupted && s.State != Pending && s.State != Failed {
		return s, err
	}
	if s.Reason, err = lastLine(l.Log(index)); err != nil {
		return s, fmt.Errorf("sweep: %w", err)
	}
	switch {
	case fullDisk(s.Reason) || !l.room():
		s.State = Interrupted
		return s, fmt.Errorf("sweep: %w, so nothing more was started (%s: %s); the same command "+
			"goes on when there is room", syscall.ENOSPC, s.Run.Name, s.Reason)
	case s.State == Failed || !broke(exit):
		return s, nil
	case s.State == Interrupted:
		if err := rundir.Fail(l.Folder(index)); err != nil {
			return s, fmt.Errorf("sweep: %w", err)
		}
	}
	s.State = Failed
	if s.Reason == "" {
		s.Reason = exit.String()
	}
	return s, nil
}

// broke says whether a process has ended by an error: not by one of the signals that stop or kill,
// nor with the status of one that was stopped.
func broke(exit *os.ProcessState) bool {
	if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return !slices.Contains([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP,
			syscall.SIGUSR1, syscall.SIGKILL}, w.Signal())
	}
	return exit.ExitCode() != cli.Stopped
}

// fullDisk says whether a line tells of a full disk, or of a quota that is used up.
func fullDisk(line string) bool {
	line = strings.ToLower(line)
	return strings.Contains(line, syscall.ENOSPC.Error()) ||
		strings.Contains(line, syscall.EDQUOT.Error())
}

// room says whether the disk of the logs takes a block more. If not, the line that would have told
// of the full disk may be missing.
func (l *List) room() bool {
	path := filepath.Join(l.Dir, logsDir, "room")
	defer os.Remove(path)
	err := rundir.WriteFile(path, func(w io.Writer) error {
		_,
			err := w.Write(make([]byte, 4096))
		return err
	})
	return err == nil || !fullDisk(err.Error())
}

// tally shows how many runs have ended: a bar on a terminal, a line for each run elsewhere.
type tally struct {
	bar   *progress.Bar
	lines bool
	total int
	mu    sync.Mutex
	n     int // that have a result or failed
}

func newTally(out io.Writer, total int) *tally {
	t := &tally{bar: progress.Steps(out, "runs", total), lines: !progress.Terminal(out),
		total: total}
	t.bar.Set(0)
	return t
}

// ended says what has become of a run.
func (t *tally) ended(s Status, took time.Duration) {
	if s.State == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.State.Ended() || s.State == Failed {
		t.n++
	}
	line := fmt.Sprintf("%s %s after %s", s.Run.Name, s.State, took.Round(time.Second))
	t.bar.Describe(line)
	if s.State == Failed {
		line += ": " + s.Reason
	}
	if t.lines || !s.State.Ended() {
		t.bar.Println(fmt.Sprintf("%-10s%s", fmt.Sprintf("%d/%d", t.n, t.total), line))
	}
	t.bar.Set(int64(t.n))
}
