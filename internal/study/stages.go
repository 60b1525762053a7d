package study

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"momentum/internal/cli"
	"momentum/internal/imagerun"
	"momentum/internal/sweep"
)

// invocation is one invocation of the command.
type invocation struct {
	*Figure
	*options
	stdout, stderr io.Writer
	copied         string // the copy of this program, once there is one
	readOnly       bool   // lists that are missing are not written
	lists          []stageList
}

// stageFunc deals with a stage. When it returns nil, all runs of the stage must have ended.
type stageFunc func(ctx context.Context, stage string, l *sweep.List) error

// errEnough ends the stages early without an error.
var errEnough = errors.New("enough")

// execute executes a verb.
func (i *invocation) execute(ctx context.Context, verb string) error {
	i.readOnly = verb == "status" || verb == "collect"
	stage := map[string]stageFunc{"run": i.run, "retry": i.retry, "plan": i.plan,
		"status": i.status, "collect": i.complete}[verb]
	if i.dryRun {
		stage = i.plan
	}
	if i.dryRun || verb == "plan" {
		i.printSettings()
	}
	results, err := i.stages(ctx, stage)
	if errors.Is(err, errEnough) || err == nil && verb == "status" {
		return nil
	} else if verb == "collect" && errors.Is(err, errMissing) {
		if e := i.partial(i.stderr); e != nil {
			return errors.Join(e, err)
		}
		fmt.Fprintf(i.stdout, "report    %s, of an unfinished study\n", i.reportPath())
		return fmt.Errorf("wrote a partial report: %w", err)
	} else if err != nil {
		return err
	}
	return i.collect(ctx, results)
}

// printSettings prints what the values of the scale and the flags come to.
func (i *invocation) printSettings() {
	name := "settings"
	for _, line := range cli.Wrap(strings.Join(i.settings, " "), 90) {
		fmt.Fprintf(i.stdout, "%-9s %s\n", name, line)
		name = ""
	}
}

