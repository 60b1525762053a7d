package imagerun

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"momentum/internal/descent"
	"momentum/internal/progress"
	"momentum/internal/provenance"
	"momentum/internal/rundir"
	"momentum/internal/stats"
	"momentum/internal/tbevents"
)

// Manifest is a run's recorded provenance. Unlike the other files it differs between two runs of
// one configuration.
type Manifest struct {
	provenance.Provenance
	// Name and Tags are the user's; a process that resumes a run without them keeps them.
	Name      string   `json:"name,omitempty"`
	Tags      []string `json:"tags,omitempty"`
	Precision string   `json:"precision"`
	// ImagesPerSec is the number of training images per second of wall time, evaluation included.
	ImagesPerSec float64 `json:"images_per_sec"`
	Images       int     `json:"images_trained"`
}

// Properties say which program made a run and on which device, by name, as far as it is known. They
// have no times.
func (m Manifest) Properties() [][2]string {
	all := [][2]string{{"name", m.Name}, {"tags", strings.Join(m.Tags, ", ")},
		{"revision", m.Revision}, {"device", m.Device}, {"backend", m.Backend},
		{"plugin", m.Plugin}, {"precision", m.Precision}, {"Go", m.Go}}
	for _, name := range slices.Sorted(maps.Keys(m.Modules)) {
		all = append(all, [2]string{name, m.Modules[name]})
	}
	return slices.DeleteFunc(all, func(p [2]string) bool { return p[1] == "" })
}

// runLog writes the measurements of a run to its folder and shows them.
type runLog struct {
	*training
	events *tbevents.Writer

	manifest      Manifest
	earlier       Manifest  // wall time and images of earlier processes
	began         time.Time // this process
	trained       int       // images, by this process
	warm          time.Time // the end of its first step, which may compile: rates count from there
	trainedAtWarm int
	saved         time.Time // the last checkpoint
	evaluation    string    // the last one, as shown
	evaluated     int       // its epoch
}

// openLog opens the event file, keeping the records of rows up to a step, and the manifest, which
// goes on counting where an earlier process stopped if the run is resumed.
func (t *training) openLog(ctx context.Context, resumed bool, keep int64) (*runLog, error) {
	l := &runLog{training: t, began: time.Now(), saved: time.Now()}
	if resumed {
		provenance.Read(t.dir.Path("manifest.json"), &l.earlier)
	}
	l.manifest = Manifest{Precision: t.Precision, Name: cmp.Or(t.Title, l.earlier.Name),
		Tags:       l.earlier.Tags,
		Provenance: provenance.Collect(ctx, t.backend, l.earlier.Provenance)}
	if moved := l.manifest.Moved(l.earlier.Provenance); moved != "" {
		t.bar.Interrupt()
		fmt.Fprintf(t.stderr, "warning: %s\n", moved)
	}
	if t.Tags != "" {
		l.manifest.Tags = strings.Split(t.Tags, ",")
	}
	if err := t.writeHParams(t.dir); err != nil {
		return nil, err
	}
	var err error
	l.events, err = tbevents.Open(t.dir.Path(eventsFile), keep)
	if err != nil {
		return nil, err
	}
	return l, l.writeManifest()
}

func (l *runLog) writeManifest() error {
	l.manifest.WallSeconds = l.earlier.WallSeconds + time.Since(l.began).Seconds()
	l.manifest.Images = l.earlier.Images + l.trained
	l.manifest.ImagesPerSec = float64(l.manifest.Images) / l.manifest.WallSeconds
	return l.dir.WriteJSON("manifest.json", l.manifest)
}

// count counts the images of a step.
func (l *runLog) count(images int) {
	l.trained += images
	if l.warm.IsZero() {
		l.warm, l.trainedAtWarm = time.Now(), l.trained
	}
}

// epoch writes the row of an epoch that has just ended. On the full batch its loss and accuracy are
// exact and, like all its numbers but update_norm, those of the weights before the step. On
// mini-batches they are sums over the epoch while the weights moved, and the norms are the last
// step's.
func (l *runLog) epoch(p position, epoch int, eta float64, s descent.Stats,
	diagnosis []rundir.Value) error {
	values := append(l.scores(p, epoch, epoch%l.every == 0),
		rundir.Value{Name: "grad_norm", X: s.GradNorm},
		rundir.Value{Name: "update_norm", X: s.UpdateNorm},
		rundir.Value{Name: "param_norm", X: s.ParamNorm}, rundir.Value{Name: "rate", X: eta})
	if l.Clip > 0 {
		values = append(values, rundir.Value{Name: "clip_factor", X: s.ClipFactor})
	}
	return l.row(int64(epoch*l.stepsPerEpoch), append(values, diagnosis...))
}

// final writes the row of the final weights.
func (l *runLog) final(p position, diagnosis []rundir.Value) error {
	values := append(l.scores(p, p.step/l.stepsPerEpoch, true), diagnosis...)
	return l.row(int64(p.step), values)
}

