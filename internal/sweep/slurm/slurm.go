// Package slurm executes a sweep as an array of jobs of a Slurm cluster.
//
// Beside the files of every sweep (internal/sweep), its folder holds
//
//	slurm.sh        the script of the tasks, as it was last submitted
//	slurm.json      the array's number and the command that submitted it, for people
//	logs/NAME.exit  the exit status of a run's last process
package slurm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"momentum/internal/cli"
	"momentum/internal/sweep"
)

// warning is the time in seconds before the time limit at which Slurm sends USR1, for the run to
// save.
const warning = 120

// Launcher is the [sweep.Launcher] of a cluster: an array with one job for each run, whose task
// number is the run's number in the list. The command and the folders must have the same paths on
// all nodes.
//
// The array belongs to the cluster, not to this process, which only waits for it. A process that is
// stopped or killed leaves the array alone. The next one asks the queue for the tasks that it still
// has, submits the others that are wanted, and waits for all of them.
type Launcher struct {
	// Command... -config=DIR/runs.jsonl -task=auto executes the run of SLURM_ARRAY_TASK_ID.
	Command    []string
	Concurrent int           // tasks at a time; 0: as many as the cluster allows
	GPUs       int           // of each task
	Time       time.Duration // limit of each task, at least 5 minutes; 0: the partition's
	Partition  string        // "": the cluster's default
	// Requeue puts a task that is told to stop early, or whose node fails, back into the queue. It
	// then goes on from its checkpoint.
	Requeue bool
	Flags   []string      // more flags of sbatch, such as --mem=16G
	Poll    time.Duration // between two looks at the queue; 0: 10 s
}

// Validate refuses values that Slurm would accept but not serve.
func (s *Launcher) Validate() error {
	if s.Concurrent < 0 || s.GPUs < 0 {
		return cli.Usagef("tasks at a time and GPUs of each must be at least 0, got %d and %d",
			s.Concurrent, s.GPUs)
	}
	if s.Time != 0 && s.Time < 5*time.Minute {
		return cli.Usagef("the time limit of a task must be at least 5m, since Slurm tells it to "+
			"stop %d seconds before, got %v", warning, s.Time)
	}
	return nil
}

// Run implements [sweep.Launcher]. It submits the runs that are not in the cluster's queue yet, and
// waits until the queue has none of the sweep's tasks. With o.FailFast the first failure cancels
// the other tasks.
func (s *Launcher) Run(ctx context.Context, l *sweep.List, indices []int, o sweep.Options) error {
	if err := s.Validate(); err != nil {
		return err
	}
	dir, err := filepath.Abs(l.Dir)
	if err != nil {
		return fmt.Errorf("slurm: %w", err)
	}
	queue, err := squeue(dir)
	if err != nil {
		return err
	}
	w := newWatch(s, &sweep.List{Dir: dir, Root: l.Root, Runs: l.Runs}, indices, queue, o)
	defer w.tally.Close()
	for {
		if err := w.update(queue); err != nil {
			return err
		}
		if w.failed != nil && o.FailFast {
			return w.cancel(ctx)
		}
		if ctx.Err() == nil {
			if err := w.submitFree(); err != nil {
				return err
			}
		}
		if len(w.waiting) == 0 && len(w.unsubmitted) == 0 {
			return nil
		}
		if queue, err = w.nextQueue(ctx); err != nil {
			return err
		}
	}
}

// watch is what one start knows about the sweep's tasks.
type watch struct {
	launcher    *Launcher
	list        *sweep.List // in an absolute folder
	poll        time.Duration
	unsubmitted map[int]bool
	waiting     map[int]task // in the queue at the last look, or just submitted
	began       map[int]time.Time
	reasons     map[string]bool // for waiting, as far as they were reported
	tally       *sweep.Tally
	failed      *sweep.Status // the first failed run
}

// newWatch returns the watch of a start that finds this queue and wants the runs of indices.
func newWatch(s *Launcher, l *sweep.List, indices []int, queue []task, o sweep.Options) *watch {
	w := &watch{launcher: s, list: l, poll: s.Poll, unsubmitted: map[int]bool{},
		waiting: map[int]task{}, began: map[int]time.Time{}, reasons: map[string]bool{}}
	if w.poll == 0 {
		w.poll = 10 * time.Second
	}
	for _, t := range queue {
		if t.index < len(l.Runs) {
			w.waiting[t.index] = t
		}
	}
	for _, i := range indices {
		if _, queued := w.waiting[i]; !queued {
			w.unsubmitted[i] = true
		}
	}
	w.tally = sweep.NewTally(l, o, len(w.waiting)+len(w.unsubmitted))
	if len(w.waiting) > 0 {
		w.printf("%d of the runs are in Slurm's queue already, in array %s", len(w.waiting),
			arrays(w.waiting))
	}
	return w
}

func (w *watch) printf(format string, args ...any) {
	w.tally.Println("slurm", fmt.Sprintf(format, args...))
}

