package sweep

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"momentum/internal/cli"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
)

// Five good runs, one that diverges and one that fails: each is started once, and only the failed
// one again, and only when asked for.
func TestPool(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	l := list(t, filepath.Join(t.TempDir(), "runs"), execution{Broken: broken},
		descent{Steps: 3, Rate: 0.1, Seed: 1}, descent{Steps: 3, Rate: 0.1, Seed: 2},
		descent{Steps: 20, Rate: 1e100, Seed: 1},
		descent{Steps: 12, Rate: 0.1, Seed: 1, FailAt: 8}, descent{Steps: 3, Rate: 0.1, Seed: 3})
	p := pool(t, 2)
	if got, want := statesOf(t, l), "pending pending pending pending pending"; got != want {
		t.Errorf("states %s, want %s", got, want)
	}

	printed, err := run(t.Context(), l, p, Options{})
	failed := l.Runs[3].Name
	wantError(t, err, fmt.Sprintf("sweep: 1 of 5 runs failed, the first is %s (failed): descend: "+
		"step 8 does not work; "+
		"retry starts failed runs again; what they printed is in %s", failed,
		filepath.Join(l.Dir, "logs")))
	const want = "done done diverged failed done"
	if got := statesOf(t, l); got != want {
		t.Errorf("states %s, want %s", got, want)
	}
	for _, line := range []string{
		"sweep     " + regexp.QuoteMeta(l.Dir) + `: 5 runs: 5 pending`,
		`\d/5       ` + l.Runs[0].Name + " done after 0s",
		`\d/5       ` + l.Runs[2].Name + " diverged after 0s",
		`\d/5       ` + failed + " failed after 0s: descend: step 8 does not work",
		"sweep     5 runs: 1 failed, 1 diverged, 3 done",
		"failed    3  " + failed + "  descend: step 8 does not work",
	} {
		if !regexp.MustCompile("(?m)^" + line + "$").MatchString(printed) {
			t.Errorf("no line %s in\n%s", line, printed)
		}
	}
	// 1, 0.9, 0.81: losses are half their squares.
	if got, want := runtest.Read(t, l.Folder(0), "metrics.jsonl"),
		`{"step":0,"loss":0.5}`+"\n"+`{"step":1,"loss":0.405}`+"\n"; !strings.HasPrefix(got, want) {
		t.Errorf("metrics %s, want %s", got, want)
	}

	// A second start starts nothing, and says the same.
	if _, again := run(t.Context(), l, p, Options{}); again == nil || again.Error() != err.Error() {
		t.Errorf("the second time: %v", again)
	}
	for i := range l.Runs {
		if n := starts(l, i); n != 1 {
			t.Errorf("run %d was started %d times, want once", i, n)
		}
	}

	// Retry goes on after the checkpoint of step 5.
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	if printed, err := run(t.Context(), l, p, Options{Retry: true}); err != nil {
		t.Errorf("%v\n%s", err, printed)
	}
	if got, want := statesOf(t, l), "done done diverged done done"; got != want {
		t.Errorf("states %s, want %s", got, want)
	}
	if starts(l, 3) != 2 || starts(l, 0) != 1 {
		t.Errorf("started %d and %d times, want the failed run twice and others once", starts(l, 3),
			starts(l, 0))
	}
	if rows := runtest.Metrics(t, l.Folder(3)); len(rows) != 12 {
		t.Errorf("%d rows, want 12", len(rows))
	}
}

// A run whose command ends before it has a folder is not started twice by one start, and again by
// the next.
func TestNoFolder(t *testing.T) {
	l := list(t, t.TempDir(), execution{}, descent{Steps: -1}, descent{Steps: 1})
	p := pool(t, 1)
	for n := range 2 {
		printed, err := run(t.Context(), l, p, Options{})
		wantError(t, err, fmt.Sprintf("sweep: 1 of 2 runs did not end, the first is %s (pending): "+
			"ended before it had a folder: descend: -steps must be at least 1, got -1; the same "+
			"command goes on with them", l.Runs[0].Name))
		if got := strings.Count(runtest.Read(t, l.Log(0)), "must be at least 1"); got != n+1 {
			t.Errorf("started %d times, want %d", got, n+1)
		}
		if line := "pending   0  " + l.Runs[0].Name + "  ended before"; !strings.Contains(printed,
			line) {
			t.Errorf("no line %s in\n%s", line, printed)
		}
	}
	p.Command = []string{filepath.Join(t.TempDir(), "none")}
	l = list(t, t.TempDir(), execution{}, descent{Steps: 1}, descent{Steps: 2})
	if _, err := run(t.Context(), l, p, Options{}); err == nil ||
		!strings.HasPrefix(err.Error(), "sweep: cannot start "+l.Runs[0].Name+": ") {
		t.Errorf("a command that is not there: %v", err)
	}
}

