// Package study compares descent without and with momentum on images, fairly: the same number of
// trials for both over one grid of rates, schedules and weight decays, judged by held-out training
// images over several seeds; then the best setting of each, trained with other seeds and nothing
// held out, and two controls that tell momentum from a larger rate and from longer training. The
// grid has the effective rates of both algorithms, or their η, or is read in both ways: a
// [Protocol].
//
// A study has stages, each a sweep (internal/sweep) in a folder of its own: trials-1, the first
// seed on the grid; trials-2 and so on, further seeds of the settings that may be chosen, and rates
// by which a grid grew whose first or last rate was the best; and final. Every number, table and
// picture is taken from the run folders alone, so a study that was interrupted anywhere ends with
// the same bytes.
//
// A figure's command is data ([Figure]). Its parts, in the order of a run: flags.go reads the
// options; cells.go makes the comparisons; stages.go goes through the stages, with borrow.go,
// launch.go and cost.go; select.go chooses; result.go reads the run folders; table.go, markdown.go,
// csv.go, contrast.go, curves.go, grid.go, against.go, trainability.go, mechanism.go, report.go and
// partial.go write what people look at; remember.go keeps the flags.
package study

import (
	"fmt"
	"slices"
	"strconv"

	"momentum/internal/descent"
	"momentum/internal/imagerun"
	"momentum/internal/runlist"
)

// Study is a comparison and its procedure.
type Study struct {
	Name     string // of the command, such as "figure1"
	Title    string
	Note     string // stands below the tables
	Cells    []Cell
	Measures []Measure // the first one, on held-out images, chooses, and is drawn

	Gamma        float64    // γ of the rule with momentum
	Form         string     // of momentum
	Protocols    []Protocol // one or two; Effective is the first of two
	Rates        []float64  // of the grid, increasing
	Schedules    []string
	WeightDecays []float64
	Holdout      int    // training images held out of the trials
	Choose       string // Fitted or Any
	TrialsOf     string // the folder of another study whose trials choose, in place of own ones
	Grow         int    // how often a grid may grow
	TrialSeeds   int    // settings are tried with seed 1, those that may be chosen up to TrialSeeds
	Seeds        int    // number of seeds of the final runs, which follow
	Longer       int    // factor on the epochs of a control; 0: no such control

	otherTrials string // in what those of TrialsOf differ from the runs of this study
}

// The settings that can be chosen.
const (
	Fitted = "fitted" // those with zero training error at the end in the most trial seeds
	Any    = "any"
)

// Protocol says what the rates of the grid are. Without momentum it makes no difference.
type Protocol string

// The protocols. In the damped form of momentum they are the same.
const (
	Effective Protocol = "effective" // effective rates: a fair step length for both algorithms
	Eta       Protocol = "eta"       // η: what a user of PyTorch searches
)

// symbol is the usual name of the protocol's rate.
func (p Protocol) symbol() string {
	if p == Eta {
		return "η"
	}
	return "η_eff"
}

// Cell is one comparison: a number of images of a data set, a network with its parameterization,
// and a batch size.
type Cell struct {
	Key   string // names its files, such as "cifar10-resnet18-weights-512-full"
	Title string // such as "CIFAR-10, 512 images, ResNet-18 of width 8, full batch"
	// Names are the parts of the title: the set of images, their number, the network with its
	// parameterization, and the batch.
	Names [4]string
	// Base is the configuration without the rule, the rate, the schedule, the weight decay and the
	// seed. Its algorithm is gd or sgd.
	Base             imagerun.Config
	Images           int    // for training
	Parameterization string // one of parameterizations
	Classes          int
	Paper            Setting // whose numbers of the paper stand beside it
}

// Setting identifies numbers of the paper. The paper has no other sizes than the batch's: its
// numbers stand also beside ours with fewer images or channels.
type Setting struct {
	Data  string // cifar10 or cifar100
	Model string // resnet18 or wrn16
	Batch int    // 0: full
}

// Measure is an accuracy, or the quotient of two.
type Measure struct {
	Column string                 // of the metrics, such as "test_accuracy"
	Over   string                 // another column by which it is divided, if not empty
	Title  string                 // such as "test accuracy"
	Paper  map[Setting][2]float64 // the paper's numbers, %, without and with momentum
}

// paper returns the paper's numbers for a cell, if it has any. It has none with batch
// normalization: it says only that the gain is smaller.
func (m Measure) paper(c Cell) (numbers [2]float64, ok bool) {
	if c.Base.Norm == "batch" {
		return numbers, false
	}
	numbers, ok = m.Paper[c.Paper]
	return numbers, ok
}

// value is the measure in %, from a function that returns a run's number in a column.
func (m Measure) value(get func(column string) float64) float64 {
	x := 100 * get(m.Column)
	if m.Over != "" {
		x /= get(m.Over)
	}
	return x
}

// trial is a setting that is tried in a cell.
type trial struct {
	momentum      bool
	effectiveRate float64
	configs       []imagerun.Config // by seed
	started       int               // seeds that are in the list of a stage
}

// schedule and decay are the other two parts of the setting.
func (t trial) schedule() string { return t.configs[0].Schedule }
func (t trial) decay() float64   { return t.configs[0].WeightDecay }

