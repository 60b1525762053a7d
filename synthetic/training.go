package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"momentum/internal/cli"
	"momentum/internal/cubic"
	"momentum/internal/provenance"
	"momentum/internal/rundir"
	"momentum/internal/safetensors"
)

// trainIn trains a bundle in its folder and writes one row per observed step.
func (s *session) trainIn(ctx context.Context, b bundle, dir *rundir.Dir, onSteps func(int)) error {
	t, err := s.openTraining(ctx, b, dir, onSteps)
	if err != nil {
		return err
	}
	for _, step := range b.observed() {
		if step < t.lanes.Steps() {
			continue
		}
		if err := t.advance(ctx, step); err != nil {
			return cli.SaveOnStop(err, t.lanes.Steps(), t.save)
		}
		o, err := t.lanes.Observe(ctx)
		if err != nil {
			return cli.SaveOnStop(err, t.lanes.Steps(), t.save)
		}
		row, ended := b.row(o)
		if err := dir.AppendRow(row); err != nil {
			return err
		}
		if ended {
			break
		}
	}
	weights, err := t.lanes.Weights()
	if err != nil {
		return err
	}
	return errors.Join(
		dir.WriteFile("weights.safetensors", func(w io.Writer) error {
			return safetensors.Write(w, []safetensors.Tensor{weights},
				map[string]string{"layout": "[lane, neuron, d]"})
		}),
		t.writeManifest(), dir.WriteCSV(ctx), t.be.KeepAutotuned(dir.Path()),
		// The columns are tags already: lane/observable.
		dir.WriteEvents(ctx, func(column string) string { return column }))
}

// training is a bundle in training in its run folder.
type training struct {
	*session
	dir     *rundir.Dir
	lanes   *cubic.Lanes
	onSteps func(int)
	perCall int       // steps of a call, which grow until a call takes a quarter of a second
	saved   time.Time // the last checkpoint

	manifest     provenance.Provenance
	began        time.Time
	priorSeconds float64 // that earlier processes trained
}

// openTraining prepares the training of a bundle from its newest checkpoint, or from the start.
func (s *session) openTraining(ctx context.Context, b bundle, dir *rundir.Dir,
	onSteps func(int)) (*training, error) {
	t := &training{session: s, dir: dir, onSteps: onSteps, perCall: 64, began: time.Now()}
	var err error
	if t.lanes, err = s.newLanes(b); err != nil {
		return nil, err
	}
	_, warnings, err := dir.LoadCheckpoint(t.lanes.Load)
	if w := s.be.TakeAutotuned(dir.Path()); w != "" {
		warnings = append(warnings, w)
	}
	for _, w := range warnings {
		fmt.Fprintf(s.stderr, "warning: %s\n", w)
	}
	if err != nil {
		return nil, err
	}
	var before provenance.Provenance
	if t.lanes.Steps() > 0 {
		provenance.Read(dir.Path("manifest.json"), &before)
	}
	t.manifest, t.priorSeconds = provenance.Collect(ctx, s.be, before), before.WallSeconds
	// Resuming observes the checkpoint's step again, so its row is cut with the later ones.
	err = errors.Join(dir.CutRows(int64(t.lanes.Steps())-1), dir.SetState(rundir.Running))
	t.saved = time.Now()
	return t, err
}

// advance takes steps up to the given one, and saves checkpoints on the way.
func (t *training) advance(ctx context.Context, step int) error {
	for t.lanes.Steps() < step {
		k := min(t.perCall, step-t.lanes.Steps())
		start := time.Now()
		if err := t.lanes.Run(ctx, k); err != nil {
			return err
		}
		if k == t.perCall && time.Since(start) < time.Second/4 && t.perCall < 1<<14 {
			t.perCall *= 2
		}
		t.onSteps(t.lanes.Steps())
		if time.Since(t.saved) >= time.Duration(t.execution.CheckpointEvery) {
			if err := t.save(); err != nil {
				return err
			}
			t.saved = time.Now()
		}
	}
	return nil
}

func (t *training) save() error {
	if err := t.be.KeepAutotuned(t.dir.Path()); err != nil {
		return err
	}
	return errors.Join(t.dir.SaveCheckpoint(int64(t.lanes.Steps()), t.lanes.Save),
		t.writeManifest())
}

func (t *training) writeManifest() error {
	t.manifest.WallSeconds = t.priorSeconds + time.Since(t.began).Seconds()
	return t.dir.WriteJSON("manifest.json", t.manifest)
}
