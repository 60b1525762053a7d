package main

import (
	"context"
	"fmt"
	"time"

	"momentum/internal/descent"
	"momentum/internal/progress"
	"momentum/internal/provenance"
	"momentum/internal/rundir"
	"momentum/internal/tbevents"
)

// Manifest says what a run was made by and with; unlike the other files it differs between two runs
// of one configuration.
type Manifest struct {
	provenance.Provenance
	Precision string `json:"precision"`
	// trained on, of the wall seconds of training and evaluation
	ImagesPerSec float64 `json:"images_per_sec"`
	Images       int     `json:"images_trained"`
}

// runLog writes what a run measures to its folder.
type runLog struct {
	r      *experiment
	dir    *rundir.Dir
	events *tbevents.Writer

	manifest Manifest
	before   Manifest  // wall time and images of earlier processes
	began    time.Time // of this process
	images   int       // trained on by this process
	// the end of its first step, which compiles: rates that are shown count from there
	warm       time.Time
	warmImages int
	saved      time.Time // the last checkpoint
	lastEval   string    // as shown
}

// openLog opens the event file, keeping the records of rows up to the given step, and the manifest,
// which goes on counting where an earlier process left off.
func (r *experiment) openLog(ctx context.Context, dir *rundir.Dir, keep int64) (*runLog, error) {
	l := &runLog{r: r, dir: dir, began: time.Now(), saved: time.Now()}
	if keep >= 0 {
		provenance.Read(dir.Path("manifest.json"), &l.before)
	}
	l.manifest = Manifest{Provenance: provenance.Collect(ctx, r.backend, l.before.Provenance),
		Precision: r.Precision}
	var err error
	if l.events, err = tbevents.Open(dir.Path("events.out.tfevents.0.momentum"), keep); err != nil {
		return nil, err
	}
	return l, l.writeManifest()
}

func (l *runLog) writeManifest() error {
	l.manifest.WallSeconds = l.before.WallSeconds + time.Since(l.began).Seconds()
	l.manifest.Images = l.before.Images + l.images
	l.manifest.ImagesPerSec = float64(l.manifest.Images) / l.manifest.WallSeconds
	return l.dir.WriteJSON("manifest.json", l.manifest)
}

// epoch writes the row of an epoch that has just ended. With full batch its loss and accuracy are
// exact and, like all its numbers but update_norm, at the weights before the step; with
// mini-batches they are sums over the epoch while the weights moved, and the norms are the last
// step's.
func (l *runLog) epoch(at position, epoch int, eta float64, s descent.Stats,
	bar *progress.Bar) error {
	values := l.common(at, epoch, epoch%l.r.every == 0)
	values = append(values,
		rundir.Value{Name: "grad_norm", X: s.GradNorm},
		rundir.Value{Name: "update_norm", X: s.UpdateNorm},
		rundir.Value{Name: "param_norm", X: s.ParamNorm}, rundir.Value{Name: "rate", X: eta})
	return l.row(int64(epoch*l.r.stepsPerEpoch), values, bar)
}

// final writes the row of the final weights.
func (l *runLog) final(at position, bar *progress.Bar) error {
	return l.row(int64(at.step), l.common(at, l.r.Epochs, true), bar)
}

func (l *runLog) common(at position, epoch int, evaluated bool) []rundir.Value {
	n := float64(l.r.train.N)
	train, eval := at.train, at.eval
	train.Loss, train.SmallMarginLoss = train.Loss/n, train.SmallMarginLoss/n
	values := []rundir.Value{{Name: "epoch", X: float64(epoch)}, {Name: "loss", X: train.Loss},
		{Name: "train_accuracy", X: float64(train.Correct) / n}}
	if evaluated {
		values = append(values, rundir.Value{Name: "test_loss", X: eval.Loss},
			rundir.Value{Name: "test_accuracy", X: float64(eval.Correct) / float64(l.r.eval.N)})
	}
	values = append(values, parts("loss", "train_accuracy", l.r.train, train)...)
	if evaluated {
		values = append(values, parts("test_loss", "test_accuracy", l.r.eval, eval)...)
	}
	return values
}

// parts are the mean loss and the accuracy on the degraded images of a set and on its others, if
// there are any.
func parts(loss, accuracy string, d *descent.Data, s descent.Score) []rundir.Value {
	if d.SmallMargin == 0 {
		return nil
	}
	all, small, large := float64(d.N), float64(d.SmallMargin), float64(d.N-d.SmallMargin)
	return []rundir.Value{
		{Name: loss + "_small_margin", X: s.SmallMarginLoss * all / small},
		// rounding might leave less than nothing
		{Name: loss + "_large_margin", X: max(0, s.Loss-s.SmallMarginLoss) * all / large},
		{Name: accuracy + "_small_margin", X: float64(s.SmallMarginCorrect) / small},
		{Name: accuracy + "_large_margin", X: float64(s.Correct-s.SmallMarginCorrect) / large},
	}
}

// row appends one row to the metrics and the events and shows it.
func (l *runLog) row(step int64, values []rundir.Value, bar *progress.Bar) error {
	row := rundir.Row{Step: step, Values: values}
	if err := l.dir.AppendRow(row); err != nil {
		return err
	}
	scalars := make([]tbevents.Scalar, len(values))
	for i, v := range values {
		scalars[i] = tbevents.Scalar{Tag: v.Name, Value: v.X}
	}
	if err := l.events.Scalars(step, time.Now(), scalars); err != nil {
		return err
	}

	get := func(name string) float64 { x, _ := row.Get(name); return x }
	line := fmt.Sprintf("epoch %d/%d  loss %.4f  train %.2f%%", int(get("epoch")), l.r.Epochs,
		get("loss"), 100*get("train_accuracy"))
	accuracy, evaluated := row.Get("test_accuracy")
	if evaluated {
		l.lastEval = fmt.Sprintf("  %s %.2f%%",
			map[bool]string{false: "test", true: "held-out"}[l.r.Holdout > 0], 100*accuracy)
	}
	line += l.lastEval
	if l.images > l.warmImages {
		line += fmt.Sprintf("  %.0f images/s",
			float64(l.images-l.warmImages)/time.Since(l.warm).Seconds())
	}
	bar.Describe(line)
	if evaluated && !progress.Terminal(l.r.stdout) {
		bar.Println(line)
	}
	return nil
}
