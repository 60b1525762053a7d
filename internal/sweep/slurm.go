package sweep

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"momentum/internal/cli"
	"momentum/internal/rundir"
)

const (
	scriptFile = "slurm.sh"   // what each task of the array runs
	arrayFile  = "slurm.json" // how the array was submitted, for people
	// seconds before the time limit at which Slurm signals USR1, for the run to save
	warning = 120
)

// Slurm runs a list as an array of jobs of a Slurm cluster, a job a run; the number of a task is
// that of its run in the list. The command and the folders must have the same paths on all nodes.
//
// The array belongs to the cluster, not to this process, which only waits for it. One that is
// stopped or killed leaves the array alone, and the next one asks the queue for the tasks that are
// still in it, submits the others that are wanted, and waits for all.
type Slurm struct {
	// with -config=DIR/runs.jsonl -task=auto it makes the run of SLURM_ARRAY_TASK_ID
	Command    []string
	Concurrent int           // tasks that run at a time; 0: as many as the cluster gives
	GPUs       int           // of each task
	Time       time.Duration // limit of each task, at least 5 minutes; 0: that of the partition
	Partition  string        // "": the cluster's default
	// a task that is told to stop early, or whose node fails, goes back into the queue and on from
	// its checkpoint
	Requeue bool
	Extra   []string      // more flags of sbatch, such as --mem=16G
	Poll    time.Duration // between two looks at the queue; 0: 10 s
	Stdout  io.Writer
}

// Run implements [Launcher]. It submits those of the runs that are not in the cluster's queue
// already, and waits until none of the sweep's tasks is there any more. With failFast the first
// failure cancels what is left.
func (s *Slurm) Run(ctx context.Context, l *List, indices []int, failFast bool) error {
	if err := s.Check(); err != nil {
		return err
	}
	dir, err := filepath.Abs(l.Dir)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	queue, err := squeue(dir)
	if err != nil {
		return err
	}
	w := &watch{list: l, dir: dir, unsubmitted: map[int]bool{}, waiting: map[int]task{},
		began: map[int]time.Time{}, reasons: map[string]bool{}}
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
	w.tally = newTally(s.Stdout, len(w.waiting)+len(w.unsubmitted))
	defer w.tally.bar.Close()
	if len(w.waiting) > 0 {
		w.println("%d of the runs are in Slurm's queue already, in array %s", len(w.waiting),
			numbers(w.waiting))
	}

	every := s.Poll
	if every == 0 {
		every = 10 * time.Second
	}
	for deaf := false; ; {
		if err := w.look(queue); err != nil {
			return err
		}
		if w.failed != nil && failFast {
			return w.cancel(ctx, every)
		}
		if ctx.Err() == nil {
			if err := s.submitFree(w); err != nil {
				return err
			}
		}
		if len(w.waiting) == 0 && len(w.unsubmitted) == 0 {
			return nil
		}
		for {
			select {
			case <-ctx.Done():
				if len(w.waiting) == 0 {
					return fmt.Errorf("sweep: %w with nothing in Slurm's queue; the same command "+
						"goes on", cli.ErrStopped)
				}
				return fmt.Errorf("sweep: %w while waiting for Slurm's array %[2]s, which goes "+
					"on: the same command waits again, scancel %[2]s ends it", cli.ErrStopped,
					numbers(w.waiting))
			case <-time.After(every):
			}
			if queue, err = squeue(dir); err == nil {
				deaf = false
				break
			}
			// The cluster may be maintained for hours. Nothing is known then, and nothing lost.
			if !deaf {
				w.println("%v; asked again every %v", err, every)
				deaf = true
			}
		}
	}
}

