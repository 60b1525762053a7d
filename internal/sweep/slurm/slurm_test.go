package slurm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
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

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

func TestRanges(t *testing.T) {
	for _, tt := range []struct {
		numbers []int
		want    string
	}{
		{nil, ""},
		{[]int{7}, "7"},
		{[]int{0, 1, 2}, "0-2"},
		{[]int{9, 0, 3, 4, 5, 8}, "0,3-5,8-9"},
	} {
		if got := ranges(tt.numbers); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.numbers, got, tt.want)
		}
	}
}

// The script, and the command line that submits it. A path may have blanks and quotes.
func TestSlurmScript(t *testing.T) {
	s := &Slurm{Command: []string{"/opt/it's/cifar", "-offline"}, Concurrent: 8, GPUs: 2,
		Time: 26*time.Hour + 90*time.Second, Partition: "gpu", Requeue: true,
		Extra: []string{"--mem=16G"}}
	got := s.script("/nfs/my sweeps/1", "/home/me",
		[]Run{{Name: "gd-lr0.05-0123456789"}, {Name: "what's $this-0123456789"}})
	const golden = "testdata/slurm.sh"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("script differs from %s; -update writes it anew:\n%s", golden, got)
	}

	flags := strings.Join(s.flags("/nfs/my sweeps/1", []int{0, 1, 4}), " ")
	name := jobName("/nfs/my sweeps/1")
	if want := "--nodes=1 --ntasks=1 --signal=B:USR1@120 --requeue --gres=gpu:2 --time=26:01:30 " +
		"--partition=gpu --mem=16G" +
		" --parsable --job-name=" + name + " --array=0-1,4%8 --chdir=/nfs/my sweeps/1 " +
		"--output=logs/slurm.log --open-mode=append"; flags != want {
		t.Errorf("flags %s\nwant  %s", flags, want)
	}
	plain := strings.Join((&Slurm{}).flags("/nfs/my sweeps/1", []int{3}), " ")
	if want := "--nodes=1 --ntasks=1 --signal=B:USR1@120 --no-requeue --parsable --job-name=" +
		name +
		" --array=3 --chdir=/nfs/my sweeps/1 --output=logs/slurm.log --open-mode=append"; plain !=
		want {
		t.Errorf("flags %s\nwant  %s", plain, want)
	}
}

// program writes a shell script that can be executed.
func program(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o777); err != nil {
		t.Fatal(err)
	}
}

