// Package cli holds what all commands share: exit statuses, a main function that reports an error
// in one line, signals, and flags.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"time"

	"momentum/internal/progress"
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

// UsageError reports a command line that cannot be executed.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef returns a [UsageError].
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// DivergedError reports a run whose numbers are no longer finite.
type DivergedError struct{ Err error }

func (e *DivergedError) Error() string { return e.Err.Error() }
func (e *DivergedError) Unwrap() error { return e.Err }

// Status returns the exit status of an error: 0 for nil and for a request for help. A cancelled
// context, for example by a signal during a download, is [Stopped] too, even if there was nothing
// to save yet.
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

// End records in a run folder how the run ended, according to the exit status of its error, and
// returns that error. It seals the folder of a run that has a result: one that is done or has
// diverged. If that fails, the run has failed, and End returns the error of the folder; the same
// command then resumes the run.
//
// If the run has no result, End drops errors of the folder: on a disk that is still full they say
// nothing new, and a run is resumed from any state.
func End(dir *rundir.Dir, err error) error {
	state := map[int]rundir.State{Done: rundir.Done, Diverged: rundir.Diverged,
		Stopped: rundir.Preempted}[Status(err)]
	if state == "" {
		state = rundir.Failed
	}
	if state.Ended() {
		e := dir.Seal(state)
		if e == nil {
			return err
		}
		err, state = e, rundir.Failed
	}
	_ = dir.SetState(state)
	return err
}

// SaveOnStop returns err, unless a signal is its cause. Then it saves the state before the given
// step and returns an error that wraps [ErrStopped].
func SaveOnStop(err error, step int, save func() error) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	if err := save(); err != nil {
		return err
	}
	return fmt.Errorf("%w before step %d; the same command resumes it", ErrStopped, step)
}

// StoppedMeasuring returns the error of a measurement, unless a signal is its cause: then it says
// that nothing was measured.
func StoppedMeasuring(err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w; nothing was measured", ErrStopped)
	}
	return err
}

// Main executes a command, reports its error, if any, in one line on stderr, and returns its exit
// status.
//
// The command's context ends at the first SIGINT, SIGTERM or SIGUSR1; Slurm sends USR1 before the
// time limit. A SIGINT or SIGTERM at least a second later kills the process as usual. Earlier ones
// count as the first, because Linux tells a process of its parent's death once for each of the
// parent's threads. A second SIGUSR1 does nothing.
func Main(name string,
	command func(ctx context.Context, stdout, stderr io.Writer, args []string) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	context.AfterFunc(ctx, func() {
		time.Sleep(time.Second)
		ignoreUSR1()
		stop()
		acknowledge(os.Stderr, name)
	})
	return Report(os.Stderr, name, command(ctx, os.Stdout, os.Stderr, os.Args[1:]))
}

// acknowledge says that a signal has arrived, to who still waits after a second: a start that
// downloads or compiles may take long to end.
func acknowledge(stderr io.Writer, name string) {
	begin := ""
	if progress.Terminal(stderr) {
		begin = "\n" // a bar may stand there
	}
	fmt.Fprintf(stderr, "%s%s: stopping after what is under way; a second SIGINT or SIGTERM ends "+
		"it at once, without saving\n", begin, name)
}

// Report writes an error, if any, as one line and returns its exit status.
func Report(stderr io.Writer, name string, err error) int {
	status := Status(err)
	if status != Done {
		fmt.Fprintf(stderr, "%s: %s\n", name, Line(err))
	}
	return status
}

// packages are those whose errors begin with their names.
const packages = "backend|cubic|datasets|descent|fetch|figure|lanczos|lockfile|models|page|" +
	"rundir|runlist|safetensors|slurm|study|sweep|tbevents"

// Line is an error as one line for users. Joined errors are separated by semicolons, and the names
// of our packages are left out, which say nothing to who does not read the code. So is what was
// under way when a signal arrived.
func Line(err error) string {
	all := strings.Split(err.Error(), "\n")
	for i, line := range all {
		if strings.HasSuffix(line, context.Canceled.Error()) {
			all[i] = ErrStopped.Error()
		}
	}
	line := strings.Join(slices.Compact(all), "; ")
	ours := regexp.MustCompile(`(^|: |; )(?:(?:` + packages + `): )+`)
	return ours.ReplaceAllString(line, "$1")
}
