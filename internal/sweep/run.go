package sweep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"momentum/internal/lockfile"
	"momentum/internal/rundir"
)

// Launcher starts the runs of a list with these numbers, each once, and returns when none of them
// is under way any more. Some may be under way before, by a process of an earlier start that still
// saves or of another sweep: these are waited for, and started if they did not end. Its error says
// why it did not start them all, or has stopped some; that a run failed is none, unless failFast:
// then nothing starts after the first failure, and what is under way is stopped as by a signal.
type Launcher interface {
	Run(ctx context.Context, l *List, indices []int, failFast bool) error
}

// Options of [List.Run].
type Options struct {
	Retry          bool // start what has failed, was preempted or was killed, and nothing else
	FailFast       bool // stop at the first failure
	Stdout, Stderr io.Writer
}

// Run makes the runs that are missing. Those that are done or have diverged are never repeated,
// those that have failed only with Retry. A damaged folder is set aside and its run made anew. One
// process at a time may work on a sweep. The error says how many runs failed or were not ended, and
// what to do about it.
func (l *List) Run(ctx context.Context, with Launcher, o Options) (err error) {
	lock, err := lockfile.Acquire(filepath.Join(l.Dir, "sweep.lock"))
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
		var start bool
		switch s.State {
		case Done, Diverged:
		case Preempted:
			start = true
		case Failed:
			start = o.Retry
		case Interrupted:
			start = true // of a retry that was killed, too
		default:
			start = !o.Retry
		}
		if !start {
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
		stopped = with.Run(ctx, l, indices, o.FailFast)
	}
	for _, i := range indices {
		if all[i], err = l.status(i); err != nil {
			return errors.Join(stopped, err)
		}
		if all[i].State == Pending && stopped == nil {
			line, err := lastLine(l.Log(i))
			if err != nil {
				return fmt.Errorf("sweep: %w", err)
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

// setAside sets the folder of a damaged run aside and says so.
func (l *List) setAside(out io.Writer, s Status) error {
	aside, err := rundir.SetAside(l.Folder(s.Index))
	if errors.As(err, new(*lockfile.HeldError)) {
		return nil // another sweep, which wants the same run, is at it
	} else if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if aside != "" {
		fmt.Fprintf(out, "warning: %s; the folder is now %s, and the run is made again\n", s.Reason,
			aside)
	}
	return nil
}

// missing is the error of a sweep that has not all its results, nil if it has.
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
	say := func(some []Status, did, remedy string) {
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
	say(failed, "failed", "retry starts failed runs again; what they printed is in "+filepath.Join(
		l.Dir, logsDir))
	if retry {
		say(open, "have not been made", "a start without retry makes them")
	} else {
		say(open, "did not end", "the same command goes on with them")
	}
	if len(parts) == 0 {
		return nil
	}
	return errors.New("sweep: " + strings.Join(parts, "; "))
}
