package imagerun

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/internal/cli"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
	"momentum/internal/safetensors"
)

// execute is the command cifar without its manual.
func execute(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	command, err := ParseCommand(args)
	if err != nil {
		return err
	}
	return command.Run(ctx, stdout, stderr)
}

// cifar executes the command as its main function does, but in this process.
func cifar(t *testing.T, ctx context.Context, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = cli.Report(&errs, "cifar", execute(ctx, &out, &errs, args))
	return status, out.String(), errs.String()
}

// fails checks that the command prints one line on stderr that contains want, and ends with the
// status.
func fails(t *testing.T, wantStatus int, want string, args ...string) {
	t.Helper()
	status, _, stderr := cifar(t, t.Context(), args...)
	if status != wantStatus || !strings.HasPrefix(stderr, "cifar: ") ||
		!strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%q: status %d, %q; want %d, %q", args, status, stderr, wantStatus, want)
	}
}

// succeed executes the command, which must end well and without a warning, and returns its output.
func succeed(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	status, stdout, stderr := cifar(t, t.Context(), args...)
	if status != cli.Done || stderr != "" {
		t.Fatalf("%q: status %d, %q", args, status, stderr)
	}
	return stdout
}

// testArgs are the arguments of a run of a second on the Go backend: 788 parameters, 13 images in
// chunks of 5, 5 and 3, evaluated on 10 others in each of 4 epochs.
func testArgs(root string, more ...string) []string {
	return runtest.Changed([]string{"-preset=tiny", "-backend=go", "-offline", "-model=wrn16-1",
		"-width=1", "-images=13", "-holdout=10", "-epochs=4", "-eval-every=1", "-chunk=5",
		"-lr=0.1", "-runs=" + root}, more...)
}

// parse resolves arguments that are right, on a backend.
func parse(t *testing.T, kind backend.Kind, args ...string) Config {
	t.Helper()
	command, err := ParseCommand(args)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	c, _, err := command.Config(kind)
	if err != nil {
		t.Fatalf("%q on %s: %v", args, kind, err)
	}
	return c
}

// folder returns the path of the only run folder in root.
func folder(t *testing.T, root string) string {
	t.Helper()
	configs, err := filepath.Glob(filepath.Join(root, "*-??????????", "config.json"))
	if err != nil || len(configs) != 1 {
		t.Fatalf("run folders in %s: %q, %v; want one", root, configs, err)
	}
	return filepath.Dir(configs[0])
}

// get is a value of a row, NaN if the row does not have it.
func get(row rundir.Row, name string) float64 {
	x, ok := row.Get(name)
	if !ok {
		return math.NaN()
	}
	return x
}

// steps are the steps of rows.
func steps(rows []rundir.Row) (steps []int64) {
	for _, r := range rows {
		steps = append(steps, r.Step)
	}
	return steps
}

// header is the first line of a run's metrics.csv.
func header(t *testing.T, dir string) string {
	t.Helper()
	line, _, _ := strings.Cut(runtest.Read(t, dir, "metrics.csv"), "\n")
	return line
}

// weights reads a file of weights.
func weights(t *testing.T, dir, name string) []safetensors.Tensor {
	t.Helper()
	content := runtest.Read(t, dir, name)
	all, _, err := safetensors.Read(strings.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sameResult compares the files that follow from a run's settings alone.
func sameResult(t *testing.T, got, want string) {
	t.Helper()
	for _, name := range []string{"metrics.jsonl", "metrics.csv", "initial.safetensors",
		"weights.safetensors", "curves.svg", "curves.png", "report.html",
		"state"} {
		if runtest.Read(t, got, name) != runtest.Read(t, want, name) {
			t.Errorf("%s differs from that of the other run", name)
		}
	}
}

// asCommand is a variable of the environment that turns the test's binary into the command, so that
// tests can send signals to it.
const asCommand = "MOMENTUM_TEST_AS_CIFAR"

func TestMain(m *testing.M) {
	backendtest.CompileQuickly()
	if os.Getenv(asCommand) != "" {
		os.Exit(cli.Main("cifar", execute))
	}
	os.Exit(m.Run())
}

// process is the command in a process of its own.
type process struct {
	*exec.Cmd
	lines  *bufio.Scanner // of its stdout, a pipe
	stderr bytes.Buffer
}

// start starts the command. It is killed when the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(t.Context(), os.Args[0], args...)}
	p.Env = append(os.Environ(), asCommand+"=1")
	p.Stderr = &p.stderr
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(stdout)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// until reads the output up to the n-th line that begins with prefix. It returns false if the
// process ends before that.
func (p *process) until(prefix string, n int) bool {
	for n > 0 && p.lines.Scan() {
		if strings.HasPrefix(p.lines.Text(), prefix) {
			n--
		}
	}
	return n == 0
}

// end waits for the end of the process and returns its exit status, −1 if a signal killed it, and
// the rest of its output.
func (p *process) end() (status int, stdout, stderr string) {
	var out strings.Builder
	for p.lines.Scan() {
		fmt.Fprintln(&out, p.lines.Text())
	}
	p.Wait()
	return p.ProcessState.ExitCode(), out.String(), p.stderr.String()
}
