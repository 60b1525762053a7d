package slurm

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"momentum/internal/cli"
	"momentum/internal/runlist"
	"momentum/internal/runtest"
	"momentum/internal/sweep"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// The script, and the command line that submits it. A path may have blanks and quotes.
func TestScript(t *testing.T) {
	s := &Launcher{Command: []string{"/opt/it's/cifar", "-offline"}, Concurrent: 8, GPUs: 2,
		Time: 26*time.Hour + 90*time.Second, Partition: "gpu", Requeue: true,
		Flags: []string{"--mem=16G"}}
	l := &sweep.List{Dir: "/nfs/my sweeps/1",
		Runs: []runlist.Run{{Name: "gd-lr0.05-0123456789"}, {Name: "what's $this-0123456789"}}}
	var script strings.Builder
	if err := s.writeScript(&script, l, "/home/me"); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/slurm.sh"
	if *update {
		if err := os.WriteFile(golden, []byte(script.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got := script.String(); got != runtest.Read(t, golden) {
		t.Errorf("script differs from %s; -update rewrites it:\n%s", golden, got)
	}

	const fixed = " --chdir=/nfs/my sweeps/1 --output=logs/slurm.log --open-mode=append"
	name := jobName(l.Dir)
	flags := strings.Join(s.flags(l.Dir, []int{0, 1, 4}), " ")
	want := "--nodes=1 --ntasks=1 --signal=B:USR1@120 --requeue --gres=gpu:2 --time=26:01:30 " +
		"--partition=gpu --mem=16G --parsable --job-name=" + name + " --array=0-1,4%8" + fixed
	if flags != want {
		t.Errorf("flags %s\nwant  %s", flags, want)
	}
	flags = strings.Join((&Launcher{}).flags(l.Dir, []int{3}), " ")
	want = "--nodes=1 --ntasks=1 --signal=B:USR1@120 --no-requeue --parsable --job-name=" + name +
		" --array=3" + fixed
	if flags != want {
		t.Errorf("flags %s\nwant  %s", flags, want)
	}
}

// program writes a shell script that can be executed.
func program(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o777); err != nil {
		t.Fatal(err)
	}
}

// fakeRun is a run that exits with its first argument, or with 75 as soon as it gets USR1.
const fakeRun = `echo "args $2 $3 $SLURM_ARRAY_TASK_ID $NPROC $GOMAXPROCS"
trap 'echo "got USR1"; sleep 0.2; exit 75' USR1
trap 'echo "got TERM"; exit 1' TERM
case $1 in
wait) echo ready; while :; do sleep 0.02; done ;;
kill) kill -9 $$ ;;
*) exit $1 ;;
esac
`

// The script without a cluster: its signals, exit statuses and calls of scontrol, in each shell
// that is installed.
func TestScriptRuns(t *testing.T) {
	l := &sweep.List{Dir: filepath.Join(t.TempDir(), "it's a sweep"),
		Runs: []runlist.Run{{Name: "other-0123456789"}, {Name: "what's $this-0123456789"}}}
	bin := filepath.Join(l.Dir, "bin")
	for _, folder := range []string{bin, l.Logs()} {
		if err := os.MkdirAll(folder, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	program(t, filepath.Join(bin, "scontrol"), `echo "scontrol $*"`)
	run := filepath.Join(bin, "a run")
	program(t, run, fakeRun)
	args := fmt.Sprintf("args -config=%s -task=auto 1 2 2\n", l.Path())
	const requeued = "scontrol requeue 7_1\n"
	for _, shell := range []string{"sh", "dash", "bash"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		for _, tt := range []struct {
			arg     string
			signal  os.Signal // when the run is ready
			requeue bool
			status  int
			want    string // the log after its first line
		}{
			{arg: "0", want: args},
			{arg: "1", requeue: true, status: 1, want: args},
			{arg: "75", requeue: true, status: 75, want: args}, // without a signal
			{arg: "kill", requeue: true, status: 137, want: args},
			{arg: "wait", signal: syscall.SIGUSR1, requeue: true, status: 75,
				want: args + "ready\ngot USR1\n" + requeued},
			{arg: "wait", signal: syscall.SIGUSR1, status: 75, want: args + "ready\ngot USR1\n"},
			{arg: "wait", signal: syscall.SIGTERM, requeue: true, status: 75,
				want: args + "ready\ngot USR1\n"},
		} {
			os.Remove(l.Log(1))
			writeTask(t, &Launcher{Command: []string{run, tt.arg}, Requeue: tt.requeue}, l)
			status, output := executeTask(t, shell, l, 1, tt.signal)
			if exit := runtest.Read(t, exitFile(l, 1)); exit != fmt.Sprintln(tt.status) {
				t.Errorf("%s %s: the noted status is %q, want %d", shell, tt.arg, exit, tt.status)
			}
			head, got, _ := strings.Cut(runtest.Read(t, l.Log(1)), "\n")
			if !strings.HasPrefix(head, "slurm: task 7_1 on n1, ") ||
				!strings.HasSuffix(head, ", restart 0") {
				t.Errorf("%s %s: the log begins with %q", shell, tt.arg, head)
			}
			// Some shells print a line of their own before the script's about the kill.
			if rest, ok := strings.CutPrefix(got, args); tt.arg == "kill" && ok {
				if !strings.HasSuffix(rest, "slurm: the run was killed by signal 9\n") {
					t.Errorf("%s %s: log %q", shell, tt.arg, got)
				}
				got = args
			}
			if status != tt.status || got != tt.want || output != "" {
				t.Errorf("%s %s %v: status %d, log %q, output %q; want %d, %q", shell, tt.arg,
					tt.signal, status, got, output, tt.status, tt.want)
			}
		}
		status, output := executeTask(t, shell, l, 2, nil)
		if status != cli.BadUsage || output != "task 2 is not in the list\n" {
			t.Errorf("%s: a task that is not in the list: status %d, %q", shell, status, output)
		}
	}
}

// writeTask writes the script into the folder of the list.
func writeTask(t *testing.T, s *Launcher, l *sweep.List) {
	t.Helper()
	var script bytes.Buffer
	if err := s.writeScript(&script, l, l.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.Dir, scriptFile), script.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// executeTask executes the script of a list as a task of array 7 on two processors. It sends the
// signal, if any, when the run is ready. The environment has the script's own variables too.
func executeTask(t *testing.T, shell string, l *sweep.List, index int,
	signal os.Signal) (status int, output string) {
	t.Helper()
	cmd := exec.Command(shell, filepath.Join(l.Dir, scriptFile))
	cmd.Env = append(os.Environ(), "SLURM_ARRAY_JOB_ID=7",
		fmt.Sprintf("SLURM_ARRAY_TASK_ID=%d", index), "SLURMD_NODENAME=n1",
		"SLURM_CPUS_ON_NODE=2", "NPROC=", "GOMAXPROCS=", "told=USR1", "passed=yes", "run=1",
		"task=7_0")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if signal != nil {
		deadline := time.Now().Add(20 * time.Second)
		for ready := false; !ready; time.Sleep(5 * time.Millisecond) {
			text, _ := os.ReadFile(l.Log(index))
			ready = bytes.Contains(text, []byte("ready\n"))
			if !ready && time.Now().After(deadline) {
				cmd.Process.Kill()
				t.Fatalf("%s: the run is not ready: %s", shell, text)
			}
		}
		cmd.Process.Signal(signal)
	}
	cmd.Wait()
	return cmd.ProcessState.ExitCode(), out.String()
}