// Retry takes what has failed and what was preempted or killed, and leaves what has not begun.
func TestRetry(t *testing.T) {
	root := t.TempDir()
	l := list(t, root, execution{}, descent{Steps: 1, Seed: 1}, descent{Steps: 1, Seed: 2},
		descent{Steps: 1, Seed: 3}, descent{Steps: 1, Seed: 4})
	for i, state := range []rundir.State{rundir.Running, rundir.Preempted, rundir.Failed} {
		setState(t, l, i, state)
	}
	if got, want := statesOf(t, l), "interrupted preempted failed pending"; got != want {
		t.Errorf("states %s, want %s", got, want)
	}
	_, err := run(t.Context(), l, pool(t, 1), Options{Retry: true})
	if got, want := statesOf(t, l), "done done done pending"; got != want || err == nil ||
		!strings.Contains(err.Error(), "1 of 4 runs have not been made") {
		t.Errorf("states %s, want %s; %v", got, want, err)
	}
	setState(t, l, 3, rundir.Failed)
	_, err = run(t.Context(), l, pool(t, 1), Options{})
	if got, want := statesOf(t, l), "done done done failed"; got != want || err == nil ||
		!strings.Contains(err.Error(), "1 of 4 runs failed") {
		t.Errorf("states %s, want %s; %v", got, want, err)
	}
}

// setState makes the folder of a run, as a process that has ended in this state.
func setState(t *testing.T, l *List, index int, state rundir.State) {
	t.Helper()
	dir, err := rundir.Open(rundir.Spec{Root: l.Root, Label: label,
		Settings: l.Runs[index].Settings})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dir.SetState(state), dir.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestFailFast(t *testing.T) {
	broken := runtest.File(t, "broken", "")
	// One run in each slot, of which the second would take an hour.
	l := list(t, t.TempDir(), execution{Broken: broken, Sleep: 20},
		descent{Steps: 12, Seed: 1, FailAt: 7}, descent{Steps: 180_000, Seed: 1},
		descent{Steps: 1, Seed: 2})
	_, err := run(t.Context(), l, pool(t, 2), Options{FailFast: true})
	wantError(t, err, fmt.Sprintf("sweep: stopped at the first failure, %s: descend: step 7 does "+
		"not work; what it printed is in %s", l.Runs[0].Name, l.Log(0)))
	if got, want := statesOf(t, l), "failed preempted pending"; got != want {
		t.Errorf("states %s, want %s", got, want)
	}
}

// Slot i of the pool has GPU i modulo their number; runs that share a CPU share its cores, unless
// the user has said otherwise.
func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		pool Pool
		cpus string // GOMAXPROCS of the user, which NPROC is left to follow
		want []string
	}{
		{Pool{GPUs: []string{"0", "3"}}, "",
			[]string{`CUDA_VISIBLE_DEVICES="0" NPROC="" GOMAXPROCS=""`,
				`CUDA_VISIBLE_DEVICES="3" NPROC="" GOMAXPROCS=""`}},
		{Pool{GPUs: []string{"1"}, Jobs: 2}, "",
			[]string{`CUDA_VISIBLE_DEVICES="1" NPROC="" GOMAXPROCS=""`}},
		{Pool{Jobs: 1000}, "", []string{`CUDA_VISIBLE_DEVICES="" NPROC="1" GOMAXPROCS="1"`}},
		{Pool{Jobs: 1000}, "7", []string{`CUDA_VISIBLE_DEVICES="" NPROC="1" GOMAXPROCS="7"`}},
		{Pool{}, "", []string{`CUDA_VISIBLE_DEVICES="" NPROC="" GOMAXPROCS=""`}},
	} {
		for _, name := range []string{"CUDA_VISIBLE_DEVICES", "NPROC", "GOMAXPROCS"} {
			t.Setenv(name, "")
		}
		t.Setenv("GOMAXPROCS", tt.cpus)
		// Each slot has made one run before any has made two: a run takes a fifth of a second.
		l := list(t, t.TempDir(), execution{Sleep: 200}, descent{Steps: 1, Seed: 1},
			descent{Steps: 1, Seed: 2})
		p := tt.pool
		p.Command = pool(t, 0).Command
		succeed(t, l, &p)
		got := runtest.Read(t, l.Log(0)) + runtest.Read(t, l.Log(1))
		for _, want := range tt.want {
			if n := strings.Count(got, want+"\n"); n != 2/len(tt.want) {
				t.Errorf("%+v: %s is in %d runs, want %d:\n%s", tt.pool, want, n, 2/len(tt.want),
					got)
			}
		}
	}
}

