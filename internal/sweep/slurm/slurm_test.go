package slurm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"momentum/internal/cli"
	"momentum/internal/rundir"
	"momentum/internal/runlist"
	"momentum/internal/sweep"
)

// fake replaces Slurm's programs. squeue prints the queues in turn and then nothing. It fails with
// a queue that contains the word error. The calls of the other programs are noted.
func fake(t *testing.T, queues ...string) (calls func() string) {
	t.Helper()
	dir := t.TempDir()
	for i, text := range queues {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("queue.%d", i+1)), []byte(text),
			0o666); err != nil {
			t.Fatal(err)
		}
	}
	program(t, filepath.Join(dir, "squeue"), `cd `+cli.Quote(dir)+`
n=$(($(cat n 2>/dev/null) + 1))
echo $n >n
[ -e queue.$n ] || exit 0
if grep -q error queue.$n; then cat queue.$n >&2; exit 1; fi
cat queue.$n
`)
	note := `echo "${0##*/} $*" >>` + cli.Quote(dir) + "/calls\n"
	program(t, filepath.Join(dir, "sbatch"), note+"echo 12\n")
	program(t, filepath.Join(dir, "scancel"), note)
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return func() string {
		text, _ := os.ReadFile(filepath.Join(dir, "calls"))
		return string(text)
	}
}

// planned is a list of four runs in temporary folders.
func planned(t *testing.T) *sweep.List {
	t.Helper()
	var runs []runlist.Run
	for i := range 4 {
		settings := json.RawMessage(fmt.Sprintf(`{"seed":%d}`, i))
		name, err := rundir.Name(fmt.Sprintf("r%d", i), settings)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, runlist.Run{Name: name, Settings: settings, Execution: []byte("{}")})
	}
	l, err := sweep.Plan(t.TempDir(), t.TempDir(), runs)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// leave makes the folder of a run as a task leaves it that has ended in this state.
func leave(t *testing.T, l *sweep.List, index int, state rundir.State) {
	t.Helper()
	d, err := rundir.Open(rundir.Spec{Root: l.Root, Label: fmt.Sprintf("r%d", index),
		Settings: l.Runs[index].Settings})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.SetState(state), d.Close()); err != nil {
		t.Fatal(err)
	}
}

// A second start finds the tasks that are in the queue, submits the others, and reports each task
// that leaves the queue, once. The controller may be down for a while.
func TestWaits(t *testing.T) {
	l := planned(t)
	leave(t, l, 1, rundir.Preempted)
	leave(t, l, 2, rundir.Failed)
	calls := fake(t,
		"9 1 RUNNING None\n",
		"9 1 RUNNING None\n12 2 PENDING Resources\n12 3 PENDING PartitionTimeLimit\n",
		"slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
		"slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
		"12 3 PENDING PartitionTimeLimit\n",
	)
	var out bytes.Buffer
	s := &Launcher{Command: []string{"run"}, Poll: time.Millisecond}
	if err := s.Run(t.Context(), l, []int{1, 2, 3}, sweep.Options{Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"slurm     1 of the runs are in Slurm's queue already, in array 9",
		"slurm     submitted to Slurm as array 12: tasks 2-3",
		"slurm     task 12_3 does not run yet: PartitionTimeLimit",
		"slurm     squeue: slurm_load_jobs error: Unable to contact slurm controller " +
			"(connect failure); asked again every 1ms",
		"0/3       " + l.Runs[1].Name + " preempted after 0s",
		"1/3       " + l.Runs[2].Name + " failed after 0s: ",
		"2/3       " + l.Runs[3].Name + " failed after 0s: ", // it has left no folder
	}
	got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), strings.Join(want, "\n"))
	}
	if got := calls(); strings.Count(got, "sbatch ") != 1 ||
		!strings.Contains(got, " --array=2-3 ") {
		t.Errorf("calls %q, want one sbatch of the tasks 2-3", got)
	}
	var note struct{ Array, Tasks string }
	text, err := os.ReadFile(filepath.Join(l.Dir, arrayFile))
	if err == nil {
		err = json.Unmarshal(text, &note)
	}
	if err != nil || note.Array != "12" || note.Tasks != "2-3" {
		t.Errorf("%s: %s, %v", arrayFile, text, err)
	}
}

