package sweep

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"momentum/internal/rundir"
	"momentum/internal/runlist"
)

// State is how far a run has come.
type State string

const (
	Pending     State = "pending"     // has no folder
	Running     State = "running"     // a living process has its folder
	Interrupted State = "interrupted" // was killed, or its disk was full
	Preempted   State = "preempted"   // was stopped by a signal, with a checkpoint
	Failed      State = "failed"
	Done        State = "done"
	Diverged    State = "diverged"
	Damaged     State = "damaged" // a file of its folder is not as the run left it
)

// states are in the order of a run's life.
var states = []State{Pending, Running, Interrupted, Preempted, Failed, Damaged, Diverged, Done}

// Ended reports whether the run has its result and is never repeated.
func (s State) Ended() bool { return s == Done || s == Diverged }

// Status is the state of a run of a list.
type Status struct {
	Run   runlist.Run
	Index int // in the list
	State State
	// Reason is the last line of the log of a run that has failed or was interrupted, the damage of
	// a damaged one, and the process that executes a running one.
	Reason string
}

// Status reads the states of all runs. That reads every file of those that have ended.
func (l *List) Status() ([]Status, error) {
	all := make([]Status, len(l.Runs))
	for i := range l.Runs {
		var err error
		if all[i], err = l.RunStatus(i); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// RunStatus reads the state of one run.
func (l *List) RunStatus(index int) (Status, error) {
	s := Status{Run: l.Runs[index], Index: index}
	folder := l.Folder(index)
	holder, held, err := rundir.Held(folder)
	if err != nil {
		return s, fmt.Errorf("sweep: %w", err)
	}
	if held {
		s.State, s.Reason = Running, holder.String()
		return s, nil
	}
	state, err := rundir.Check(folder)
	var damage *rundir.DamagedError
	switch {
	case errors.Is(err, fs.ErrNotExist) && !errors.As(err, &damage):
		s.State = Pending
		return s, nil
	case errors.As(err, &damage):
		s.State, s.Reason = Damaged, damage.Error()
		return s, nil
	case err != nil:
		return s, fmt.Errorf("sweep: %w", err)
	}
	switch state {
	case "", rundir.Running:
		s.State = Interrupted
	default:
		s.State = State(state) // the other words are the same
	}
	if s.State == Failed || s.State == Interrupted {
		if s.Reason, err = l.LastLine(index); err != nil {
			return s, err
		}
		if FullDisk(s.Reason) {
			s.State = Interrupted // not by its own fault: it goes on when there is room
		}
	}
	return s, nil
}

// Fail stores in a run's folder that the run has failed.
func (l *List) Fail(index int) error {
	if err := rundir.Fail(l.Folder(index)); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}

// LastLine is the last line of a run's log that is not empty, "" if there is none.
func (l *List) LastLine(index int) (string, error) {
	line, err := lastLine(l.Log(index))
	if err != nil {
		return "", fmt.Errorf("sweep: %w", err)
	}
	return line, nil
}

// lastLine is [List.LastLine] of a file.
func lastLine(path string) (string, error) {
	text, err := rundir.ReadEnd(path, 16<<10)
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.TrimSpace(lines[len(lines)-1]), nil
}

// FullDisk reports whether a line of a log is about a full disk or an exhausted quota.
func FullDisk(line string) bool {
	line = strings.ToLower(line)
	return strings.Contains(line, syscall.ENOSPC.Error()) ||
		strings.Contains(line, syscall.EDQUOT.Error())
}

// count is for example "3 pending, 1 failed, 8 done".
func count(all []Status) string {
	n := map[State]int{}
	for _, s := range all {
		n[s.State]++
	}
	var parts []string
	for _, state := range states {
		if n[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[state], state))
		}
	}
	return strings.Join(parts, ", ")
}

// PrintStatus prints the number of runs in each state, then a line for each run that has failed, is
// damaged or did not begin although it was started: its number, its name and the reason.
func PrintStatus(out io.Writer, all []Status) {
	fmt.Fprintf(out, "%-10s%d runs: %s\n", "sweep", len(all), count(all))
	for _, s := range all {
		if s.State == Failed || s.State == Damaged || s.State == Pending && s.Reason != "" {
			fmt.Fprintf(out, "%-10s%d  %s  %s\n", s.State, s.Index, s.Run.Name, s.Reason)
		}
	}
}
