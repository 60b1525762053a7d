package study

import (
	"cmp"
	"slices"

	"momentum/internal/imagerun"
)

// choice is the best setting of an algorithm in a cell.
type choice struct {
	trial
	heldOut     float64 // accuracy of the first measure at the last step
	loss        float64 // on held-out images
	fitted      bool    // zero training error at the last step
	tried       int     // settings
	edge        int     // −1 or 1 if its rate is the smallest or the largest that was tried
	allDiverged bool    // then edge is −1, and nothing is chosen
}

// choose picks the setting of an algorithm that is best on held-out images at the last step, among
// those that fitted all training images if any has. Ties go to the lower held-out loss, then to the
// smaller rate. outcomes are those of all trials of the cell.
func (s *Study) choose(trials []trial, outcomes []imagerun.Outcome, withMomentum bool) choice {
	var all []choice
	var rates []float64
	for i, t := range trials {
		if t.momentum != withMomentum {
			continue
		}
		rates = append(rates, t.effectiveRate)
		if o := outcomes[i]; !o.Diverged {
			all = append(all, choice{trial: t, heldOut: s.heldOut(o),
				loss: o.Last(imagerun.HeldOut("test_loss")), fitted: o.Fitted()})
		}
	}
	if len(all) == 0 {
		return choice{tried: len(rates), edge: -1, allDiverged: true}
	}
	misses := func(c choice) int {
		if s.Choose == Fitted && !c.fitted {
			return 1
		}
		return 0
	}
	best := slices.MinFunc(all, func(a, b choice) int {
		return cmp.Or(misses(a)-misses(b), cmp.Compare(b.heldOut, a.heldOut),
			cmp.Compare(a.loss, b.loss), cmp.Compare(a.effectiveRate, b.effectiveRate))
	})
	best.tried = len(rates)
	if smallest, largest := slices.Min(rates), slices.Max(rates); smallest < largest {
		switch best.effectiveRate {
		case smallest:
			best.edge = -1
		case largest:
			best.edge = 1
		}
	}
	return best
}

// heldOut is the accuracy of a trial that chooses: the first measure's, on held-out images.
func (s *Study) heldOut(o imagerun.Outcome) float64 {
	return o.Last(imagerun.HeldOut(s.Measures[0].Column))
}

// best reads the trials of a cell and chooses.
func (s *Study) best(root string, trials []trial) (best [2]choice, tried []imagerun.Outcome,
	err error) {
	var configs []imagerun.Config
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

// growth are the rates by which the grid of a cell grows after its trials, because the best rate of
// an algorithm is the grid's first or last. Both algorithms get them, so that the numbers of their
// trials stay equal. A grid of one rate has no direction and does not grow.
func growth(best [2]choice, rates []float64) (more []float64) {
	if len(rates) < 2 {
		return nil
	}
	for _, side := range []int{-1, 1} {
		if best[0].edge == side || best[1].edge == side {
			more = append(more, extended(rates, side > 0)...)
		}
	}
	slices.Sort(more)
	return more
}

// extended are the rates that a grid gets on a side: two more, as far apart as its last two.
func extended(rates []float64, up bool) []float64 {
	a, b := rates[1], rates[0]
	if up {
		a, b = rates[len(rates)-2], rates[len(rates)-1]
	}
	return []float64{tidy(b * b / a), tidy(b * b / a * b / a)}
}