// Check refuses what Slurm would take without a word, to no good.
func (s *Slurm) Check() error {
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

// submitFree submits the runs that wait for it, but for those that another process has: they come
// later, unless they have ended by then.
func (s *Slurm) submitFree(w *watch) error {
	var free []int
	for _, i := range slices.Sorted(maps.Keys(w.unsubmitted)) {
		status, err := w.list.status(i)
		if err != nil {
			return err
		}
		switch {
		case status.State.Ended():
			delete(w.unsubmitted, i)
			if err := w.ended(status); err != nil {
				return err
			}
		case status.State != Running:
			free = append(free, i)
		case w.began[i].IsZero():
			w.began[i] = time.Now()
			w.println("waiting for %s, which %s has", status.Run.Name, status.Reason)
		}
	}
	if len(free) == 0 {
		return nil
	}
	array, err := s.submit(w.dir, w.list, free)
	if err != nil {
		return err
	}
	w.println("submitted to Slurm as array %s: tasks %s", array, ranges(free))
	for _, i := range free {
		delete(w.unsubmitted, i)
		delete(w.began, i)
		w.waiting[i] = task{array: array, index: i}
	}
	return nil
}

// watch is what one start knows of the sweep's tasks.
type watch struct {
	list        *List
	dir         string // absolute
	unsubmitted map[int]bool
	waiting     map[int]task // in the queue when it was last looked at, or just submitted
	began       map[int]time.Time
	reasons     map[string]bool // for which tasks do not run, that were told
	tally       *tally
	failed      *Status // the first run that has
}

func (w *watch) println(format string, args ...any) {
	w.tally.bar.Println(fmt.Sprintf("%-10s%s", "slurm", fmt.Sprintf(format, args...)))
}

// look compares what is waited for with the queue, and tells of the runs that have left it.
func (w *watch) look(queue []task) error {
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
			}
		case t.state == "PENDING" && t.reason != "" && !slices.Contains(usual, t.reason) &&
			!w.reasons[t.reason]:
			w.reasons[t.reason] = true
			w.println("task %s_%d does not run yet: %s", t.array, t.index, t.reason)
		}
	}
	for _, i := range slices.Sorted(maps.Keys(w.waiting)) {
		if queued[i] {
			continue
		}
		status, err := w.list.status(i)
		if err != nil {
			return err
		}
		if status.State == Running {
			// a network file system shows its lock a while longer, and that of a node that died for
			// two minutes
			continue
		}
		delete(w.waiting, i)
		if err := w.ended(status); err != nil {
			return err
		}
	}
	return nil
}

// usual are reasons for which a task does not run yet that are none to look at.
var usual = []string{"None", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime", "Cleaning"}

// ended tells of a run that has left the queue.
func (w *watch) ended(s Status) (err error) {
	if s.State == Interrupted && w.list.broke(s.Index) {
		if err := rundir.Fail(w.list.Folder(s.Index)); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
		s.State = Failed
	}
	if s.State == Pending { // its command ended before it had a folder
		s.State = Failed
		if s.Reason, err = lastLine(w.list.Log(s.Index)); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	if s.State == Failed && w.failed == nil {
		w.failed = &s
	}
	took := time.Duration(0)
	if began := w.began[s.Index]; !began.IsZero() {
		took = time.Since(began)
	}
	w.tally.ended(s, took)
	return nil
}

// broke says whether the process of a run that left no outcome has ended by an error, as the script
// has noted: not because it was stopped or killed, with the script or without it, and not for a
// full disk.
func (l *List) broke(index int) bool {
	text, err := os.ReadFile(strings.TrimSuffix(l.Log(index), ".log") + ".exit")
	if err != nil {
		return false
	}
	status, err := strconv.Atoi(strings.TrimSpace(string(text)))
	line, e := lastLine(l.Log(index))
	return err == nil && e == nil && status != 0 && status != cli.Stopped && status <= 128 &&
		!fullDisk(line)
}

// cancel ends what is left of the sweep's arrays, and waits until it has saved and ended.
func (w *watch) cancel(ctx context.Context, every time.Duration) error {
	err := fmt.Errorf("sweep: stopped at the first failure, %s: %s; what it printed is in %s",
		w.failed.Run.Name, w.failed.Reason, w.list.Log(w.failed.Index))
	if len(w.waiting) == 0 {
		return err
	}
	w.println("%s failed: the tasks that are left are cancelled", w.failed.Run.Name)
	var stderr bytes.Buffer
	scancel := exec.Command("scancel", "--name="+jobName(w.dir))
	scancel.Stderr = &stderr
	if e := scancel.Run(); e != nil {
		return errors.Join(err, clientError("scancel", e, stderr.String()))
	}
	for len(w.waiting) > 0 {
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(every):
		}
		if queue, e := squeue(w.dir); e == nil {
			if e := w.look(queue); e != nil {
				return errors.Join(err, e)
			}
		}
	}
	return err
}

// submit writes the script of the tasks and submits it. It returns the array's number.
func (s *Slurm) submit(dir string, l *List, indices []int) (array string, err error) {
	here, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("sweep: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, logsDir), 0o777); err != nil {
		return "", fmt.Errorf("sweep: %w", err)
	}
	script := filepath.Join(dir, scriptFile)
	err = rundir.WriteFile(script, func(w io.Writer) error {
		_,
			err := io.WriteString(w, s.script(dir, here, l.Runs))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("sweep: %w", err)
	}
	args := s.flags(dir, indices)
	var stdout, stderr bytes.Buffer
	sbatch := exec.Command("sbatch", append(args, script)...)
	sbatch.Stdout, sbatch.Stderr = &stdout, &stderr
	if err := sbatch.Run(); err != nil {
		err = clientError("sbatch", err, stderr.String())
		if strings.Contains(stderr.String(), "Invalid job array specification") {
			err = fmt.Errorf("%w: the largest task is %d, and the cluster's MaxArraySize (see "+
				"scontrol show config) must be larger than that: let the cluster's administrator "+
				"raise it, or plan a smaller sweep",
				err, slices.Max(indices))
		}
		return "", err
	}
	// a cluster's name may follow
	array, _, _ = strings.Cut(strings.TrimSpace(stdout.String()), ";")
	if _, err := strconv.ParseUint(array, 10, 64); err != nil {
		return "", fmt.Errorf("sweep: sbatch --parsable has printed %q, want a number",
			stdout.String())
	}
	err = rundir.WriteFile(filepath.Join(dir, arrayFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"array": array, "tasks": ranges(indices),
			"sbatch": append([]string{"sbatch"}, append(args, script)...)})
	})
	if err != nil {
		return "", fmt.Errorf("sweep: array %s is submitted: %w", array, err)
	}
	return array, nil
}