// scores are the losses and accuracies of an epoch. Where the run diverged within it, they are
// those of the images so far, of which the small-margin ones were not counted.
func (l *runLog) scores(p position, epoch int, evaluated bool) []rundir.Value {
	images := l.train.N
	if steps := p.step % l.stepsPerEpoch; steps > 0 {
		images = steps * l.Batch
	}
	n := float64(images)
	train, eval := p.train, p.eval
	train.Loss, train.SmallMarginLoss = train.Loss/n, train.SmallMarginLoss/n
	evalLoss, evalAccuracy := l.evalColumn(testLoss), l.evalColumn(testAccuracy)
	values := []rundir.Value{{Name: epochColumn, X: float64(epoch)},
		{Name: lossColumn, X: train.Loss}, {Name: accuracyColumn, X: float64(train.Correct) / n}}
	if evaluated {
		values = append(values, rundir.Value{Name: evalLoss, X: eval.Loss},
			rundir.Value{Name: evalAccuracy, X: float64(eval.Correct) / float64(l.eval.N)})
	}
	if images == l.train.N {
		values = append(values, byMargin(lossColumn, accuracyColumn, l.train, train)...)
	}
	if evaluated {
		values = append(values, byMargin(evalLoss, evalAccuracy, l.eval, eval)...)
	}
	return values
}

// byMargin are the mean loss and the accuracy of a set's small-margin images and of its others, if
// it has any with a small margin.
func byMargin(loss, accuracy string, d *descent.Data, s descent.Score) []rundir.Value {
	if d.SmallMargin == 0 {
		return nil
	}
	all, small, large := float64(d.N), float64(d.SmallMargin), float64(d.N-d.SmallMargin)
	return []rundir.Value{
		{Name: loss + smallMargin, X: s.SmallMarginLoss * all / small},
		// Rounding might make the difference negative.
		{Name: loss + largeMargin, X: max(0, largeMarginLoss(s, d))},
		{Name: accuracy + smallMargin, X: float64(s.SmallMarginCorrect) / small},
		{Name: accuracy + largeMargin, X: float64(s.Correct-s.SmallMarginCorrect) / large},
	}
}

// row appends one row to the metrics and the events and shows it.
func (l *runLog) row(step int64, values []rundir.Value) error {
	row := rundir.Row{Step: step, Values: values}
	if err := l.dir.AppendRow(row); err != nil {
		return err
	}
	if err := l.events.Scalars(step, time.Now(), row.Scalars(tag)); err != nil {
		return err
	}

	line, evaluated := l.line(row)
	l.bar.Describe(line)
	if evaluated && !progress.Terminal(l.stdout) {
		l.bar.Println(line)
	}
	return nil
}

// line is what is shown of a row, and whether the row was evaluated. If it was not, the line has
// the last evaluation, and says of which epoch that is.
func (l *runLog) line(row rundir.Row) (line string, evaluated bool) {
	get := func(name string) float64 { x, _ := row.Get(name); return x }
	epoch := int(get(epochColumn))
	line = fmt.Sprintf("epoch %d/%d  loss %.4f  train %s%%", epoch, l.Epochs, get(lossColumn),
		stats.Fixed(100*get(accuracyColumn), 2))
	accuracy, evaluated := row.Get(l.evalColumn(testAccuracy))
	if evaluated {
		name := "test"
		if l.Holdout > 0 {
			name = "held-out"
		}
		l.evaluation = fmt.Sprintf("  %s %s%%", name, stats.Fixed(100*accuracy, 2))
		l.evaluated = epoch
	}
	line += l.evaluation
	if l.evaluation != "" && !evaluated {
		line += fmt.Sprintf(" (epoch %d)", l.evaluated)
	}
	line += diagnosisText(row)
	if l.trained > l.trainedAtWarm {
		line += fmt.Sprintf("  %.0f images/s",
			float64(l.trained-l.trainedAtWarm)/time.Since(l.warm).Seconds())
	}
	return line, evaluated
}

// tag is the tag of a column in the event file. TensorBoard groups the charts by what stands before
// the slash.
func tag(column string) string {
	for _, group := range []struct{ column, tag string }{ // by their beginnings
		{epochColumn, "epoch"}, {"rate", "rate"},
		{lossColumn, "train/loss"}, {"train_", "train/"}, {"margin_", "train/margin_"},
		{"test_", "test/"}, {HeldOut("test_"), "held_out/"},
		{"grad_norm", "norm/gradient"}, {"update_norm", "norm/update"},
		{"param_norm", "norm/parameters"}, {"clip_factor", "norm/clip_factor"},
	} {
		if rest, ok := strings.CutPrefix(column, group.column); ok {
			return group.tag + rest
		}
	}
	return "diagnosis/" + column // the other columns of -diagnose
}
