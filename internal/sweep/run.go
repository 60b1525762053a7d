package sweep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"momentum/internal/durable"
	"momentum/internal/lockfile"
	"momentum/internal/rundir"
	"momentum/internal/runlist"
)

// Launcher executes the runs of a list with these numbers, each once, and returns when none of them
// is under way any more. Some may be under way already, in a process of an earlier start that still
// saves or of another sweep: the launcher waits for these, and starts those that did not end.
//
// Its error says why it did not start all of them, or stopped some. A failed run is not an error
// unless o.FailFast is set: then nothing starts after the first failure, and runs under way are
// stopped as by a signal.
type Launcher interface {
	Run(ctx context.Context, l *List, indices []int, o Options) error
}

// Options of [List.Run].
type Options struct {
	Retry          bool // start runs that failed or were stopped or killed, and no others
	FailFast       bool // stop at the first failure
	Stdout, Stderr io.Writer
	// Ended, if not nil, is called after each run whose process has ended. Several goroutines may
	// call it, and wait for it.
	Ended func()
	// Share, if not nil, is the share of a run that is done so far, by its folder. It moves the bar
	// while runs are under way.
	Share func(r runlist.Run, folder string) float64
}

// Run executes the runs that are missing. It never repeats runs that are done or have diverged, and
// repeats failed ones only with Retry. It sets a damaged folder aside and executes its run anew.
// One process at a time may work on a sweep. The error says how many runs failed or did not end,
// and what to do about it.
func (l *List) Run(ctx context.Context, launcher Launcher, o Options) (err error) {
	lock, err := lockfile.Acquire(filepath.Join(l.Dir, lockName))
	if held := (*lockfile.HeldError)(nil); errors.As(err, &held) {
		return fmt.Errorf("sweep: %s is worked on already, wait for it or stop it: %w", l.Dir, held)
	} else if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Release()) }()

	all, err := l.Status()
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Stdout, "%-10s%s: %d runs: %s\n", "sweep", l.Dir, len(all), count(all))
	var indices []int
	for i, s := range all {
		if !startable(s.State, o.Retry) {
			continue
		}
		if s.State == Damaged {
			if err := l.setAside(o.Stderr, s); err != nil {
				return err
			}
		}
		indices = append(indices, i)
	}

	var stopped error
	if len(indices) > 0 {
		stopped = launcher.Run(ctx, l, indices, o)
	}
	for _, i := range indices {
		if all[i], err = l.RunStatus(i); err != nil {
			return errors.Join(stopped, err)
		}
		if all[i].State == Pending && stopped == nil {
			line, err := l.LastLine(i)
			if err != nil {
				return err
			}
			all[i].Reason = "ended before it had a folder: " + line
		}
	}
	PrintStatus(o.Stdout, all)
	if stopped != nil {
		return stopped
	}
	return l.missing(all, o.Retry)
}

// Tidy removes from the folder of a sweep the lock of a process that was killed, which nobody takes
// over once there is nothing left to execute, and files that it has left half written.
func Tidy(dir string) error {
	return errors.Join(durable.RemoveTemporary(dir), lockfile.RemoveDead(filepath.Join(dir,
		lockName)))
}

const lockName = "sweep.lock"

// startable reports whether a run in this state is started.
func startable(state State, retry bool) bool {
	switch state {
	case Done, Diverged:
		return false
	case Preempted, Interrupted: // in a retry too, which may have been killed itself
		return true
	case Failed:
		return retry
	}
	return !retry
}

// setAside sets the folder of a damaged run aside and says so.
func (l *List) setAside(out io.Writer, s Status) error {
	aside, err := rundir.SetAside(l.Folder(s.Index))
	if errors.As(err, new(*lockfile.HeldError)) {
		return nil // another sweep, which wants the same run, is at work on it
	} else if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if aside != "" {
		fmt.Fprintf(out, "warning: %s; the folder is now %s, and the run is executed again\n",
			s.Reason, aside)
	}
	return nil
}

// missing is the error of a sweep without all its results, nil if it has them.
func (l *List) missing(all []Status, retry bool) error {
	var failed, open []Status
	for _, s := range all {
		if s.State == Failed {
			failed = append(failed, s)
		} else if !s.State.Ended() {
			open = append(open, s)
		}
	}
	var parts []string
	report := func(some []Status, did, remedy string) {
		if len(some) == 0 {
			return
		}
		first := fmt.Sprintf("%s (%s)", some[0].Run.Name, some[0].State)
		if some[0].Reason != "" {
			first += ": " + some[0].Reason
		}
		parts = append(parts, fmt.Sprintf("%d of %d runs %s, the first is %s; %s", len(some),
			len(all), did, first, remedy))
	}
	report(failed, "failed", "retry starts failed runs again; their output is in "+l.Logs())
	if retry {
		report(open, "have not been executed", "a start without retry executes them")
	} else {
		report(open, "did not end", "the same command goes on with them")
	}
	if len(parts) == 0 {
		return nil
	}
	return errors.New("sweep: " + strings.Join(parts, "; "))
}
