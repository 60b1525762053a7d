package sweep

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"momentum/internal/rundir"
	"momentum/internal/runtest"
)

// Three good runs, one that diverges and one that fails: each is started once. Only the failed one
// is started again, and only in a retry.
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
		"step 8 does not work; retry starts failed runs again; their output is in %s", failed,
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

	// A second start starts nothing, and its error is the same.
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

// A run whose command ends before it has a folder is started once by each start.
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

// Retry starts runs that failed, were preempted or were killed, and none that has not begun.
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
		!strings.Contains(err.Error(), "1 of 4 runs have not been executed") {
		t.Errorf("states %s, want %s; %v", got, want, err)
	}
	setState(t, l, 3, rundir.Failed)
	_, err = run(t.Context(), l, pool(t, 1), Options{})
	if got, want := statesOf(t, l), "done done done failed"; got != want || err == nil ||
		!strings.Contains(err.Error(), "1 of 4 runs failed") {
		t.Errorf("states %s, want %s; %v", got, want, err)
	}
}

// setState makes the folder of a run as a process leaves it that has ended in this state.
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
		"not work; its output is in %s", l.Runs[0].Name, l.Log(0)))
	if got, want := statesOf(t, l), "failed preempted pending"; got != want {
		t.Errorf("states %s, want %s", got, want)
	}
}

// Slot i of the pool has GPU i modulo their number. Runs that share a CPU share its cores, unless
// the user has set another number.
func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		pool Pool
		cpus string // the user's GOMAXPROCS
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
		// A run takes a fifth of a second, so each slot has executed one before any executes two.
		l := list(t, t.TempDir(), execution{Sleep: 200}, descent{Steps: 1, Seed: 1},
			descent{Steps: 1, Seed: 2})
		p := tt.pool
		p.Command = pool(t, 0).Command
		succeed(t, l, &p)
		got := runtest.Read(t, l.Log(0)) + runtest.Read(t, l.Log(1))
		for _, want := range tt.want {
			wanted := 2 / len(tt.want)
			if n := strings.Count(got, want+"\n"); n != wanted {
				t.Errorf("%+v: %s is in %d runs, want %d:\n%s", tt.pool, want, n, wanted, got)
			}
		}
	}
}

// A process that aborts has failed, and so has one that exits without a result.
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