// same reports whether two trials have the same setting.
func (t trial) same(u trial) bool {
	return t.momentum == u.momentum && t.effectiveRate == u.effectiveRate &&
		t.schedule() == u.schedule() && t.decay() == u.decay()
}

// The arms of a comparison, in the order of the tables. The first ones are chosen from trials.
const (
	plain    = iota
	momentum // the choice of the first protocol
	etaGrid  // the choice of the second protocol, if it is another setting
	sameRate // without momentum, at the effective rate, schedule and weight decay of momentum
	longer   // without momentum, with Longer times the epochs
	arms
	chosen = sameRate // number of arms that are chosen
)

// effectiveRates are those of an algorithm at the rates of a grid.
func (s *Study) effectiveRates(p Protocol, withMomentum bool, rates []float64) []float64 {
	factor := 1.0
	if withMomentum && p == Eta {
		factor = descent.Rule{Form: descent.Form(s.Form), Gamma: s.Gamma}.EffectiveRate(1)
	}
	all := make([]float64, len(rates))
	for i, rate := range rates {
		all[i] = tidy(factor * rate)
	}
	return all
}

// config is the configuration of a run of a cell.
func (s *Study) config(cell Cell, withMomentum bool, effectiveRate float64, schedule string,
	weightDecay float64) (imagerun.Config, error) {
	c := cell.Base
	if withMomentum {
		c.Opt, c.Momentum, c.Form = c.Opt+"m", s.Gamma, s.Form
	}
	c.Schedule, c.WeightDecay, c.Seed = schedule, weightDecay, 1
	c.Normalize()
	c.Rate = tidy(effectiveRate / c.Rule().EffectiveRate(1))
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("%s: %w", cell.Title, err)
	}
	return c, nil
}

// tidy rounds to 6 digits, so that names and tables have 0.005 rather than 0.005000000000000001.
func tidy(x float64) float64 {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 6, 64), 64)
	return rounded
}

// trials are the settings of a cell at some rates of the grid: as many without momentum as with it
// by each protocol. What two protocols have in common is tried once.
func (s *Study) trials(cell int, rates []float64) ([]trial, error) {
	var all []trial
	for _, withMomentum := range []bool{false, true} {
		var effective []float64
		for _, p := range s.Protocols {
			effective = append(effective, s.effectiveRates(p, withMomentum, rates)...)
		}
		slices.Sort(effective)
		effective = slices.Compact(effective)
		for _, schedule := range s.Schedules {
			for _, weightDecay := range s.WeightDecays {
				for _, rate := range effective {
					c, err := s.config(s.Cells[cell], withMomentum, rate, schedule, weightDecay)
					if err != nil {
						return nil, err
					}
					c.Holdout, c.Slim = s.Holdout, true // nobody needs the weights of a trial
					c.Diagnose = ""                     // and final runs alone are diagnosed
					c.Normalize()
					all = append(all, trial{withMomentum, rate, seeds(c, 1, s.TrialSeeds), 1})
				}
			}
		}
	}
	return all, nil
}

// seeds is a configuration with n seeds from the first on.
func seeds(c imagerun.Config, first, n int) []imagerun.Config {
	all := make([]imagerun.Config, n)
	for i := range all {
		all[i] = c
		all[i].Seed = uint64(first + i)
	}
	return all
}

// final are the last runs of a cell, by arm and then by seed: both algorithms at their best, and
// the controls.
func (s *Study) final(cell int, best [chosen]choice) (all [arms][]imagerun.Config, err error) {
	for i, b := range best {
		if b.allDiverged {
			return all, fmt.Errorf("study: %s: all %d trials %s diverged: begin with lower -rates",
				s.Cells[cell].Title, b.tried,
				[chosen]string{"without momentum", "with momentum", "with momentum"}[i])
		}
	}
	configs := map[int]imagerun.Config{}
	add := func(arm int, withMomentum bool, of choice) {
		if err == nil {
			configs[arm], err = s.config(s.Cells[cell], withMomentum, of.effectiveRate,
				of.schedule(), of.decay())
		}
	}
	add(plain, false, best[plain])
	add(momentum, true, best[momentum])
	add(sameRate, false, best[momentum])
	if second := best[etaGrid]; second.tried > 0 && !second.same(best[momentum].trial) {
		add(etaGrid, true, second)
	}
	if s.Longer > 0 {
		add(longer, false, best[plain])
	}
	if err != nil {
		return all, err
	}
	for arm, c := range configs {
		if arm == longer {
			c.Epochs *= s.Longer
			if c.UntilLoss == 0 {
				c.EvalEvery *= s.Longer // as many points on the curve
			}
		}
		if err := c.Validate(); err != nil {
			return all, err
		}
		all[arm] = seeds(c, s.TrialSeeds+1, s.Seeds)
	}
	return all, nil
}

// list is the list of runs with some configurations. A configuration that occurs twice is one run.
func list(configs []imagerun.Config) ([]runlist.Run, error) {
	var all []runlist.Run
	seen := map[string]bool{}
	for _, c := range configs {
		run, err := c.Run()
		if err != nil {
			return nil, err
		}
		if !seen[run.Name] {
			seen[run.Name] = true
			all = append(all, run)
		}
	}
	return all, nil
}
