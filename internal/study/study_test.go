package study

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"momentum/internal/imagerun"
	"momentum/internal/rundir"
	"momentum/internal/stats"
)

var update = flag.Bool("update", false, "write the golden files anew")

// two is a study of one cell over two effective rates.
func two() *Study {
	base := imagerun.Preset("tiny", "gd")
	return &Study{
		Name: "figure", Title: "A figure", Cells: []Cell{{Key: "mini", Title: "mini", Base: base,
			Paper: Setting{Data: "cifar10", Model: "resnet18"}}},
		Measures: []Measure{{Column: "test_accuracy", Title: "test accuracy",
			Paper: map[Setting][2]float64{{Data: "cifar10", Model: "resnet18"}: {75.83, 84.68}}}},
		Gamma: 0.9, Form: "undamped", Rates: []float64{0.1, 0.2},
		Schedules: []string{"cosine", "constant"}, WeightDecays: []float64{0, 0.5},
		Holdout: 500, Choose: Fitted, Grow: 1, Seeds: 3, Longer: 10,
	}
}

// ended is a run that ended with these numbers, which are the same on test images and on held-out
// images, after epochs with these accuracies on the training images.
func ended(loss, train, test, testLoss float64, before ...float64) imagerun.Outcome {
	var o imagerun.Outcome
	for epoch, accuracy := range append(before, train) {
		row := rundir.Row{Step: int64(epoch),
			Values: []rundir.Value{{Name: "epoch", X: float64(epoch)},
				{Name: "loss", X: 2 - float64(epoch)/2}, {Name: "train_accuracy", X: accuracy}}}
		if epoch == len(before) {
			row.Values[1].X = loss
			row.Values = append(row.Values, rundir.Value{Name: "test_loss", X: testLoss},
				rundir.Value{Name: "test_accuracy", X: test},
				rundir.Value{Name: "held_out_loss", X: testLoss},
				rundir.Value{Name: "held_out_accuracy", X: test})
		}
		o.Rows = append(o.Rows, row)
	}
	return o
}

func diverged() imagerun.Outcome {
	o := ended(math.NaN(), 1, 0.99, 0, 0.5)
	o.Diverged = true
	return o
}

// Both algorithms have the same trials, at the same effective rates: η is that rate for GD and
// (1−γ) of it with undamped momentum.
func TestTrials(t *testing.T) {
	s := two()
	all, err := s.trials(0, s.Rates)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2*2*2*2 {
		t.Fatalf("%d trials, want 2 algorithms of 2 schedules, 2 weight decays and 2 rates",
			len(all))
	}
	for i, a := range all[:8] {
		b := all[i+8]
		if a.config.Opt != "gd" || b.config.Opt != "gdm" || b.config.Momentum != 0.9 ||
			a.effectiveRate != b.effectiveRate ||
			a.config.Schedule != b.config.Schedule ||
			a.config.WeightDecay != b.config.WeightDecay ||
			a.config.Holdout != 500 || b.config.Seed != 1 {
			t.Errorf("trial %d is %+v with GD and %+v with GD+M", i, a.config.Settings,
				b.config.Settings)
		}
		if a.config.Rate != a.effectiveRate || b.config.Rate !=
			map[float64]float64{0.1: 0.01, 0.2: 0.02}[a.effectiveRate] {
			t.Errorf("effective rate %v: η is %v of GD and %v of GD+M", a.effectiveRate,
				a.config.Rate,
				b.config.Rate)
		}
	}
	s.Form = "damped"
	if all, err = s.trials(0, s.Rates); err != nil || all[8].config.Rate != 0.1 {
		t.Errorf("η is %v with damped momentum, %v; want 0.1, the effective rate",
			all[8].config.Rate, err)
	}
}

func TestGrowth(t *testing.T) {
	rates := []float64{0.1, 0.2, 0.4}
	if got := extended(rates, true); !slices.Equal(got, []float64{0.8, 1.6}) {
		t.Errorf("up: %v, want 0.8 and 1.6", got)
	}
	if got := extended(rates, false); !slices.Equal(got, []float64{0.05, 0.025}) {
		t.Errorf("down: %v, want 0.05 and 0.025", got)
	}
	// An edge of either algorithm gives both more rates.
	if got := growth([2]choice{{edge: 1}, {edge: 0}}, rates); !slices.Equal(got,
		[]float64{0.8, 1.6}) {
		t.Errorf("GD at the largest rate: %v", got)
	}
	if got := growth([2]choice{{edge: -1}, {edge: 1}}, rates); !slices.Equal(got,
		[]float64{0.025, 0.05, 0.8, 1.6}) {
		t.Errorf("GD at the least and GD+M at the largest rate: %v", got)
	}
	if got := growth([2]choice{}, rates); got != nil {
		t.Errorf("no edge: %v", got)
	}
}

