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
			Images: 64, Parameterization: "weights", Subject: "Mini",
			Paper: Setting{Data: "cifar10", Model: "resnet18"}}},
		Measures: []Measure{{Column: "test_accuracy", Title: "test accuracy",
			Paper: map[Setting][2]float64{{Data: "cifar10", Model: "resnet18"}: {75.83, 84.68}}}},
		Gamma: 0.9, Form: "undamped", Protocols: []Protocol{Effective}, TrialSeeds: 1,
		Rates:     []float64{0.1, 0.2},
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
		a, b, rate := a.configs[0], all[i+8].configs[0], a.effectiveRate
		if a.Opt != "gd" || b.Opt != "gdm" || b.Momentum != 0.9 ||
			rate != all[i+8].effectiveRate || a.Schedule != b.Schedule ||
			a.WeightDecay != b.WeightDecay || a.Holdout != 500 || b.Seed != 1 {
			t.Errorf("trial %d is %+v with GD and %+v with GD+M", i, a.Settings, b.Settings)
		}
		if a.Rate != rate || b.Rate != map[float64]float64{0.1: 0.01, 0.2: 0.02}[rate] {
			t.Errorf("effective rate %v: η is %v of GD and %v of GD+M", rate, a.Rate, b.Rate)
		}
	}
	s.Form = "damped"
	if all, err = s.trials(0, s.Rates); err != nil || all[8].configs[0].Rate != 0.1 {
		t.Errorf("η is %v with damped momentum, %v; want 0.1, the effective rate",
			all[8].configs[0].Rate, err)
	}
	s.TrialSeeds = 2
	if all, err = s.trials(0, s.Rates); err != nil || len(all[8].configs) != 2 ||
		all[8].configs[1].Seed != 2 {
		t.Errorf("configurations of a trial with 2 seeds: %+v, %v", all[8].configs, err)
	}
}

// The same grid of η has effective rates ten times as large with undamped momentum of 0.9. What it
// has in common with the grid of effective rates is tried once.
func TestProtocols(t *testing.T) {
	s := one(0.1, 1, 2)
	for _, tt := range []struct {
		form      string
		protocols []Protocol
		want      []float64 // effective rates of GD+M
	}{
		{"undamped", []Protocol{Effective}, []float64{0.1, 1, 2}},
		{"undamped", []Protocol{Eta}, []float64{1, 10, 20}},
		{"undamped", []Protocol{Effective, Eta}, []float64{0.1, 1, 2, 10, 20}},
		{"damped", []Protocol{Effective, Eta}, []float64{0.1, 1, 2}},
	} {
		s.Form, s.Protocols = tt.form, tt.protocols
		trials, err := s.trials(0, s.Rates)
		if err != nil {
			t.Fatal(err)
		}
		var gd, gdm []float64
		for _, trial := range trials {
			if trial.momentum {
				gdm = append(gdm, trial.effectiveRate)
			} else {
				gd = append(gd, trial.effectiveRate)
			}
		}
		if !slices.Equal(gd, s.Rates) || !slices.Equal(gdm, tt.want) {
			t.Errorf("%s, %v: %v without momentum and %v with it, want %v and %v", tt.form,
				tt.protocols, gd, gdm, s.Rates, tt.want)
		}
	}
}

// one is a study of one schedule and weight decay over some rates, by both protocols.
func one(rates ...float64) *Study {
	s := two()
	s.Schedules, s.WeightDecays, s.Rates = []string{"cosine"}, []float64{0}, rates
	s.Protocols = []Protocol{Effective, Eta}
	return s
}

// accuracies are outcomes of one seed for each, all fitted.
func accuracies(values ...float64) (all [][]imagerun.Outcome) {
	for _, x := range values {
		all = append(all, []imagerun.Outcome{ended(0, 1, x, 1)})
	}
	return all
}