// What the script does without a cluster: its signals, exit statuses and the calls of scontrol, in
// each shell that is there.
func TestSlurmScriptRuns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's a sweep")
	bin := filepath.Join(dir, "bin")
	for _, folder := range []string{bin, filepath.Join(dir, logsDir)} {
		if err := os.MkdirAll(folder, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	program(t, filepath.Join(bin, "scontrol"), `echo "scontrol $*"`)
	// Ends with its first argument, or with 75 as soon as it gets USR1.
	run := filepath.Join(bin, "a run")
	program(t, run, `echo "args $2 $3 $SLURM_ARRAY_TASK_ID $NPROC $GOMAXPROCS"
trap 'echo "got USR1"; sleep 0.2; exit 75' USR1
trap 'echo "got TERM"; exit 1' TERM
case $1 in
wait) echo ready; while :; do sleep 0.02; done ;;
kill) kill -9 $$ ;;
*) exit $1 ;;
esac
`)
	name := "what's $this-0123456789"
	log := filepath.Join(dir, logsDir, name+".log")
	args := fmt.Sprintf("args -config=%s -task=auto 1 2 2\n", filepath.Join(dir, listFile))
	const requeued = "scontrol requeue 7_1\n"
	for _, shell := range []string{"sh", "dash", "bash"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		for _, tt := range []struct {
			arg     string
			signals []os.Signal
			requeue bool
			status  int
			want    string
		}{
			{arg: "0", want: args},
			{arg: "1", requeue: true, status: 1, want: args},
			{arg: "75", requeue: true, status: 75, want: args}, // nobody told it to stop
			{arg: "kill", requeue: true, status: 137, want: args},
			{arg: "wait", signals: []os.Signal{syscall.SIGUSR1}, requeue: true, status: 75,
				want: args + "ready\ngot USR1\n" + requeued},
			{arg: "wait", signals: []os.Signal{syscall.SIGUSR1}, status: 75, want: args +
				"ready\ngot USR1\n"},
			{arg: "wait", signals: []os.Signal{syscall.SIGTERM}, requeue: true, status: 75,
				want: args + "ready\ngot USR1\n"},
		} {
			os.Remove(log)
			s := &Slurm{Command: []string{run, tt.arg}, Requeue: tt.requeue}
			script := filepath.Join(dir, scriptFile)
			if err := os.WriteFile(script, []byte(s.script(dir, dir,
				[]Run{{Name: "other-0123456789"}, {Name: name}})), 0o666); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(path, script)
			cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv(
				"PATH"), "SLURM_ARRAY_JOB_ID=7", "SLURM_ARRAY_TASK_ID=1",
				"SLURMD_NODENAME=n1", "SLURM_CPUS_ON_NODE=2", "NPROC=", "GOMAXPROCS=", "told=USR1",
				"passed=yes", "run=1")
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for _, signal := range tt.signals {
				for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 *
					time.Millisecond) {
					text, _ := os.ReadFile(log)
					if bytes.Contains(text, []byte("ready\n")) {
						break
					}
					if time.Now().After(deadline) {
						cmd.Process.Kill()
						t.Fatalf("%s %s: the run is not ready: %s", shell, tt.arg, text)
					}
				}
				cmd.Process.Signal(signal)
			}
			cmd.Wait()
			text, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			if exit := runtest.Read(t, strings.TrimSuffix(log, ".log")+".exit"); exit !=
				fmt.Sprintln(tt.status) {
				t.Errorf("%s %s: the noted status is %q, want %d", shell, tt.arg, exit, tt.status)
			}
			head, got, _ := strings.Cut(string(text), "\n")
			if !strings.HasPrefix(head, "slurm: task 7_1 on n1, ") ||
				!strings.HasSuffix(head, ", restart 0") {
				t.Errorf("%s %s: the log begins with %q", shell, tt.arg, head)
			}
			// shells have lines of their own between
			if said, ok := strings.CutPrefix(got, args); tt.arg == "kill" && ok {
				if !strings.HasSuffix(said, "slurm: the run was killed by signal 9\n") {
					t.Errorf("%s %s: log %q", shell, tt.arg, got)
				}
				got = args
			}
			if cmd.ProcessState.ExitCode() != tt.status || got != tt.want || out.Len() > 0 {
				t.Errorf("%s %s %v: status %d, log %q, output %q; want %d, %q", shell, tt.arg,
					tt.signals, cmd.ProcessState.ExitCode(), got, &out, tt.status, tt.want)
			}
		}
		cmd := exec.Command(path, filepath.Join(dir, scriptFile))
		cmd.Env = append(os.Environ(), "SLURM_ARRAY_TASK_ID=2")
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != cli.BadUsage ||
			string(out) != "task 2 is not in the list\n" {
			t.Errorf("%s: a task that is not in the list: status %d, %q", shell,
				cmd.ProcessState.ExitCode(), out)
		}
	}
}

