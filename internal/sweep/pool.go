package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"momentum/internal/cli"
	"momentum/internal/durable"
	"momentum/internal/rundir"
)

// Pool is the [Launcher] on this machine. Each run is a process of its own, Command...
// -config=DIR/runs.jsonl -task=N. Command must be the program itself, which at a SIGTERM saves and
// exits with 75, and not a shell or "go run" around it, which do not pass signals on.
type Pool struct {
	Command []string
	Jobs    int // runs at a time; 0: one for each GPU, or one
	// GPUs are the values of CUDA_VISIBLE_DEVICES, dealt to the jobs in turn. Without any, that
	// variable stays as it is.
	GPUs []string
}

func (p *Pool) jobs() int {
	if p.Jobs > 0 {
		return p.Jobs
	}
	return max(1, len(p.GPUs))
}

// Env is the environment of the runs in a slot, from 0 to Jobs−1. Several runs on a CPU share its
// cores, and would be slower if each had a thread for every core. XLA reads the number of threads
// from NPROC.
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

// Run implements [Launcher]. When ctx ends, it sends a SIGTERM to the runs and waits for them; the
// error then wraps [cli.ErrStopped]. On a full disk it starts nothing more, and the runs under way
// go on as far as they can.
func (p *Pool) Run(ctx context.Context, l *List, indices []int, o Options) error {
	if err := os.MkdirAll(l.Logs(), 0o777); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	t := NewTally(l, o, len(indices))
	defer t.Close()

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
				s, err := p.execute(ctx, l, index, slot, t)
				if err == nil && s.State == Failed && o.FailFast {
					err = l.FirstFailure(s)
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
		stopped := fmt.Errorf("sweep: %w with %d of %d runs ended; the same command goes on",
			cli.ErrStopped, t.n, t.total)
		return errors.Join(stopped, first)
	}
	return first
}

// FirstFailure is the error of a list that stops because a run failed.
func (l *List) FirstFailure(s Status) error {
	return fmt.Errorf("sweep: stopped at the first failure, %s: %s; its output is in %s",
		s.Run.Name, s.Reason, l.Log(s.Index))
}

// execute executes a run, or waits until another process has executed it, and returns its status.
// After an error nothing more should be started.
func (p *Pool) execute(ctx context.Context, l *List, index, slot int, t *Tally) (Status, error) {
	began := time.Now()
	t.Began(index)
	for {
		waited, err := l.awaitFree(ctx, index, t)
		if err != nil || ctx.Err() != nil {
			return Status{}, err
		}
		var s Status
		if waited {
			if s, err = l.RunStatus(index); err != nil {
				return s, err
			}
		}
		if !s.State.Ended() && s.State != Failed && s.State != Running {
			s, err = p.runOnce(ctx, l, index, slot)
		}
		if s.State != Running || err != nil { // else another process was faster
			t.Ended(s, time.Since(began))
			return s, err
		}
	}
}

// awaitFree waits while a living process has the folder of a run: a process of another sweep, or
// one of an earlier start of this sweep that still saves.
func (l *List) awaitFree(ctx context.Context, index int, t *Tally) (waited bool, err error) {
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
			t.Println("", fmt.Sprintf("%s: waiting for %s, which has it", l.Runs[index].Name,
				holder))
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return waited, nil
		}
	}
}

const poll = 200 * time.Millisecond // between looks at a run that another process has

// runOnce executes the command once and returns the run's status.
func (p *Pool) runOnce(ctx context.Context, l *List, index, slot int) (Status, error) {
	log, err := os.OpenFile(l.Log(index), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return Status{}, fmt.Errorf("sweep: %w", err)
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, p.Command[0],
		append(slices.Clone(p.Command[1:]), "-config="+l.Path(),
			"-task="+strconv.Itoa(index))...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Env = p.Env(slot)
	// Files, not pipes: a process whose parent was killed can still print, and save.
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()

	// Linux tells a child of the death of the thread that started it, not of the process: this
	// goroutine keeps its thread until the child has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return Status{}, nil
		}
		return Status{}, fmt.Errorf("sweep: cannot start %s: %w", l.Runs[index].Name, err)
	}
	cmd.Wait() // the folder has the result
	return l.verdict(index, cmd.ProcessState)
}

// verdict is the status of a run whose process has ended. A run without a result whose process was
// neither stopped nor killed has failed, and its folder says so from now on.
func (l *List) verdict(index int, exit *os.ProcessState) (Status, error) {
	s, err := l.RunStatus(index)
	if err != nil || s.State != Interrupted && s.State != Pending && s.State != Failed {
		return s, err
	}
	if s.Reason, err = l.LastLine(index); err != nil {
		return s, err
	}
	switch {
	case FullDisk(s.Reason) || !l.room():
		s.State = Interrupted
		return s, fmt.Errorf("sweep: %w, so nothing more was started (%s: %s); the same command "+
			"goes on when there is room", syscall.ENOSPC, s.Run.Name, s.Reason)
	case s.State == Failed || !broke(exit):
		return s, nil
	case s.State == Interrupted:
		if err := l.Fail(index); err != nil {
			return s, err
		}
	}
	s.State = Failed
	if s.Reason == "" {
		s.Reason = exit.String()
	}
	return s, nil
}

// broke reports whether a process ended by an error: not by a signal that stops or kills it, nor
// with the status of a stopped process.
func broke(exit *os.ProcessState) bool {
	if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return !slices.Contains([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP,
			syscall.SIGUSR1, syscall.SIGKILL}, w.Signal())
	}
	return exit.ExitCode() != cli.Stopped
}

// room reports whether the disk of the logs has room for one more block. If it has none, the log
// may lack the line about the full disk.
func (l *List) room() bool {
	path := filepath.Join(l.Logs(), "room")
	defer os.Remove(path)
	err := durable.WriteBytes(path, make([]byte, 4096))
	return err == nil || !FullDisk(err.Error())
}
