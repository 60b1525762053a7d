// Package cli holds what all commands share: what each exit status means, and a main that gives one
// line for an error.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"momentum/internal/rundir"
)

// Exit statuses. 75 is EX_TEMPFAIL of sysexits.h: try again.
const (
	Done     = 0
	Failed   = 1
	BadUsage = 2
	Diverged = 3
	Stopped  = 75
)

// ErrStopped is wrapped by the error of a command that a signal stopped after it saved its work.
var ErrStopped = errors.New("stopped by a signal")

// UsageError is a command line that cannot be run.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef makes a [UsageError].
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// DivergedError is a run whose numbers are no longer finite.
type DivergedError struct{ Err error }

func (e *DivergedError) Error() string { return e.Err.Error() }
func (e *DivergedError) Unwrap() error { return e.Err }

// Status is the exit status of an error; 0 for nil and for a request for help. A context that was
// cancelled, as by a signal in a download, is [Stopped] too, even if there was nothing to save yet.
func Status(err error) int {
	var usage *UsageError
	var diverged *DivergedError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return Done
	case errors.As(err, &usage):
		return BadUsage
	case errors.As(err, &diverged):
		return Diverged
	case errors.Is(err, ErrStopped), errors.Is(err, context.Canceled):
		return Stopped
	}
	return Failed
}

// End stores in a run folder how the run ended, by the exit status of its error, and returns that
// error. The folder of a run that has a result, done or diverged, is sealed; one that cannot be has
// failed, and the same command then makes up for it. After another error of the run, one of the
// folder, such as that of a disk that is still full, says nothing new: a run that is left in
// another state is resumed too.
func End(dir *rundir.Dir, err error) error {
	state := map[int]rundir.State{Done: rundir.Done, Diverged: rundir.Diverged,
		Stopped: rundir.Preempted}[Status(err)]
	if state == "" {
		state = rundir.Failed
	}
	result := state == rundir.Done || state == rundir.Diverged
	if result {
		if e := dir.Seal(); e != nil {
			err, state = e, rundir.Failed
		}
	}
	if e := dir.SetState(state); e != nil && result {
		err = e
	}
	return err
}

// SaveOnStop returns err. If a signal is the reason for it, SaveOnStop first saves the state before
// the given step, and the error wraps [ErrStopped].
func SaveOnStop(err error, step int, save func() error) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	if err := save(); err != nil {
		return err
	}
	return fmt.Errorf("%w before step %d; the same command resumes it", ErrStopped, step)
}

// Main runs a command and returns its exit status, with its error, if any, as one line on stderr.
// The context ends at the first SIGINT, SIGTERM or SIGUSR1, which Slurm is asked to send before the
// time is up. A SIGINT or SIGTERM that comes a second later or more kills the process as usual;
// sooner ones count as the first, because Linux tells a process of its parent's death once for each
// of the parent's threads. A second SIGUSR1 does nothing.
func Main(name string, run func(ctx context.Context, stdout, stderr io.Writer,
	args []string) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	context.AfterFunc(ctx, func() {
		time.Sleep(time.Second)
		ignoreUSR1()
		stop()
	})
	return Report(os.Stderr, name, run(ctx, os.Stdout, os.Stderr, os.Args[1:]))
}

// Report writes an error, if it is one, as one line and returns its exit status. Errors that are
// joined are separated by semicolons.
func Report(stderr io.Writer, name string, err error) int {
	status := Status(err)
	if status != Done {
		fmt.Fprintf(stderr, "%s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return status
}