func TestChoose(t *testing.T) {
	s := two()
	s.Schedules, s.WeightDecays, s.Rates = []string{"cosine"}, []float64{0},
		[]float64{0.1, 0.2, 0.4}
	trials, err := s.trials(0, s.Rates)
	if err != nil {
		t.Fatal(err)
	}
	trials = trials[:3] // GD's
	for _, tt := range []struct {
		name     string
		choose   string
		outcomes []imagerun.Outcome
		want     float64
		edge     int
		fitted   bool
	}{
		{"the best of those that fitted", Fitted,
			[]imagerun.Outcome{ended(0, 1, 0.3, 2), ended(0, 1, 0.4, 2), ended(0, 0.9, 0.5, 2)},
			0.2,
			0, true},
		{"the best of all", Any, []imagerun.Outcome{ended(0, 1, 0.3, 2), ended(0, 1, 0.4, 2),
			ended(0, 0.9, 0.5, 2)}, 0.4, 1, false},
		{"none fitted", Fitted, []imagerun.Outcome{ended(0, 0.9, 0.6, 2), ended(0, 0.9, 0.4, 2),
			ended(0, 0.9, 0.5, 2)}, 0.1, -1, false},
		{"a tie goes to the lower loss", Fitted,
			[]imagerun.Outcome{ended(0, 1, 0.4, 2), ended(0, 1, 0.4, 1), ended(0, 1, 0.3, 0)}, 0.2,
			0,
			true},
		{"and then to the smaller rate", Fitted,
			[]imagerun.Outcome{ended(0, 1, 0.3, 1), ended(0, 1, 0.4, 1), ended(0, 1, 0.4, 1)}, 0.2,
			0,
			true},
		{"what has diverged is not chosen", Fitted,
			[]imagerun.Outcome{ended(0, 0.5, 0.1, 1), diverged(), diverged()}, 0.1, -1, false},
		// Fitted once, on the way, is not enough.
		{"at the last step", Fitted, []imagerun.Outcome{ended(0, 0.9, 0.5, 1, 0.5, 1),
			ended(0, 1, 0.4, 1), diverged()}, 0.2, 0, true},
	} {
		s.Choose = tt.choose
		best := s.choose(trials, tt.outcomes, false)
		if best.effectiveRate != tt.want || best.edge != tt.edge || best.fitted != tt.fitted ||
			best.tried != 3 {
			t.Errorf("%s: rate %v, edge %d, fitted %v of %d trials; want %v, %d, %v of 3", tt.name,
				best.effectiveRate, best.edge, best.fitted, best.tried, tt.want, tt.edge, tt.fitted)
		}
	}
	// When all have diverged the grid grows downwards; when that is over, it is an error.
	none := s.choose(trials, []imagerun.Outcome{diverged(), diverged(), diverged()}, false)
	if more := growth([2]choice{none, {}}, s.Rates); !slices.Equal(more, []float64{0.025, 0.05}) {
		t.Errorf("all diverged: the grid grows by %v, want 0.025 and 0.05", more)
	}
	if _, err := s.final(0, [2]choice{none, {}}); err == nil ||
		!strings.Contains(err.Error(),
			"mini: all 3 trials without momentum diverged: begin with lower -rates") {
		t.Errorf("error %v", err)
	}
}

