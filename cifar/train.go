package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"momentum/cifar/config"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/figure"
	"momentum/internal/progress"
	"momentum/internal/rundir"
	"momentum/internal/safetensors"
	"momentum/internal/seeds"
	"momentum/internal/sweep"
	"momentum/models"
)

// experiment is one run: its settings and what they were turned into.
type experiment struct {
	config.Config
	backend        *backend.Backend
	net            *models.Network
	train, eval    *descent.Data
	stdout, stderr io.Writer

	chunk         int
	stepsPerEpoch int
	every         int     // epochs between evaluations
	forwardFLOP   float64 // per image
	stepFLOP      float64 // per image, forward and backward
}

// resolve fills in what the settings leave to the backend and the data.
func (r *experiment) resolve() {
	r.forwardFLOP, r.stepFLOP = r.net.FLOPs()
	r.every = r.EvaluationEvery(r.forwardFLOP, r.stepFLOP, r.train.N, r.eval.N)
	r.stepsPerEpoch = 1
	if r.Batch > 0 {
		r.stepsPerEpoch = (r.train.N + r.Batch - 1) / r.Batch
	}
	r.chunk = r.Chunk
	if r.chunk == 0 {
		// Measured for ResNet-18: on 2 cores the rate is flat from 32 to 64 images; a GPU wants all
		// that fits.
		r.chunk = map[backend.Kind]int{backend.CUDA: 1000, backend.CPU: 32,
			backend.Go: 16}[r.backend.Kind]
	}
	if r.Batch > 0 {
		r.chunk = min(r.chunk, r.Batch)
	}
	r.chunk = min(r.chunk, r.train.N)
}

// evalName is what the evaluated images are.
func (r *experiment) evalName() string {
	if r.Holdout > 0 {
		return "held-out training images"
	}
	return "test images"
}

// ruleName is the rule as people say it: mini-batches make it SGD.
func (r *experiment) ruleName() string {
	if r.Batch > 0 {
		return "S" + r.Rule().String()
	}
	return r.Rule().String()
}

// newTrainer starts from the initial weights.
func (r *experiment) newTrainer(onChunk func(images int)) (*descent.Trainer, error) {
	return descent.NewTrainer(r.backend, r.net, r.Rule(), r.train, descent.Options{
		Precision: descent.Precision(r.Precision), Chunk: r.chunk, Seed: r.Seed, OnChunk: onChunk,
	})
}

// Cost is what a run takes on this device, as -cost writes it.
type Cost struct {
	FLOP         float64 `json:"flop"`    // training and evaluation
	Seconds      float64 `json:"seconds"` // by the time of one chunk, without compilation
	Compile      float64 `json:"compile_seconds"`
	ImagesPerSec float64 `json:"images_per_sec"` // trained on
	FLOPPerSec   float64 `json:"flop_per_sec"`
	Memory       float64 `json:"memory_bytes"` // beside the program
	Disk         float64 `json:"disk_bytes"`   // of the run folder, at most
	Kept         float64 `json:"kept_bytes"`   // of that, when the run has ended
	Device       string  `json:"device"`
}

