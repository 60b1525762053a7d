package study

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"momentum/internal/cli"
	"momentum/internal/imagerun"
	"momentum/internal/markdown"
	"momentum/internal/runtest"
	"momentum/internal/sweep"
)

// tiny is a figure whose runs take a second on the Go backend: 5 images, networks of 788
// parameters.
func tiny() *Figure {
	return &Figure{
		Name: "figure", Manual: "a figure for tests\n",
		Title: "A figure",
		Scales: []Scale{{Name: "tiny", Description: "seconds", Values: map[string]string{
			"data": "cifar10-mini", "model": "wrn16-1", "width": "1", "images": "5", "holdout": "5",
			"epochs": "2", "eval-every": "1", "rates": "0.1",
			"schedules": "cosine", "weight-decays": "0", "seeds": "2", "grow": "0", "longer": "2",
			"parameterizations": "centered", "until-loss": "0.01",
		}}},
		Measures: []Measure{{Column: "test_accuracy", Title: "test accuracy"}},
	}
}

// start runs the command of a tiny figure in a folder.
func start(ctx context.Context, root string, args ...string) (stdout string, err error) {
	var out, errs bytes.Buffer
	words := args[:0:0]
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		words, args = args[:1:1], args[1:]
	}
	words = append(words, "-out="+filepath.Join(root, "out"),
		"-runs="+filepath.Join(root, "runs"), "-backend=go", "-offline", "-chunk=5")
	err = tiny().Run(ctx, &out, &errs, append(words, args...))
	return out.String() + errs.String(), err
}