// Two sweeps on one folder: the second is refused. Two sweeps that share runs: they are made once,
// and the second waits for them.
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
		t.Errorf("the run that both want is %s", got)
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

// start starts a process that makes a sweep, two runs at a time.
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

// await waits until something has come about.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// Signals stop the parent with its runs saved, and the same command goes on.
func TestSignals(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1} {
		l := list(t, t.TempDir(), execution{Sleep: 5}, descent{Steps: 100_000, Seed: 1},
			descent{Steps: 100_000, Seed: 2}, descent{Steps: 1})
		parent := start(t, l)
		var stderr strings.Builder
		parent.Stderr = &stderr
		await(t, "rows", func() bool { return len(rows(l, 0)) > 2 && len(rows(l, 1)) > 2 })
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
	if wantError(t, err, "sweep: stopped by a signal with 0 of 1 runs ended; the same command "+
		"goes on"); !errors.Is(err, cli.ErrStopped) {
		t.Error("the error is none of a signal")
	}
}

// rows are those that a run has so far, nil if there are none.
func rows(l *List, index int) []rundir.Row {
	all, _ := rundir.ReadMetrics(filepath.Join(l.Folder(index), "metrics.jsonl"))
	return all
}

// workers are the processes that make runs.
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

// The parent, a worker, or all of them are killed at random moments. Another start makes what is
// missing and nothing else, and the results are, byte by byte, those of a sweep that was left
// alone.
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
			before := map[int]int{} // starts of the runs that have ended
			statuses, err := l.Status()
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range statuses {
				if s.State.Ended() {
					before[i] = starts(l, i)
				} else if s.State == Failed || s.State == Damaged || s.State == Running {
					t.Errorf("after a kill of %s run %d is %s: %s", kind, i, s.State, s.Reason)
				}
			}

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
			await(t, "all have ended", func() bool { return len(workers(t, l)) == 0 })
			for i, n := range before {
				if starts(l, i) != n {
					t.Errorf("run %d had ended and was started again", i)
				}
			}
			if status := parent.ProcessState.ExitCode(); status == cli.Done {
				break
			} else if want := map[bool]int{true: cli.Failed, false: -1}[kind == "worker"]; status !=
				want || kills > 4 {
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
	t.Logf("a calm sweep takes %v; with so many workers running were killed: %v",
		took.Round(time.Millisecond), killed)
	if killed["parent"] < 4 || killed["worker"] < 2 || killed["all"] < 4 {
		t.Errorf("killed only %v", killed)
	}
}

// A start right after a kill of the parent finds a worker that still saves, and waits for it.
func TestStillSaving(t *testing.T) {
	l := list(t, t.TempDir(), execution{Sleep: 10, Save: 500},
		descent{Steps: 60, Rate: 0.1, Seed: 1})
	parent := start(t, l)
	await(t, "rows", func() bool { return len(rows(l, 0)) > 2 })
	worker := workers(t, l)[0]
	parent.Process.Kill()
	parent.Wait()
	printed := succeed(t, l, pool(t, 1))
	if want := fmt.Sprintf("%s: waiting for process %d on ", l.Runs[0].Name,
		worker); strings.Count(printed, want) != 1 || starts(l, 0) != 2 {
		t.Errorf("started %d times, want twice; want one line %s in\n%s", starts(l, 0), want,
			printed)
	}
	if text := runtest.Read(t, l.Log(0)); !strings.Contains(text,
		"stopped by a signal before step ") {
		t.Errorf("the worker did not save:\n%s", text)
	}
}

