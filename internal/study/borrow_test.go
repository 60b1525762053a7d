package study

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"momentum/internal/imagerun"
	"momentum/internal/sweep"
)

// borrowed checks that a study that takes the trials of another plans the same final runs, and that
// one of other images or networks is refused.
func borrowed(t *testing.T, root string, finals *sweep.List) {
	t.Helper()
	var stdout bytes.Buffer
	plan := func(name string, args ...string) (*sweep.List, error) {
		folder := filepath.Join(root, name)
		args = append([]string{"plan", "-out=" + folder, "-backend=go", "-offline", "-chunk=5",
			"-runs=" + filepath.Join(root, "runs")}, args...)
		stdout.Reset()
		err := tiny().Run(t.Context(), &stdout, io.Discard, args)
		if err != nil {
			return nil, err
		}
		return sweep.Read(filepath.Join(folder, "final"), filepath.Join(root, "runs"))
	}
	out := filepath.Join(root, "out")
	l, err := plan("borrowed", "-trials-of="+out)
	if err != nil || len(l.Runs) != len(finals.Runs) {
		t.Fatalf("%v, %v; want %d final runs", err, l, len(finals.Runs))
	}
	for i, r := range l.Runs {
		if r.Name != finals.Runs[i].Name {
			t.Errorf("final run %s, want %s", r.Name, finals.Runs[i].Name)
		}
	}
	// The same settings for all epochs.
	if l, err = plan("whole", "-trials-of="+out, "-until-loss=0"); err != nil ||
		len(l.Runs) != len(finals.Runs) {
		t.Fatalf("-until-loss=0: %v, %v; want %d final runs", err, l, len(finals.Runs))
	}
	if text := stdout.String(); !strings.Contains(text, "study     1 comparison(s), in each at "+
		"most 8 final runs (2 seeds") || !strings.Contains(text, "on this machine, and at most") {
		t.Errorf("no cost of the final runs in\n%s", text)
	}
	for i, r := range l.Runs {
		c, err := imagerun.ConfigOf(r)
		of, otherErr := imagerun.ConfigOf(finals.Runs[i])
		if err != nil || otherErr != nil {
			t.Fatal(err, otherErr)
		}
		if of.UntilLoss == 0 {
			t.Fatal("the other study's runs take all epochs, too")
		}
		of.UntilLoss, of.EvalEvery = 0, c.EvalEvery // with -longer, a curve has as many points
		if c.Settings != of.Settings {
			t.Errorf("got %+v, want %+v", c.Settings, of.Settings)
		}
	}
	refused(t, root, plan)
}

// refused checks what a study takes of another's rules of choice, and which trials are refused.
func refused(t *testing.T, root string, plan func(string, ...string) (*sweep.List, error)) {
	t.Helper()
	out := filepath.Join(root, "out")
	// A study of one protocol: what takes its trials has that protocol too, unless told otherwise.
	effective := filepath.Join(root, "effective")
	if _, err := plan("effective", "-protocol=effective"); err != nil {
		t.Fatal(err)
	}
	_, o, err := tiny().parse([]string{"-trials-of=" + effective})
	if err != nil || !slices.Equal(o.study.Protocols, []Protocol{Effective}) {
		t.Errorf("%v, protocols %v; want those of the other study", err, o.study.Protocols)
	}
	// The other study's rules of choice are those of its scale, too, whatever the scale here.
	other := tiny()
	other.Scales[0].Values["trial-seeds"], other.Scales[0].Values["choose"] = "1", Any
	if _, o, err = other.parse([]string{"-trials-of=" + out}); err != nil ||
		o.study.TrialSeeds != 2 || o.study.Choose != Fitted {
		t.Errorf("%v, %+v; want 2 trial seeds and the choice of what fits", err, o)
	}
	begun := filepath.Join(root, "begun")
	if err := os.CopyFS(begun, os.DirFS(out)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(begun, "final")); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"0 trials with momentum of CIFAR-10 sample, 5 images, WideResNet-16-1 of width 1 with " +
			"centered weights, full batch on the grid of η that -protocol=eta has, want 1, as " +
			"many as without": {"-trials-of=" + effective, "-protocol=both"},
		"-rates: got 7, but the trials of " + out + " have 0.1: leave it out": {
			"-trials-of=" + out, "-rates=7"},
		"execute the rest of that study first": {"-trials-of=" + begun},
		"no trials of CIFAR-10 sample, 5 images, WideResNet-16-1 of width 2": {
			"-trials-of=" + out, "-width=2"},
		"no trials: want the folder of a study": {"-trials-of=" + root},
		"absent: no such file or directory":     {"-trials-of=" + filepath.Join(root, "absent")},
	} {
		if _, err := plan("borrowed", args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}

// A study says in what the trials that it takes differ from its runs.
func TestDifference(t *testing.T) {
	plain, small := imagerun.Settings{UntilLoss: 0.01}, imagerun.Settings{SmallMargin: 0.1}
	for _, c := range []struct {
		other, own imagerun.Settings
		want       string
	}{
		{plain, plain, ""},
		{imagerun.Settings{}, plain, "whose runs take all epochs"},
		{imagerun.Settings{}, small, "whose training images have no small margin"},
		{plain, small, "whose training images have no small margin and whose runs end when all " +
			"training images are fitted with a loss of 0.01"},
	} {
		if got := difference(c.other, c.own); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
