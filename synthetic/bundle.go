package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/cubic"
	"momentum/internal/progress"
	"momentum/internal/rundir"
	"momentum/synthetic/table1"
)

// lane is one setting of the descent with the name that its columns have.
type lane struct {
	Name string `json:"name"`
	cubic.Lane
}

// bundle is one training: settings that see the same samples and start from the same weights. It
// holds everything that may change the result, and its hash names the run folder. Every picture and
// table of this command is drawn from the folders of some bundles.
type bundle struct {
	Name   string                `json:"name"` // readable beginning of the folder's name
	Data   datasets.Distribution `json:"data"`
	Test   int                   `json:"test"` // samples, each tried with either margin
	Degree int                   `json:"degree"`
	M      int                   `json:"m"`
	Sigma0 float64               `json:"sigma0"`
	Fitted float64               `json:"fitted"` // of cubic.Options
	Lanes  []lane                `json:"lanes"`
	T      int                   `json:"T"`               // steps at most
	Stop   float64               `json:"stop"`            // of converged; 0: never before T
	Keep   []string              `json:"keep,omitempty"`  // observables to write; empty: all
	Dense  bool                  `json:"dense,omitempty"` // observe every step up to 200
}

// observed lists the steps at which a bundle is observed: 0, 1, 2, … and then about 14 in each
// factor of ten, and the last one.
func (b bundle) observed() []int {
	var steps []int
	for step := 0; step < b.T; {
		steps = append(steps, step)
		next := step + 1
		if !b.Dense || step >= 200 {
			next = max(next, int(math.Round(float64(step)*1.18)))
		}
		step = next
	}
	return append(steps, b.T)
}

// converged reports whether a lane has reached what -stop asks for: no training error, and a mean
// loss of at most Stop on each set.
func (b bundle) converged(o *cubic.Observation, i int) bool {
	return o.Get(i, "error") == 0 && o.Get(i, "loss_1") <= b.Stop && o.Get(i, "loss_2") <= b.Stop
}

// session is what all bundles of one command share.
type session struct {
	be             *backend.Backend
	request        request
	execution      Execution
	table1         table1.Settings
	stdout, stderr io.Writer
	opened         map[string]bool // bundles, as JSON, that this command has opened
	estimate       *estimate       // of -dry-run
}

// train trains bundles one after the other, each in its run folder: from the start, from a
// checkpoint, or not at all if it is done.
func (s *session) train(ctx context.Context, title string, bundles []bundle) ([]trained, error) {
	total := 0
	for _, b := range bundles {
		if err := b.Data.Validate(); err != nil {
			return nil, &cli.UsageError{Err: fmt.Errorf("%s: %w", b.Name, err)}
		}
		total += b.T * len(b.Lanes)
	}
	if s.estimate != nil {
		return nil, s.printWork(ctx, bundles)
	}
	bar := progress.Steps(s.stdout, title, total)
	defer bar.Close()
	var out []trained
	before := 0
	for _, b := range bundles {
		rows, err := s.trainOne(ctx, b,
			func(steps int) { bar.Set(int64(before + steps*len(b.Lanes))) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.Name, err)
		}
		before += b.T * len(b.Lanes)
		bar.Set(int64(before))
		out = append(out, trained{b, rows})
	}
	return out, nil
}

func (s *session) trainOne(ctx context.Context, b bundle, onSteps func(int)) (rows []rundir.Row,
	err error) {
	first, err := s.open(b)
	if err != nil {
		return nil, err
	}
	dir, err := rundir.Open(rundir.Spec{Root: s.execution.Runs, Label: b.Name, Settings: b,
		Execution: s.execution, Fresh: s.request.fresh && first})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if dir.State() != rundir.Done {
		if err := cli.End(dir, s.trainIn(ctx, b, dir, onSteps)); err != nil {
			return nil, err
		}
	} else if _, err := dir.Verify(nil); err != nil {
		return nil, err
	}
	rows, err = dir.Metrics(ctx)
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("%s: done but without metrics; -fresh starts over",
			dir.Path("metrics.jsonl"))
	}
	return rows, err
}

// open reports whether this command opens a bundle for the first time. Two of its experiments may
// need the same one: -fresh trains it once, and -dry-run counts it once.
func (s *session) open(b bundle) (first bool, err error) {
	settings, err := json.Marshal(b)
	if err != nil {
		return false, err
	}
	if s.opened == nil {
		s.opened = map[string]bool{}
	}
	first = !s.opened[string(settings)]
	s.opened[string(settings)] = true
	return first, nil
}

// newLanes draws the samples of a bundle and prepares its training.
func (s *session) newLanes(b bundle) (*cubic.Lanes, error) {
	train, err := b.Data.Draw("train")
	if err != nil {
		return nil, err
	}
	spec := b.Data
	spec.N, spec.SmallMargin = b.Test, 0
	test, err := spec.Draw("test")
	if err != nil {
		return nil, err
	}
	var settings []cubic.Lane
	for _, l := range b.Lanes {
		settings = append(settings, l.Lane)
	}
	return cubic.New(s.be, train, test, settings, cubic.Options{
		Network: cubic.Network{Degree: b.Degree}, M: b.M, Sigma0: b.Sigma0, Seed: b.Data.Seed,
		Fitted: b.Fitted,
	})
}

// row turns an observation into a row of the metrics. Its columns are named lane/observable and
// lane/event (the event's first step, once it has happened). ended reports whether all lanes have
// converged or diverged.
func (b bundle) row(o *cubic.Observation) (row rundir.Row, ended bool) {
	row.Step = int64(o.Step)
	ended = true
	for i, l := range b.Lanes {
		for j, name := range o.Names {
			if len(b.Keep) == 0 || slices.Contains(b.Keep, name) {
				row.Values = append(row.Values,
					rundir.Value{Name: l.Name + "/" + name, X: o.Values[i][j]})
			}
		}
		// A step notices that the step before it broke the weights. No step follows the last one.
		events := slices.Clone(o.Events[i])
		if loss := o.Get(i, "loss"); o.Step == b.T && events[cubic.Diverged] < 0 &&
			(math.IsNaN(loss) || math.IsInf(loss, 0)) {
			events[cubic.Diverged] = o.Step
		}
		for e, step := range events {
			if step >= 0 {
				row.Values = append(row.Values,
					rundir.Value{Name: l.Name + "/" + cubic.Event(e).String(), X: float64(step)})
			}
		}
		converged := b.converged(o, i)
		if converged {
			row.Values = append(row.Values, rundir.Value{Name: l.Name + "/converged", X: 1})
		}
		if !converged && events[cubic.Diverged] < 0 {
			ended = false
		}
	}
	return row, ended
}
