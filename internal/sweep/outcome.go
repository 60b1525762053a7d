package sweep

import (
	"fmt"
	"math"
	"path/filepath"

	"momentum/internal/rundir"
)

// Outcome is what the folder of a run that has ended says.
type Outcome struct {
	Folder   string
	Diverged bool
	// one an epoch, the last one at the final weights unless the run has diverged
	Rows []rundir.Row
}

// Outcome reads the folder of a run, which must be done or have diverged.
func (l *List) Outcome(r Run) (Outcome, error) { return ReadOutcome(filepath.Join(l.Root, r.Name)) }

// ReadOutcome reads a run folder whose run is done or has diverged.
func ReadOutcome(folder string) (Outcome, error) {
	o := Outcome{Folder: folder}
	state, err := rundir.ReadState(folder)
	if err != nil {
		return o, fmt.Errorf("sweep: %w", err)
	}
	if state != rundir.Done && state != rundir.Diverged {
		return o, fmt.Errorf("sweep: %s: state is %q, want %q: let the run end, or leave it out",
			folder, state, rundir.Done)
	}
	o.Diverged = state == rundir.Diverged
	if o.Rows, err = rundir.ReadMetrics(filepath.Join(folder, "metrics.jsonl")); err != nil {
		return o, fmt.Errorf("sweep: %w", err)
	}
	if len(o.Rows) == 0 {
		return o, fmt.Errorf("sweep: %s: no metrics", folder)
	}
	return o, nil
}

// Last is a number at the final weights, NaN if the run has diverged or does not measure it.
func (o Outcome) Last(name string) float64 {
	if x, ok := o.Rows[len(o.Rows)-1].Get(name); ok && !o.Diverged {
		return x
	}
	return math.NaN()
}

// ZeroError is the epoch at which the training error was first zero, -1 if it never was.
func (o Outcome) ZeroError() int { return ZeroError(o.Rows) }

// ZeroError is the epoch of the first row in which every training image is classified correctly, or
// -1.
func ZeroError(rows []rundir.Row) int {
	for _, row := range rows {
		if accuracy, _ := row.Get("train_accuracy"); accuracy == 1 {
			epoch, _ := row.Get("epoch")
			return int(epoch)
		}
	}
	return -1
}

// AtLoss is a number at the first evaluation at which the training loss is at most level; NaN if
// that never happens.
func (o Outcome) AtLoss(level float64, name string) float64 {
	for _, row := range o.Rows {
		loss, measured := row.Get("loss")
		if x, evaluated := row.Get(name); measured && evaluated && loss <= level {
			return x
		}
	}
	return math.NaN()
}

// Series returns the epochs and values of a number, as far as it was measured.
func (o Outcome) Series(name string) (epochs, values []float64) {
	for _, row := range o.Rows {
		epoch, _ := row.Get("epoch")
		if x, ok := row.Get(name); ok {
			epochs, values = append(epochs, epoch), append(values, x)
		}
	}
	return epochs, values
}