// cost measures one chunk.
func (r *experiment) cost(ctx context.Context) (Cost, error) {
	begun := time.Now()
	trainer, err := r.newTrainer(nil)
	if err != nil {
		return Cost{}, err
	}
	indices := make([]int32, r.chunk)
	for i := range indices {
		indices[i] = int32(i)
	}
	var compiled, took time.Duration
	for i := range 3 { // the first one compiles, the second one makes room
		start := time.Now()
		if _, err := trainer.StepOn(ctx, indices, 0); err != nil {
			return Cost{}, err
		}
		if took = time.Since(start); i == 0 {
			compiled = time.Since(begun)
		}
	}
	images := float64(r.train.N) * float64(r.Epochs)
	evaluated := float64(r.eval.N)*(math.Ceil(float64(r.Epochs)/float64(r.every))+1) +
		float64(r.train.N)
	flop := images*r.stepFLOP + evaluated*r.forwardFLOP
	rate := float64(r.chunk) * r.stepFLOP / took.Seconds()
	state := 3 // weights, sum of gradients and, on the way, their new values
	saved := 1 // copies of the weights in a checkpoint
	if r.Rule().HasMomentum() {
		state += 2
		saved++
	}
	params := 4 * float64(r.net.NumParams())
	rowBytes := 600 // of metrics.jsonl, metrics.csv and the events
	if r.SmallMargin > 0 {
		rowBytes *= 2
	}
	rest := float64(rowBytes*r.Epochs) + 1<<19
	weights := 2 * params // initial and final
	checkpoint := float64(saved) * params
	kept := weights + 2*checkpoint + rest
	if r.Slim {
		weights, kept = 0, rest
	}
	return Cost{
		FLOP: flop, Seconds: flop / rate, Compile: compiled.Seconds(),
		ImagesPerSec: float64(r.chunk) / took.Seconds(), FLOPPerSec: rate,
		Memory: float64(state)*params + 3072*float64(r.train.N+r.eval.N) +
			3*4*float64(r.chunk)*float64(r.net.ActivationValues()),
		Disk:   weights + 3*checkpoint + rest, // two checkpoints and the next one
		Kept:   kept,
		Device: r.backend.Device,
	}, nil
}

// dryRun prints the whole configuration and the cost, from the time of one chunk, and leaves
// nothing behind but the file of -cost.
func (r *experiment) dryRun(ctx context.Context, file string) error {
	config, err := json.MarshalIndent(map[string]any{"settings": r.Settings, "derived": r.derived(),
		"execution": r.Execution}, "", "  ")
	if err != nil {
		return err
	}
	fmt.Fprintf(r.stdout, "%s\n", config)
	c, err := r.cost(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.stdout, "cost      %.3g FLOP in all; one chunk of %d images took %.3g s (%.0f "+
		"images/s, %.3g GFLOP/s)\n",
		c.FLOP, r.chunk, float64(r.chunk)/c.ImagesPerSec, c.ImagesPerSec, c.FLOPPerSec/1e9)
	fmt.Fprintf(r.stdout, "memory    about %.2g GB beside the program; disk at most %.2g GB\n",
		c.Memory/1e9, c.Disk/1e9)
	fmt.Fprintf(r.stdout, "time      about %s on this device\n",
		(time.Duration(c.Seconds * float64(time.Second))).Round(time.Second))
	if file == "" {
		return nil
	}
	return rundir.WriteFile(file, func(w io.Writer) error { return json.NewEncoder(w).Encode(c) })
}

// derived is what is stored beside the settings.
func (r *experiment) derived() config.Derived {
	return config.Derived{
		Title: fmt.Sprintf("%s, %d images%s, %s width %d: %s, η = %g %s, seed %d", r.Data,
			r.train.N, degraded(r.train), r.Model, r.Width, r.ruleName(), r.Rate, r.Schedule,
			r.Seed),
		Rule: r.ruleName(), EffectiveRate: r.Rule().EffectiveRate(r.Rate),
		Parameters: r.net.NumParams(), Chunk: r.chunk,
		TrainImages: r.train.N, EvalImages: r.eval.N, StepsPerEpoch: r.stepsPerEpoch,
		EvalEvery: r.every, EpochFLOP: r.stepFLOP * float64(r.train.N),
	}
}

