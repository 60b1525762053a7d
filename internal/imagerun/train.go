package imagerun

import (
	"context"
	"errors"
	"fmt"
	"time"

	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/progress"
	"momentum/internal/rundir"
	"momentum/internal/seeds"
)

// training is an experiment under way in its folder.
type training struct {
	*experiment
	dir      *rundir.Dir
	log      *runLog
	schedule descent.Schedule
	position position
	saved    int     // the step before which the newest checkpoint is, −1 without one
	order    []int32 // of the images in this epoch, for mini-batches
	parts    *parts  // of the momentum buffer, if they are followed

	drawn   time.Time     // when this process drew the curves last
	drawing time.Duration // how long that took

	intervened int // the step after which an intervention took place, if it waits for one; or 0

	previous string // the last finite step, for the error of one that is not
	bar      *progress.Bar
	images   int         // shown by the bar, which is full only after the last evaluation
	ended    bool        // by -until-loss
	last     observation // before the step that -until-loss did not take
}

// trainIn trains: one epoch after the other, one row of metrics for each, and a checkpoint now and
// then.
func (r *experiment) trainIn(ctx context.Context, dir *rundir.Dir) (err error) {
	t := &training{experiment: r, dir: dir}
	t.bar = progress.Steps(r.stdout, "images", r.Epochs*r.train.N)
	defer t.bar.Close()
	if _, err := r.startTrainer(t.advance); err != nil {
		return err
	}
	if r.tracksGroups() {
		t.parts = newParts(r.net.NumParams())
	}
	resumed, keep, err := t.resume()
	if err != nil {
		return err
	}
	if t.log, err = t.openLog(ctx, resumed, keep); err != nil {
		return err
	}
	defer func() { err = errors.Join(t.lostDevice(err), t.log.events.Close()) }()
	if err := dir.SetState(rundir.Running); err != nil {
		return err
	}
	t.schedule = descent.Schedule{Kind: r.Schedule, Peak: r.Rate, Steps: t.steps(),
		Warmup: r.Warmup * r.stepsPerEpoch}
	epoch, inEpoch := t.position.step/r.stepsPerEpoch, t.position.step%r.stepsPerEpoch
	t.advance(epoch*r.train.N + min(inEpoch*r.Batch, r.train.N))

	for t.position.step < t.steps() && !t.ended {
		if err := t.step(ctx); err != nil {
			return t.saveOnStop(err)
		}
		last := t.ended || t.position.step == t.steps()
		if last || time.Since(t.log.saved) >= time.Duration(r.CheckpointEvery) {
			if err := t.save(); err != nil {
				return err
			}
			if !last { // the end draws them, too
				t.draw(ctx)
			}
		}
	}
	return t.end(ctx)
}

// startTrainer makes a trainer with the initial weights, or takes that of the seed before.
func (r *experiment) startTrainer(onChunk func(images int)) (t *descent.Trainer, err error) {
	if t = r.trainer; t != nil {
		t.OnChunk = onChunk
		return t, t.Restart(r.Seed)
	}
	o := descent.Options{Precision: descent.Precision(r.Precision), Seed: r.Seed, OnChunk: onChunk}
	if r.UntilLoss > 0 {
		o.Until = func(s descent.Score) bool {
			return s.Correct == r.train.N && s.Loss <= r.UntilLoss
		}
	}
	r.trainer, err = descent.NewTrainer(r.backend, r.net, r.Rule(), r.train, o)
	return r.trainer, err
}

// steps is the number of steps of the whole run.
func (t *training) steps() int { return t.Epochs * t.stepsPerEpoch }

// advance shows the progress by a number of training images.
func (t *training) advance(images int) {
	t.images += images
	t.bar.Set(int64(min(t.images, t.Epochs*t.train.N-1)))
}

