package table1

import (
	"context"
	"errors"
	"testing"
	"time"
)

// The cost is the time of a run, whose full batch is trained in many blocks, up to a factor of 3:
// other processes may slow either.
func TestCost(t *testing.T) {
	s, be := tiny(), goBackend(t)
	s.D, s.Train, s.Batch, s.Seeds, s.Filters, s.Epochs = 30, 500, 128, 2, 16, 2
	s.Students = []string{"2-cnn"}
	e := &experiment{Settings: s, be: be}
	tasks, err := e.tasks("2-cnn")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(tasks[0].trials) / tasks[0].block; n < 8 {
		t.Fatalf("the full batch has %d blocks", n)
	}
	cost, err := Cost(t.Context(), be, s)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	runTable(t, be, s)
	if took := time.Since(start).Seconds(); cost > 3*took || cost < took/3 {
		t.Errorf("%.2g s by the cost, and %.2g s in fact", cost, took)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Cost(ctx, be, s); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}
