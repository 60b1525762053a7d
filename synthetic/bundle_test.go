package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/cubic"
	"momentum/internal/descent"
	"momentum/internal/figure"
	"momentum/internal/page"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
	"momentum/internal/stats"
)

func TestObserved(t *testing.T) {
	for _, tt := range []struct {
		T    int
		want []int
	}{
		{1, []int{0, 1}},
		// Each is 1.18 times the one before, rounded: 10.6, 13.0, 15.3, 17.7, 21.2.
		{20, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 18, 20}},
		{11, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11}},
	} {
		if got := (bundle{T: tt.T}).observed(); !slices.Equal(got, tt.want) {
			t.Errorf("%d steps: observed %v, want %v", tt.T, got, tt.want)
		}
	}
	dense := bundle{T: 300, Dense: true}.observed()
	if len(dense) != 204 || !slices.Equal(dense[199:], []int{199, 200, 236, 278, 300}) ||
		dense[100] != 100 {
		t.Errorf("dense, 300 steps: %d observed, %v", len(dense), dense)
	}
	long := bundle{T: 120000}.observed()
	if n := len(long); n > 80 || long[n-1] != 120000 || !slices.IsSorted(long) ||
		len(slices.Compact(slices.Clone(long))) != n {
		t.Errorf("120000 steps: observed %v", long)
	}
}

func TestRow(t *testing.T) {
	never := []int{-1, -1, -1, -1, -1, -1}
	fitted := []int{2, -1, -1, -1, -1, -1}
	broken := []int{-1, -1, -1, -1, -1, 4}
	b := bundle{T: 5, Stop: 0.1, Keep: []string{"error"}, Lanes: []lane{{Name: "a"}, {Name: "b"}}}
	value := func(name string, x float64) rundir.Value { return rundir.Value{Name: name, X: x} }
	for _, tt := range []struct {
		name   string
		a, b   []float64 // loss, loss_1, loss_2, error
		ea, eb []int     // events
		want   []rundir.Value
		ended  bool
	}{
		{"under way", []float64{0.5, 0.5, 0.5, 0.25}, []float64{0.5, 0.5, 0.5, 0}, fitted, never,
			[]rundir.Value{value("a/error", 0.25), value("a/fit_1", 2), value("b/error", 0)},
			false},
		{"one has converged", []float64{0.1, 0.1, 0.1, 0}, []float64{0.1, 0.05, 0.11, 0}, never,
			never,
			[]rundir.Value{value("a/error", 0), value("a/converged", 1), value("b/error", 0)},
			false},
		{"one has converged, one has diverged", []float64{0.1, 0.1, 0.1, 0},
			[]float64{9, 9, 9, 0.5}, never, broken,
			[]rundir.Value{value("a/error", 0), value("a/converged", 1), value("b/error", 0.5),
				value("b/diverged", 4)}, true},
		// A later step would report this itself, but there may be none.
		{"the last step has broken one", []float64{0.1, 0.1, 0.1, 0},
			[]float64{math.NaN(), 1, 1, 0}, never, never,
			[]rundir.Value{value("a/error", 0), value("a/converged", 1), value("b/error", 0),
				value("b/diverged", 5)}, true},
		{"the last step has broken both", []float64{math.Inf(1), 1, 1, 0},
			[]float64{math.Inf(1), 1, 1, 0}, never, never,
			[]rundir.Value{value("a/error", 0), value("a/diverged", 5), value("b/error", 0),
				value("b/diverged", 5)}, true},
	} {
		row, ended := b.row(&cubic.Observation{Step: 5, Names: []string{"loss", "loss_1", "loss_2",
			"error"}, Values: [][]float64{tt.a, tt.b}, Events: [][]int{tt.ea, tt.eb}})
		if row.Step != 5 || !slices.Equal(row.Values, tt.want) || ended != tt.ended {
			t.Errorf("%s: step %d, %v, ended %t; want %v, %t", tt.name, row.Step, row.Values, ended,
				tt.want, tt.ended)
		}
	}
}

func TestReadRows(t *testing.T) {
	nan := math.NaN()
	run := newRun([]int64{0, 1, 5, 9}, columns{
		"gd/c": {1, 2, 3, 4}, "gd/converged": {nan, nan, 1, nan}, "gd/fit_1": {nan, 0, 0, 0},
		"gdm/c": {5, nan, 6, 7}, "gdm/error": {0, 0, 0, 0}, "gdm/diverged": {nan, nan, nan, 8},
	})
	if r := run.final("gd"); r.row.Step != 5 || r.get("c") != 3 {
		t.Errorf("gd's final row is that of step %d", r.row.Step)
	}
	if r := run.last("gd"); r.row.Step != 9 || r.get("c") != 4 || !math.IsNaN(r.get("d")) {
		t.Errorf("gd's last row is that of step %d: c = %v, d = %v", r.row.Step, r.get("c"),
			r.get("d"))
	}
	if step, ok := run.last("gd").event(cubic.Fit1); step != 0 || !ok {
		t.Errorf("fit_1 at step %d, %t", step, ok)
	}
	if _, ok := run.last("gd").event(cubic.Fit2); ok {
		t.Error("fit_2 has happened")
	}
	steps, values := run.series("gdm", "c")
	if !slices.Equal(steps, []float64{0, 5, 9}) || !slices.Equal(values, []float64{5, 6, 7}) {
		t.Errorf("gdm's c is %v at %v", values, steps)
	}
	// gdm never converges. Once it has diverged its numbers mean nothing, even finite ones.
	if r := run.final("gdm"); r.row.Step != 9 || !math.IsNaN(r.get("error")) {
		t.Errorf("gdm's final row is that of step %d, with a training error of %v", r.row.Step,
			r.get("error"))
	}
}