// run trains in the run's folder: from the start, from a checkpoint, or not at all if the run is
// done.
func (r *experiment) run(ctx context.Context, fresh bool) (err error) {
	dir, err := rundir.Open(rundir.Spec{Root: r.Runs, Label: r.Label(), Settings: r.Settings,
		Derived: r.derived(), Execution: r.Execution, Fresh: fresh})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if aside := dir.SetAside(); aside != "" {
		fmt.Fprintf(r.stdout, "run       the folder that was there is now %s\n", aside)
	}
	fmt.Fprintf(r.stdout, "run       %s\n", dir.Path())
	switch state := dir.State(); state {
	case rundir.Done:
		fmt.Fprintln(r.stdout, "          is done; -fresh starts over")
		return r.report(dir)
	case rundir.Diverged:
		return &cli.DivergedError{Err: fmt.Errorf("%s: has diverged before; -fresh starts over",
			dir.Path())}
	}

	err = r.trainIn(ctx, dir)
	var diverged *cli.DivergedError
	if err == nil || errors.As(err, &diverged) {
		// Without its table and its curves a run has failed: the same command then makes up for
		// them.
		e := drawn(dir)
		if e == nil && r.Slim {
			e = slim(dir)
		}
		if e != nil {
			err = e
		}
	}
	if err := cli.End(dir, err); err != nil {
		return err
	}
	return r.report(dir)
}

// drawn makes what is derived from the metrics of a run that has ended.
func drawn(dir *rundir.Dir) error {
	if err := dir.WriteCSV(); err != nil {
		return err
	}
	return figure.Curves(dir.Path())
}

// slim removes the weights of a run that has ended: the checkpoints and, where an earlier process
// of the run was not slim, the files.
func slim(dir *rundir.Dir) error {
	var errs []error
	for _, name := range []string{initialWeights, finalWeights, "checkpoints"} {
		errs = append(errs, os.RemoveAll(dir.Path(name)))
	}
	return errors.Join(errs...)
}

// trainIn is the run: one epoch after the other, one row of metrics for each, and a checkpoint now
// and then.
func (r *experiment) trainIn(ctx context.Context, dir *rundir.Dir) (err error) {
	total := r.Epochs * r.train.N
	bar := progress.Steps(r.stdout, "images", total)
	defer bar.Close()
	done := 0 // images; the bar is full only when the last evaluation is made
	trainer, err := r.newTrainer(func(images int) {
		done += images
		bar.Set(int64(min(done, total-1)))
	})
	if err != nil {
		return err
	}
	at, keep, err := r.resume(dir, trainer)
	if err != nil {
		return err
	}
	log, err := r.openLog(ctx, dir, keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.events.Close()) }()
	if err := dir.SetState(rundir.Running); err != nil {
		return err
	}

	steps := r.Epochs * r.stepsPerEpoch
	schedule := descent.Schedule{Kind: r.Schedule, Peak: r.Rate, Steps: steps, Warmup: r.Warmup *
		r.stepsPerEpoch}
	done = at.step/r.stepsPerEpoch*r.train.N + min(at.step%r.stepsPerEpoch*r.Batch, r.train.N)
	bar.Set(int64(min(done, total-1)))
	var order []int32 // of the epoch, for mini-batches
	// what the step before was like, for the error when numbers are no longer finite
	var before string
	for at.step < steps {
		epoch, inEpoch := at.step/r.stepsPerEpoch, at.step%r.stepsPerEpoch
		if inEpoch == 0 {
			at = position{step: at.step}
			if epoch%r.every == 0 {
				if at.eval, err = trainer.Evaluate(ctx, r.eval); err != nil {
					return r.stopOr(err, dir, trainer, at, log)
				}
			}
		}

		// One step: exact full batch, or the next mini-batch of this epoch's order.
		eta := schedule.Rate(at.step)
		var stats descent.Stats
		images := r.train.N
		if r.Batch == 0 {
			stats, err = trainer.Step(ctx, eta)
		} else {
			if order == nil || inEpoch == 0 {
				order = shuffled(r.Seed, epoch, r.train.N)
			}
			batch := order[inEpoch*r.Batch : min((inEpoch+1)*r.Batch, r.train.N)]
			images = len(batch)
			stats, err = trainer.StepOn(ctx, batch, eta)
		}
		if err != nil {
			return r.stopOr(err, dir, trainer, at, log)
		}
		step := at.step
		at.step++
		at.add(stats.Score, images)
		log.images += images
		if log.warm.IsZero() {
			log.warm, log.warmImages = time.Now(), log.images
		}

		quantity, value := stats.NotFinite()
		if inEpoch == r.stepsPerEpoch-1 || quantity != "" {
			if err := log.epoch(at, epoch, eta, stats, bar); err != nil {
				return err
			}
		}
		if quantity != "" {
			return &cli.DivergedError{Err: fmt.Errorf("%s is %v at step %d%s", quantity, value,
				step, before)}
		}
		before = fmt.Sprintf(" (gradient norm %.3g at step %d)", stats.GradNorm, step)
		if time.Since(log.saved) >= time.Duration(r.CheckpointEvery) || at.step == steps {
			if err := r.save(dir, trainer, at, log); err != nil {
				return err
			}
		}
	}

	// The end: all images once more, at the final weights.
	at = position{step: steps}
	if at.eval, err = trainer.Evaluate(ctx, r.eval); err != nil {
		return r.stopOr(err, dir, trainer, at, log)
	}
	final, err := trainer.Evaluate(ctx, r.train)
	if err != nil {
		return r.stopOr(err, dir, trainer, at, log)
	}
	at.add(final, r.train.N)
	if err := log.final(at, bar); err != nil {
		return err
	}
	bar.Set(int64(total))
	if quantity, value := (descent.Stats{Score: final}).NotFinite(); quantity != "" {
		return &cli.DivergedError{Err: fmt.Errorf("%s is %v at step %d%s", quantity, value, steps,
			before)}
	}
	return errors.Join(r.writeWeights(dir, finalWeights, trainer), log.writeManifest())
}

