package imagerun

import (
	"context"
	"errors"
	"fmt"
	"time"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/figure"
)

// position is where a run is: before a step, with the sums of the epoch so far.
type position struct {
	step  int
	train descent.Score // over the epoch's images so far, with the losses as sums
	eval  descent.Score // at the epoch's start, if it was evaluated then
}

// add adds the mean losses and the counts of a step on a number of training images.
func (p *position) add(s descent.Score, images int) {
	p.train.Loss += s.Loss * float64(images)
	p.train.Correct += s.Correct
	p.train.SmallMarginLoss += s.SmallMarginLoss * float64(images)
	p.train.SmallMarginCorrect += s.SmallMarginCorrect
}

// numbers are the numbers of a position as a checkpoint keeps them.
func (p position) numbers() map[string]float64 {
	return map[string]float64{
		"loss_sum": p.train.Loss, "correct": float64(p.train.Correct),
		"small_margin_loss_sum": p.train.SmallMarginLoss,
		"small_margin_correct":  float64(p.train.SmallMarginCorrect),
		"eval_loss":             p.eval.Loss, "eval_correct": float64(p.eval.Correct),
		"eval_small_margin_loss":    p.eval.SmallMarginLoss,
		"eval_small_margin_correct": float64(p.eval.SmallMarginCorrect),
	}
}

// positionOf is the position before a step with the numbers of its checkpoint.
func positionOf(step int, x map[string]float64) position {
	return position{
		step: step,
		train: descent.Score{Loss: x["loss_sum"], Correct: int(x["correct"]),
			SmallMarginLoss:    x["small_margin_loss_sum"],
			SmallMarginCorrect: int(x["small_margin_correct"])},
		eval: descent.Score{Loss: x["eval_loss"], Correct: int(x["eval_correct"]),
			SmallMarginLoss:    x["eval_small_margin_loss"],
			SmallMarginCorrect: int(x["eval_small_margin_correct"])},
	}
}

// intervenedNumber is the number of a checkpoint that says after which step the run intervened.
const intervenedNumber = "intervened"

// save writes a checkpoint of the state before the next step.
func (t *training) save() error {
	t.log.saved = time.Now()
	// First, since with other kernels the steps after the checkpoint are rounded otherwise.
	if err := t.backend.KeepAutotuned(t.dir.Path()); err != nil {
		return err
	}
	err := t.dir.SaveCheckpoint(int64(t.position.step), func(folder string) error {
		numbers := t.position.numbers()
		numbers[intervenedNumber] = float64(t.intervened)
		if err := t.trainer.Save(folder, numbers); err != nil || t.parts == nil {
			return err
		}
		return t.parts.save(folder)
	})
	if err == nil {
		t.saved = t.position.step
	}
	return errors.Join(err, t.log.writeManifest())
}

// lostDevice adds to the error of a device that fails in the middle of a run what to do: the device
// may have disappeared, and any others can go on without it. A device that fails in the first step
// of a process is likely to fail again.
func (t *training) lostDevice(err error) error {
	if !errors.As(err, new(*backend.DeviceError)) || t.log.trained == 0 {
		return err
	}
	from := fmt.Sprintf("it goes on from its last checkpoint, before step %d", t.saved)
	if t.saved < 0 {
		from = "it begins anew, since no checkpoint was saved yet (-checkpoint-every)"
	}
	return fmt.Errorf("%w; start the same command again: %s", err, from)
}

// The curves of a run under way are drawn again no sooner than after drawEvery, and after drawTimes
// as long as drawing took.
const (
	drawEvery = 30 * time.Second
	drawTimes = 100
)

// draw draws the curves of a run under way. An error is a warning: the end draws them anew. When
// the context ends, so does the run, which says so itself.
func (t *training) draw(ctx context.Context) {
	if t.position.step < t.stepsPerEpoch || // there is no row
		time.Since(t.drawn) < max(drawEvery, drawTimes*t.drawing) {
		return
	}
	began := time.Now()
	if err := figure.Curves(ctx, t.dir.Path()); err != nil && !errors.Is(err, context.Canceled) {
		t.bar.Interrupt()
		fmt.Fprintf(t.stderr, "warning: the curves are not drawn: %v\n", err)
	}
	t.drawn = time.Now()
	t.drawing = t.drawn.Sub(began)
}

// saveOnStop returns err and, if a signal is the reason for it, saves the state before the step.
func (t *training) saveOnStop(err error) error {
	return cli.SaveOnStop(err, t.position.step, t.save)
}

// resume writes the initial weights, unless they are there, and loads the newest undamaged
// checkpoint up to which the metrics are as they were, if one is found. It cuts the metrics back to
// that point, to the rows of the steps up to keep.
func (t *training) resume() (found bool, keep int64, err error) {
	if t.dir.State() == "" && !t.fresh {
		if err := t.extend(); err != nil {
			return false, 0, err
		}
	}
	remade, err := t.writeInitial()
	if err != nil {
		return false, 0, err
	}
	found, warnings, err := t.dir.LoadCheckpoint(func(folder string) error {
		// The trainer is the last, since it keeps what it has loaded.
		if t.parts != nil {
			if err := t.parts.load(folder); err != nil {
				return err
			}
		}
		step, numbers, err := t.trainer.Load(folder)
		t.position, t.intervened = positionOf(step, numbers), int(numbers[intervenedNumber])
		return err
	})
	if found && remade != "" {
		warnings = append(warnings, remade)
	}
	if missing := t.missingWeights(); found && missing != "" {
		warnings = append(warnings, missing)
	}
	for _, warning := range warnings {
		t.bar.Interrupt()
		fmt.Fprintf(t.stderr, "warning: %s\n", warning)
	}
	if err != nil {
		return found, 0, err
	}
	t.saved = -1
	if found {
		t.saved = t.position.step
		t.bar.Println(fmt.Sprintf("          resumed before step %d of %d", t.position.step,
			t.steps()))
	} else if t.parts != nil {
		t.parts.clear() // it may have been loaded from a checkpoint that the trainer refused
	}
	if err := t.resumeIntervention(); err != nil {
		return found, 0, err
	}
	// The row of an epoch has the number of the epoch's first step.
	keep = int64(t.position.step/t.stepsPerEpoch*t.stepsPerEpoch) - 1
	return found, keep, t.dir.CutRows(keep)
}
