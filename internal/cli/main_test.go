//go:build unix

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"momentum/internal/rundir"
)

// With this variable in its environment the test binary is a command that waits for a signal and
// then saves for the duration that the variable holds.
const asCommand = "MOMENTUM_TEST_AS_CLI"

func TestMain(m *testing.M) {
	if save, err := time.ParseDuration(os.Getenv(asCommand)); err == nil {
		os.Exit(Main("wait", func(ctx context.Context, stdout, stderr io.Writer,
			args []string) error {
			fmt.Fprintln(stdout, "ready")
			<-ctx.Done()
			time.Sleep(save)
			return ErrStopped
		}))
	}
	os.Exit(m.Run())
}

// A signal lets the command save. Further ones within a second, such as Linux sends when a parent
// with several threads dies, count as the same. A later SIGTERM kills; a later SIGUSR1 does not.
func TestSignals(t *testing.T) {
	for _, tt := range []struct {
		first, later syscall.Signal
		save         time.Duration
		status       int
	}{
		{syscall.SIGINT, 0, 0, Stopped},
		{syscall.SIGTERM, 0, 300 * time.Millisecond, Stopped},
		{syscall.SIGUSR1, 0, 300 * time.Millisecond, Stopped},
		{syscall.SIGTERM, syscall.SIGUSR1, 2 * time.Second, Stopped},
		{syscall.SIGUSR1, syscall.SIGTERM, time.Minute, -1},
	} {
		t.Run(fmt.Sprintf("%v then %v", tt.first, tt.later), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), asCommand+"="+tt.save.String())
			var stderr strings.Builder
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
				t.Fatalf("%q, %v", line, err)
			}
			cmd.Process.Signal(tt.first)
			for range 3 {
				time.Sleep(20 * time.Millisecond)
				cmd.Process.Signal(tt.first)
			}
			if tt.later != 0 {
				time.Sleep(1500 * time.Millisecond)
				cmd.Process.Signal(tt.later)
			}
			cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != tt.status {
				t.Errorf("exit status %d, want %d", got, tt.status)
			}
			// A command that takes longer than a second says that it heard the signal.
			if said := strings.HasPrefix(stderr.String(), "wait: stopping after what is under "+
				"way; a second "); said != (tt.save >= 2*time.Second) {
				t.Errorf("on the standard error: %q", &stderr)
			}
		})
	}
}

// The folder records how a run ends, and is sealed if the run has a result.
func TestEnd(t *testing.T) {
	for state, err := range map[rundir.State]error{
		rundir.Done: nil, rundir.Diverged: &DivergedError{errors.New("loss is NaN")},
		rundir.Preempted: ErrStopped, rundir.Failed: os.ErrNotExist,
	} {
		dir, e := rundir.Open(rundir.Spec{Root: t.TempDir(), Label: "run",
			Settings: map[string]float64{"lr": math.Pi}})
		if e != nil {
			t.Fatal(e)
		}
		if got := End(dir, err); got != err {
			t.Errorf("%s: error %v, want %v", state, got, err)
		}
		if got, e := rundir.Check(dir.Path()); e != nil || got != state {
			t.Errorf("state %q, %v, want %s", got, e, state)
		}
		_, e = os.Stat(dir.Path("SHA256SUMS"))
		if sealed := e == nil; sealed != (state == rundir.Done || state == rundir.Diverged) {
			t.Errorf("%s: sealed is %v", state, sealed)
		}
		if e := dir.Close(); e != nil {
			t.Error(e)
		}
	}

	// A run whose result cannot be sealed has failed.
	dir, err := rundir.Open(rundir.Spec{Root: t.TempDir(), Label: "run", Settings: struct{}{}})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := os.Mkdir(dir.Path("SHA256SUMS"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, result := range []error{nil, &DivergedError{errors.New("loss is NaN")}} {
		err := End(dir, result)
		if err == nil || !strings.HasPrefix(err.Error(), "rundir: cannot seal: ") ||
			dir.State() != rundir.Failed {
			t.Errorf("not sealed: %v, state %s", err, dir.State())
		}
	}
}
