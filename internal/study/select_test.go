package study

import (
	"math"
	"slices"
	"strings"
	"testing"

	"momentum/internal/imagerun"
)

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
		more, err := s.trials(0, tt.grows)
		if err != nil {
			t.Fatal(err)
		}
		count := func(withMomentum bool, rates []float64) (n int) {
			for _, u := range more {
				if u.momentum == withMomentum && slices.Contains(rates, u.effectiveRate) {
					n++
				}
			}
			return n
		}
		if n := [3]int{count(false, tt.grows), count(true, tt.grows),
			count(true, s.effectiveRates(Eta, true, tt.grows))}; n != [3]int{len(tt.grows),
			len(tt.grows), len(tt.grows)} {
			t.Errorf("%s: the growth adds %v trials, want %d each", tt.name, n, len(tt.grows))
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
	if more := growth([chosen]choice{none}, s.Rates); !slices.Equal(more,
		[]float64{0.025, 0.05}) {
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

// After the first seed, only settings that may be chosen get more. When those miss with the second,
// a setting that missed with the first may be chosen again, and gets its second too.
func TestFurtherSeeds(t *testing.T) {
	s := one(0.1, 0.2, 0.4)
	s.TrialSeeds, s.Protocols = 2, []Protocol{Effective}
	trials, err := s.trials(0, s.Rates)
	if err != nil {
		t.Fatal(err)
	}
	r := result{Cell: s.Cells[0], trials: trials, rates: s.Rates}
	fit, miss := ended(0, 1, 0.3, 1), ended(0, 0.9, 0.6, 1)
	type run struct {
		opt  string
		rate float64
		seed uint64
	}
	for _, tt := range []struct {
		name  string
		tried [][]imagerun.Outcome // of GD at the three rates, then of GD+M
		want  []run
	}{
		{"first seeds", [][]imagerun.Outcome{{fit}, {miss}, {diverged()}, {miss}, {fit}, {fit}},
			[]run{{"gd", 0.1, 2}, {"gdm", 0.02, 2}, {"gdm", 0.04, 2}}},
		{"GD missed", [][]imagerun.Outcome{{fit, miss}, {miss}, {diverged()}, {miss}, {fit, fit},
			{fit, miss}}, []run{{"gd", 0.2, 2}}},
		{"all have theirs", [][]imagerun.Outcome{{fit, miss}, {miss, miss}, {diverged()}, {miss},
			{fit, fit}, {fit, miss}}, nil},
	} {
		r.tried = tt.tried
		var got []run
		for _, c := range s.further(&r) {
			got = append(got, run{c.Opt, c.Rate, c.Seed})
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	best := s.chooseAll(r)
	if best[plain].effectiveRate != 0.1 || best[plain].fits != 1 ||
		best[momentum].effectiveRate != 0.2 || best[momentum].fits != 2 {
		t.Errorf("chose %v, fitted %d, and %v, fitted %d; want 0.1, 1, 0.2 and 2",
			best[plain].effectiveRate, best[plain].fits, best[momentum].effectiveRate,
			best[momentum].fits)
	}
	// Where every setting of an algorithm diverged with the first seed, all get the second.
	if r.trials, err = s.trials(0, s.Rates); err != nil {
		t.Fatal(err)
	}
	r.tried = [][]imagerun.Outcome{{diverged()}, {diverged()}, {diverged()}, {miss}, {fit}, {miss}}
	if got := s.further(&r); len(got) != 4 || got[0].Seed != 2 || got[2].Rate != 0.4 ||
		got[3].Opt != "gdm" || got[3].Seed != 2 {
		t.Errorf("after a first seed that diverged: %+v, want seed 2 of all of GD and one of GD+M",
			got)
	}
}
