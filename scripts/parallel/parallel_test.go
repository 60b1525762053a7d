// Package parallel documents how to execute a sweep with GNU parallel. Its test does so.
package parallel

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"momentum/internal/runtest"
	"momentum/internal/sweep"
	"momentum/internal/sweep/sweeptest"
)

// The README's command line has the results of the local pool, and --resume-failed starts only the
// runs that failed.
func TestCommand(t *testing.T) {
	version, err := exec.Command("parallel", "--version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(version), "GNU parallel") {
		t.Skip("GNU parallel is not installed: apt-get install parallel")
	}
	readme := runtest.Read(t, "README.md")
	command := regexp.MustCompile(`(?m)^    (parallel (?:.*\\\n)*.*)$`).FindStringSubmatch(readme)
	if command == nil {
		t.Fatal("no command in README.md")
	}
	cifar := sweeptest.Build(t)
	l := sweeptest.Plan(t, 3, 3, 3, 4)
	log := l.Dir + "/joblog"
	quote := func(path string) string { return "'" + path + "'" }
	line := strings.NewReplacer("./cifar.bin", quote(cifar), "$SWEEP", l.Dir).Replace(command[1])
	run := func() (starts int) {
		t.Helper()
		cmd := exec.Command("sh", "-c", "SWEEP="+quote(l.Dir)+"; "+line)
		cmd.Env = append(os.Environ(), "PARALLEL_HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 1 { // the number of failed runs
			t.Errorf("status %d, %v\n%s", code, err, out)
		}
		return strings.Count(string(out), "backend   ")
	}
	if starts := run(); starts != 4 {
		t.Errorf("%d runs were started, want 4", starts)
	}
	local := sweeptest.Plan(t, 3, 3, 3, 4)
	pool := &sweep.Pool{Command: []string{cifar}, Jobs: 2}
	err = local.Run(t.Context(), pool, sweep.Options{Stdout: t.Output(), Stderr: t.Output()})
	if err == nil {
		t.Error("the pool's failing run has not failed")
	}
	sweeptest.SameResults(t, l, local)
	if got := strings.Count(runtest.Read(t, log), "\n"); got != 1+4 {
		t.Errorf("%s has %d lines, want a header and 4", log, got)
	}
	if starts := run(); starts != 1 {
		t.Errorf("%d runs were started again, want the one that failed", starts)
	}
}