// nextQueue waits a while and reads the queue, again and again until Slurm answers: the cluster may
// be in maintenance for hours.
func (w *watch) nextQueue(ctx context.Context) ([]task, error) {
	for silent := false; ; {
		select {
		case <-ctx.Done():
			if len(w.waiting) == 0 {
				return nil, fmt.Errorf("slurm: %w with nothing in Slurm's queue; the same command "+
					"goes on", cli.ErrStopped)
			}
			return nil, fmt.Errorf("slurm: %w while waiting for Slurm's array %[2]s, which goes "+
				"on: the same command waits again, scancel %[2]s ends it", cli.ErrStopped,
				arrays(w.waiting))
		case <-time.After(w.poll):
		}
		queue, err := squeue(w.list.Dir)
		if err == nil {
			return queue, nil
		}
		if !silent {
			w.printf("%s; asked again every %v", strings.TrimPrefix(err.Error(), "slurm: "),
				w.poll)
			silent = true
		}
	}
}

// submitFree submits the unsubmitted runs, except those that another process has: they come later,
// unless they have ended by then.
func (w *watch) submitFree() error {
	var free []int
	for _, i := range slices.Sorted(maps.Keys(w.unsubmitted)) {
		status, err := w.list.RunStatus(i)
		if err != nil {
			return err
		}
		switch {
		case status.State.Ended():
			delete(w.unsubmitted, i)
			if err := w.ended(status); err != nil {
				return err
			}
		case status.State != sweep.Running:
			free = append(free, i)
		case w.began[i].IsZero():
			w.began[i] = time.Now()
			w.printf("waiting for %s, which %s has", status.Run.Name, status.Reason)
		}
	}
	if len(free) == 0 {
		return nil
	}
	array, err := w.launcher.submit(w.list, free)
	if err != nil {
		return err
	}
	w.printf("submitted to Slurm as array %s: tasks %s", array, ranges(free))
	for _, i := range free {
		delete(w.unsubmitted, i)
		delete(w.began, i)
		w.waiting[i] = task{array: array, index: i}
	}
	return nil
}

// usual are the reasons for waiting in the queue that need no attention.
var usual = []string{"None", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime", "Cleaning"}

// update compares the waiting tasks with the queue, and reports the runs that have left it.
func (w *watch) update(queue []task) error {
	queued := map[int]bool{}
	for _, t := range queue {
		if _, ok := w.waiting[t.index]; !ok {
			continue
		}
		w.waiting[t.index] = t
		queued[t.index] = true
		switch {
		case t.state == "RUNNING":
			if w.began[t.index].IsZero() {
				w.began[t.index] = time.Now()
				w.tally.Began(t.index)
			}
		case t.state == "PENDING" && t.reason != "" && !slices.Contains(usual, t.reason) &&
			!w.reasons[t.reason]:
			w.reasons[t.reason] = true
			w.printf("task %s_%d does not run yet: %s", t.array, t.index, t.reason)
		}
	}
	for _, i := range slices.Sorted(maps.Keys(w.waiting)) {
		if queued[i] {
			continue
		}
		status, err := w.list.RunStatus(i)
		if err != nil {
			return err
		}
		if status.State == sweep.Running {
			// A network file system shows the lock for a while longer; the lock of a node that died
			// lasts two minutes.
			continue
		}
		delete(w.waiting, i)
		if err := w.ended(status); err != nil {
			return err
		}
	}
	return nil
}

// ended reports a run that has left the queue.
func (w *watch) ended(s sweep.Status) (err error) {
	if s.State == sweep.Interrupted && broke(w.list, s.Index) {
		if err := w.list.Fail(s.Index); err != nil {
			return err
		}
		s.State = sweep.Failed
	}
	if s.State == sweep.Pending { // its command ended before it had a folder
		s.State = sweep.Failed
		if s.Reason, err = w.list.LastLine(s.Index); err != nil {
			return err
		}
	}
	if s.State == sweep.Failed && w.failed == nil {
		w.failed = &s
	}
	took := time.Duration(0)
	if began := w.began[s.Index]; !began.IsZero() {
		took = time.Since(began)
	}
	w.tally.Ended(s, took)
	return nil
}

// cancel cancels the tasks that are left, and waits until they have saved and ended.
func (w *watch) cancel(ctx context.Context) error {
	err := w.list.FirstFailure(*w.failed)
	if len(w.waiting) == 0 {
		return err
	}
	w.printf("%s failed: the tasks that are left are cancelled", w.failed.Run.Name)
	if e := scancel(w.list.Dir); e != nil {
		return errors.Join(err, e)
	}
	for len(w.waiting) > 0 {
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(w.poll):
		}
		if queue, e := squeue(w.list.Dir); e == nil {
			if e := w.update(queue); e != nil {
				return errors.Join(err, e)
			}
		}
	}
	return err
}
