package study

import (
	"fmt"
	"math"

	"momentum/cifar/config"
	"momentum/internal/stats"
	"momentum/internal/sweep"
)

// result is what the run folders say of a cell.
type result struct {
	Cell
	Arms   [arms]arm
	trials []trial
	tried  []sweep.Outcome // of trials
}

// arm is an algorithm at one setting, over the seeds.
type arm struct {
	Title    string
	Config   config.Config // of the first seed
	Outcomes []sweep.Outcome
	best     choice // of the two algorithms; zero for the controls
}

// has says whether the arm was run.
func (a arm) has() bool { return len(a.Outcomes) > 0 }

// each takes a number from the run of every seed.
func (a arm) each(f func(sweep.Outcome) float64) []float64 {
	values := make([]float64, len(a.Outcomes))
	for i, o := range a.Outcomes {
		values[i] = f(o)
	}
	return values
}

// diverged is the number of seeds whose run has diverged.
func (a arm) diverged() (n int) {
	for _, o := range a.Outcomes {
		if o.Diverged {
			n++
		}
	}
	return n
}

// mean95 is the interval of the values that are numbers.
func mean95(values []float64) stats.Interval {
	var x []float64
	for _, v := range values {
		if !math.IsNaN(v) {
			x = append(x, v)
		}
	}
	return stats.Mean95(x)
}

// paired are the differences a − b, seed by seed; NaN where one of them is.
func paired(a, b []float64) []float64 {
	d := make([]float64, min(len(a), len(b)))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	return d
}

// ratio is the mean of a over that of b, over the seeds for which both are numbers.
func ratio(a, b []float64) float64 {
	var x, y float64
	for i, d := range paired(a, b) {
		if !math.IsNaN(d) {
			x, y = x+a[i], y+b[i]
		}
	}
	return x / y
}

// level is the training loss at which the arms of a cell are compared: the largest at which a seed
// of the two algorithms ends with zero training error, so that all of those reach it; if none has
// zero training error, the largest at which one ends.
func (r result) level() float64 {
	fitted, largest := math.NaN(), math.NaN()
	for _, a := range r.Arms[:effective] {
		for _, o := range a.Outcomes {
			loss := o.Last("loss")
			if math.IsNaN(loss) {
				continue
			}
			if !(loss <= largest) {
				largest = loss
			}
			if !(loss <= fitted) && o.Last("train_accuracy") == 1 {
				fitted = loss
			}
		}
	}
	if math.IsNaN(fitted) {
		return largest
	}
	return fitted
}

// status compares the difference that momentum makes with the paper's, both in points: paper is the
// paper's, d ours over the seeds.
//
//	reproduced      our interval holds the paper's difference, and leaves out 0 or, if the paper's is less than a point, is at most a point to either side
//	direction only  our interval leaves out 0, on the paper's side of it
//	undecided       our interval holds the paper's difference, and too much else
//	not             none of these
func status(paper float64, d stats.Interval) string {
	if d.N < 2 {
		return fmt.Sprintf("undecided, n = %d", d.N)
	}
	low, high := d.Mean-d.Half, d.Mean+d.Half
	holds := low <= paper && paper <= high
	same := (low > 0 && paper > 0) || (high < 0 && paper < 0)
	switch {
	case holds && (same || math.Abs(paper) < 1 && d.Half <= 1):
		return "reproduced"
	case same:
		return "direction only"
	case holds:
		return "undecided"
	}
	return "not"
}

// outcomes reads the folders of some configurations. Those that have not ended are an error.
func outcomes(root string, configs []config.Config) ([]sweep.Outcome, error) {
	var all []sweep.Outcome
	for _, c := range configs {
		run, err := c.Run()
		if err != nil {
			return nil, err
		}
		o, err := (&sweep.List{Root: root}).Outcome(run)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

// read takes the final runs of a cell from the run folders into a result that has the trials.
func (s *Study) read(root string, r result, best [2]choice, finals [arms][]config.Config) (_ result,
	err error) {
	for i, configs := range finals {
		if len(configs) == 0 {
			continue
		}
		r.Arms[i].Config = configs[0]
		r.Arms[i].Title = s.armTitle(i, configs[0])
		if i < len(best) {
			r.Arms[i].best = best[i]
		}
		if r.Arms[i].Outcomes, err = outcomes(root, configs); err != nil {
			return r, err
		}
	}
	return r, nil
}

// best reads the trials of a cell and chooses.
func (s *Study) best(root string, trials []trial) (best [2]choice, tried []sweep.Outcome,
	err error) {
	var configs []config.Config
	for _, t := range trials {
		configs = append(configs, t.config)
	}
	if tried, err = outcomes(root, configs); err != nil {
		return best, nil, err
	}
	for i := range best {
		best[i] = s.choose(trials, tried, i == momentum)
	}
	return best, tried, nil
}

// armTitle names an arm as people say it.
func (s *Study) armTitle(i int, c config.Config) string {
	name := "GD"
	if config.IsMiniBatch(c.Opt) {
		name = "SGD"
	}
	switch i {
	case momentum:
		name += "+M"
	case effective:
		name = fmt.Sprintf("%s at the effective rate of %s+M", name, name)
	case longer:
		name = fmt.Sprintf("%s, %d times the epochs", name, s.Longer)
	}
	return name
}
