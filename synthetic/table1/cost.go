package table1

import (
	"context"
	"fmt"
	"time"

	"momentum/internal/backend"
	"momentum/internal/measure"
)

// Cost is about the time of a whole [Run], in seconds. It draws the points and compiles as Run
// does, and measures some epochs of one block of each student and batch size.
func Cost(ctx context.Context, be *backend.Backend, s Settings) (seconds float64, err error) {
	if err := s.Validate(); err != nil {
		return 0, err
	}
	began := time.Now()
	e := &experiment{Settings: s, be: be}
	if err := e.draw(ctx); err != nil {
		return 0, fmt.Errorf("table1: %w", err)
	}
	seconds = time.Since(began).Seconds()
	for _, student := range s.Students {
		tasks, err := e.tasks(student)
		if err != nil {
			return 0, fmt.Errorf("table1: %s: %w", student, err)
		}
		for _, t := range tasks {
			took, err := t.cost(ctx)
			if err != nil {
				return 0, fmt.Errorf("table1: %s: %w", student, err)
			}
			seconds += took
		}
	}
	return seconds, nil
}

// cost measures the time of a task.
func (t task) cost(ctx context.Context) (float64, error) {
	b, err := t.begin(t.trials[:t.block])
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := b.epochs(ctx, 1); err != nil {
		return 0, err
	}
	compile := time.Since(began)
	epoch, err := measure.PerStep(t.Epochs, time.Second/10,
		func(k int) error { return b.epochs(ctx, k) })
	return t.seconds(compile.Seconds(), epoch.Seconds()), err
}

// seconds is the time of a task by that of compiling and that of an epoch of a block: of all epochs
// and evaluations of all blocks. An evaluation counts as training on its points, which takes
// longer.
func (t task) seconds(compile, epoch float64) float64 {
	epochs := float64(t.Epochs) + float64(t.Train+t.Valid+t.Test)/float64(t.Train)
	blocks := float64(len(t.trials)) / float64(t.block)
	return compile + blocks*epochs*epoch
}

// epochs trains k epochs, and waits for the device.
func (b *block) epochs(ctx context.Context, k int) error {
	for range k {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.advance(); err != nil {
			return err
		}
	}
	return backend.Try("train", func() { backend.Floats(b.state[0]) })
}
