package study

import (
	"fmt"
	"math"
	"path/filepath"

	"momentum/internal/imagerun"
	"momentum/internal/stats"
)

// result is a cell with its trials and final runs, read from the run folders.
type result struct {
	Cell
	Arms   [arms]arm
	trials []trial
	tried  []imagerun.Outcome // of trials
}

// arm is an algorithm at one setting, over the seeds.
type arm struct {
	Title    string
	Config   imagerun.Config // of the first seed
	Outcomes []imagerun.Outcome
	best     choice // of the two algorithms; zero for the controls
}

// exists reports whether the study has the arm.
func (a arm) exists() bool { return len(a.Outcomes) > 0 }

// values takes a number from the run of every seed.
func (a arm) values(f func(imagerun.Outcome) float64) []float64 {
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

// ratio is the mean of a over the mean of b, over the seeds for which both are numbers.
func ratio(a, b []float64) float64 {
	var x, y float64
	for i, d := range stats.Paired(a, b) {
		if !math.IsNaN(d) {
			x, y = x+a[i], y+b[i]
		}
	}
	return x / y
}

// level is the training loss at which the arms of a cell are compared: the largest at which a seed
// of the two algorithms ends with zero training error, so that all of those reach it. If none has
// zero training error, it is the largest at which one ends.
func (r result) level() float64 {
	fitted, largest := math.NaN(), math.NaN()
	for _, a := range r.Arms[:sameRate] {
		for _, o := range a.Outcomes {
			loss := o.Last("loss")
			if math.IsNaN(loss) {
				continue
			}
			if !(loss <= largest) {
				largest = loss
			}
			if !(loss <= fitted) && o.Fitted() {
				fitted = loss
			}
		}
	}
	if math.IsNaN(fitted) {
		return largest
	}
	return fitted
}

// status is the verdict on the difference that momentum makes. Both are in points: paper is the
// paper's difference, d ours over the seeds.
//
//	reproduced      our interval holds the paper's difference and leaves out 0 or, if the paper's
//	                is less than a point, reaches at most a point to either side
//	direction only  our interval leaves out 0, on the paper's side of it
//	undecided       our interval holds the paper's difference, and too much else
//	not             otherwise
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

// outcomes reads the folders of some configurations. A run that has not ended is an error.
func outcomes(root string, configs []imagerun.Config) ([]imagerun.Outcome, error) {
	var all []imagerun.Outcome
	for _, c := range configs {
		name, err := c.Name()
		if err != nil {
			return nil, err
		}
		o, err := imagerun.ReadOutcome(filepath.Join(root, name))
		if err != nil {
			return nil, fmt.Errorf("study: %w", err)
		}
		all = append(all, o)
	}
	return all, nil
}

// read adds the final runs of a cell, from the run folders, to a result that has the trials.
func (s *Study) read(root string, r result, best [2]choice,
	finals [arms][]imagerun.Config) (_ result, err error) {
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

// armTitle is the usual name of an arm.
func (s *Study) armTitle(i int, c imagerun.Config) string {
	name := "GD"
	if imagerun.IsMiniBatch(c.Opt) {
		name = "SGD"
	}
	switch i {
	case momentum:
		name += "+M"
	case sameRate:
		name = fmt.Sprintf("%s at the effective rate of %s+M", name, name)
	case longer:
		name = fmt.Sprintf("%s, %d times the epochs", name, s.Longer)
	}
	return name
}