// flags are those of sbatch. The user's come after those that have a reason to differ and before
// those that must not. The folder is the tasks' working folder until the script leaves it, so that
// its path need not stand in --output, which has a syntax of its own.
func (s *Slurm) flags(dir string, indices []int) []string {
	flags := []string{"--nodes=1", "--ntasks=1", fmt.Sprintf("--signal=B:USR1@%d", warning),
		"--no-requeue"}
	if s.Requeue {
		flags[len(flags)-1] = "--requeue"
	}
	if s.GPUs > 0 {
		// Not --gpus-per-task, which is for the tasks that srun starts in a job: a script without
		// srun sees those that the job has on its node.
		flags = append(flags, fmt.Sprintf("--gres=gpu:%d", s.GPUs))
	}
	if s.Time > 0 {
		d := s.Time.Round(time.Second)
		flags = append(flags, fmt.Sprintf("--time=%d:%02d:%02d", int(d.Hours()),
			int(d.Minutes())%60, int(d.Seconds())%60))
	}
	if s.Partition != "" {
		flags = append(flags, "--partition="+s.Partition)
	}
	array := ranges(indices)
	if s.Concurrent > 0 {
		array += fmt.Sprintf("%%%d", s.Concurrent)
	}
	return append(append(flags, s.Extra...), "--parsable", "--job-name="+jobName(dir),
		"--array="+array, "--chdir="+dir,
		"--output="+logsDir+"/slurm.log", "--open-mode=append")
}

// jobName is that of all arrays of a sweep, by which they are found in the queue: also one that was
// submitted by a process that was killed before it could note the array's number.
func jobName(dir string) string {
	hash := sha256.Sum256([]byte(dir))
	return "sweep-" + hex.EncodeToString(hash[:])[:12]
}

