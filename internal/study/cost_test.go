package study

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/runtest"
	"momentum/internal/sweep"
)

// If the process that measures a step is killed, the study goes on without the estimate. If it
// fails, so would the runs.
func TestKilledWhileMeasuring(t *testing.T) {
	for script, want := range map[string]string{"kill -9 $$": "", "echo broken; exit 1": "broken"} {
		i, l := measuring(t, script)
		out := i.stdout.(*bytes.Buffer)
		err := i.printCost(t.Context(), l)
		if want != "" {
			if err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%s: error %v, want %s", script, err, want)
			}
			continue
		}
		last := "          the process that measures was killed (signal: killed), so there is no " +
			"estimate of the time\n"
		if err != nil || !strings.HasSuffix(out.String(), last) {
			t.Errorf("%s: %v, %s", script, err, out)
		}
	}
}

// Runs are measured beside one another, as they are executed: of two workers, of which the first
// waits for the second to have begun, the estimate has the mean.
func TestMeasuredTogether(t *testing.T) {
	i, l := measuring(t, `dir=$(dirname "${5#-cost=}")
if mkdir "$dir/first"; then
	n=0; while [ ! -e "$dir/second" ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done
	[ -e "$dir/second" ] || exit 1
	echo '{"images_per_sec":100,"seconds":36000,"backend":"go on 8086: no XLA"}' > "${5#-cost=}"
else
	touch "$dir/second"
	echo '{"images_per_sec":300,"seconds":72000,"backend":"go on 8086: no XLA"}' > "${5#-cost=}"
fi`)
	i.pool.jobs = 2
	n, _, err := i.study.size()
	if err != nil {
		t.Fatal(err)
	}
	units := n.trials + n.finals + n.longer*i.study.Longer
	if err := i.printCost(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	// 15 hours a run, two at a time.
	for _, want := range []string{
		"          200 images/s a run, 2 run(s) at a time, by go on 8086: no XLA\n",
		"          at most about " + duration(float64(units)*54000/2) + " on this machine"} {
		if out := i.stdout.(*bytes.Buffer).String(); !strings.Contains(out, want) {
			t.Errorf("%s\nwant %q", out, want)
		}
	}
}

// measuring is a study of which a step is measured by the script, and its list of one trial.
func measuring(t *testing.T, script string) (*invocation, *sweep.List) {
	s := two()
	trials, err := s.trials(0, s.Rates)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := list(trials[len(trials)-1].configs)
	if err != nil {
		t.Fatal(err)
	}
	program := runtest.File(t, "figure", "#!/bin/sh\necho '}'\n"+script+"\n")
	if err := os.Chmod(program, 0o777); err != nil {
		t.Fatal(err)
	}
	s.Cells[0].Classes = 10
	s.Cells[0].Base.Normalize()
	return &invocation{options: &options{study: *s}, stdout: &bytes.Buffer{}, copied: program},
		&sweep.List{Dir: t.TempDir(), Runs: runs}
}

// Without the images on disk a plan measures on random ones and says so; a study ends before its
// first run.
func TestWithoutData(t *testing.T) {
	root, data := t.TempDir(), t.TempDir()
	flags := []string{"-data=cifar10", "-data-dir=" + data, "-jobs=1"}
	stdout, err := start(t.Context(), root, append(flags, "-dry-run")...)
	for _, want := range []string{"\n          at most about ",
		"\n          data cifar10 is not on this machine: measured on random pixels\n"} {
		if err != nil || strings.Count(stdout, want) != 1 {
			t.Errorf("%v, want one %q in\n%s", err, want, stdout)
		}
	}
	stdout, err = start(t.Context(), root, flags...)
	if err == nil || !strings.HasPrefix(err.Error(), "datasets: cifar10 is not in "+data) ||
		strings.Contains(stdout, "measuring") {
		t.Errorf("a study without its images: %v\n%s", err, stdout)
	}
	if _, err := os.Stat(filepath.Join(root, "runs")); err == nil {
		t.Error("there are runs")
	}
}

// The settings that the scale and the flags come to stand before all else that a plan prints.
func TestSettingsFirst(t *testing.T) {
	const want = `
settings  scale=tiny data=cifar10-mini model=wrn16-1 parameterizations=centered images=5 width=1
          epochs=3 until-loss=0.01 eval-every=1 warmup=0 clip=0 precision=f32 diagnose-every=0
          diagnose-images=0 momentum=0.9 form=undamped rates=0.1 protocol=both trial-seeds=2
          schedules=cosine weight-decays=0 holdout=5 choose=fitted grow=0 seeds=2 longer=2
trials-1  3 runs: `
	for _, verb := range []string{"-dry-run", "plan"} {
		stdout, err := start(t.Context(), t.TempDir(), verb, "-launcher=slurm", "-epochs=3")
		if err != nil || !strings.HasPrefix("\n"+stdout, want) {
			t.Errorf("%s: %v\n%s\nwant%s", verb, err, stdout, want)
		}
	}
}