// A process that aborts by itself has failed; so does one that leaves without a word.
func TestBroke(t *testing.T) {
	for command, want := range map[string]bool{"exit 0": true, "exit 1": true, "exit 75": false,
		"kill -ABRT $$": true, "kill -KILL $$": false, "kill -TERM $$": false} {
		cmd := exec.Command("sh", "-c", command)
		cmd.Run()
		if got := broke(cmd.ProcessState); got != want {
			t.Errorf("%s: %v, want %v", command, got, want)
		}
	}
	// Its folder remembers.
	l := list(t, t.TempDir(), execution{}, descent{Steps: 1})
	setState(t, l, 0, rundir.Running)
	p := &Pool{Command: []string{"sh", "-c", "echo; echo out of luck; echo"}}
	for range 2 {
		if _, err := run(t.Context(), l, p, Options{}); err == nil ||
			!strings.Contains(err.Error(),
				"1 of 1 runs failed, the first is "+l.Runs[0].Name+" (failed): out of luck; ") {
			t.Errorf("got %v", err)
		}
	}
	if got := strings.Count(runtest.Read(t, l.Log(0)), "luck"); got != 1 {
		t.Errorf("started %d times, want once", got)
	}
}

// Each file of a run that is done is damaged in turn: it is named, the folder is set aside, and the
// run is made again to the same bytes.
func TestDamage(t *testing.T) {
	root := t.TempDir()
	l := list(t, root, execution{}, descent{Steps: 12, Rate: 0.1, Seed: 1, Size: 100},
		descent{Steps: 1})
	p := pool(t, 1)
	succeed(t, l, p)
	want := result(t, l, 0)
	folder := l.Folder(0)
	files := runtest.Files(t, folder)
	// config.json, metrics.jsonl, SHA256SUMS, state, weights, and twice a checkpoint of two files
	if len(files) != 9 {
		t.Errorf("%d files", len(files))
	}
	for _, name := range []string{"notes", ".state.tmp-1"} { // harmless
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if succeed(t, l, p); starts(l, 0) != 1 {
		t.Error("a file more counts as damage")
	}
	aside := 0
	for name, content := range files {
		path := filepath.Join(folder, name)
		for damage, do := range map[string]func() error{
			"truncated":   func() error { return os.Truncate(path, int64(len(content)/2)) },
			"empty":       func() error { return os.Truncate(path, 0) },
			"flipped bit": func() error { return os.WriteFile(path, []byte(flip(content)), 0o666) },
			"removed":     func() error { return os.Remove(path) },
			"grown":       func() error { return os.WriteFile(path, []byte(content+"x\n"), 0o666) },
		} {
			if err := do(); err != nil {
				t.Fatal(err)
			}
			s, err := l.status(0)
			if err != nil {
				t.Fatal(err)
			}
			before := starts(l, 0)
			printed := succeed(t, l, p)
			switch {
			case name == "state" && damage == "removed": // as a kill at the end leaves it
				if s.State != Interrupted || starts(l, 0) != before+1 {
					t.Errorf("%s %s: %s, %s", name, damage, s.State, s.Reason)
				}
			default:
				aside++
				old := fmt.Sprintf("%s.old-%d", folder, aside)
				line := fmt.Sprintf(
					"warning: %s; the folder is now %s, and the run is made again\n", s.Reason, old)
				if s.State != Damaged || !strings.Contains(s.Reason, name) ||
					!strings.Contains(printed, line) || starts(l, 0) != before+1 {
					t.Errorf("%s %s: %s, %s\n%s", name, damage, s.State, s.Reason, printed)
				}
				if _, err := os.Stat(old); err != nil {
					t.Error(err)
				}
			}
			if result(t, l, 0) != want {
				t.Errorf("%s %s: ends with other bytes", name, damage)
			}
		}
	}
	if starts(l, 1) != 1 {
		t.Errorf("the other run was started %d times", starts(l, 1))
	}
}

// flip changes a bit in the middle.
func flip(content string) string {
	b := []byte(content)
	b[len(b)/2] ^= 1
	return string(b)
}
