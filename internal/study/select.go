package study

import (
	"cmp"
	"slices"

	"momentum/internal/imagerun"
	"momentum/internal/stats"
)

// choice is the best setting of an algorithm in a cell by a protocol. The accuracy and the loss are
// means over the trial seeds that did not diverge.
type choice struct {
	trial
	heldOut     float64   // accuracy of the first measure at the last step
	bySeed      []float64 // the same, NaN where the seed diverged
	loss        float64   // on held-out images
	fits        int       // seeds with zero training error at the last step
	diverged    int       // seeds
	tried       int       // settings; 0: the study has no such protocol
	edge        int       // −1 or 1 if its rate is the smallest or the largest that was tried
	allDiverged bool      // then edge is −1, and nothing is chosen
}

// choose picks a setting of an algorithm among the trials at some effective rates. First come
// settings without diverged seeds, then those that fitted all training images in the most seeds,
// then those that are best on held-out images at the last step in the mean over the seeds. Ties go
// to the lower held-out loss, then to the smaller rate. outcomes are those of all trials of the
// cell, by seed.
func (s *Study) choose(trials []trial, outcomes [][]imagerun.Outcome, withMomentum bool,
	rates []float64) choice {
	var all []choice
	tried := 0
	for i, t := range trials {
		if t.momentum != withMomentum || !slices.Contains(rates, t.effectiveRate) {
			continue
		}
		tried++
		if c := s.judge(t, outcomes[i]); c.diverged < len(outcomes[i]) {
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return choice{tried: tried, edge: -1, allDiverged: true}
	}
	fits := func(c choice) int {
		if s.Choose == Fitted {
			return c.fits
		}
		return 0
	}
	best := slices.MinFunc(all, func(a, b choice) int {
		return cmp.Or(a.diverged-b.diverged, fits(b)-fits(a), cmp.Compare(b.heldOut, a.heldOut),
			cmp.Compare(a.loss, b.loss), cmp.Compare(a.effectiveRate, b.effectiveRate))
	})
	best.tried = tried
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

// judge summarizes a trial over its seeds.
func (s *Study) judge(t trial, outcomes []imagerun.Outcome) choice {
	c := choice{trial: t}
	var losses []float64
	for _, o := range outcomes {
		c.bySeed = append(c.bySeed, s.heldOut(o)) // NaN if it diverged
		losses = append(losses, o.Last(imagerun.HeldOut("test_loss")))
		switch {
		case o.Diverged:
			c.diverged++
		case o.Fitted():
			c.fits++
		}
	}
	c.heldOut, c.loss = stats.Mean95(stats.Known(c.bySeed)).Mean,
		stats.Mean95(stats.Known(losses)).Mean
	return c
}

// heldOut is the accuracy of a run that chooses: the first measure's, on held-out images.
func (s *Study) heldOut(o imagerun.Outcome) float64 {
	return o.Last(imagerun.HeldOut(s.Measures[0].Column))
}

// best reads the trials of a cell and chooses, by every protocol.
func (s *Study) best(root string, r *result) (best [chosen]choice, err error) {
	r.tried = nil
	for _, t := range r.trials {
		o, err := outcomes(root, t.configs)
		if err != nil {
			return best, err
		}
		r.tried = append(r.tried, o)
	}
	return s.chooseAll(*r), nil
}

// chooseAll chooses for every arm that is chosen.
func (s *Study) chooseAll(r result) (best [chosen]choice) {
	best[plain] = s.choose(r.trials, r.tried, false, r.rates)
	for i, p := range s.Protocols {
		best[momentum+i] = s.choose(r.trials, r.tried, true, s.effectiveRates(p, true, r.rates))
	}
	return best
}

// growth are the rates by which the grid of a cell grows after its trials, because the best rate of
// an algorithm is the first or the last by a protocol. Both algorithms and protocols get them, so
// that the numbers of trials stay equal. A grid of one rate has no direction and does not grow.
func growth(best [chosen]choice, rates []float64) (more []float64) {
	if len(rates) < 2 {
		return nil
	}
	for _, side := range []int{-1, 1} {
		if slices.ContainsFunc(best[:], func(c choice) bool { return c.edge == side }) {
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
