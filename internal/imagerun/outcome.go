package imagerun

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"momentum/internal/rundir"
	"momentum/internal/runlist"
)

// Columns of the metrics. Those of test images have the prefix held_out_ in place of test_ in a run
// that evaluates held-out training images.
const (
	epochColumn    = "epoch"
	lossColumn     = "loss"
	accuracyColumn = "train_accuracy"
	testLoss       = "test_loss"
	testAccuracy   = "test_accuracy"

	smallMargin = "_small_margin" // ending of a column of the small-margin images alone
	largeMargin = "_large_margin" // ending of a column of the others
)

// HeldOut is the column of the held-out images that corresponds to one of the test images:
// held_out_accuracy for test_accuracy.
func HeldOut(column string) string {
	if rest, ok := strings.CutPrefix(column, "test_"); ok {
		return "held_out_" + rest
	}
	return column
}

// evalColumn is the column of the images that the run evaluates, by that of the test images.
func (c *Config) evalColumn(column string) string {
	if c.Holdout > 0 {
		return HeldOut(column)
	}
	return column
}

// Outcome is the result of a run that has ended, from its folder.
type Outcome struct {
	Folder   string
	Diverged bool
	// Rows are one for each epoch and, unless the run has diverged, one for the final weights.
	Rows []rundir.Row
}

// ReadOutcome reads the folder of a run that is done or has diverged.
func ReadOutcome(ctx context.Context, folder string) (Outcome, error) {
	state, err := rundir.ReadState(folder)
	if err != nil {
		return Outcome{Folder: folder}, err
	}
	if state != rundir.Done && state != rundir.Diverged {
		return Outcome{Folder: folder}, fmt.Errorf("%s: state is %q, want %q: let the run end, "+
			"or leave it out", folder, state, rundir.Done)
	}
	return ReadProgress(ctx, folder, state)
}

// ReadProgress reads how far a run has come that is in any state. The files of one that has ended
// must be as it left them.
func ReadProgress(ctx context.Context, folder string, state rundir.State) (o Outcome,
	err error) {
	o = Outcome{Folder: folder, Diverged: state == rundir.Diverged}
	if state.Ended() {
		if err := rundir.Verify(folder, derivedFiles()); err != nil {
			return o, err
		}
	}
	o.Rows, err = rundir.ReadMetrics(ctx, filepath.Join(folder, "metrics.jsonl"))
	if err != nil {
		return o, err
	}
	if len(o.Rows) == 0 {
		return o, fmt.Errorf("%s: no metrics", folder)
	}
	return o, nil
}

// Last is the value of a column at the final weights, NaN if the run has diverged or does not
// measure it.
func (o Outcome) Last(column string) float64 {
	if x, ok := o.Rows[len(o.Rows)-1].Get(column); ok && !o.Diverged {
		return x
	}
	return math.NaN()
}

// Epochs is the number of epochs after which the run ended.
func (o Outcome) Epochs() int {
	epoch, _ := o.Rows[len(o.Rows)-1].Get(epochColumn)
	return int(epoch)
}

// Share is the share of its epochs that a run has done so far: 0 where that cannot be read, such as
// before its first row.
func Share(r runlist.Run, folder string) float64 {
	var settings struct{ Epochs float64 }
	row, ok, err := rundir.LastRow(folder)
	if err != nil || !ok || json.Unmarshal(r.Settings, &settings) != nil || settings.Epochs <= 0 {
		return 0
	}
	epoch, _ := row.Get(epochColumn)
	return epoch / settings.Epochs
}

// Fitted reports whether the run ended with zero training error.
func (o Outcome) Fitted() bool { return o.Last(accuracyColumn) == 1 }

// ZeroError is the epoch of the first zero training error, −1 if there is none.
func (o Outcome) ZeroError() int { return zeroError(o.Rows) }

// zeroError is the epoch of the first row in which every training image is classified correctly,
// or −1.
func zeroError(rows []rundir.Row) int {
	for _, row := range rows {
		if accuracy, _ := row.Get(accuracyColumn); accuracy == 1 {
			epoch, _ := row.Get(epochColumn)
			return int(epoch)
		}
	}
	return -1
}

// AtLoss is the value of a column where the training loss first falls to a level: between the
// evaluation before and the one at or below, by the logarithm of the loss. NaN if it does not fall
// so far.
func (o Outcome) AtLoss(level float64, column string) float64 {
	before, value := math.NaN(), math.NaN() // at the evaluation before
	for _, row := range o.Rows {
		loss, measured := row.Get(lossColumn)
		x, evaluated := row.Get(column)
		if !measured || !evaluated {
			continue
		}
		if loss <= level {
			if before > level && loss > 0 {
				share := math.Log(before/level) / math.Log(before/loss)
				return (1-share)*value + share*x
			}
			return x
		}
		before, value = loss, x
	}
	return math.NaN()
}

// LeastLoss is the least training loss at which a column was measured, NaN if the run has diverged.
func (o Outcome) LeastLoss(column string) float64 {
	least := math.NaN()
	for _, row := range o.Rows {
		loss, measured := row.Get(lossColumn)
		if _, evaluated := row.Get(column); measured && evaluated && !o.Diverged &&
			!(loss >= least) {
			least = loss
		}
	}
	return least
}

// Series returns the epochs and values of a column, as far as it was measured.
func (o Outcome) Series(column string) (epochs, values []float64) {
	all := make([]float64, len(o.Rows)) // epochs
	for i, epoch := range rundir.Column(o.Rows, epochColumn) {
		all[i] = epoch
	}
	for i, x := range rundir.Column(o.Rows, column) {
		epochs, values = append(epochs, all[i]), append(values, x)
	}
	return epochs, values
}
