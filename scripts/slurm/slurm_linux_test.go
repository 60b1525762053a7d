// Package slurm documents how to execute a sweep on a Slurm cluster. Its test does so, on a cluster
// of its own.
package slurm

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"momentum/internal/cli"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
	"momentum/internal/slurmtest"
	"momentum/internal/sweep"
	"momentum/internal/sweep/slurm"
	"momentum/internal/sweep/sweeptest"
)

// output collects the output of several goroutines.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// long is the number of the run that is interrupted.
const long = 1

// clusterSweep is a sweep on a cluster.
type clusterSweep struct {
	*sweep.List
	cluster *slurmtest.Cluster
	command string
}

// start starts to execute the sweep. The error comes when that has ended.
func (s *clusterSweep) start(t *testing.T) (stop func(), out *output, ended chan error) {
	ctx, stop := context.WithCancel(t.Context())
	out, ended = &output{}, make(chan error, 1)
	go func() {
		launcher := &slurm.Launcher{Command: []string{s.command}, Concurrent: 2, Requeue: true,
			Poll: 200 * time.Millisecond}
		ended <- s.Run(ctx, launcher, sweep.Options{Stdout: out, Stderr: out})
	}()
	return stop, out, ended
}

// hold waits until the long run trains, and suspends its process until resume is called.
func (s *clusterSweep) hold(t *testing.T) (resume func()) {
	t.Helper()
	before := sweeptest.Rows(t, s.List, long)
	s.cluster.Until(t, "the long run trains", func() bool {
		return sweeptest.Rows(t, s.List, long) >= before+3
	})
	holder, held, err := rundir.Held(s.Folder(long))
	if err != nil || !held {
		t.Fatalf("the long run has ended: %v", err)
	}
	if err := syscall.Kill(holder.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return func() { syscall.Kill(holder.PID, syscall.SIGCONT) }
}

// array is the number of the array that was submitted last.
func (s *clusterSweep) array(t *testing.T) string {
	t.Helper()
	var note struct{ Array, Tasks string }
	if err := json.Unmarshal([]byte(runtest.Read(t, s.Dir, "slurm.json")), &note); err != nil {
		t.Fatal(err)
	}
	return note.Array
}

// A sweep of six runs on a cluster, of which one fails and one, the long run, is interrupted: a
// first start is stopped while it waits, the array is cancelled while a second start waits, and in
// a third one the run is preempted, requeued and completed. The bytes and the table are those of
// the local pool.
func TestSweep(t *testing.T) {
	cluster := slurmtest.Start(t)
	epochs := []int{4, 60, 4, 4, 5, 6}
	s := &clusterSweep{List: sweeptest.Plan(t, epochs...), cluster: cluster,
		command: sweeptest.Build(t)}

	// A process that is stopped leaves the array alone.
	stop, out, ended := s.start(t)
	s.hold(t)
	stop()
	err := <-ended
	first := s.array(t)
	if !errors.Is(err, cli.ErrStopped) ||
		!strings.Contains(err.Error(), "scancel "+first+" ends it") {
		t.Fatalf("%v\n%s", err, out)
	}
	// The next one waits for the array. A cancelled run, to which scancel sends SIGCONT first,
	// saves and stays cancelled, although Requeue is set.
	_, out, ended = s.start(t)
	cluster.Until(t, "the array is found", func() bool {
		return strings.Contains(out.String(), "in Slurm's queue already, in array "+first+"\n")
	})
	cluster.Do(t, "scancel", first)
	if err := <-ended; err == nil || strings.Contains(out.String(), "submitted") {
		t.Fatalf("%v\n%s", err, out)
	}
	if statuses, err := s.Status(); err != nil || statuses[long].State != sweep.Preempted {
		t.Fatalf("%v, %+v; want the long run preempted\n%s", err, statuses, out)
	}
	// The last one submits the missing runs. A task that is told to stop goes back into the queue
	// by itself.
	_, out, ended = s.start(t)
	resume := s.hold(t)
	second := s.array(t)
	if second == first {
		t.Fatalf("still array %s\n%s", first, out)
	}
	// Slurm 22.05 sends the signal, but answers "try again later" while other tasks of the array
	// wait, and scancel would repeat the request for minutes.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	exec.CommandContext(ctx, "scancel", "--signal=USR1", "--batch", second+"_1").Run()
	resume()
	err = <-ended
	t.Logf("%s%v", out, err)
	log := runtest.Read(t, s.Log(long))
	if n := strings.Count(log, "resumed before step "); n != 2 {
		t.Errorf("resumed %d times, want 2:\n%s", n, log)
	}
	if !regexp.MustCompile(`(?m)^slurm: task \d+_1 on n1, .*, restart 1$`).MatchString(log) {
		t.Errorf("not requeued:\n%s", log)
	}
	samePool(t, s, out.String(), err, epochs)
}

// samePool compares a sweep that has ended with the same sweep in the local pool: the error, the
// results and the table.
func samePool(t *testing.T, s *clusterSweep, printed string, err error, epochs []int) {
	t.Helper()
	local := sweeptest.Plan(t, epochs...)
	var out output
	want := local.Run(t.Context(), &sweep.Pool{Command: []string{s.command}, Jobs: 2},
		sweep.Options{Stdout: &out, Stderr: &out})
	if err == nil || want == nil || !strings.Contains(err.Error(), " 1 of 6 runs ") ||
		err.Error() != strings.ReplaceAll(want.Error(), local.Dir, s.Dir) {
		t.Errorf("error %v, want one that names 1 of 6 runs, as the pool: %v", err, want)
	}
	sweeptest.SameResults(t, s.List, local)
	table := func(text string) string { return text[strings.LastIndex(text, "sweep  "):] }
	if got, want := table(printed), table(out.String()); got != want {
		t.Errorf("table\n%s\nwant\n%s", got, want)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Root, "*.lock")); len(left) > 0 {
		t.Errorf("locks are left: %q", left)
	}
}