// A whole study: the stages follow from one another, no run is executed twice, and the tables are
// the same bytes again, also after the study was stopped. It is long because it follows one study
// from its plan through every interruption.
func TestStudy(t *testing.T) {
	calm := t.TempDir()

	// A plan executes no run, and prints the cost.
	stdout, err := start(t.Context(), calm, "plan")
	if err != nil {
		t.Fatal(err, stdout)
	}
	for _, want := range []string{
		`trials-1  3 runs`,
		`1 comparison\(s\), in each at most 6 trials \(settings of GD: 1, of GD\+M: 2; ` +
			`seeds: 2\), ` +
			`at most 8 final runs \(2 seeds of GD, GD\+M by each protocol and GD at the ` +
			`effective rate of GD\+M\) and 2 of 2 times the epochs`,
		`(?m)^cost      at most \S+ FLOP for training: `,
		`(?m)^          at most about \d+ min on this machine, and at most \S+ GB of disk$`,
	} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("no %s in\n%s", want, stdout)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(calm, "runs", "*", "metrics.jsonl")); len(found) >
		0 {
		t.Errorf("a plan executed %q", found)
	}
	if _, err := start(t.Context(), calm, "collect"); err == nil ||
		!strings.Contains(err.Error(), "3 of 3 runs are missing: ") ||
		!strings.HasPrefix(err.Error(), "wrote a partial report: "+filepath.Join(calm, "out")) ||
		!strings.Contains(err.Error(), "line 1, is pending, want every run done") {
		t.Errorf("collecting nothing: %v", err)
	}

	out := filepath.Join(calm, "out")
	command := "go run ./scripts/figure -out=" + out // goes on with this study
	if partial := runtest.Read(t, out, "report.md"); !strings.Contains(partial,
		"    "+command+"\n\n**Unfinished.** trials-1: 0 of 3 runs have ended.") {
		t.Errorf("the report of an unfinished study is\n%s", partial)
	}
	if partial := runtest.Page(t, out, "report.html"); !strings.Contains(partial,
		"<p>Unfinished. trials-1: 0 of 3 runs have ended.") ||
		!strings.Contains(partial, command+"</pre>") {
		t.Errorf("the page of an unfinished study is\n%s", partial)
	}
	if stdout, err = start(t.Context(), calm); err != nil {
		t.Fatal(err, stdout)
	}
	for _, name := range []string{"report.md", "table.md", "table.csv", "table.json",
		"curves-cifar10-mini-wrn16-1-centered-5-full.png",
		"trials-cifar10-mini-wrn16-1-centered-5-full.svg"} {
		if runtest.Read(t, out, name) == "" {
			t.Errorf("%s is empty", name)
		}
	}
	table := runtest.Read(t, out, "table.md")
	if !strings.Contains(stdout, markdown.Align(table)) ||
		!strings.Contains(table, "| GD, 2 times the epochs |") {
		t.Errorf("the table is not printed, or lacks a control:\n%s", stdout)
	}
	report := runtest.Read(t, out, "report.md")
	for _, want := range []string{"    go run ./scripts/figure\n", "| revision | ",
		"| device | ", "| precision | f32 |", "| time | "} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q:\n%s", want, report)
		}
	}
	page := runtest.Page(t, out, "report.html")
	for _, want := range []string{`<pre tabindex="0">go run ./scripts/figure</pre>`,
		"<td>GD, 2 times the epochs",
		"<h2>All trials</h2>", "<td>revision</td>", "<td>chosen</td>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(page, "<svg "); n != strings.Count(report, "![") {
		t.Errorf("the page has %d pictures, the report %d", n, strings.Count(report, "!["))
	}
	// Selection saw held-out images only, the final runs none of them.
	finals, err := sweep.Read(filepath.Join(out, "final"), filepath.Join(calm, "runs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range finals.Runs {
		if !strings.Contains(string(r.Settings), `"holdout":0,`) ||
			regexp.MustCompile(`"seed":[12]}`).Match(r.Settings) {
			t.Errorf("final run %s", r.Settings)
		}
	}

	// Once more: no run is executed, and the files are the same bytes.
	runs := runtest.Files(t, filepath.Join(calm, "runs"))
	tables := runtest.Files(t, out)
	if stdout, err = start(t.Context(), calm); err != nil ||
		!strings.Contains(stdout, "0 to execute") {
		t.Errorf("once more: %v\n%s", err, stdout)
	}
	if stdout, err = start(t.Context(), calm, "collect"); err != nil {
		t.Errorf("collect: %v\n%s", err, stdout)
	}
	if again := runtest.Files(t, filepath.Join(calm, "runs")); !equalFiles(again, runs) {
		t.Error("run folders have changed")
	}
	for name, content := range runtest.Files(t, out) {
		if content != tables[name] && name != "report.md" && name != "report.html" &&
			name != "figure" {
			t.Errorf("%s has changed", name)
		}
	}

	borrowed(t, calm, finals)

	// Flags of other final runs are refused, and not remembered.
	for range 2 {
		if _, err = start(t.Context(), calm, "plan", "-seeds=1"); err == nil ||
			!strings.Contains(err.Error(), "a list with other settings: epochs is 4, want 2") {
			t.Errorf("a plan of fewer seeds in the same folder: %v", err)
		}
	}
	if stdout, err = start(t.Context(), calm, "collect"); err != nil {
		t.Errorf("collect after a plan that was refused: %v\n%s", err, stdout)
	}
	// A stage that was not planned yet is no error of the report.
	if err := os.Rename(filepath.Join(out, "final"), filepath.Join(calm, "final")); err != nil {
		t.Fatal(err)
	}
	if _, err := start(t.Context(), calm, "collect"); err == nil ||
		!strings.Contains(err.Error(), "final: not planned yet") ||
		!strings.Contains(runtest.Read(t, out, "report.md"), "trials-1: 3 of 3 runs have ended.") {
		t.Errorf("a study whose final runs were not planned: %v", err)
	}
	if err := os.Rename(filepath.Join(calm, "final"), filepath.Join(out, "final")); err != nil {
		t.Fatal(err)
	}

	// Killed in the middle of a stage, stopped in the middle of another, a run damaged; and then
	// let go on.
	root := t.TempDir()
	ended := func() int {
		found, _ := filepath.Glob(filepath.Join(root, "runs", "*", "SHA256SUMS"))
		return len(found)
	}
	// until waits until more runs have ended, or the study has.
	until := func(more int, over <-chan error) {
		t.Helper()
		for ended() < more {
			select {
			case err := <-over:
				t.Fatalf("ended before it was stopped: %v", err)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "STUDY_ROOT="+root)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- child.Wait() }()
	until(1, over)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-over
	ctx, stop := context.WithCancel(t.Context())
	go func() { _, err := start(ctx, root); over <- err }()
	until(ended()+2, over)
	stop()
	if err := <-over; !errors.Is(err, cli.ErrStopped) {
		t.Fatalf("stopped: %v", err)
	}
	sums, err := filepath.Glob(filepath.Join(root, "runs", "*", "SHA256SUMS"))
	if err != nil || len(sums) == 0 {
		t.Fatalf("no run has ended: %v", err)
	}
	metrics := filepath.Join(filepath.Dir(sums[0]), "metrics.jsonl")
	damaged := []byte(runtest.Read(t, metrics))
	damaged[len(damaged)/2] ^= 1
	if err := os.WriteFile(metrics, damaged, 0o666); err != nil {
		t.Fatal(err)
	}
	if stdout, err = start(t.Context(), root); err != nil {
		t.Fatal(err, stdout)
	}
	if want := filepath.Dir(metrics) + ".old-1, and the run is executed again"; !strings.Contains(
		stdout, metrics+": has SHA-256 ") || !strings.Contains(stdout, want) {
		t.Errorf("the damaged run is not named, or not said to be set aside:\n%s", stdout)
	}
	for _, ending := range []string{".md", ".csv", ".json"} {
		if runtest.Read(t, root, "out", "table"+ending) != tables["table"+ending] {
			t.Errorf("table%s of a study that was killed, stopped and damaged differs", ending)
		}
	}
}

// TestMain makes the test's binary a worker of a study, or a study that is to be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == worker {
		os.Exit(tiny().Main())
	}
	if root := os.Getenv("STUDY_ROOT"); root != "" {
		_, err := start(context.Background(), root)
		os.Exit(cli.Report(os.Stderr, "figure", err))
	}
	os.Exit(m.Run())
}