// script is what a task runs: here is the working folder of the command.
func (s *Slurm) script(dir, here string, runs []Run) string {
	var b strings.Builder
	b.WriteString(`#!/bin/sh
# One task of an array of jobs: the run of SLURM_ARRAY_TASK_ID, from 0, in runs.jsonl. slurm.json says how the array was submitted.
case $SLURM_ARRAY_TASK_ID in
`)
	for i, r := range runs {
		fmt.Fprintf(&b, "%d) name=%s ;;\n", i, cli.Quote(r.Name))
	}
	fmt.Fprintf(&b, `*) echo "task $SLURM_ARRAY_TASK_ID is not in the list" >&2; exit 2 ;;
esac
cd %[1]s || exit
exec >>%[2]s/"$name.log" 2>&1 || exit
rm -f %[2]s/"$name.exit"
echo "slurm: task ${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID on $SLURMD_NODENAME, $(date), restart ${SLURM_RESTART_COUNT:-0}"

# As many threads as the task has processors.
if [ -n "$SLURM_CPUS_ON_NODE" ]; then
	export NPROC="${NPROC:-$SLURM_CPUS_ON_NODE}" GOMAXPROCS="${GOMAXPROCS:-$SLURM_CPUS_ON_NODE}"
fi

# Told to stop, by USR1 %[3]d seconds before the time limit or by TERM, the run saves and ends with status %[4]d. It gets USR1 in both cases: scancel
# sends TERM to the run itself too, and a second TERM would kill it.
pass() { told=$1; passed=yes; kill -USR1 "$run" 2>/dev/null; }
told= passed=no run=
trap 'pass USR1' USR1
trap 'pass TERM' TERM
`, cli.Quote(here), cli.Quote(filepath.Join(dir, logsDir)), warning, cli.Stopped)
	for _, arg := range append(s.Command, "-config="+filepath.Join(dir, listFile)) {
		b.WriteString(cli.Quote(arg) + " ")
	}
	b.WriteString(`-task=auto &
run=$!
[ -z "$told" ] || pass "$told"
wait $run
status=$?
while [ "$passed" = yes ]; do # the signal has ended the wait: 127 if the run had ended before
	passed=no
	wait $run
	again=$?
	[ $again -eq 127 ] || status=$again
done
[ $status -le 128 ] || echo "slurm: the run was killed by signal $((status - 128))"
`)
	if s.Requeue {
		fmt.Fprintf(&b, `
# Only this task, and only after USR1: what scancel has ended by TERM stays ended. A run that was killed had not begun, or not saved in time.
if [ "$told" = USR1 ] && { [ $status -eq %d ] || [ $status -gt 128 ]; }; then
	scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
`, cli.Stopped)
	}
	fmt.Fprintf(&b, "echo $status >%s/\"$name.exit\"\nexit $status\n",
		cli.Quote(filepath.Join(dir, logsDir)))
	return b.String()
}

// ranges writes sorted numbers as --array takes them: 0-2,5.
func ranges(numbers []int) string {
	sorted := slices.Sorted(slices.Values(numbers))
	var parts []string
	for i := 0; i < len(sorted); {
		j := i + 1
		for j < len(sorted) && sorted[j] == sorted[j-1]+1 {
			j++
		}
		if j == i+1 {
			parts = append(parts, strconv.Itoa(sorted[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", sorted[i], sorted[j-1]))
		}
		i = j
	}
	return strings.Join(parts, ",")
}

// task is one task of an array in the queue.
type task struct {
	array  string
	index  int
	state  string
	reason string // why it does not run yet
}

// squeue lists the tasks of a sweep that have not ended, in any array.
func squeue(dir string) ([]task, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("squeue", "--noheader", "--array", "--name="+jobName(dir),
		"--format=%F %K %T %r")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, clientError("squeue", err, stderr.String())
	}
	return parseQueue(stdout.String())
}

// parseQueue reads what squeue prints: a line a task, with the array, the index, the state and the
// reason, which may have blanks.
func parseQueue(text string) ([]task, error) {
	var tasks []task
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		index := -1
		if len(words) >= 3 {
			if n, err := strconv.Atoi(words[1]); err == nil {
				index = n
			}
		}
		if index < 0 {
			return nil, fmt.Errorf(
				"sweep: squeue: %.80q, want a line such as \"12 3 PENDING Resources\"", line)
		}
		tasks = append(tasks, task{array: words[0], index: index, state: words[2],
			reason: strings.Join(words[3:], " ")})
	}
	return tasks, nil
}

// numbers names the arrays of tasks, as scancel takes them.
func numbers(tasks map[int]task) string {
	all := map[string]bool{}
	for _, t := range tasks {
		all[t.array] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(all)), " ")
}

// clientError makes one line of what a program of Slurm has said.
func clientError(name string, err error, stderr string) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("sweep: %s is not installed here: start this where jobs are submitted "+
			"from, such as a cluster's login node: %w", name, err)
	}
	var lines []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(line), name+": "), "error: ")
		if line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return fmt.Errorf("sweep: %s: %w", name, err)
	}
	return fmt.Errorf("sweep: %s: %s", name, strings.Join(lines, "; "))
}