// stages goes through the stages of the study, from the run folders of one to the list of the next,
// and returns the results.
func (i *invocation) stages(ctx context.Context, stage stageFunc) ([]result, error) {
	s := &i.study
	results := make([]result, len(s.Cells))
	for k, cell := range s.Cells {
		results[k].Cell = cell
	}
	var best [][chosen]choice
	var err error
	if s.TrialsOf != "" {
		best, err = i.borrow(ctx, results)
	} else {
		best, err = i.trialStages(ctx, results, stage)
	}
	if err != nil {
		return nil, err
	}
	var configs []imagerun.Config
	finals := make([][arms][]imagerun.Config, len(s.Cells))
	for k := range s.Cells {
		if finals[k], err = s.final(k, best[k]); err != nil {
			return nil, err
		}
		configs = append(configs, slices.Concat(finals[k][:]...)...)
	}
	// The longest first, so that no slot is left with a long one at the end.
	slices.SortStableFunc(configs, func(a, b imagerun.Config) int { return b.Epochs - a.Epochs })
	if err := i.stage(ctx, "final", configs, stage); err != nil {
		return nil, err
	}
	for k, r := range results {
		if results[k], err = s.read(ctx, i.base.Runs, r, best[k], finals[k]); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// trialStages goes through the stages of the trials, adds them to the results, and returns the best
// settings of each cell.
func (i *invocation) trialStages(ctx context.Context, results []result,
	stage stageFunc) (best [][chosen]choice, err error) {
	s := &i.study
	best = make([][chosen]choice, len(s.Cells))
	next := make([][]float64, len(s.Cells)) // rates of the next stage
	for k := range s.Cells {
		next[k] = s.Rates
	}
	n := 0 // stages
	for grown := 0; ; grown++ {
		var configs []imagerun.Config
		for k := range s.Cells {
			added, err := s.trials(k, next[k])
			if err != nil {
				return nil, err
			}
			r := &results[k]
			added = slices.DeleteFunc(added, func(t trial) bool { // tried by the other protocol
				return slices.ContainsFunc(r.trials, t.same)
			})
			r.trials = append(r.trials, added...)
			r.rates = slices.Sorted(slices.Values(slices.Concat(r.rates, next[k])))
			for _, t := range added {
				configs = append(configs, t.configs[0])
			}
		}
		for len(configs) > 0 {
			n++
			if err := i.stage(ctx, fmt.Sprintf("trials-%d", n), configs, stage); err != nil {
				return nil, err
			}
			configs = nil
			for k := range results {
				if err := results[k].read(ctx, i.base.Runs); err != nil {
					return nil, err
				}
				// Until all that may be chosen have had all seeds.
				configs = append(configs, s.further(&results[k])...)
			}
		}
		more := false
		for k, r := range results {
			best[k] = s.chooseAll(r)
			next[k] = growth(best[k], r.rates)
			more = more || len(next[k]) > 0
		}
		if grown == s.Grow || !more {
			return best, nil
		}
	}
}

// stage plans a stage and deals with it.
func (i *invocation) stage(ctx context.Context, name string, configs []imagerun.Config,
	stage stageFunc) error {
	runs, err := list(configs)
	if err != nil {
		return err
	}
	dir := filepath.Join(i.out, name)
	if i.readOnly {
		if _, err := sweep.Read(dir, i.base.Runs); errors.Is(err, fs.ErrNotExist) {
			if len(i.lists) == 0 {
				return fmt.Errorf("there is no study in %s: go run ./scripts/%s with the same "+
					"flags begins one", i.out, i.Figure.Name)
			}
			return fmt.Errorf("%w: %s: not planned yet: go run ./scripts/%s with the same flags "+
				"plans it", errMissing, dir, i.Figure.Name)
		}
	}
	l, err := sweep.Plan(dir, i.base.Runs, runs)
	if err != nil {
		return err
	}
	i.lists = append(i.lists, stageList{l, name})
	// The flags of a study that has further lists are known to be theirs once the last one agrees.
	planned, err := fs.Glob(os.DirFS(i.out), "*/"+filepath.Base(l.Path()))
	if err != nil {
		return err
	}
	if !i.readOnly && (name == "final" || len(planned) <= len(i.lists)) {
		if err := i.remember(); err != nil {
			return err
		}
	}
	return stage(ctx, name, l)
}

// run executes the missing runs of a stage.
func (i *invocation) run(ctx context.Context, stage string, l *sweep.List) error {
	return i.executeRuns(ctx, stage, l, false)
}

// retry executes the runs of a stage that failed or were stopped. Later stages are left to run.
func (i *invocation) retry(ctx context.Context, stage string, l *sweep.List) error {
	return i.executeRuns(ctx, stage, l, true)
}

func (i *invocation) executeRuns(ctx context.Context, stage string, l *sweep.List,
	retry bool) error {
	statuses, err := l.Status()
	if err != nil {
		return err
	}
	missing := 0
	for _, s := range statuses {
		if !s.State.Ended() {
			missing++
		}
	}
	fmt.Fprintf(i.stdout, "%-9s %d runs, %d to execute\n", stage, len(l.Runs), missing)
	if missing == 0 {
		return nil
	}
	launcher, err := i.newLauncher()
	if err != nil {
		return err
	}
	if len(i.lists) == 1 && missing == len(l.Runs) {
		if err := i.fetch(ctx); err != nil {
			return err
		}
		if err := i.printCost(ctx, l); err != nil {
			return err
		}
	}
	ended, stop := follow(func() error { return i.partial(io.Discard) }, i.stderr)
	defer stop()
	return l.Run(ctx, launcher, sweep.Options{Retry: retry, FailFast: i.failFast, Stdout: i.stdout,
		Stderr: i.stderr, Ended: ended, Share: imagerun.Share})
}

// plan ends at the first stage whose runs have not all ended. If it is the first of all, it prints
// the cost of the study.
func (i *invocation) plan(ctx context.Context, stage string, l *sweep.List) error {
	err := i.complete(ctx, stage, l)
	if err == nil {
		fmt.Fprintf(i.stdout, "%-9s %d runs, all ended: %s\n", stage, len(l.Runs), l.Dir)
		return nil
	} else if !errors.Is(err, errMissing) {
		return err
	}
	fmt.Fprintf(i.stdout, "%-9s %d runs: %s\n", stage, len(l.Runs), l.Path())
	if len(i.lists) == 1 {
		if err := i.printCost(ctx, l); err != nil {
			return err
		}
	}
	return errEnough
}

// status prints the states of the runs of a stage. Later stages depend on them.
func (i *invocation) status(_ context.Context, stage string, l *sweep.List) error {
	statuses, err := l.Status()
	if err != nil {
		return err
	}
	fmt.Fprintf(i.stdout, "%-9s %s\n", stage, l.Dir)
	sweep.PrintStatus(i.stdout, statuses)
	if slices.ContainsFunc(statuses, func(s sweep.Status) bool { return !s.State.Ended() }) {
		return errEnough
	}
	return nil
}

// errMissing is wrapped by the error of a stage some of whose runs have not ended.
var errMissing = errors.New("want every run done")

// complete returns an error unless all runs of a stage have ended.
func (i *invocation) complete(_ context.Context, stage string, l *sweep.List) error {
	statuses, err := l.Status()
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(statuses, func(s sweep.Status) bool { return s.State.Ended() })
	if len(missing) == 0 {
		return nil
	}
	s := missing[0]
	state, damaged := string(s.State), ""
	if s.Reason != "" {
		state += " (" + s.Reason + ")"
	}
	if s.State == sweep.Damaged {
		damaged = ", sets the folders of damaged ones aside and executes them again"
	}
	return fmt.Errorf("%s: %d of %d runs are missing: %s, line %d, is %s, %w: go run ./scripts/%s "+
		"run executes the missing runs%s, retry the failed ones", l.Dir, len(missing),
		len(l.Runs), s.Run.Name, s.Index+1, state, errMissing, i.Figure.Name, damaged)
}