// Looking at a study that was not planned writes nothing.
func TestReadOnly(t *testing.T) {
	root := t.TempDir()
	for _, verb := range []string{"status", "collect"} {
		if _, err := start(t.Context(), root, verb); err == nil ||
			err.Error() != "there is no study in "+filepath.Join(root, "out")+
				": go run ./scripts/figure with the same flags begins one" {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if files := runtest.Files(t, root); len(files) > 0 {
		t.Errorf("made %v", slices.Collect(maps.Keys(files)))
	}
}

func equalFiles(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, content := range a {
		if b[name] != content {
			return false
		}
	}
	return true
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"make", `nothing called "make" to do`},
		{"-scale=huge", `-scale must be one of tiny, got "huge"`},
		{"-rates=0.2,0.1", "-rates must be positive and increasing, got 0.2, 0.1"},
		{"-rates=0.1,0.1", "-rates must be positive and increasing"},
		{"-rates=x", `"x" is not a number`},
		{"-rates=NaN", `"NaN" is not a number`},
		{"-holdout=0",
			"-holdout must be at least 1 image, got 0: settings are never chosen on test images"},
		{"-choose=test", `-choose must be fitted or any, got "test"`},
		{"-momentum=0", "-momentum must be in (0, 1), got 0"},
		{"-longer=1", "-longer must be 0 or at least 2, got 1"},
		{"-seeds=0", "-seeds must be at least 1, got 0"},
		{"-launcher=ray", `-launcher must be local or slurm, got "ray"`},
		{"-schedules=linear", `-schedule must be one of constant, cosine, step, got "linear"`},
		{"-model=mlp", `unknown model "mlp"`},
		{"-data=mnist", `"mnist" is not one of`},
		{"run 3", `unexpected argument "3"`},
		{"-data=cifar10-mini,cifar10-mini", "is asked for twice"},
		{"-schedules=cosine,cosine",
			"-schedules and -weight-decays must not name a value twice, got cosine,cosine and 0"},
		{"-trial-seeds=0", "-trial-seeds must be at least 1, got 0"},
		{"-protocol=adam", `-protocol must be both, effective or eta, got "adam"`},
		{"-parameterizations=layer", `"layer" is not one of [weights centered he pytorch fixup`},
		{"-parameterizations=he,he", "is asked for twice"},
		{"-model=vgg19 -parameterizations=fixup", "fixup is for residual branches"},
		{"-images=5,5", "is asked for twice"},
		{"-images=5,-1", `"-1" is not a whole number of at least 1 or 0`},
		{"-images=5,2000", "-images + -holdout must be at most the 1000 training images of " +
			"cifar10-mini, got 2000 + 5: use -images=995 or fewer"},
		{"-norm=batch", "not defined: -norm"},
		{"-clip=-1", "-clip must be finite and not negative, got -1"},
		{"-until-loss=-1", "-until-loss must be finite and not negative, got -1"},
		{"-holdout=996", "-images + -holdout must be at most the 1000 training images of " +
			"cifar10-mini, got 5 + 996: use -images=4 or fewer"},
		{"-images=0 -holdout=1000", "-images + -holdout must be at most the 1000 training images " +
			"of cifar10-mini, got 0 + 1000: use a smaller -holdout"},
		{"-launcher=slurm -time=1m", "the time limit of a task must be at least 5m"},
		{"-launcher=slurm -concurrent=-1",
			"tasks at a time and GPUs of each must be at least 0, got -1 and 1"},
		{"-launcher=slurm -jobs=2", "-jobs is about this machine, got -launcher=slurm"},
		{"-requeue", "-requeue is about a cluster: add -launcher=slurm"},
		// A single rate switches no check off.
		{"-rates=0.1 -seeds=0", "-seeds must be at least 1, got 0"},
		{"-rates=0.1 -longer=1", "-longer must be 0 or at least 2, got 1"},
		{"-rates=0.1 -momentum=0", "-momentum must be in (0, 1), got 0"},
		{"-rates=0.1 -launcher=ray", `-launcher must be local or slurm, got "ray"`},
		{"-rates=0.1 -jobs=-1", "-jobs must be at least 0, got -1"},
		{"-form=heavy", `-form must be one of damped, undamped, got "heavy"`},
		{"-runs-per-gpu=0", "-runs-per-gpu must be at least 1, got 0"},
		{"-gpus=x", `-gpus must be numbers with commas between them, got "x"`},
		{"-gpus=0,,1", `-gpus must be numbers with commas between them, got "0,,1"`},
	} {
		err := tiny().Run(t.Context(), &bytes.Buffer{}, &bytes.Buffer{}, strings.Fields(tt.args))
		var usage *cli.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want a usage error with %q", tt.args, err, tt.want)
		}
	}
}