func TestBand(t *testing.T) {
	one := newRun([]int64{0, 5, 9}, columns{"gd/c": {1, 1, 7}})
	other := newRun([]int64{0, 5}, columns{"gd/c": {3, math.E * math.E}})
	// t_{0.975} with one degree of freedom. For two numbers x and y, s/√2 is |x−y|/2.
	const t95 = 12.7062
	got := band("GD", figure.Blue, []trained{one, other}, "gd", "c", 100, figure.Mean95)
	want := figure.Line{X: []float64{0, 5}, Y: []float64{200, 50 * (1 + math.E*math.E)},
		Low: []float64{200 - 100*t95, 0}, High: []float64{200 + 100*t95, 0}}
	half := 50 * (math.E*math.E - 1) * t95
	want.Low[1], want.High[1] = want.Y[1]-half, want.Y[1]+half
	check := func(got, want figure.Line) {
		t.Helper()
		for _, pair := range [][2][]float64{{got.X, want.X}, {got.Y, want.Y}, {got.Low, want.Low},
			{got.High, want.High}} {
			if !slices.EqualFunc(pair[0], pair[1], near) {
				t.Errorf("got %v, want %v", pair[0], pair[1])
			}
		}
	}
	check(got, want)
	if got.Name != "GD" || got.Color != figure.Blue {
		t.Errorf("%q in %v", got.Name, got.Color)
	}

	// On a logarithmic axis: the logarithms 0 and 2 have the mean 1 ± 12.7062.
	got = band("GD", figure.Blue, []trained{one, other}, "gd", "c", 1, figure.Geometric95)
	if math.Abs(math.Log(got.Y[1])-1) > 1e-9 || math.Abs(math.Log(got.High[1])-1-t95) > 1e-4 ||
		math.Abs(math.Log(got.Low[1])-1+t95) > 1e-4 {
		t.Errorf("logarithmic: %v, %v, %v", got.Low, got.Y, got.High)
	}

	// A run that diverged leaves a gap, and no mean over the other one.
	broken := newRun([]int64{0, 5}, columns{"gd/c": {3, -1}})
	broken.rows[0].Values[0].X = math.NaN()
	for _, log := range []bool{false, true} {
		var summary figure.Summary = figure.Mean95
		if log {
			summary = figure.Geometric95
		}
		line := band("GD", figure.Blue, []trained{one, broken}, "gd", "c", 1, summary)
		if len(line.X) != 2 || !math.IsNaN(line.Y[0]) || !math.IsNaN(line.High[0]) ||
			math.IsNaN(line.Y[1]) != log { // −1 has no logarithm
			t.Errorf("logarithmic %t: %v between %v and %v", log, line.Y, line.Low, line.High)
		}
	}
	if v := stats.Mean95([]float64{1, math.NaN()}); v.String() != "NaN ± NaN" {
		t.Errorf("the interval of 1 and NaN is %v", v)
	}

	// One run has no interval.
	check(band("GD", figure.Blue, []trained{one}, "gd", "c", 2, figure.Geometric95),
		figure.Line{X: []float64{0, 5, 9}, Y: []float64{2, 2, 14}})
}

func TestTexts(t *testing.T) {
	a, b := newRun([]int64{0, 9}, nil), newRun([]int64{0, 12}, nil)
	if got := stepRange([]trained{a, a}); got != "9" {
		t.Errorf("got %q", got)
	}
	if got := stepRange([]trained{b, a}); got != "9 to 12" {
		t.Errorf("got %q", got)
	}
	if got := slug("linear model, λ = 0.01"); got != "linear-model-0.01" {
		t.Errorf("got %q", got)
	}
	if optional(math.NaN()) != "none" || optional(0.01234) != "0.0123" {
		t.Errorf("got %q and %q", optional(math.NaN()), optional(0.01234))
	}
}

