package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/cubic"
	"momentum/internal/progress"
	"momentum/internal/provenance"
	"momentum/internal/rundir"
	"momentum/internal/safetensors"
	"momentum/synthetic/table1"
)

// lane is one setting of the descent with the name that its columns have.
type lane struct {
	Name string `json:"name"`
	cubic.Lane
}

// bundle is one training: settings that see the same samples and start from the same weights. It is
// all that may change the result, and its hash names the run folder; every picture and table of
// this command is drawn from the folders of some bundles.
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
	Keep   []string              `json:"keep,omitempty"`  // observables that are written; none: all
	Dense  bool                  `json:"dense,omitempty"` // observe every step up to 200
}

// trained is a bundle with what its run folder says.
type trained struct {
	bundle
	rows []rundir.Row
}

// observed are the steps at which a bundle is observed: 0, 1, 2, … and then about 14 in each factor
// of ten, and the last one.
func (b bundle) observed() []int {
	var steps []int
	for at := 0; at < b.T; {
		steps = append(steps, at)
		next := at + 1
		if !b.Dense || at >= 200 {
			next = max(next, int(math.Round(float64(at)*1.18)))
		}
		at = next
	}
	return append(steps, b.T)
}

// converged says whether a lane has reached what -stop asks for: no training error, and a mean loss
// of at most Stop on each set.
func (b bundle) converged(o *cubic.Observation, i int) bool {
	return o.Get(i, "error") == 0 && o.Get(i, "loss_1") <= b.Stop && o.Get(i, "loss_2") <= b.Stop
}

// session is what all bundles of one command share.
type session struct {
	be             *backend.Backend
	do             command
	exec           Execution
	table1         table1.Settings
	stdout, stderr io.Writer
	opened         map[string]bool // bundles, as JSON, that this command has opened before
}

// train runs bundles one after the other, each in its run folder: from the start, from a
// checkpoint, or not at all if it is done.
func (s *session) train(ctx context.Context, what string, bundles []bundle) ([]trained, error) {
	total := 0
	for _, b := range bundles {
		if err := b.Data.Validate(); err != nil {
			return nil, &cli.UsageError{Err: fmt.Errorf("%s: %w", b.Name, err)}
		}
		total += b.T * len(b.Lanes)
	}
	bar := progress.Steps(s.stdout, what, total)
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
	// Two experiments of a command may want the same bundle: -fresh trains it once.
	settings, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	dir, err := rundir.Open(rundir.Spec{Root: s.exec.Runs, Label: b.Name, Settings: b,
		Execution: s.exec, Fresh: s.do.fresh && !s.opened[string(settings)]})
	if err != nil {
		return nil, err
	}
	if s.opened == nil {
		s.opened = map[string]bool{}
	}
	s.opened[string(settings)] = true
	defer func() { err = errors.Join(err, dir.Close()) }()
	if dir.State() != rundir.Done {
		if err := cli.End(dir, s.trainIn(ctx, b, dir, onSteps)); err != nil {
			return nil, err
		}
	}
	rows, err = dir.Metrics()
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("%s: done but without metrics; -fresh starts over",
			dir.Path("metrics.jsonl"))
	}
	return rows, err
}