// The final runs: other seeds than the trials', nothing held out; the controls at GD+M's effective
// rate and with ten times the epochs.
func TestFinal(t *testing.T) {
	s := two()
	trials, err := s.trials(0, s.Rates)
	if err != nil {
		t.Fatal(err)
	}
	// cosine, 0, 0.1; constant, 0.5, 0.2
	all, err := s.final(0, [2]choice{{trial: trials[0]}, {trial: trials[15]}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		opt      string
		rate     float64
		schedule string
		decay    float64
		epochs   int
	}{
		plain: {"gd", 0.1, "cosine", 0, 20}, momentum: {"gdm", 0.02, "constant", 0.5, 20},
		sameRate: {"gd", 0.2, "constant", 0.5, 20}, longer: {"gd", 0.1, "cosine", 0, 200},
	} {
		for j, c := range all[i] {
			if c.Opt != want.opt || c.Rate != want.rate || c.Schedule != want.schedule ||
				c.WeightDecay != want.decay || c.Epochs != want.epochs || c.Holdout != 0 ||
				c.Seed != uint64(2+j) {
				t.Errorf("arm %d, seed %d: %+v; want %+v", i, 2+j, c.Settings, want)
			}
		}
		if len(all[i]) != 3 {
			t.Errorf("arm %d: %d seeds, want 3", i, len(all[i]))
		}
	}
}

func TestStatus(t *testing.T) {
	for _, tt := range []struct {
		paper, mean, half float64
		want              string
	}{
		{8.85, 8, 1, "reproduced"}, // 7 to 9 holds 8.85, without 0
		{8.85, 5, 1, "direction only"},
		{8.85, 12, 1, "direction only"},
		{8.85, 5, 6, "undecided"}, // holds 8.85 and 0
		{8.85, -2, 1, "not"},
		{8.85, 0, 1, "not"},
		{-0.24, 0.1, 0.5, "reproduced"}, // the paper sees none, and so do we
		{-0.24, 5, 0.5, "not"},
		{-0.24, 5, 30, "undecided"}, // too wide to see that there is none
		{-0.24, -5, 0.5, "direction only"},
	} {
		got := status(tt.paper, stats.Interval{Mean: tt.mean, Half: tt.half, N: 3})
		if got != tt.want {
			t.Errorf("paper %v, ours %v ± %v: %s, want %s", tt.paper, tt.mean, tt.half, got,
				tt.want)
		}
	}
	if got := status(8.85, stats.Interval{Mean: 9, N: 1}); got != "undecided, n = 1" {
		t.Errorf("one seed: %s", got)
	}
}

// three results by hand: GD ends at 70, 72 and 74 %, GD+M at 80, 81 and 85; one seed of the control
// diverged.
func results(t *testing.T, s *Study) []result {
	t.Helper()
	trials, err := s.trials(0, s.Rates)
	if err != nil {
		t.Fatal(err)
	}
	r := result{Cell: s.Cells[0], trials: trials}
	for i := range trials {
		o := ended(0.1, 1, float64(i)/100, 1)
		if i == 7 || i == 15 {
			o = diverged()
		}
		r.tried = append(r.tried, o)
	}
	var best [2]choice
	for i := range best {
		best[i] = s.choose(trials, r.tried, i == momentum)
	}
	finals, err := s.final(0, best)
	if err != nil {
		t.Fatal(err)
	}
	for i, outcomes := range [arms][]imagerun.Outcome{
		plain: {ended(0.1, 1, 0.70, 1, 0.5, 1), ended(0.2, 1, 0.72, 1, 0.5, 0.6),
			ended(0.1, 1, 0.74, 1, 0.5, 0.6)},
		momentum: {ended(0.05, 1, 0.80, 1, 0.5, 1), ended(0.05, 1, 0.81, 1, 1),
			ended(0.3, 0.95, 0.85, 1, 0.5, 0.6)},
		sameRate: {ended(0.1, 1, 0.75, 1, 0.5, 1), diverged(), ended(0.5, 1, 0.77, 1, 0.5, 0.6)},
		longer: {ended(0.1, 1, 0.71, 1, 0.5, 1), ended(0.1, 1, 0.73, 1, 0.5, 0.6),
			ended(0.1, 1, 0.75, 1, 0.5, 0.6)},
	} {
		r.Arms[i] = arm{Title: s.armTitle(i, finals[i][0]), Config: finals[i][0],
			Outcomes: outcomes}
		if i < len(best) {
			r.Arms[i].best = best[i]
		}
	}
	return []result{r}
}

// What is in the tables, by hand: means and intervals (t₂ = 4.303: 72 ± 4.303·2/√3 = 5.0;
// differences 10, 9, 11: 10 ± 2.5), the equal loss of 0.2, which the seed that has not fitted does
// not reach.
func TestRows(t *testing.T) {
	s := two()
	rows := s.rows(results(t, s))
	if len(rows) != 4 {
		t.Fatalf("%d rows, want 4 arms of one measure", len(rows))
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 0.006 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	gd, gdm, same := rows[plain], rows[momentum], rows[sameRate]
	near("GD", gd.Ours.Mean, 72)
	near("half of GD's interval", gd.Ours.Half, 4.968)
	near("GD+M", gdm.Ours.Mean, 82)
	near("the difference", gd.Momentum.Mean, 10)
	near("half of its interval", gd.Momentum.Half, 2.484)
	near("the ratio", *gd.Ratio, 82.0/72)
	near("the equal loss", *gd.Level, 0.2)
	near("GD+M at that loss", gdm.Equal.Mean, 80.5)
	near("GD at that loss", gd.Equal.Mean, 72)
	if gd.Status != "reproduced" || *gd.Paper != 75.83 || *gdm.Paper != 84.68 ||
		gdm.Momentum != nil {
		t.Errorf("status %s, paper %v and %v, difference of GD+M to itself %v", gd.Status,
			*gd.Paper, *gdm.Paper, gdm.Momentum)
	}
	if !slices.Equal(gd.Zero, []int{1, 2, 2}) || !slices.Equal(gdm.Zero, []int{1, 0, -1}) {
		t.Errorf("zero training error at %v and %v, want 1, 2, 2 and 1, 0, never", gd.Zero,
			gdm.Zero)
	}
	// The seed that diverged counts in no mean, and its pair in no difference. The other that ends
	// above the equal loss does not reach it.
	if same.Diverged != 1 || same.Ours.N != 2 || same.Momentum.N != 2 || same.Seeds[1] != nil ||
		same.Equal.N != 1 {
		t.Errorf("control with a diverged seed: %+v", same)
	}
	near("the control", same.Ours.Mean, 76)
	near("the ratio to the control", *same.Ratio, (80.0+85)/(75+77))
	near("GD+M minus the control", same.Momentum.Mean, (5.0+8)/2)
	if gd.Trials != 8 || gdm.Trials != 8 {
		t.Errorf("%d and %d trials, want 8 each", gd.Trials, gdm.Trials)
	}
}

func TestTablesGolden(t *testing.T) {
	s := two()
	all := results(t, s)
	base := filepath.Join(t.TempDir(), "table")
	if _, err := s.writeTables(base, all); err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{".md", ".csv", ".json"} {
		got, err := os.ReadFile(base + ending)
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", "table"+ending)
		if *update {
			if err := os.WriteFile(golden, got, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is not as in %s; -update writes it anew:\n%s", ending, golden, got)
		}
	}
}

// A study all of whose final runs diverged has tables that say so.
func TestAllDiverged(t *testing.T) {
	s := two()
	all := results(t, s)
	for i := range all[0].Arms {
		all[0].Arms[i].Outcomes = []imagerun.Outcome{diverged(), diverged(), diverged()}
	}
	base := filepath.Join(t.TempDir(), "table")
	if _, err := s.writeTables(base, all); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(base + ".md")
	if want := "| mini | GD+M | 84.68 | none, 3 diverged | none | none |"; err != nil ||
		!strings.Contains(string(text), want) {
		t.Errorf("no %q in\n%s", want, text)
	}
	if text, err = os.ReadFile(base + ".csv"); err != nil ||
		!strings.Contains(string(text), "mini,GD+M,test accuracy,84.68,,,0,,,0,") {
		t.Errorf("the CSV has numbers for what is not known:\n%s", text)
	}
	if err := s.curves(all[0]).Write(base); err != nil {
		t.Errorf("curves: %v", err)
	}
}

// Accuracy by batch size: one point for each cell that differs in nothing else, the full batch at
// the number of images.
func TestByBatch(t *testing.T) {
	s := two()
	full, small, other := results(t, s)[0], results(t, s)[0], results(t, s)[0]
	full.Images, small.Images = 40, 40
	small.Base.Batch, small.Key = 8, "mini-8"
	other.Base.Width++
	pictures := s.byBatch([]result{full, small, other})
	if len(pictures) != 1 {
		t.Fatalf("%d pictures, want 1: the third cell has no other batch size", len(pictures))
	}
	gd := pictures[0].Panels[0][0].Lines[plain]
	if fmt.Sprintf("%.4g", [][]float64{gd.X, gd.Y, gd.Low, gd.High}) !=
		"[[8 40] [72 72] [70 70] [74 74]]" {
		t.Errorf("GD is %v %v %v %v; want 72 from 70 to 74 at 8 and 40", gd.X, gd.Y, gd.Low,
			gd.High)
	}
	if err := pictures[0].Write(filepath.Join(t.TempDir(), "batches")); err != nil {
		t.Error(err)
	}
}

// The pictures can be drawn of what there is: with seeds and trials that diverged.
func TestPictures(t *testing.T) {
	s := two()
	r := results(t, s)[0]
	for name, p := range map[string]interface{ Write(string) error }{"curves": s.curves(r),
		"trials": s.grid(r)} {
		base := filepath.Join(t.TempDir(), name)
		if err := p.Write(base); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