// shuffled is the order of the training images in an epoch.
func shuffled(seed uint64, epoch, n int) []int32 {
	order := make([]int32, n)
	for i, j := range seeds.Stream(seed, fmt.Sprintf("order/%d", epoch)).Perm(n) {
		order[i] = int32(j)
	}
	return order
}

// position is where a run is: before this step, with what its epoch has summed up so far.
type position struct {
	step  int
	train descent.Score // over the epoch's images so far, with the losses as sums
	eval  descent.Score // at the epoch's start, if it was evaluated then
}

// add counts the score of so many training images.
func (at *position) add(s descent.Score, images int) {
	at.train.Loss += s.Loss * float64(images)
	at.train.Correct += s.Correct
	at.train.SmallMarginLoss += s.SmallMarginLoss * float64(images)
	at.train.SmallMarginCorrect += s.SmallMarginCorrect
}

// extra are the numbers of a position as a checkpoint keeps them.
func (at position) extra() map[string]float64 {
	return map[string]float64{
		"loss_sum": at.train.Loss, "correct": float64(at.train.Correct),
		"small_margin_loss_sum": at.train.SmallMarginLoss, "small_margin_correct": float64(at.train.SmallMarginCorrect),
		"eval_loss": at.eval.Loss, "eval_correct": float64(at.eval.Correct),
		"eval_small_margin_loss":    at.eval.SmallMarginLoss,
		"eval_small_margin_correct": float64(at.eval.SmallMarginCorrect),
	}
}

// fromExtra is the position before a step with the numbers of its checkpoint.
func fromExtra(step int, x map[string]float64) position {
	return position{
		step: step,
		train: descent.Score{Loss: x["loss_sum"], Correct: int(x["correct"]),
			SmallMarginLoss: x["small_margin_loss_sum"], SmallMarginCorrect: int(x["small_margin_correct"])},
		eval: descent.Score{Loss: x["eval_loss"], Correct: int(x["eval_correct"]),
			SmallMarginLoss: x["eval_small_margin_loss"], SmallMarginCorrect: int(x["eval_small_margin_correct"])},
	}
}

// save writes a checkpoint of the state before step at.step.
func (r *experiment) save(dir *rundir.Dir, trainer *descent.Trainer, at position,
	log *runLog) error {
	log.saved = time.Now()
	err := dir.SaveCheckpoint(int64(at.step),
		func(folder string) error { return trainer.Save(folder, at.extra()) })
	return errors.Join(err, log.writeManifest())
}