// step takes the next step, exactly on the full batch or on the next mini-batch of the epoch's
// order. Before the first step of an epoch it may evaluate; after the last one it writes the
// epoch's row.
func (t *training) step(ctx context.Context) (err error) {
	p := &t.position
	epoch, inEpoch := p.step/t.stepsPerEpoch, p.step%t.stepsPerEpoch
	if inEpoch == 0 {
		*p = position{step: p.step}
		if epoch%t.every == 0 {
			if p.eval, err = t.trainer.Evaluate(ctx, t.eval); err != nil {
				return err
			}
		}
		if t.savesEpoch(epoch) {
			if err := t.writeEpoch(epoch); err != nil {
				return err
			}
		}
	}

	eta := t.schedule.Rate(p.step)
	o, err := t.observe(ctx, epoch, false)
	if err != nil {
		return err
	}
	var stats descent.Stats
	images := t.train.N
	if t.Batch == 0 {
		stats, err = t.trainer.Step(ctx, t.stepRate(eta))
	} else {
		if t.order == nil || inEpoch == 0 {
			t.order = shuffled(t.Seed, epoch, t.train.N)
		}
		batch := t.order[inEpoch*t.Batch : min((inEpoch+1)*t.Batch, t.train.N)]
		images = len(batch)
		stats, err = t.trainer.StepOn(ctx, batch, eta)
	}
	if err != nil {
		return err
	}
	if t.ended = stats.Ended; t.ended {
		t.last = o
		return nil
	}
	step := p.step
	p.step++
	p.add(stats.Score, images)
	t.log.count(images)

	quantity, value := stats.NotFinite()
	if quantity == "" {
		if err := t.observeStep(ctx, &o, t.stepRate(eta), stats); err != nil {
			return err
		}
	}
	if inEpoch == t.stepsPerEpoch-1 || quantity != "" {
		if err := t.log.epoch(*p, epoch, eta, stats, o.values); err != nil {
			return err
		}
	}
	if quantity != "" {
		return t.diverged(quantity, value, step)
	}
	t.previous = fmt.Sprintf(" (gradient norm %.3g at step %d)", stats.GradNorm, step)
	return nil
}

// end evaluates all images at the final weights and writes what remains of the run. If -until-loss
// ended it, they are those before the last step that was begun.
func (t *training) end(ctx context.Context) (err error) {
	p := &t.position
	*p = position{step: p.step}
	if p.eval, err = t.trainer.Evaluate(ctx, t.eval); err != nil {
		return t.saveOnStop(err)
	}
	final, err := t.trainer.Evaluate(ctx, t.train)
	if err != nil {
		return t.saveOnStop(err)
	}
	p.add(final, t.train.N)
	quantity, value := (descent.Stats{Score: final}).NotFinite()
	o := t.last
	if t.Diagnose != "" && quantity == "" && !o.diagnosed {
		if o, err = t.observe(ctx, p.step, true); err != nil {
			return t.saveOnStop(err)
		}
	}
	if err := t.log.final(*p, o.values); err != nil {
		return err
	}
	t.bar.Set(int64(t.Epochs * t.train.N))
	if t.interventionWaits() && t.intervened == 0 {
		t.bar.Println(fmt.Sprintf("          -intervene=%s never took place: the mean loss of the "+
			"large-margin images did not fall below %g", t.Intervene, t.InterveneAt))
	}
	if quantity != "" {
		return t.diverged(quantity, value, p.step)
	}
	err = t.writeWeights(finalWeights)
	if err == nil && t.SaveWeightsEvery > 0 {
		err = t.writeEpoch(p.step / t.stepsPerEpoch)
	}
	return errors.Join(err, t.log.writeManifest())
}

// diverged is the error of a step with a quantity that is not finite.
func (t *training) diverged(quantity string, value float64, step int) error {
	return &cli.DivergedError{Err: fmt.Errorf("%s is %v at step %d%s", quantity, value, step,
		t.previous)}
}

// shuffled is the order of the training images in an epoch.
func shuffled(seed uint64, epoch, n int) []int32 {
	order := make([]int32, n)
	for i, j := range seeds.Stream(seed, fmt.Sprintf("order/%d", epoch)).Perm(n) {
		order[i] = int32(j)
	}
	return order
}
