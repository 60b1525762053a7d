package study

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"momentum/internal/imagerun"
	"momentum/internal/sweep"
)

// borrow fills the results with the trials of another study, in the folder of -trials-of, and
// returns the best settings of each cell by them. The other study's cells may differ in the small
// margin and in the loss at which their runs end, alone.
func (i *invocation) borrow(ctx context.Context, results []result) (best [][chosen]choice,
	err error) {
	trials, err := readTrials(i.study.TrialsOf, i.base.Runs)
	if err != nil {
		return nil, err
	}
	if _, err := sweep.Read(filepath.Join(i.study.TrialsOf, "final"), i.base.Runs); err != nil {
		return nil, fmt.Errorf("-trials-of: its trials are not known to be complete: %w: execute "+
			"the rest of that study first", err)
	}
	for k := range results {
		r := &results[k]
		for _, t := range trials {
			if comparable(t.configs[0]) == comparable(r.Base) {
				r.trials = append(r.trials, t)
			}
		}
		for _, t := range r.trials {
			if !t.momentum && !slices.Contains(r.rates, t.effectiveRate) {
				r.rates = append(r.rates, t.effectiveRate)
			}
		}
		slices.Sort(r.rates)
		if len(r.rates) == 0 || !slices.ContainsFunc(r.trials, func(t trial) bool {
			return t.momentum
		}) {
			return nil, fmt.Errorf("%s: no trials of %s: name a study of the same images, network "+
				"and epochs, or leave -trials-of out", i.study.TrialsOf, r.Title)
		}
		if err := r.read(ctx, i.base.Runs); err != nil {
			return nil, fmt.Errorf("%s: %w: execute the rest of that study first",
				i.study.TrialsOf, err)
		}
		i.study.otherTrials = cmp.Or(i.study.otherTrials,
			difference(r.trials[0].configs[0].Settings, r.Base.Settings))
		choices := i.study.chooseAll(*r)
		for n, p := range i.study.Protocols {
			if tried := choices[momentum+n].tried; tried < choices[plain].tried {
				return nil, fmt.Errorf("%s: %d trials with momentum of %s on the grid of %s that "+
					"-protocol=%s has, want %d, as many as without: give the -protocol of that "+
					"study", i.study.TrialsOf, tried, r.Title, p.symbol(), p, choices[plain].tried)
			}
		}
		best = append(best, choices)
	}
	return best, nil
}

// difference says in what the trials of another study differ from the runs of this one.
func difference(other, own imagerun.Settings) string {
	var all []string
	if own.SmallMargin > 0 && other.SmallMargin == 0 {
		all = append(all, "whose training images have no small margin")
	}
	switch {
	case other.UntilLoss == own.UntilLoss:
	case other.UntilLoss == 0:
		all = append(all, "whose runs take all epochs")
	default:
		all = append(all, fmt.Sprintf("whose runs end when all training images are fitted with a "+
			"loss of %g", other.UntilLoss))
	}
	return strings.Join(all, " and ")
}

// comparable are the settings that a cell fixes, less the small margin and the loss at which runs
// end.
func comparable(c imagerun.Config) imagerun.Settings {
	s := c.Settings
	s.Opt, s.Form, s.Momentum, s.Rate = "", "", 0, 0
	s.Schedule, s.WeightDecay, s.Seed = "", 0, 0
	s.Holdout, s.EvalEvery = 0, 0
	s.SmallMargin, s.SmallMarginFactor, s.SmallMarginNoise = 0, 0, 0
	s.SmallMarginShuffle, s.SmallMarginSeed, s.UntilLoss = "", 0, 0
	s.Diagnose, s.DiagnoseEvery, s.DiagnoseImages, s.Eigenvalues = "", 0, 0, 0
	return s
}

// readTrials reads the settings and seeds that the lists of a study's trials have.
func readTrials(dir, root string) (all []trial, err error) {
	for n := 1; ; n++ {
		stage := filepath.Join(dir, fmt.Sprintf("trials-%d", n))
		l, err := sweep.Read(stage, root)
		if errors.Is(err, fs.ErrNotExist) && n > 1 {
			return all, nil
		} else if errors.Is(err, fs.ErrNotExist) {
			const want = "want the folder of a study, such as sweeps/figure1-quick"
			if _, err := os.Stat(dir); err != nil {
				return nil, fmt.Errorf("-trials-of: %w: %s", err, want)
			}
			return nil, fmt.Errorf("-trials-of: %s: no trials: %s", dir, want)
		} else if err != nil {
			return nil, err
		}
		for _, run := range l.Runs {
			c, err := imagerun.ConfigOf(run)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", l.Path(), err)
			}
			t := trial{imagerun.HasMomentum(c.Opt), tidy(c.Rule().EffectiveRate(c.Rate)),
				[]imagerun.Config{c}, 1}
			at := slices.IndexFunc(all, func(u trial) bool {
				return u.same(t) && comparable(u.configs[0]) == comparable(c)
			})
			if at < 0 {
				all = append(all, t)
				continue
			}
			all[at].configs = append(all[at].configs, c)
			all[at].started++
		}
	}
}