// The folder's name says what differs from the scale; what only changes the execution of runs is
// not in it.
func TestFolderName(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", "sweeps/figure-tiny"},
		{"-jobs=3 -images=5", "sweeps/figure-tiny"},
		{"-launcher=slurm -concurrent=2", "sweeps/figure-tiny"},
		{"-parameterizations=batch -seeds=5", "sweeps/figure-tiny-parameterizations=batch-seeds=5"},
		// the others are what they would be anyway
		{"-momentum=0.9 -rates=0.1,0.3 -precision=f32", "sweeps/figure-tiny-rates=0.1,0.3"},
	} {
		_, o, err := tiny().parse(strings.Fields(tt.args))
		if err != nil {
			t.Errorf("%q: %v", tt.args, err)
		} else if filepath.ToSlash(o.out) != tt.want {
			t.Errorf("%q: %s, want %s", tt.args, o.out, tt.want)
		}
	}
}

// The picture beside the report: 10 small-margin images below their originals.
func TestSmallMarginExamples(t *testing.T) {
	folder := t.TempDir()
	c := imagerun.Preset("tiny", "gd")
	c.SmallMargin = 0.1
	text, path, err := smallMarginExamples(t.Context(), c, folder)
	if err != nil || text != "The first 10 small-margin test images, below the originals:" ||
		path != filepath.Join(folder, "small-margin.png") {
		t.Fatalf("%q, %s, %v", text, path, err)
	}
	f, err := os.Open(filepath.Join(folder, "small-margin.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if c, err := png.DecodeConfig(f); err != nil || c.Width < 10*128 || c.Width > 1600 ||
		c.Height < 2*128 {
		t.Errorf("%d×%d pixels, %v; want 10 pairs of 128×128", c.Width, c.Height, err)
	}
}

// With one rate the grid cannot grow, and the cost says so.
func TestOneRate(t *testing.T) {
	_, o, err := tiny().parse([]string{"-rates=0.1", "-grow=3"})
	if err != nil {
		t.Fatal(err)
	}
	want := counts{settings: [2]int{1, 2}, trials: 6, finals: 8, longer: 2}
	if n, growth, err := o.study.size(); n != want || growth != 0 || err != nil {
		t.Errorf("%+v and a growth by %d trials, %v; want %+v and 0", n, growth, err, want)
	}
	if more := growth([chosen]choice{{edge: 1}, {edge: -1}}, []float64{0.1}); more != nil {
		t.Errorf("a grid of one rate grows by %v", more)
	}
}

// In the damped form η is the effective rate itself.
func TestForm(t *testing.T) {
	for form, want := range map[string]float64{"damped": 0.1, "undamped": 0.02} {
		_, o, err := tiny().parse([]string{"-form=" + form, "-momentum=0.8"})
		if err != nil {
			t.Fatal(err)
		}
		trials, err := o.study.trials(0, []float64{0.1})
		if err != nil {
			t.Fatal(err)
		}
		gd, gdm := trials[0].configs[0], trials[1].configs[0]
		if gd.Rate != 0.1 || gd.Momentum != 0 || gdm.Rate != want || gdm.Momentum != 0.8 ||
			gdm.Form != form {
			t.Errorf("%s: GD %+v, GD+M %+v", form, gd.Settings, gdm.Settings)
		}
	}
}

// Every flag is in one group of the manual.
func TestManual(t *testing.T) {
	var out bytes.Buffer
	if err := tiny().Run(t.Context(), &out, &bytes.Buffer{}, []string{"-h"}); err != nil {
		t.Fatal(err)
	}
	fs, groups := tiny().flags(&options{})
	var names []string
	for _, g := range groups {
		names = append(names, g.Names...)
	}
	slices.Sort(names)
	var all []string
	fs.VisitAll(func(f *flag.Flag) { all = append(all, f.Name) })
	if !slices.Equal(names, all) {
		t.Errorf("the groups have %q, want each of %q once", names, all)
	}
	if _, err := os.Stat("sweeps"); err == nil {
		t.Error("the manual made a folder")
	}
}