func TestParseQueue(t *testing.T) {
	got, err := parseQueue(
		"12 3 RUNNING None\n\n12 4 PENDING launch failed requeued held\n12 5 COMPLETING\n")
	want := []task{{"12", 3, "RUNNING", "None"},
		{"12", 4, "PENDING", "launch failed requeued held"}, {"12", 5, "COMPLETING", ""}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, text := range []string{"12", "12 RUNNING", "12 N/A RUNNING None", "12 -1 RUNNING None",
		"slurm_load_jobs error: no"} {
		if got, err := parseQueue(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func FuzzParseQueue(f *testing.F) {
	f.Add("12 3 RUNNING None\n12 4 PENDING launch failed requeued held\n")
	f.Add("12 N/A PENDING Resources")
	f.Fuzz(func(t *testing.T, text string) {
		tasks, err := parseQueue(text)
		if err != nil && tasks != nil {
			t.Errorf("%v beside %v", tasks, err)
		}
		for _, task := range tasks {
			if task.index < 0 || task.array == "" || task.state == "" ||
				strings.ContainsAny(task.array+task.state, " \n") {
				t.Errorf("%q: %+v", text, task)
			}
		}
	})
}

// fake puts programs in the place of Slurm's: squeue prints the files queue.1, queue.2, … of the
// folder in turn and then nothing, and fails where a file says so; all calls but squeue's are noted
// in calls.
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
	program(t, filepath.Join(dir, "sbatch"), `echo "sbatch $*" >>`+cli.Quote(
		dir)+"/calls\necho 12\n")
	program(t, filepath.Join(dir, "scancel"), `echo "scancel $*" >>`+cli.Quote(dir)+"/calls\n")
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return func() string {
		text, _ := os.ReadFile(filepath.Join(dir, "calls"))
		return string(
			text)
	}
}

// planned is a list of four runs in temporary folders.
func planned(t *testing.T) *List {
	t.Helper()
	var runs []Run
	for i := range 4 {
		settings := json.RawMessage(fmt.Sprintf(`{"seed":%d}`, i))
		name, err := rundir.Name(fmt.Sprintf("r%d", i), settings)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, Run{Name: name, Settings: settings, Execution: json.RawMessage("{}")})
	}
	l, err := Plan(t.TempDir(), t.TempDir(), runs)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// left makes the folder of a run as a task leaves it that has ended in a state.
func left(t *testing.T, l *List, index int, state rundir.State) {
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

// A second start finds the tasks that are in the queue, submits the others and tells of each that
// leaves it, once; the controller may be away.
func TestSlurmWaits(t *testing.T) {
	l := planned(t)
	left(t, l, 1, rundir.Preempted)
	left(t, l, 2, rundir.Failed)
	calls := fake(t,
		"9 1 RUNNING None\n",
		"9 1 RUNNING None\n12 2 PENDING Resources\n12 3 PENDING PartitionTimeLimit\n",
		"slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
		"slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
		"12 3 PENDING PartitionTimeLimit\n",
	)
	var out bytes.Buffer
	s := &Slurm{Command: []string{"run"}, Poll: time.Millisecond, Stdout: &out}
	if err := s.Run(t.Context(), l, []int{1, 2, 3}, false); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"slurm     1 of the runs are in Slurm's queue already, in array 9",
		"slurm     submitted to Slurm as array 12: tasks 2-3",
		"slurm     task 12_3 does not run yet: PartitionTimeLimit",
		"slurm     sweep: squeue: slurm_load_jobs error: Unable to contact slurm controller " +
			"(connect failure); asked again every 1ms",
		"0/3       " + l.Runs[1].Name + " preempted after 0s",
		"1/3       " + l.Runs[2].Name + " failed after 0s: ",
		"2/3       " + l.Runs[3].Name + " failed after 0s: ", // it has left no folder
	}
	if got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n"); !slices.Equal(got,
		want) {
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
func TestSlurmCrashed(t *testing.T) {
	l := planned(t)
	fake(t)
	if err := os.MkdirAll(filepath.Join(l.Dir, logsDir), 0o777); err != nil {
		t.Fatal(err)
	}
	for i, exit := range []string{"2\n", "137\n", "75\n", ""} {
		left(t, l, i, rundir.Running)
		if err := os.WriteFile(strings.TrimSuffix(l.Log(i), ".log")+".exit", []byte(exit),
			0o666); err != nil {
			t.Fatal(err)
		}
	}
	s := &Slurm{Command: []string{"run"}, Poll: time.Millisecond, Stdout: &bytes.Buffer{}}
	if err := s.Run(t.Context(), l, []int{0, 1, 2, 3}, false); err != nil {
		t.Fatal(err)
	}
	if got, want := statesOf(t, l), "failed interrupted interrupted interrupted"; got != want {
		t.Errorf("states %s, want %s", got, want)
	}
}

// A run that another process has is submitted when that one has gone without ending it.
func TestSlurmWaitsForOthers(t *testing.T) {
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
	if err := (&Slurm{Command: []string{"run"}, Poll: time.Millisecond, Stdout: &out}).Run(
		t.Context(), l, []int{0, 1}, false); err != nil {
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

// A process that is stopped leaves the array alone and says how to go on and how to end it.
func TestSlurmStopped(t *testing.T) {
	l := planned(t)
	calls := fake(t, "", "12 1 RUNNING None\n")
	ctx, stop := context.WithCancel(t.Context())
	s := &Slurm{Command: []string{"run"}, Poll: time.Hour}
	go func() {
		for !strings.Contains(calls(), "sbatch") && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		stop()
	}()
	err := s.Run(ctx, l, []int{0, 1}, false)
	const want = "sweep: stopped by a signal while waiting for Slurm's array 12, which goes on: " +
		"the same command waits again, scancel 12 ends it"
	if cli.Status(err) != cli.Stopped || err.Error() != want ||
		strings.Contains(calls(), "scancel") {
		t.Errorf("error %v, calls %q; want %s", err, calls(), want)
	}

	calls = fake(t)
	err = s.Run(ctx, l, []int{0, 1}, false)
	if want := "sweep: stopped by a signal with nothing in Slurm's queue; the same command goes on"; cli.Status(err) != cli.Stopped || err.Error() != want || calls() != "" {
		t.Errorf("error %v, calls %q; want %s", err, calls(), want)
	}
}

// With FailFast the first failure cancels the rest.
func TestSlurmFailFast(t *testing.T) {
	l := planned(t)
	left(t, l, 0, rundir.Failed)
	if err := os.MkdirAll(filepath.Join(l.Dir, logsDir), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.Log(0), []byte("starting\nthe disk is slow\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	calls := fake(t, "", "12 1 RUNNING None\n12 2 PENDING Resources\n", "12 1 COMPLETING None\n")
	var out bytes.Buffer
	err := (&Slurm{Command: []string{"run"}, Poll: time.Millisecond, Stdout: &out}).Run(t.Context(),
		l, []int{0, 1, 2}, true)
	if want := "sweep: stopped at the first failure, " + l.Runs[0].Name + ": the disk is slow; " +
		"what it printed is in " + l.Log(0); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	dir, _ := filepath.Abs(l.Dir)
	if !strings.HasSuffix(calls(), "scancel --name="+jobName(dir)+"\n") ||
		!strings.Contains(out.String(), "3/3 ") {
		t.Errorf("calls %q, printed %q", calls(), &out)
	}
}

// What sbatch refuses is one line, and so is a cluster that is not there.
func TestSlurmRefused(t *testing.T) {
	l := planned(t)
	run := func() string {
		err := (&Slurm{Command: []string{"run"}, Stdout: &bytes.Buffer{}}).Run(t.Context(), l,
			[]int{0, 3}, false)
		if err == nil {
			return ""
		}
		return err.Error()
	}
	fake(t)
	bin, _, _ := strings.Cut(os.Getenv("PATH"), string(os.PathListSeparator))
	for _, tt := range []struct{ says, want string }{
		{"sbatch: error: invalid partition specified: gpu\nsbatch: error: Batch job submission " +
			"failed: Invalid partition name specified",
			"sweep: sbatch: invalid partition specified: gpu; Batch job submission failed: " +
				"Invalid partition name specified"},
		{"sbatch: error: Batch job submission failed: Invalid job array specification",
			"sweep: sbatch: Batch job submission failed: Invalid job array specification: the " +
				"largest task is 3, and the cluster's MaxArraySize (see scontrol show config) " +
				"must be larger than that: let the cluster's administrator raise it, or plan " +
				"a smaller sweep"},
		{"", "sweep: sbatch: exit status 1"},
	} {
		program(t, filepath.Join(bin, "sbatch"),
			"printf '%s\\n' "+cli.Quote(tt.says)+" >&2; exit 1\n")
		if got := run(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
	program(t, filepath.Join(bin, "sbatch"), "echo Submitted batch job 3\n")
	if got, want := run(),
		`sweep: sbatch --parsable has printed "Submitted batch job 3\n", want a number`; got !=
		want {
		t.Errorf("%q, want %q", got, want)
	}
	t.Setenv("PATH", t.TempDir())
	if got, want := run(), "sweep: squeue is not installed here: start this where jobs are "+
		"submitted from, such as a cluster's login node: "; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	err := (&Slurm{Time: time.Minute}).Check()
	if want := "the time limit of a task must be at least 5m, since Slurm tells it to stop 120 " +
		"seconds before, got 1m0s"; cli.Status(err) != cli.BadUsage || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
