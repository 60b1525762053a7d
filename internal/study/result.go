package study

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"momentum/internal/imagerun"
	"momentum/internal/stats"
)

// result is a cell with its trials and final runs, read from the run folders.
type result struct {
	Cell
	Arms   [arms]arm
	rates  []float64 // of the grid, once it has grown
	trials []trial
	tried  [][]imagerun.Outcome // of trials, by seed
}

// arm is an algorithm at one setting, over the seeds.
type arm struct {
	Title    string
	Legend   string          // the title in pictures, whose legends have one row
	Config   imagerun.Config // of the first seed
	Outcomes []imagerun.Outcome
	choices  []choice // that led to it, by protocol; none for the controls
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

// pair is what the row of an arm compares: the arm with momentum, minus the other. The arm of the
// momentum has no row of its own.
func pair(arm int) (minuend, subtrahend int, ok bool) {
	switch arm {
	case momentum:
		return 0, 0, false
	case etaGrid:
		return etaGrid, plain, true
	}
	return momentum, arm, true
}

// paired is the difference in the row of an arm, by seed: NaN where a run has diverged. ok is false
// if the row has none.
func (r result) paired(arm int, m Measure) (points []float64, ok bool) {
	plus, minus, ok := pair(arm)
	if !ok || !r.arm(plus).exists() || !r.arm(minus).exists() {
		return nil, false
	}
	last := func(o imagerun.Outcome) float64 { return m.value(o.Last) }
	return stats.Paired(r.arm(plus).values(last), r.arm(minus).values(last)), true
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

// level is the training loss at which the arms of a cell are compared: the least that every seed of
// the two algorithms comes to that ends with zero training error. If none does, it is the least
// that every seed comes to.
func (r result) level(column string) float64 {
	fitted, all := math.NaN(), math.NaN()
	for _, a := range r.Arms[:chosen] {
		for _, o := range a.Outcomes {
			loss := o.LeastLoss(column)
			if math.IsNaN(loss) {
				continue
			}
			if !(loss <= all) {
				all = loss
			}
			if !(loss <= fitted) && o.Fitted() {
				fitted = loss
			}
		}
	}
	if math.IsNaN(fitted) {
		return all
	}
	return fitted
}

// status is the verdict on the difference that momentum makes. Both are in points: paper is the
// paper's difference, d ours over the seeds.
//
//	reproduced          our interval holds the paper's difference and leaves out 0 or, if the
//	                    paper's is less than a point, reaches at most a point to either side
//	direction only      our interval leaves out 0 and the paper's difference, and lies on the
//	                    paper's side of 0
//	opposite            our interval leaves out 0, on the other side
//	no difference seen  our interval holds 0 and leaves out the paper's difference
//	undecided           our interval holds both, or there are fewer than two seeds
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
	case low > 0 || high < 0:
		return "opposite"
	case holds:
		return "undecided"
	}
	return "no difference seen"
}

// outcomes reads the folders of some configurations. A run that has not ended is an error.
func outcomes(ctx context.Context, root string, configs []imagerun.Config) (
	[]imagerun.Outcome, error) {
	var all []imagerun.Outcome
	for _, c := range configs {
		name, err := c.Name()
		if err != nil {
			return nil, err
		}
		o, err := imagerun.ReadOutcome(ctx, filepath.Join(root, name))
		if err != nil {
			return nil, fmt.Errorf("study: %w", err)
		}
		all = append(all, o)
	}
	return all, nil
}

// read adds the final runs of a cell, from the run folders, to a result that has the trials.
func (s *Study) read(ctx context.Context, root string, r result, best [chosen]choice,
	finals [arms][]imagerun.Config) (result, error) {
	for i, configs := range finals {
		if len(configs) == 0 {
			continue
		}
		all, err := outcomes(ctx, root, configs)
		if err != nil {
			return r, err
		}
		r.Arms[i].Config, r.Arms[i].Outcomes = configs[0], all
	}
	s.label(&r, best)
	return r, nil
}

// label adds to the arms of a result their titles and the choices that led to them. Where both
// protocols chose the same setting, its arm has both choices.
func (s *Study) label(r *result, best [chosen]choice) {
	second := r.Arms[etaGrid].exists()
	for i := range r.Arms {
		r.Arms[i].Title = s.armTitle(i, second, r.Base.Opt)
		r.Arms[i].Legend = s.armLegend(i, second, r.Base.Opt)
	}
	r.Arms[plain].choices = best[plain : plain+1]
	r.Arms[momentum].choices = best[momentum : momentum+1]
	if second {
		r.Arms[etaGrid].choices = best[etaGrid : etaGrid+1]
	} else if best[etaGrid].tried > 0 {
		r.Arms[momentum].choices = best[momentum : etaGrid+1]
	}
}

// armTitle is the usual name of an arm. second says whether the protocols chose different settings
// with momentum, opt is gd or sgd.
func (s *Study) armTitle(i int, second bool, opt string) string {
	name := strings.ToUpper(opt)
	withMomentum := name + "+M"
	if second {
		withMomentum += " (grid of η_eff)"
	}
	switch i {
	case momentum:
		return withMomentum
	case etaGrid:
		return name + "+M (grid of η)"
	case sameRate:
		return fmt.Sprintf("%s at the effective rate of %s", name, withMomentum)
	case longer:
		return fmt.Sprintf("%s, %d times the epochs", name, s.Longer)
	}
	return name
}

// armLegend is the name of an arm in pictures: those of all arms fit into one row. Of which GD+M
// the control has the rate is said by legendNote.
func (s *Study) armLegend(i int, second bool, opt string) string {
	name := strings.ToUpper(opt)
	switch i {
	case sameRate:
		return fmt.Sprintf("%[1]s at %[1]s+M's η_eff", name)
	case longer:
		return fmt.Sprintf("%s, %d× the epochs", name, s.Longer)
	}
	return s.armTitle(i, second, opt)
}

// legendNote is a sentence below a picture with two arms with momentum, "" with one.
func (s *Study) legendNote(second bool, opt string) string {
	if !second {
		return ""
	}
	return fmt.Sprintf(" %s: that of %s.", s.armLegend(sameRate, second, opt),
		s.armTitle(momentum, second, opt))
}

// beyond says in how many seeds the control at the effective rate of momentum diverged, or ended
// with training errors where GD or GD+M ended with none. It is empty if there are none.
func (r result) beyond() string {
	control := r.Arms[sameRate]
	unfitted := 0
	for i, o := range control.Outcomes {
		if !o.Diverged && !o.Fitted() &&
			(r.Arms[plain].Outcomes[i].Fitted() || r.Arms[momentum].Outcomes[i].Fitted()) {
			unfitted++
		}
	}
	var words []string
	for _, w := range []struct {
		n    int
		what string
	}{{control.diverged(), "diverged"}, {unfitted, "did not fit all training images"}} {
		if w.n > 0 {
			words = append(words, fmt.Sprintf("%s in %d of %d seeds", w.what, w.n,
				len(control.Outcomes)))
		}
	}
	return strings.Join(words, " and ")
}
