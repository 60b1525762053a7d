// Package study compares descent without and with momentum on images, fairly: the same number of
// trials for both over one grid of rates, schedules and weight decays, judged by held-out training
// images; then the best setting of each, trained with other seeds and nothing held out, and two
// controls that tell momentum from a larger rate and from longer training.
//
// A study has stages, each a sweep (internal/sweep) in a folder of its own: trials-1, on the grid;
// trials-2 and so on, where the best rate was the grid's first or last and the grid grew; and
// final. Every number, table and picture is taken from the run folders alone, so a study that was
// interrupted anywhere ends with the same bytes.
//
// A figure's command is data ([Figure]). Its parts, in the order of a run: flags.go reads the
// options; cells.go makes the comparisons; stages.go goes through the stages, with launch.go and
// cost.go; select.go chooses; result.go reads the run folders; table.go, csv.go, curves.go,
// grid.go, batches.go and report.go write what people look at.
package study

import (
	"fmt"
	"strconv"

	"momentum/internal/imagerun"
	"momentum/internal/runlist"
)

// trialSeed is the seed of all trials. The final runs have the seeds that follow.
const trialSeed = 1

// Study is a comparison and its procedure.
type Study struct {
	Name     string // of the command, such as "figure1"
	Title    string
	Note     string // stands below the tables
	Cells    []Cell
	Measures []Measure // the first one, on held-out images, chooses, and is drawn

	Gamma        float64   // γ of the rule with momentum
	Form         string    // of momentum
	Rates        []float64 // effective rates of the grid, increasing
	Schedules    []string
	WeightDecays []float64
	Holdout      int    // training images held out of the trials
	Choose       string // Fitted or Any
	Grow         int    // how often a grid may grow
	Seeds        int    // of the final runs
	Longer       int    // factor on the epochs of a control; 0: no such control
}

// The settings that can be chosen.
const (
	Fitted = "fitted" // those with zero training error at the end, unless there are none
	Any    = "any"
)

// Cell is one comparison: a data set, a network and a batch size.
type Cell struct {
	Key   string // names its files, such as "cifar10-resnet18-full"
	Title string // such as "CIFAR-10, ResNet-18, full batch"
	// Base is the configuration without the rule, the rate, the schedule, the weight decay and the
	// seed. Its algorithm is gd or sgd.
	Base    imagerun.Config
	Images  int // for training
	Classes int
	Paper   Setting // whose numbers of the paper stand beside it
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
	if c.Base.Norm != "none" {
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
	cell          int
	momentum      bool
	effectiveRate float64
	config        imagerun.Config
}

// The arms of a comparison, in the order of the tables.
const (
	plain = iota
	momentum
	sameRate // without momentum, at the effective rate, schedule and weight decay of momentum
	longer   // without momentum, with Longer times the epochs
	arms
)

// config is the configuration of a run of a cell.
func (s *Study) config(cell Cell, withMomentum bool, effectiveRate float64, schedule string,
	weightDecay float64) (imagerun.Config, error) {
	c := cell.Base
	if withMomentum {
		c.Opt, c.Momentum, c.Form = c.Opt+"m", s.Gamma, s.Form
	}
	c.Schedule, c.WeightDecay, c.Seed = schedule, weightDecay, trialSeed
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

// trials are the settings of a cell at some effective rates: as many without momentum as with it.
func (s *Study) trials(cell int, rates []float64) ([]trial, error) {
	var all []trial
	for _, withMomentum := range []bool{false, true} {
		for _, schedule := range s.Schedules {
			for _, weightDecay := range s.WeightDecays {
				for _, rate := range rates {
					c, err := s.config(s.Cells[cell], withMomentum, rate, schedule, weightDecay)
					if err != nil {
						return nil, err
					}
					c.Holdout, c.Slim = s.Holdout, true // nobody needs the weights of a trial
					all = append(all, trial{cell, withMomentum, rate, c})
				}
			}
		}
	}
	return all, nil
}

// final are the last runs of a cell, by arm and then by seed: both algorithms at their best, and
// the controls.
func (s *Study) final(cell int, best [2]choice) ([arms][]imagerun.Config, error) {
	var all [arms][]imagerun.Config
	add := func(arm int, c imagerun.Config) error {
		c.Holdout, c.Slim = 0, false
		for seed := range s.Seeds {
			c.Seed = trialSeed + 1 + uint64(seed)
			if err := c.Validate(); err != nil {
				return err
			}
			all[arm] = append(all[arm], c)
		}
		return nil
	}
	for i, b := range best {
		if b.allDiverged {
			return all, fmt.Errorf("study: %s: all %d trials %s diverged: begin with lower -rates",
				s.Cells[cell].Title, b.tried,
				[2]string{"without momentum", "with momentum"}[i])
		}
	}
	m := best[momentum]
	control, err := s.config(s.Cells[cell], false, m.effectiveRate, m.config.Schedule,
		m.config.WeightDecay)
	if err != nil {
		return all, err
	}
	for arm, c := range [3]imagerun.Config{plain: best[plain].config, momentum: m.config,
		sameRate: control} {
		if err := add(arm, c); err != nil {
			return all, err
		}
	}
	if s.Longer > 0 {
		c := best[plain].config
		c.Epochs *= s.Longer
		c.EvalEvery *= s.Longer // as many points on the curve
		return all, add(longer, c)
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
