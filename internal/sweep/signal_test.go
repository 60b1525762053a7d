package sweep

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"momentum/internal/cli"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
)

// A second process on one sweep is refused. Runs that two sweeps share are executed once, and the
// second sweep waits for them.
func TestTwoSweeps(t *testing.T) {
	root := t.TempDir()
	all := []descent{{Steps: 20, Rate: 0.1, Seed: 1}, {Steps: 20, Rate: 0.1, Seed: 2}}
	a, b := list(t, root, execution{Sleep: 20}, all...), list(t, root, execution{Sleep: 20}, all[0])
	first := start(t, a)
	await(t, "the first run is started", func() bool { return starts(a, 0) > 0 })
	_, err := run(t.Context(), a, pool(t, 1), Options{})
	want := fmt.Sprintf("sweep: %s is worked on already, wait for it or stop it: %s: held by "+
		"process %d on ", a.Dir, filepath.Join(a.Dir, "sweep.lock"), first.Process.Pid)
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("the second one: %v, want %s", err, want)
	}
	if got := statesOf(t, b); got != "running" {
		t.Errorf("the shared run is %s", got)
	}
	printed := succeed(t, b, pool(t, 1))
	if !strings.Contains(printed, b.Runs[0].Name+": waiting for process ") || starts(b, 0) != 0 {
		t.Errorf("started %d times:\n%s", starts(b, 0), printed)
	}
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
	if starts(a, 0) != 1 || starts(a, 1) != 1 {
		t.Errorf("started %d and %d times, want once", starts(a, 0), starts(a, 1))
	}
}

// start starts a process that executes a sweep, two runs at a time.
func start(t *testing.T, l *List) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], l.Dir, l.Root)
	cmd.Env = append(os.Environ(), asCommand+"=sweep")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd
}

