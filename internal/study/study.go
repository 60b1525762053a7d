// Package study compares plain descent with momentum on images, fairly: the same number of trials
// for both over one grid of rates, schedules and weight decays, judged by training images that are
// held out; then the best setting of each, trained with other seeds and nothing held out, and two
// controls that tell momentum from a larger rate and from a longer training.
//
// A study is made in stages, each a sweep (internal/sweep) in a folder of its own: trials-1, on the
// grid; trials-2 and so on, where the best rate was the grid's first or last one and the grid grew;
// and final. Every number, table and picture is taken from the run folders alone, so a study that
// was interrupted anywhere ends with the same bytes.
package study

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"momentum/cifar/config"
	"momentum/internal/sweep"
)

// trialSeed is the seed of all trials; the final runs have those that follow.
const trialSeed = 1

// Study says what is compared and how.
type Study struct {
	Name     string // of the command, such as "figure1"
	Title    string
	Note     string // stands below the tables
	Cells    []Cell
	Measures []Measure // the first one chooses, on held-out images, and is drawn

	Gamma float64 // γ of the rule with momentum
	Form  string  // of momentum
	// effective: η of plain descent, and of momentum the η whose effective rate this is; increasing
	Rates        []float64
	Schedules    []string
	WeightDecays []float64
	Holdout      int    // training images kept out of the trials
	Choose       string // Fitted or Any
	Grow         int    // how often a grid may grow
	Seeds        int    // of the final runs
	Longer       int    // plain descent is also given so many times the epochs; 0: not
}

// What a setting needs for being chosen.
const (
	Fitted = "fitted" // zero training error at the end, unless no setting has it
	Any    = "any"
)

// Cell is one comparison: a data set, a network and a batch size.
type Cell struct {
	Key   string // names its files, such as "cifar10-resnet18-full"
	Title string // such as "CIFAR-10, ResNet-18, full batch"
	// all but the rule, the rate, the schedule, the weight decay and the seed; Opt is gd or sgd
	Base    config.Config
	Images  int // for training
	Classes int
	Paper   Setting // whose numbers of the paper stand beside it
}

// Setting is what the paper's numbers are about. It has no other sizes than the batch's: with fewer
// images or channels than the paper's, its numbers stand beside ours all the same.
type Setting struct {
	Data  string // cifar10 or cifar100
	Model string // resnet18 or wrn16
	Batch int    // 0: full
}

// paper returns the paper's numbers for a cell, if it has any: none with batch normalization, whose
// gain it only says to be smaller.
func (m Measure) paper(c Cell) (numbers [2]float64, ok bool) {
	if c.Base.Norm != "none" {
		return numbers, false
	}
	numbers, ok = m.Paper[c.Paper]
	return numbers, ok
}

// Measure is an accuracy, or the quotient of two.
type Measure struct {
	Column string                 // of the metrics, such as "test_accuracy"
	Over   string                 // another column by which it is divided, if not empty
	Title  string                 // such as "test accuracy"
	Paper  map[Setting][2]float64 // the paper's numbers, %, for plain descent and for momentum
}

// of is the measure by a way to take a number from a run, in %.
func (m Measure) of(get func(column string) float64) float64 {
	x := 100 * get(m.Column)
	if m.Over != "" {
		x /= get(m.Over)
	}
	return x
}

// trial is a setting that is tried in a cell.
type trial struct {
	cell      int
	momentum  bool
	effective float64 // rate
	config    config.Config
}

// arms of a comparison, in the order of the tables.
const (
	plain = iota
	momentum
	effective // plain descent at the effective rate, schedule and weight decay of momentum
	longer    // plain descent with Longer times the epochs
	arms
)

// config is a run of a cell.
func (s *Study) config(cell Cell, withMomentum bool, effective float64, schedule string,
	decay float64) (config.Config, error) {
	c := cell.Base
	if withMomentum {
		c.Opt, c.Momentum, c.Form = c.Opt+"m", s.Gamma, s.Form
	}
	c.Schedule, c.WeightDecay, c.Seed = schedule, decay, trialSeed
	// so that an error of Validate is about something else
	c.Rate = 1
	// sets the form, which the effective rate needs
	if err := c.Validate(map[string]bool{}); err != nil {
		return c, fmt.Errorf("%s: %w", cell.Title, err)
	}
	c.Rate = tidy(effective / c.Rule().EffectiveRate(1))
	if err := c.Validate(map[string]bool{}); err != nil {
		return c, fmt.Errorf("%s: %w", cell.Title, err)
	}
	return c, nil
}

// tidy rounds to 6 digits: 0.005 rather than 0.005000000000000001 stands in names and tables.
func tidy(x float64) float64 {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 6, 64), 64)
	return rounded
}

