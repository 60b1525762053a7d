package study

import (
	"cmp"
	"context"
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

// choose picks a setting of an algorithm among the trials at some effective rates: of those that
// may be chosen (contenders), the one that is best on held-out images at the last step in the mean
// over the seeds. Ties go to the lower held-out loss, then to the smaller rate. outcomes are those
// of all trials of the cell, by seed.
func (s *Study) choose(trials []trial, outcomes [][]imagerun.Outcome, withMomentum bool,
	rates []float64) choice {
	all, tried := s.contenders(trials, outcomes, withMomentum, rates)
	if len(all) == 0 {
		return choice{tried: tried, edge: -1, allDiverged: true}
	}
	best := slices.MinFunc(all, func(a, b choice) int {
		return cmp.Or(cmp.Compare(b.heldOut, a.heldOut), cmp.Compare(a.loss, b.loss),
			cmp.Compare(a.effectiveRate, b.effectiveRate))
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

// contenders are the settings of an algorithm, at some effective rates, that may be chosen by the
// seeds so far: those with the fewest diverged seeds, and of these those with the fewest that did
// not fit all training images. More seeds cannot take a setting into this class, only out of it, so
// no other setting needs them. tried is the number of settings that were tried at these rates.
func (s *Study) contenders(trials []trial, outcomes [][]imagerun.Outcome, withMomentum bool,
	rates []float64) (all []choice, tried int) {
	compare := func(a, b choice) int {
		if s.Choose == Fitted {
			return cmp.Or(a.diverged-b.diverged, a.missed()-b.missed())
		}
		return a.diverged - b.diverged
	}
	for i, t := range trials {
		if t.momentum != withMomentum || !slices.Contains(rates, t.effectiveRate) {
			continue
		}
		tried++
		c := s.judge(t, outcomes[i])
		switch {
		case c.diverged == len(t.configs): // in every seed
		case len(all) == 0 || compare(c, all[0]) == 0:
			all = append(all, c)
		case compare(c, all[0]) < 0:
			all = []choice{c}
		}
	}
	return all, tried
}

// missed is the number of seeds that did not fit all training images.
func (c choice) missed() int { return len(c.bySeed) - c.fits }

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

// read reads the trials of a cell.
func (r *result) read(ctx context.Context, root string) error {
	r.tried = nil
	for _, t := range r.trials {
		o, err := outcomes(ctx, root, t.configs[:t.started])
		if err != nil {
			return err
		}
		r.tried = append(r.tried, o)
	}
	return nil
}

// selections calls a function for every arm that is chosen, with its algorithm and the effective
// rates of its grid.
func (s *Study) selections(r result, f func(arm int, withMomentum bool, rates []float64)) {
	f(plain, false, r.rates)
	for i, p := range s.Protocols {
		f(momentum+i, true, s.effectiveRates(p, true, r.rates))
	}
}

// chooseAll chooses for every arm that is chosen.
func (s *Study) chooseAll(r result) (best [chosen]choice) {
	s.selections(r, func(arm int, withMomentum bool, rates []float64) {
		best[arm] = s.choose(r.trials, r.tried, withMomentum, rates)
	})
	return best
}

// further starts the trial seeds that the contenders of a cell have not had yet, and returns their
// configurations.
func (s *Study) further(r *result) (configs []imagerun.Config) {
	s.selections(*r, func(_ int, withMomentum bool, rates []float64) {
		all, _ := s.contenders(r.trials, r.tried, withMomentum, rates)
		for _, c := range all {
			t := &r.trials[slices.IndexFunc(r.trials, c.same)]
			configs = append(configs, t.configs[t.started:]...)
			t.started = len(t.configs)
		}
	})
	return configs
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