// stopOr returns err or, if a signal is the reason for it, saves the state before the step at hand.
func (r *experiment) stopOr(err error, dir *rundir.Dir, trainer *descent.Trainer, at position,
	log *runLog) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	if err := r.save(dir, trainer, at, log); err != nil {
		return err
	}
	return fmt.Errorf("%w before step %d; the same command resumes it", cli.ErrStopped, at.step)
}

// resume loads the newest checkpoint that is whole, or writes down the initial weights, and cuts
// the metrics back to that point: to the rows of the steps up to keep.
func (r *experiment) resume(dir *rundir.Dir, trainer *descent.Trainer) (at position, keep int64,
	err error) {
	found, warnings, err := dir.LoadCheckpoint(func(folder string) error {
		step, extra, err := trainer.Load(folder)
		at = fromExtra(step, extra)
		return err
	})
	for _, w := range warnings {
		fmt.Fprintf(r.stderr, "warning: %s\n", w)
	}
	if err != nil {
		return at, 0, err
	}
	if found {
		fmt.Fprintf(r.stdout, "          resumed before step %d of %d\n", at.step,
			r.Epochs*r.stepsPerEpoch)
	} else if err := r.writeWeights(dir, initialWeights, trainer); err != nil {
		return at, 0, err
	}
	// The row of an epoch has the number of the epoch's first step.
	keep = int64(at.step/r.stepsPerEpoch*r.stepsPerEpoch) - 1
	return at, keep, dir.CutRows(keep)
}

// The files of weights.
const (
	initialWeights = "initial.safetensors"
	finalWeights   = "weights.safetensors"
)

// writeWeights writes the weights as safetensors: convolutions [height, width, in, out], dense
// layers [in, out]. A slim run keeps none.
func (r *experiment) writeWeights(dir *rundir.Dir, name string, trainer *descent.Trainer) error {
	if r.Slim {
		return nil
	}
	weights, err := trainer.Weights()
	if err != nil {
		return err
	}
	return dir.WriteFile(name, func(w io.Writer) error {
		return safetensors.Write(w, weights,
			map[string]string{"layout": "convolutions HWIO, dense [in, out], images NHWC"})
	})
}

// report prints the last row as a table.
func (r *experiment) report(dir *rundir.Dir) error {
	rows, err := dir.Metrics()
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("%s: done but without metrics; -fresh starts over",
			dir.Path("metrics.jsonl"))
	}
	get := func(name string) float64 { x, _ := rows[len(rows)-1].Get(name); return x }
	fmt.Fprintf(r.stdout, "\n%-24s  %8s  %10s  %9s\n", "", "images", "loss", "accuracy")
	line := func(name string, images int, loss, accuracy string) {
		fmt.Fprintf(r.stdout, "%-24s  %8d  %10.4g  %8.2f%%\n", name, images, get(loss),
			100*get(accuracy))
	}
	set := func(name string, d *descent.Data, loss, accuracy string) {
		line(name, d.N, loss, accuracy)
		if d.SmallMargin > 0 {
			line("  with a small margin", d.SmallMargin, loss+"_small_margin", accuracy+"_small_margin")
			line("  with a large margin", d.N-d.SmallMargin, loss+"_large_margin", accuracy+"_large_margin")
		}
	}
	set("training images", r.train, "loss", "train_accuracy")
	set(r.evalName(), r.eval, "test_loss", "test_accuracy")
	if zero := sweep.ZeroError(rows); zero >= 0 {
		fmt.Fprintf(r.stdout, "zero training error first at epoch %d\n", zero)
	} else {
		fmt.Fprintln(r.stdout, "zero training error was not reached")
	}
	fmt.Fprintf(r.stdout, "curves    %s\n", dir.Path("curves.png"))
	return nil
}