// trials are the settings of a cell at some effective rates: as many without momentum as with it.
func (s *Study) trials(cell int, rates []float64) ([]trial, error) {
	var all []trial
	for _, withMomentum := range []bool{false, true} {
		for _, schedule := range s.Schedules {
			for _, decay := range s.WeightDecays {
				for _, rate := range rates {
					c, err := s.config(s.Cells[cell], withMomentum, rate, schedule, decay)
					if err != nil {
						return nil, err
					}
					c.Holdout, c.Slim = s.Holdout, true // of a trial, no one wants the weights
					all = append(all, trial{cell, withMomentum, rate, c})
				}
			}
		}
	}
	return all, nil
}

// grown are the rates that a grid gets on a side: two more, as far apart as its last two.
func grown(rates []float64, up bool) []float64 {
	a, b := rates[1], rates[0]
	if up {
		a, b = rates[len(rates)-2], rates[len(rates)-1]
	}
	return []float64{tidy(b * b / a), tidy(b * b / a * b / a)}
}

// choice is the best setting of an algorithm in a cell.
type choice struct {
	trial
	heldOut float64 // accuracy of the first measure at the last step
	loss    float64 // on held-out images
	fitted  bool    // zero training error at the last step
	tried   int     // settings
	edge    int     // −1 or 1 if its rate is the least or the largest that was tried
	none    bool    // all trials diverged: then edge is −1, and nothing is chosen
}

// choose picks the setting of an algorithm that is best on held-out images at the last step, among
// those that fitted all training images if any has; ties go to the lower loss on held-out images,
// then to the smaller rate. outcomes are those of all trials of the cell.
func (s *Study) choose(trials []trial, outcomes []sweep.Outcome, withMomentum bool) choice {
	var all []choice
	var rates []float64
	for i, t := range trials {
		if t.momentum != withMomentum {
			continue
		}
		rates = append(rates, t.effective)
		if o := outcomes[i]; !o.Diverged {
			all = append(all, choice{trial: t, heldOut: o.Last(s.Measures[0].Column),
				loss: o.Last("test_loss"), fitted: o.Last("train_accuracy") == 1})
		}
	}
	if len(all) == 0 {
		return choice{tried: len(rates), edge: -1, none: true}
	}
	misses := func(c choice) int {
		if s.Choose == Fitted && !c.fitted {
			return 1
		}
		return 0
	}
	best := slices.MinFunc(all, func(a, b choice) int {
		return cmp.Or(misses(a)-misses(b), cmp.Compare(b.heldOut, a.heldOut),
			cmp.Compare(a.loss, b.loss), cmp.Compare(a.effective, b.effective))
	})
	best.tried = len(rates)
	if least, most := slices.Min(rates), slices.Max(rates); least < most {
		switch best.effective {
		case least:
			best.edge = -1
		case most:
			best.edge = 1
		}
	}
	return best
}

// grow returns the rates by which the grid of a cell grows after its trials, since the best one of
// an algorithm is its first or last one. Both algorithms get them, so that the numbers of their
// trials stay equal.
func grow(best [2]choice, rates []float64) (more []float64) {
	for _, side := range []int{-1, 1} {
		if best[0].edge == side || best[1].edge == side {
			more = append(more, grown(rates, side > 0)...)
		}
	}
	slices.Sort(more)
	return more
}

// final are the last runs of a cell, by arm and then by seed: both algorithms at their best, and
// the controls.
func (s *Study) final(cell int, best [2]choice) ([arms][]config.Config, error) {
	var all [arms][]config.Config
	at := func(arm int, c config.Config) error {
		c.Holdout, c.Slim = 0, false
		for seed := range s.Seeds {
			c.Seed = trialSeed + 1 + uint64(seed)
			if err := c.Validate(map[string]bool{}); err != nil {
				return err
			}
			all[arm] = append(all[arm], c)
		}
		return nil
	}
	for i, b := range best {
		if b.none {
			return all, fmt.Errorf("study: %s: all %d trials %s diverged: begin with lower -rates",
				s.Cells[cell].Title, b.tried, [2]string{"without momentum", "with momentum"}[i])
		}
	}
	m := best[momentum]
	same, err := s.config(s.Cells[cell], false, m.effective, m.config.Schedule,
		m.config.WeightDecay)
	if err != nil {
		return all, err
	}
	for arm, c := range [3]config.Config{plain: best[plain].config, momentum: m.config,
		effective: same} {
		if err := at(arm, c); err != nil {
			return all, err
		}
	}
	if s.Longer > 0 {
		c := best[plain].config
		c.Epochs *= s.Longer
		c.EvalEvery *= s.Longer // as many points on the curve
		return all, at(longer, c)
	}
	return all, nil
}

// runs are the lines of a sweep's list for some configurations; one that occurs twice stands there
// once.
func runs(configs []config.Config) ([]sweep.Run, error) {
	var all []sweep.Run
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
