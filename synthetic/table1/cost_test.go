package table1

import (
	"context"
	"errors"
	"testing"
)

// A task takes the time of compiling, and that of all epochs and evaluations of all its blocks.
func TestCost(t *testing.T) {
	s, be := tiny(), goBackend(t)
	e := &experiment{Settings: s, be: be}
	tasks, err := e.tasks("2-cnn")
	if err != nil || len(tasks) != 2 {
		t.Fatalf("%d tasks, %v; want the full batch and batches", len(tasks), err)
	}
	for _, task := range tasks {
		// 8 trials: 2 teachers, 2 rates, without and with momentum. 3 epochs of 20 points, and
		// evaluations of 20 + 20 + 40 points, which are 4 epochs.
		task.block = 2
		if got := task.seconds(10, 0.5); got != 10+4*7*0.5 {
			t.Errorf("%g s, want 10 + 4 blocks of 7 epochs of 0.5", got)
		}
	}
	if cost, err := Cost(t.Context(), be, s); err != nil || !(cost > 0) {
		t.Errorf("the cost is %g, %v", cost, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Cost(ctx, be, s); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}