// A task that leaves its run unfinished has failed if it ended by an error, and was interrupted if
// it was killed, as in the local pool.
func TestCrashed(t *testing.T) {
	l := planned(t)
	fake(t)
	if err := os.MkdirAll(l.Logs(), 0o777); err != nil {
		t.Fatal(err)
	}
	for i, exit := range []string{"2\n", "137\n", "75\n", ""} {
		leave(t, l, i, rundir.Running)
		if err := os.WriteFile(exitFile(l, i), []byte(exit), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s := &Launcher{Command: []string{"run"}, Poll: time.Millisecond}
	if err := s.Run(t.Context(), l, []int{0, 1, 2, 3}, sweep.Options{}); err != nil {
		t.Fatal(err)
	}
	all, err := l.Status()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []sweep.State{sweep.Failed, sweep.Interrupted, sweep.Interrupted,
		sweep.Interrupted} {
		if all[i].State != want {
			t.Errorf("run %d is %s, want %s", i, all[i].State, want)
		}
	}
}

// A run that another process holds is submitted when that process has gone without a result.
func TestWaitsForOthers(t *testing.T) {
	l := planned(t)
	d, err := rundir.Open(rundir.Spec{Root: l.Root, Label: "r0", Settings: l.Runs[0].Settings})
	if err != nil {
		t.Fatal(err)
	}
	calls := fake(t, "", "12 1 RUNNING None\n")
	gone := make(chan error)
	go func() {
		for !strings.Contains(calls(), "--array=1 ") && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		gone <- d.Close()
	}()
	var out bytes.Buffer
	s := &Launcher{Command: []string{"run"}, Poll: time.Millisecond}
	if err := s.Run(t.Context(), l, []int{0, 1}, sweep.Options{Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	if strings.Count(calls(), "sbatch") != 2 || !strings.Contains(calls(), "--array=0 ") ||
		!strings.Contains(out.String(), "waiting for "+l.Runs[0].Name+", which process ") {
		t.Errorf("printed %q, calls %q", &out, calls())
	}
}

// A process that is stopped leaves the array alone, and its error names the commands that go on and
// that end the array.
func TestStopped(t *testing.T) {
	l := planned(t)
	calls := fake(t, "", "12 1 RUNNING None\n")
	ctx, stop := context.WithCancel(t.Context())
	s := &Launcher{Command: []string{"run"}, Poll: time.Hour}
	go func() {
		for !strings.Contains(calls(), "sbatch") && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		stop()
	}()
	err := s.Run(ctx, l, []int{0, 1}, sweep.Options{})
	const want = "slurm: stopped by a signal while waiting for Slurm's array 12, which goes on: " +
		"the same command waits again, scancel 12 ends it"
	if cli.Status(err) != cli.Stopped || err.Error() != want ||
		strings.Contains(calls(), "scancel") {
		t.Errorf("error %v, calls %q; want %s", err, calls(), want)
	}

	calls = fake(t)
	err = s.Run(ctx, l, []int{0, 1}, sweep.Options{})
	const empty = "slurm: stopped by a signal with nothing in Slurm's queue; the same command " +
		"goes on"
	if cli.Status(err) != cli.Stopped || err.Error() != empty || calls() != "" {
		t.Errorf("error %v, calls %q; want %s", err, calls(), empty)
	}
}

// With failFast the first failure cancels the other tasks.
func TestFailFast(t *testing.T) {
	l := planned(t)
	leave(t, l, 0, rundir.Failed)
	if err := os.MkdirAll(l.Logs(), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.Log(0), []byte("starting\nthe disk is slow\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	calls := fake(t, "", "12 1 RUNNING None\n12 2 PENDING Resources\n", "12 1 COMPLETING None\n")
	var out bytes.Buffer
	s := &Launcher{Command: []string{"run"}, Poll: time.Millisecond}
	err := s.Run(t.Context(), l, []int{0, 1, 2}, sweep.Options{FailFast: true, Stdout: &out})
	want := "sweep: stopped at the first failure, " + l.Runs[0].Name + ": the disk is slow; its " +
		"output is in " + l.Log(0)
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	dir, _ := filepath.Abs(l.Dir)
	if !strings.HasSuffix(calls(), "scancel --name="+jobName(dir)+"\n") ||
		!strings.Contains(out.String(), "3/3 ") {
		t.Errorf("calls %q, printed %q", calls(), &out)
	}
}

// An error is one line when sbatch refuses the array or when Slurm is not installed.
func TestRefused(t *testing.T) {
	l := planned(t)
	run := func() string {
		s := &Launcher{Command: []string{"run"}}
		err := s.Run(t.Context(), l, []int{0, 3}, sweep.Options{})
		if err == nil {
			return ""
		}
		return err.Error()
	}
	fake(t)
	bin, _, _ := strings.Cut(os.Getenv("PATH"), string(os.PathListSeparator))
	for _, tt := range []struct{ stderr, want string }{
		{"sbatch: error: invalid partition specified: gpu\nsbatch: error: Batch job submission " +
			"failed: Invalid partition name specified",
			"slurm: sbatch: invalid partition specified: gpu; Batch job submission failed: " +
				"Invalid partition name specified"},
		{"sbatch: error: Batch job submission failed: Invalid job array specification",
			"slurm: sbatch: Batch job submission failed: Invalid job array specification: the " +
				"largest task is 3, and the cluster's MaxArraySize (see scontrol show config) " +
				"must be larger than that: let the cluster's administrator raise it, or plan " +
				"a smaller sweep"},
		{"", "slurm: sbatch: exit status 1"},
	} {
		program(t, filepath.Join(bin, "sbatch"),
			"printf '%s\\n' "+cli.Quote(tt.stderr)+" >&2; exit 1\n")
		if got := run(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
	program(t, filepath.Join(bin, "sbatch"), "echo Submitted batch job 3\n")
	want := `slurm: sbatch --parsable has printed "Submitted batch job 3\n", want a number`
	if got := run(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	t.Setenv("PATH", t.TempDir())
	want = "slurm: squeue is not installed here: start this where jobs are submitted from, such " +
		"as a cluster's login node: "
	if got := run(); !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	err := (&Launcher{Time: time.Minute}).Validate()
	want = "the time limit of a task must be at least 5m, since Slurm tells it to stop 120 " +
		"seconds before, got 1m0s"
	if cli.Status(err) != cli.BadUsage || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