// await waits until a condition holds.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// A signal stops the parent and its runs, which save.
func TestSignals(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1} {
		l := list(t, t.TempDir(), execution{Sleep: 5}, descent{Steps: 100_000, Seed: 1},
			descent{Steps: 100_000, Seed: 2}, descent{Steps: 1})
		parent := start(t, l)
		var stderr strings.Builder
		parent.Stderr = &stderr
		await(t, "rows", func() bool { return len(rows(t, l, 0)) > 2 && len(rows(t, l, 1)) > 2 })
		parent.Process.Signal(signal)
		parent.Wait()
		if got := parent.ProcessState.ExitCode(); got != cli.Stopped {
			t.Errorf("%v: exit status %d, want %d", signal, got, cli.Stopped)
		}
		if got, want := statesOf(t, l), "preempted preempted pending"; got != want {
			t.Errorf("%v: states %s, want %s", signal, got, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := list(t, t.TempDir(), execution{}, descent{Steps: 1})
	_, err := run(ctx, l, pool(t, 1), Options{})
	wantError(t, err, "sweep: stopped by a signal with 0 of 1 runs ended; the same command goes on")
	if !errors.Is(err, cli.ErrStopped) {
		t.Errorf("%v is not ErrStopped", err)
	}
}

// rows are the rows of a run so far, nil if it has none.
func rows(t *testing.T, l *List, index int) []rundir.Row {
	all, _ := rundir.ReadMetrics(t.Context(), filepath.Join(l.Folder(index), "metrics.jsonl"))
	return all
}

// workers are the processes that execute runs.
func workers(t *testing.T, l *List) (pids []int) {
	t.Helper()
	for i := range l.Runs {
		h, held, err := rundir.Held(l.Folder(i))
		if err != nil {
			t.Fatal(err)
		}
		if held {
			pids = append(pids, h.PID)
		}
	}
	return pids
}

// inProcesses reports whether a process has a text in its arguments, as a worker has the sweep's
// folder from its beginning on, when it holds no lock yet. Only Linux tells.
func inProcesses(text string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	return slices.ContainsFunc(files, func(file string) bool {
		args, _ := os.ReadFile(file) // none of a process that has ended
		return strings.Contains(string(args), text)
	})
}

// The parent, a worker, or all processes are killed at random times. Another start executes the
// missing runs and no others, and the results have the same bytes as those of a sweep without
// kills.
func TestKill(t *testing.T) {
	x := execution{Sleep: 3}
	all := []descent{{Steps: 1, Rate: 0.1, Seed: 1}, {Steps: 30, Rate: 0.1, Seed: 2},
		{Steps: 20, Rate: 1e20, Seed: 1}, {Steps: 40, Rate: 0.3, Seed: 3},
		{Steps: 30, Rate: 0.1, Seed: 4}}
	calm := list(t, t.TempDir(), x, all...)
	began := time.Now()
	succeed(t, calm, pool(t, 2))
	took := time.Since(began)

	random := rand.New(rand.NewPCG(1, 0))
	killed := map[string]int{}
	for _, kind := range []string{"parent", "worker", "all", "worker", "parent", "worker", "all"} {
		l := list(t, t.TempDir(), x, all...)
		for kills := 0; ; {
			before := startsOfEnded(t, l)
			parent := start(t, l)
			if kills < 4 {
				time.Sleep(took/10 + time.Duration(random.Int64N(int64(took/3))))
				running := workers(t, l)
				if kind != "worker" {
					parent.Process.Kill()
				}
				for i, pid := range running {
					if kind == "all" || kind == "worker" && i == 0 {
						syscall.Kill(pid, syscall.SIGKILL)
					}
				}
				kills++
				killed[kind] += len(running)
			}
			parent.Wait()
			// A worker whose parent has died saves and ends.
			await(t, "all have ended",
				func() bool { return !inProcesses(l.Dir) && len(workers(t, l)) == 0 })
			for i, n := range before {
				if starts(l, i) != n {
					t.Errorf("run %d had ended and was started again", i)
				}
			}
			status, want := parent.ProcessState.ExitCode(), -1
			if kind == "worker" {
				want = cli.Failed
			}
			if status == cli.Done {
				break
			}
			if status != want || kills > 4 {
				t.Fatalf("after a kill of %s the sweep ends with status %d, want %d", kind, status,
					want)
			}
		}
		for i := range all {
			if got, want := result(t, l, i), result(t, calm, i); got != want {
				t.Errorf("after kills of %s run %d ends with\n%s\nwant\n%s", kind, i, got, want)
			}
		}
	}
	t.Logf("a calm sweep takes %v; workers that ran at the kills: %v",
		took.Round(time.Millisecond), killed)
	if killed["parent"] < 4 || killed["worker"] < 2 || killed["all"] < 4 {
		t.Errorf("workers that ran at the kills: only %v", killed)
	}
}

// startsOfEnded is how often each run that has ended has started. No process of the sweep is alive,
// and only a kill has ended the other runs.
func startsOfEnded(t *testing.T, l *List) map[int]int {
	t.Helper()
	statuses, err := l.Status()
	if err != nil {
		t.Fatal(err)
	}
	ended := map[int]int{}
	for i, s := range statuses {
		if s.State.Ended() {
			ended[i] = starts(l, i)
		} else if s.State == Failed || s.State == Damaged || s.State == Running {
			t.Errorf("after a kill run %d is %s: %s", i, s.State, s.Reason)
		}
	}
	return ended
}

// A start right after a kill of the parent finds a worker that still saves, and waits for it.
func TestStillSaving(t *testing.T) {
	l := list(t, t.TempDir(), execution{Sleep: 10, Save: 500},
		descent{Steps: 60, Rate: 0.1, Seed: 1})
	parent := start(t, l)
	await(t, "rows", func() bool { return len(rows(t, l, 0)) > 2 })
	worker := workers(t, l)[0]
	parent.Process.Kill()
	parent.Wait()
	printed := succeed(t, l, pool(t, 1))
	want := fmt.Sprintf("%s: waiting for process %d on ", l.Runs[0].Name, worker)
	if strings.Count(printed, want) != 1 || starts(l, 0) != 2 {
		t.Errorf("started %d times, want twice; want one line %s in\n%s", starts(l, 0), want,
			printed)
	}
	text := runtest.Read(t, l.Log(0))
	if !strings.Contains(text, "stopped by a signal before step ") {
		t.Errorf("the worker did not save:\n%s", text)
	}
}