// trainIn trains a bundle in its folder and leaves one row per observed step.
func (s *session) trainIn(ctx context.Context, b bundle, dir *rundir.Dir, onSteps func(int)) error {
	began := time.Now()
	lanes, err := s.lanes(b)
	if err != nil {
		return err
	}
	_, warnings, err := dir.LoadCheckpoint(lanes.Load)
	for _, w := range warnings {
		fmt.Fprintf(s.stderr, "warning: %s\n", w)
	}
	if err != nil {
		return err
	}
	var before provenance.Provenance
	if lanes.Steps() > 0 {
		provenance.Read(dir.Path("manifest.json"), &before)
	}
	manifest := provenance.Collect(ctx, s.be, before)
	writeManifest := func() error {
		manifest.WallSeconds = before.WallSeconds + time.Since(began).Seconds()
		return dir.WriteJSON("manifest.json", manifest)
	}
	save := func() error {
		return errors.Join(dir.SaveCheckpoint(int64(lanes.Steps()), lanes.Save), writeManifest())
	}
	// The row of a step is written before the step is taken, so a checkpoint at a step stands
	// before the row of that step.
	if err := errors.Join(dir.CutRows(int64(lanes.Steps())-1), dir.SetState(rundir.Running)); err !=
		nil {
		return err
	}
	saved := time.Now()
	slice := 64 // steps of a call, which grow until a call takes a quarter of a second
	for _, at := range b.observed() {
		if at < lanes.Steps() {
			continue
		}
		for lanes.Steps() < at {
			k := min(slice, at-lanes.Steps())
			start := time.Now()
			if err := lanes.Run(ctx, k); err != nil {
				return stopOr(err, save, lanes.Steps())
			}
			if k == slice && time.Since(start) < time.Second/4 && slice < 1<<14 {
				slice *= 2
			}
			onSteps(lanes.Steps())
			if time.Since(saved) >= time.Duration(s.exec.CheckpointEvery) {
				if err := save(); err != nil {
					return err
				}
				saved = time.Now()
			}
		}
		o, err := lanes.Observe(ctx)
		if err != nil {
			return stopOr(err, save, lanes.Steps())
		}
		row, ended := b.row(o)
		if err := dir.AppendRow(row); err != nil {
			return err
		}
		if ended {
			break
		}
	}
	weights, err := lanes.Weights()
	if err != nil {
		return err
	}
	return errors.Join(
		dir.WriteFile("weights.safetensors", func(w io.Writer) error {
			return safetensors.Write(w, []safetensors.Tensor{weights},
				map[string]string{"layout": "[lane, neuron, d]"})
		}),
		writeManifest(), dir.WriteCSV())
}

// stopOr returns err or, if a signal is the reason for it, saves the state first.
func stopOr(err error, save func() error, step int) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	if err := save(); err != nil {
		return err
	}
	return fmt.Errorf("%w at step %d; the same command resumes it", cli.ErrStopped, step)
}

// lanes draws the samples of a bundle and prepares its training.
func (s *session) lanes(b bundle) (*cubic.Lanes, error) {
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

// row turns an observation into a row of the metrics, whose columns are named lane/observable and
// lane/event (the event's first step, once it has happened), and says whether all lanes have ended:
// converged, or diverged.
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
		// The step that breaks the weights is noticed at the beginning of the next one, and after
		// the last one there is none.
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

// series returns the steps and values of one column.
func (t trained) series(lane, name string) (steps, values []float64) {
	for _, row := range t.rows {
		if x, ok := row.Get(lane + "/" + name); ok {
			steps, values = append(steps, float64(row.Step)), append(values, x)
		}
	}
	return steps, values
}

// final is the row that counts for a lane: the first one at which it had converged, or else the
// last one.
func (t trained) final(lane string) laneRow {
	for _, row := range t.rows {
		if _, ok := row.Get(lane + "/converged"); ok {
			return laneRow{row, lane}
		}
	}
	return laneRow{t.rows[len(t.rows)-1], lane}
}

// last is a lane's last row.
func (t trained) last(lane string) laneRow { return laneRow{t.rows[len(t.rows)-1], lane} }

// laneRow is what a row says of one lane.
type laneRow struct {
	row  rundir.Row
	lane string
}

// get returns a value, NaN if the row has none or the lane has diverged: of weights that are not
// finite no sample is counted as wrong.
func (r laneRow) get(name string) float64 {
	if _, diverged := r.event(cubic.Diverged); diverged {
		return math.NaN()
	}
	if x, ok := r.row.Get(r.lane + "/" + name); ok {
		return x
	}
	return math.NaN()
}

// event returns the first step of an event, and whether it has happened.
func (r laneRow) event(e cubic.Event) (int, bool) {
	x, ok := r.row.Get(r.lane + "/" + e.String())
	return int(x), ok
}

// slug turns a text into a part of a folder's name: ASCII letters, digits and points, with single
// hyphens between them.
func slug(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.')
	}), "-")
}