// The page is one file that needs no other, and shows all characters as text.
func TestPage(t *testing.T) {
	dir := t.TempDir()
	picture, path := filepath.Join(dir, "a.svg"), filepath.Join(dir, "page.html")
	write(t, `<svg xmlns="http://www.w3.org/2000/svg"/>`, picture)
	p := newReport("a -b && c", "N < 5")
	p.Sections = []page.Section{
		{Title: "c < 1 & <script>", Text: `"α" > β`,
			Pictures: []page.Picture{{Path: picture}, {Path: picture}}},
		{Title: "second", Tables: []page.Table{{Head: []string{"a"}, Rows: [][]string{{"<b>"}}}}},
	}
	if err := p.Write(path); err != nil {
		t.Fatal(err)
	}
	content := runtest.Page(t, path)
	for _, want := range []string{
		"<h2>c &lt; 1 &amp; &lt;script&gt;</h2>", "<p>&#34;α&#34; &gt; β</p>", "<p>N &lt; 5</p>",
		"<td>&lt;b&gt;</td>", "<h2>second</h2>",
		`<pre tabindex="0">a -b &amp;&amp; c</pre>`, `aria-label="c &lt; 1 &amp; &lt;script&gt;"`,
	} {
		if !strings.Contains(content, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Count(content, "<svg ") != 2 {
		t.Errorf("the page lacks two pictures:\n%s", content)
	}
	p.Sections[0].Pictures = []page.Picture{{Path: filepath.Join(dir, "absent.svg")}}
	if err := p.Write(path); err == nil || !strings.Contains(err.Error(), "absent.svg") {
		t.Errorf("without its picture: %v", err)
	}
	if runtest.Read(t, path) != content {
		t.Error("a failed page has replaced the previous one")
	}
}

// A huge λη breaks GD: each step w ← (1−λη) w makes w 999 times as long. GD+M in the damped form
// takes a hundredth of that. Figure 3 is drawn, and the command reports which run diverged and
// when, also the second time.
func TestDiverged(t *testing.T) {
	root := t.TempDir()
	args := smallRun(root, "-weight-decay=1e3", "-lr=1", "-T=30")
	status, stdout, stderr := synthetic(t.Context(), args...)
	m := regexp.MustCompile(`^synthetic: gd of seed 1 diverged at step (\d+): ` +
		`weights are no longer finite; use a smaller -lr\n$`).FindStringSubmatch(stderr)
	if status != cli.Diverged || m == nil {
		t.Fatalf("status %d, %q", status, stderr)
	}
	if !regexp.MustCompile(`(?m)^\| training error, % +\| NaN \| +\d`).MatchString(stdout) {
		t.Errorf("the table does not show that GD has no result:\n%s", stdout)
	}
	for _, name := range []string{"figure3.png", "figure3.svg", "figure3.md"} {
		if _, err := os.Stat(filepath.Join(root, "synthetic-quick", name)); err != nil {
			t.Error(err)
		}
	}
	// The step is that of the first row whose loss is not a number.
	dir := folder(t, root)
	for _, row := range runtest.Metrics(t, dir) {
		if x, _ := row.Get("gd/loss"); math.IsNaN(x) {
			if m[1] != fmt.Sprint(row.Step) {
				t.Errorf("divergence is reported at step %s, the loss is %v at step %d", m[1], x,
					row.Step)
			}
			break
		}
	}
	if got := runtest.Read(t, dir, "state"); got != "done\n" {
		t.Errorf("state %q", got)
	}
	before := runtest.Read(t, dir, "metrics.jsonl")
	if again, _, _ := synthetic(t.Context(), args...); again != cli.Diverged ||
		runtest.Read(t, dir, "metrics.jsonl") != before {
		t.Errorf("the second time: status %d", again)
	}

	// The last step may diverge, too.
	fails(t, cli.Diverged, "gd of seed 1 diverged at step 1: weights are no longer finite",
		smallRun(t.TempDir(), "-lr=1e38", "-T=1")...)
}

// A lane that diverges does not affect the others.
func TestDivergedLaneAlone(t *testing.T) {
	c, _ := mustParse(t, smallRun(t.TempDir(), "-T=30")...)
	s := &session{be: goBackend(t), execution: c.Execution, stdout: new(strings.Builder),
		stderr: new(strings.Builder)}
	rule := descent.Rule{Form: descent.Damped, WeightDecay: 1e3}
	bad := lane{"bad", cubic.Lane{Rule: rule, Eta: 1}}
	runs, err := s.train(t.Context(), "test", []bundle{c.bundle("both", 1, bad, c.gdm()),
		c.bundle("alone", 1, c.gdm())})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := runs[0].last("bad").event(cubic.Diverged); !ok {
		t.Error("the bad lane has not diverged")
	}
	if len(runs[0].rows) != len(runs[1].rows) {
		t.Fatalf("%d rows beside the bad lane, %d alone", len(runs[0].rows), len(runs[1].rows))
	}
	for i, row := range runs[1].rows {
		for _, v := range row.Values {
			if x, ok := runs[0].rows[i].Get(v.Name); !ok ||
				!(math.Abs(x-v.X) <= 1e-5*max(1, math.Abs(x))) {
				t.Errorf("step %d: %s is %v beside the bad lane, %v alone", row.Step, v.Name, x,
					v.X)
			}
		}
	}
}

// What is not finite, because a run diverged, does not set the end of an axis.
func TestLargest(t *testing.T) {
	lists := [][]float64{{0.5, math.NaN(), 3}, {math.Inf(1), -7}, nil}
	if got := largest(1, lists...); got != 3 {
		t.Errorf("%v, want 3", got)
	}
	if got := largest(4, lists...); got != 4 {
		t.Errorf("%v, want 4", got)
	}
}
