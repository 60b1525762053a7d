package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"momentum/internal/cli"
	"momentum/internal/rundir"
	"momentum/internal/runlist"
	"momentum/internal/runtest"
)

// With this variable in its environment the test's binary is a command that tests can kill: "run"
// executes one run of a list, "sweep" executes all of them.
const asCommand = "MOMENTUM_TEST_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(asCommand) {
	case "run":
		os.Exit(cli.Main("descend", descend))
	case "sweep":
		os.Exit(cli.Main("sweep", sweepAll))
	}
	os.Exit(m.Run())
}

// descent are the settings of a run of the tests: gradient descent on w²/2 from w = seed, so that w
// is seed·(1−lr)^t after t steps.
type descent struct {
	Steps  int     `json:"steps"`
	Rate   float64 `json:"lr"`
	Seed   int     `json:"seed"`
	FailAt int     `json:"fail_at"` // the step, from 1, that fails while the file Broken exists
	Size   int     `json:"size"`    // bytes of the weights
}

type execution struct {
	Runs   string `json:"runs"`
	Sleep  int    `json:"sleep_ms"` // in each step
	Save   int    `json:"save_ms"`  // before it saves when it is stopped
	Broken string `json:"broken"`
}

const label = "descent"

// list plans a sweep of these runs in a folder of its own.
func list(t testing.TB, root string, x execution, all ...descent) *List {
	t.Helper()
	x.Runs = root
	var runs []runlist.Run
	for _, d := range all {
		name, err := rundir.Name(label, d)
		if err != nil {
			t.Fatal(err)
		}
		settings, _ := json.Marshal(d)
		execution, _ := json.Marshal(x)
		runs = append(runs, runlist.Run{Name: name, Settings: settings, Execution: execution})
	}
	l, err := Plan(filepath.Join(t.TempDir(), "sweep"), root, runs)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// descend executes the run of a line. It saves a checkpoint after every fifth step, and prints one
// line when it starts.
func descend(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	set := flag.NewFlagSet("descend", flag.ContinueOnError)
	path, task := set.String("config", "", ""), set.Int("task", -1, "")
	if err := set.Parse(args); err != nil {
		return err
	}
	runs, err := runlist.Read(*path)
	if err != nil {
		return err
	}
	var d descent
	var x execution
	if err := errors.Join(json.Unmarshal(runs[*task].Settings, &d),
		json.Unmarshal(runs[*task].Execution, &x)); err != nil {
		return err
	}
	if d.Steps < 1 {
		return cli.Usagef("-steps must be at least 1, got %d", d.Steps)
	}
	dir, err := rundir.Open(rundir.Spec{Root: x.Runs, Label: label, Settings: d, Execution: x})
	if err != nil {
		return err
	}
	defer dir.Close()
	if state := dir.State(); state == rundir.Done || state == rundir.Diverged {
		fmt.Fprintln(stdout, "nothing to do")
		return nil
	}
	fmt.Fprintf(stdout, "start with CUDA_VISIBLE_DEVICES=%q NPROC=%q GOMAXPROCS=%q\n",
		os.Getenv("CUDA_VISIBLE_DEVICES"), os.Getenv("NPROC"), os.Getenv("GOMAXPROCS"))
	err = cli.End(dir, d.iterate(ctx, dir, x))
	if errors.As(err, new(*cli.DivergedError)) {
		fmt.Fprintln(stderr, err)
		return nil
	}
	return err
}

// iterate takes the steps that the run folder lacks.
func (d descent) iterate(ctx context.Context, dir *rundir.Dir, x execution) error {
	step, w := 0, float64(d.Seed)
	found, _, err := dir.LoadCheckpoint(func(folder string) error {
		text, err := os.ReadFile(filepath.Join(folder, "w"))
		if err != nil {
			return err
		}
		_, err = fmt.Sscan(string(text), &step, &w)
		return err
	})
	if err == nil && !found {
		step, w = 0, float64(d.Seed)
	}
	err = errors.Join(err, dir.CutRows(int64(step)-1), dir.SetState(rundir.Running))
	if err != nil {
		return err
	}
	save := func() error {
		return dir.SaveCheckpoint(int64(step), func(folder string) error {
			return os.WriteFile(filepath.Join(folder, "w"), fmt.Appendf(nil, "%d %x", step, w),
				0o666)
		})
	}
	for ; step < d.Steps; step++ {
		if step > 0 && step%5 == 0 {
			if err := save(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			time.Sleep(time.Duration(x.Save) * time.Millisecond)
			return errors.Join(fmt.Errorf("%w before step %d", cli.ErrStopped, step), save())
		case <-time.After(time.Duration(x.Sleep) * time.Millisecond):
		}
		if _, err := os.Stat(x.Broken); err == nil && step == d.FailAt && step > 0 {
			return fmt.Errorf("step %d does not work", step)
		}
		if err := dir.AppendRow(rundir.Row{Step: int64(step),
			Values: []rundir.Value{{Name: "loss", X: w * w / 2}}}); err != nil {
			return err
		}
		if w -= d.Rate * w; math.IsInf(w*w, 0) {
			return &cli.DivergedError{Err: fmt.Errorf("w is %g at step %d", w, step)}
		}
	}
	return dir.WriteFile("weights", func(out io.Writer) error {
		_, err := fmt.Fprintf(out, "%x%s", w, strings.Repeat(".", d.Size))
		return err
	})
}

// sweepAll is a parent that tests can kill. Its arguments are the sweep's folder and the folder of
// the run folders.
func sweepAll(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	l, err := Read(args[0], args[1])
	if err != nil {
		return err
	}
	os.Setenv(asCommand, "run")
	return l.Run(ctx, &Pool{Command: []string{os.Args[0]}, Jobs: 2},
		Options{Stdout: stdout, Stderr: stderr})
}

// pool is a pool that executes descend.
func pool(t testing.TB, jobs int) *Pool {
	t.Setenv(asCommand, "run")
	return &Pool{Command: []string{os.Args[0]}, Jobs: jobs}
}

// run executes the missing runs and returns all output.
func run(ctx context.Context, l *List, p *Pool, o Options) (printed string, err error) {
	var out strings.Builder
	o.Stdout, o.Stderr = &out, &out
	err = l.Run(ctx, p, o)
	return out.String(), err
}

// succeed executes the missing runs, without an error.
func succeed(t testing.TB, l *List, p *Pool) (printed string) {
	t.Helper()
	printed, err := run(context.Background(), l, p, Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	return printed
}

// statesOf are the states of all runs, in their order.
func statesOf(t testing.TB, l *List) string {
	t.Helper()
	all, err := l.Status()
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, s := range all {
		words = append(words, string(s.State))
	}
	return strings.Join(words, " ")
}

// starts is how often this sweep has started a run.
func starts(l *List, index int) int {
	text, _ := os.ReadFile(l.Log(index))
	return strings.Count(string(text), "start with ")
}

// result is the text of a run's files that follow from its settings alone.
func result(t testing.TB, l *List, index int) string {
	t.Helper()
	folder := l.Folder(index)
	text := runtest.Read(t, folder, "metrics.jsonl") + runtest.Read(t, folder, "state")
	if strings.HasSuffix(text, "done\n") {
		text += runtest.Read(t, folder, "weights")
	}
	return text
}

// wantError checks the whole text of an error.
func wantError(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("got error  %v\nwant error %s", err, want)
	}
}