// Two choices of GD+M that are the same setting are one arm; others are two. Each protocol sees as
// many trials of each algorithm, and a best rate at the edge of either grid lets both grow.
func TestBothProtocols(t *testing.T) {
	s := one(0.1, 1, 2)
	trials, err := s.trials(0, s.Rates)
	if err != nil {
		t.Fatal(err)
	}
	r := result{Cell: s.Cells[0], trials: trials, rates: s.Rates}
	for _, tt := range []struct {
		name        string
		accuracies  []float64 // of GD at 0.1, 1, 2 and of GD+M at 0.1, 1, 2, 10, 20
		first, next float64   // effective rates that are chosen with momentum
		grows       []float64
	}{
		{"one choice", []float64{.1, .3, .2, .2, .5, .1, .1, .1}, 1, 1,
			[]float64{0.001, 0.01}}, // the best for η is the least of its grid, 1/10
		{"two choices", []float64{.1, .3, .2, .2, .5, .1, .6, .1}, 1, 10, nil},
		{"both at the edge", []float64{.1, .3, .2, .2, .1, .3, .1, .4}, 2, 20,
			[]float64{4, 8}},
		{"GD at the edge", []float64{.1, .3, .4, .2, .5, .1, .6, .1}, 1, 10, []float64{4, 8}},
	} {
		r.tried = accuracies(tt.accuracies...)
		best := s.chooseAll(r)
		for i, want := range []int{plain: 3, momentum: 3, etaGrid: 3} {
			if best[i].tried != want {
				t.Errorf("%s: choice %d is of %d trials, want %d", tt.name, i, best[i].tried, want)
			}
		}
		if best[momentum].effectiveRate != tt.first || best[etaGrid].effectiveRate != tt.next {
			t.Errorf("%s: chose %v and %v, want %v and %v", tt.name, best[momentum].effectiveRate,
				best[etaGrid].effectiveRate, tt.first, tt.next)
		}
		if got := growth(best, s.Rates); !slices.Equal(got, tt.grows) {
			t.Errorf("%s: the grid grows by %v, want %v", tt.name, got, tt.grows)
		}
		finals, err := s.final(0, best)
		if err != nil {
			t.Fatal(err)
		}
		wantArm := tt.first != tt.next
		if got := len(finals[etaGrid]) > 0; got != wantArm {
			t.Errorf("%s: a second arm: %v, want %v", tt.name, got, wantArm)
		} else if wantArm && finals[etaGrid][0].Rate != tt.next/10 {
			t.Errorf("%s: η of the second arm is %v, want %v", tt.name, finals[etaGrid][0].Rate,
				tt.next/10)
		}
		// The trials that the growth adds are as many for both algorithms and protocols.
		if n := len(s.effectiveRates(Eta, true, tt.grows)); n != len(tt.grows) {
			t.Errorf("%s: %d rates, want %d", tt.name, n, len(tt.grows))
		}
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
	if got := growth([chosen]choice{{edge: 1}, {edge: 0}}, rates); !slices.Equal(got,
		[]float64{0.8, 1.6}) {
		t.Errorf("GD at the largest rate: %v", got)
	}
	if got := growth([chosen]choice{{edge: -1}, {}, {edge: 1}}, rates); !slices.Equal(got,
		[]float64{0.025, 0.05, 0.8, 1.6}) {
		t.Errorf("GD at the least and GD+M at the largest rate: %v", got)
	}
	if got := growth([chosen]choice{}, rates); got != nil {
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
		outcomes []imagerun.Outcome // by rate
		want     float64
		edge     int
		fits     int
	}{
		{"the best of those that fitted", Fitted,
			[]imagerun.Outcome{ended(0, 1, 0.3, 2), ended(0, 1, 0.4, 2), ended(0, 0.9, 0.5, 2)},
			0.2,
			0, 1},
		{"the best of all", Any, []imagerun.Outcome{ended(0, 1, 0.3, 2), ended(0, 1, 0.4, 2),
			ended(0, 0.9, 0.5, 2)}, 0.4, 1, 0},
		{"none fitted", Fitted, []imagerun.Outcome{ended(0, 0.9, 0.6, 2), ended(0, 0.9, 0.4, 2),
			ended(0, 0.9, 0.5, 2)}, 0.1, -1, 0},
		{"a tie goes to the lower loss", Fitted,
			[]imagerun.Outcome{ended(0, 1, 0.4, 2), ended(0, 1, 0.4, 1), ended(0, 1, 0.3, 0)}, 0.2,
			0,
			1},
		{"and then to the smaller rate", Fitted,
			[]imagerun.Outcome{ended(0, 1, 0.3, 1), ended(0, 1, 0.4, 1), ended(0, 1, 0.4, 1)}, 0.2,
			0,
			1},
		{"what has diverged is not chosen", Fitted,
			[]imagerun.Outcome{ended(0, 0.5, 0.1, 1), diverged(), diverged()}, 0.1, -1, 0},
		// Fitted once, on the way, is not enough.
		{"at the last step", Fitted, []imagerun.Outcome{ended(0, 0.9, 0.5, 1, 0.5, 1),
			ended(0, 1, 0.4, 1), diverged()}, 0.2, 0, 1},
	} {
		s.Choose = tt.choose
		var bySeed [][]imagerun.Outcome
		for _, o := range tt.outcomes {
			bySeed = append(bySeed, []imagerun.Outcome{o})
		}
		best := s.choose(trials, bySeed, false, s.Rates)
		if best.effectiveRate != tt.want || best.edge != tt.edge || best.fits != tt.fits ||
			best.tried != 3 {
			t.Errorf("%s: rate %v, edge %d, fitted %v of %d trials; want %v, %d, %v of 3", tt.name,
				best.effectiveRate, best.edge, best.fits, best.tried, tt.want, tt.edge, tt.fits)
		}
	}
	// When all have diverged the grid grows downwards; when that is over, it is an error.
	none := s.choose(trials, [][]imagerun.Outcome{{diverged()}, {diverged()}, {diverged()}}, false,
		s.Rates)
	if more := growth([chosen]choice{none, {}}, s.Rates); !slices.Equal(more, []float64{0.025, 0.05}) {
		t.Errorf("all diverged: the grid grows by %v, want 0.025 and 0.05", more)
	}
	if _, err := s.final(0, [chosen]choice{none, {}}); err == nil ||
		!strings.Contains(err.Error(),
			"mini: all 3 trials without momentum diverged: begin with lower -rates") {
		t.Errorf("error %v", err)
	}
}

// Over two seeds: what fits in both comes first, then what fits in one; then the mean held-out
// accuracy decides. A seed that diverged excludes its setting, unless every setting has one.
func TestChooseOverSeeds(t *testing.T) {
	s := one(0.1, 0.2, 0.4)
	s.TrialSeeds = 2
	trials, err := s.trials(0, s.Rates)
	if err != nil {
		t.Fatal(err)
	}
	fit := func(test float64) imagerun.Outcome { return ended(0, 1, test, 1) }
	miss := func(test float64) imagerun.Outcome { return ended(0, 0.9, test, 1) }
	for _, tt := range []struct {
		name     string
		outcomes [][]imagerun.Outcome // by rate and seed
		want     float64
		heldOut  float64
		fits     int
	}{
		{"the best mean", [][]imagerun.Outcome{{fit(.3), fit(.4)}, {fit(.1), fit(.5)},
			{fit(.2), fit(.4)}}, 0.1, 0.35, 2},
		{"both fit before one", [][]imagerun.Outcome{{fit(.5), miss(.5)}, {fit(.2), fit(.3)},
			{miss(.6), miss(.6)}}, 0.2, 0.25, 2},
		{"one fits before none", [][]imagerun.Outcome{{miss(.5), miss(.5)}, {miss(.6), miss(.6)},
			{fit(.2), miss(.3)}}, 0.4, 0.25, 1},
		{"a diverged seed excludes", [][]imagerun.Outcome{{fit(.9), diverged()},
			{miss(.2), miss(.1)}, {diverged(), diverged()}}, 0.2, 0.15, 0},
		{"unless all have one", [][]imagerun.Outcome{{fit(.3), diverged()}, {diverged(), fit(.4)},
			{diverged(), diverged()}}, 0.2, 0.4, 1},
	} {
		best := s.choose(trials[:3], tt.outcomes, false, s.Rates)
		if best.effectiveRate != tt.want || math.Abs(best.heldOut-tt.heldOut) > 1e-12 ||
			best.fits != tt.fits {
			t.Errorf("%s: rate %v, %v on held-out images, %d fitted; want %v, %v and %d", tt.name,
				best.effectiveRate, best.heldOut, best.fits, tt.want, tt.heldOut, tt.fits)
		}
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
	all, err := s.final(0, [chosen]choice{{trial: trials[0]}, {trial: trials[15]}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]struct {
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
		{8.85, -2, 1, "opposite"},
		{8.85, 0, 1, "no difference seen"},
		{-0.24, 0.1, 0.5, "reproduced"}, // the paper sees none, and so do we
		{-0.24, 5, 0.5, "opposite"},
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
	r := result{Cell: s.Cells[0], trials: trials, rates: s.Rates}
	for i := range trials {
		o := ended(0.1, 1, float64(i)/100, 1)
		if i == 7 || i == 15 {
			o = diverged()
		}
		r.tried = append(r.tried, []imagerun.Outcome{o})
	}
	best := s.chooseAll(r)
	finals, err := s.final(0, best)
	if err != nil {
		t.Fatal(err)
	}
	all := [arms][]imagerun.Outcome{
		plain: {ended(0.1, 1, 0.70, 1, 0.5, 1), ended(0.2, 1, 0.72, 1, 0.5, 0.6),
			ended(0.1, 1, 0.74, 1, 0.5, 0.6)},
		momentum: {ended(0.05, 1, 0.80, 1, 0.5, 1), ended(0.05, 1, 0.81, 1, 1),
			ended(0.3, 0.95, 0.85, 1, 0.5, 0.6)},
		sameRate: {ended(0.1, 1, 0.75, 1, 0.5, 1), diverged(), ended(0.5, 1, 0.77, 1, 0.5, 0.6)},
		longer: {ended(0.1, 1, 0.71, 1, 0.5, 1), ended(0.1, 1, 0.73, 1, 0.5, 0.6),
			ended(0.1, 1, 0.75, 1, 0.5, 0.6)},
	}
	if len(finals[etaGrid]) > 0 { // 69, 71 and 74 %
		all[etaGrid] = []imagerun.Outcome{ended(0.1, 1, 0.69, 1), ended(0.1, 1, 0.71, 1),
			ended(0.1, 1, 0.74, 1)}
	}
	for i, outcomes := range all {
		if len(outcomes) > 0 {
			r.Arms[i].Config, r.Arms[i].Outcomes = finals[i][0], outcomes
		}
	}
	s.label(&r, best)
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
	gd, gdm, same := rows[0], rows[1], rows[2]
	near("GD", gd.Ours.Mean, 72)
	near("half of GD's interval", gd.Ours.Half, 4.968)
	near("GD+M", gdm.Ours.Mean, 82)
	near("the difference", gd.Difference.Mean, 10)
	near("half of its interval", gd.Difference.Half, 2.484)
	near("the ratio", *gd.Ratio, 82.0/72)
	near("the equal loss", *gd.Level, 0.2)
	near("GD+M at that loss", gdm.Equal.Mean, 80.5)
	near("GD at that loss", gd.Equal.Mean, 72)
	if gd.Status != "reproduced" || *gd.Paper != 75.83 || *gdm.Paper != 84.68 ||
		gdm.Difference != nil {
		t.Errorf("status %s, paper %v and %v, difference of GD+M to itself %v", gd.Status,
			*gd.Paper, *gdm.Paper, gdm.Difference)
	}
	if !slices.Equal(gd.Zero, []int{1, 2, 2}) || !slices.Equal(gdm.Zero, []int{1, 0, -1}) {
		t.Errorf("zero training error at %v and %v, want 1, 2, 2 and 1, 0, never", gd.Zero,
			gdm.Zero)
	}
	// The seed that diverged counts in no mean, and its pair in no difference. The other that ends
	// above the equal loss does not reach it.
	if same.Diverged != 1 || same.Ours.N != 2 || same.Difference.N != 2 || same.Seeds[1] != nil ||
		same.Equal.N != 1 {
		t.Errorf("control with a diverged seed: %+v", same)
	}
	near("the control", same.Ours.Mean, 76)
	near("the ratio to the control", *same.Ratio, (80.0+85)/(75+77))
	if same.Beyond != "diverged in 1 of 3 seeds" {
		t.Errorf("the control %q", same.Beyond)
	}
	near("GD+M minus the control", same.Difference.Mean, (5.0+8)/2)
	if gd.Trials != 8 || gdm.Trials != 8 {
		t.Errorf("%d and %d trials, want 8 each", gd.Trials, gdm.Trials)
	}
}

// The choice of GD+M by the same grid of η is an arm of its own beside the other, with its
// difference to GD (−1, −1, 0: −0.67 ± 1.43) and the paper's verdict. Where both choices are one
// setting, its arm has both names.
func TestTwoArms(t *testing.T) {
	s := two()
	s.Protocols = []Protocol{Effective, Eta}
	rows := s.rows(results(t, s))
	if len(rows) != 5 {
		t.Fatalf("%d rows, want 5 arms", len(rows))
	}
	for i, want := range []struct{ arm, of, protocol, status string }{
		{"GD", "GD+M (grid of η_eff) − GD", "η_eff and η", "reproduced"},
		{"GD+M (grid of η_eff)", "", "η_eff", ""},
		{"GD+M (grid of η)", "GD+M (grid of η) − GD", "η", "no difference seen"},
		{"GD at the effective rate of GD+M (grid of η_eff)",
			"GD+M (grid of η_eff) − GD at the effective rate of GD+M (grid of η_eff)", "", ""},
		{"GD, 10 times the epochs", "GD+M (grid of η_eff) − GD, 10 times the epochs", "", ""},
	} {
		r := rows[i]
		if r.Arm != want.arm || r.Of != want.of || r.Protocol != want.protocol ||
			r.Status != want.status {
			t.Errorf("%q, %q, %q, %q; want %q", r.Arm, r.Of, r.Protocol, r.Status, want)
		}
	}
	if d := rows[2].Difference; math.Abs(d.Mean+2.0/3) > 1e-9 || math.Abs(d.Half-1.434) > 0.001 {
		t.Errorf("the second arm minus GD: %v, want −0.67 ± 1.43", d)
	}
	if rows[1].EtaEff == rows[2].EtaEff || rows[1].Trials != 8 || rows[2].Trials != 8 {
		t.Errorf("η_eff %v of %d settings and %v of %d; want two rates, each of 8 settings",
			rows[1].EtaEff, rows[1].Trials, rows[2].EtaEff, rows[2].Trials)
	}
	s.Form = "damped" // both grids are one
	rows = s.rows(results(t, s))
	if len(rows) != 4 || rows[1].Arm != "GD+M" || rows[1].Protocol != "η_eff and η" {
		t.Errorf("damped: %d arms, %q of the grid of %s; want 4, GD+M of both", len(rows),
			rows[1].Arm, rows[1].Protocol)
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
	for _, i := range []int{plain, momentum, sameRate, longer} {
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
		!strings.Contains(string(text), "mini,64,weights,GD+M,test accuracy,84.68,,,0,,,0,") {
		t.Errorf("the CSV has numbers for what is not known:\n%s", text)
	}
	if err := s.curves(all[0]).Write(base); err != nil {
		t.Errorf("curves: %v", err)
	}
}

// Accuracy by batch size and by number of images: one point for each cell that differs in nothing
// else, the full batch at the number of images; and what momentum adds, paired by seed (by hand as in
// TestRows).
func TestAgainst(t *testing.T) {
	s := two()
	cell := func(change func(*result)) result {
		r := results(t, s)[0]
		r.Images = 40
		change(&r)
		return r
	}
	full := cell(func(*result) {})
	for _, tt := range []struct {
		property against
		small    result
		want     string
	}{
		{batches, cell(func(r *result) { r.Base.Batch, r.Base.Opt = 8, "sgd" }), "[8 40]"},
		{images, cell(func(r *result) { r.Images = 20 }), "[20 40]"},
	} {
		others := []result{cell(func(r *result) { r.Base.Width++ }),
			cell(func(r *result) { r.Parameterization = "he" })}
		pictures := s.against(append(others, full, tt.small), tt.property)
		if len(pictures) != 1 {
			t.Fatalf("%s: %d pictures, want 1: two cells have no partner", tt.property.name,
				len(pictures))
		}
		panels := pictures[0].Panels[0]
		gd, gain := panels[0].Lines[0], panels[1].Lines[0]
		if got := fmt.Sprintf("%.4g", [][]float64{gd.X, gd.Y, gd.Low, gd.High}); got !=
			"["+tt.want+" [72 72] [67.03 67.03] [76.97 76.97]]" {
			t.Errorf("%s: GD is %s; want 72 ± 4.97 at %s", tt.property.name, got, tt.want)
		}
		if got := fmt.Sprintf("%.4g", [][]float64{gain.X, gain.Y, gain.Low, gain.High}); got !=
			"["+tt.want+" [10 10] [7.516 7.516] [12.48 12.48]]" {
			t.Errorf("%s: momentum adds %s; want 10 ± 2.48 at %s", tt.property.name, got, tt.want)
		}
		// The control with two seeds left, 76 ± 13, and the arms end at 100%.
		for _, l := range panels[0].Lines {
			if slices.Max(l.High) > 100 || slices.Min(l.Low) < 0 {
				t.Errorf("%s: a band from %v to %v", l.Name, l.Low, l.High)
			}
		}
		base := filepath.Join(t.TempDir(), tt.property.name)
		if err := pictures[0].Write(base); err != nil {
			t.Error(err)
		}
	}
}

// The mean curve of seeds that end at different epochs goes on to the last end: those that ended
// keep their last value. One that diverged ends the curve.
func TestHeld(t *testing.T) {
	short, long := ended(0.1, 1, 0.7, 1, 0.5), ended(0.3, 1, 0.8, 1, 0.4, 0.6, 0.9)
	loss := func(o imagerun.Outcome) (x, y []float64) { return o.Series("loss") }
	got := held([]imagerun.Outcome{short, long}, loss)
	if want := "[{[0 1 2 3] [2 0.1 0.1 0.1]} {[0 1 2 3] [2 1.5 1 0.3]}]"; fmt.Sprint(got) != want {
		t.Errorf("curves %v, want %s", got, want)
	}
	short.Diverged = true
	if got := held([]imagerun.Outcome{short, long}, loss); len(got[0].X) != 2 {
		t.Errorf("a diverged seed goes on: %v", got[0])
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
