// Package imagerun is one training of a network on images, by full-batch gradient descent without
// (GD) or with momentum (GD+M), or on mini-batches. The command cifar executes it, and the studies
// of internal/study execute many of them.
//
// It reads from top to bottom: flags.go parses a command line into settings (settings.go,
// preset.go); run.go opens what a run needs; train.go is the loop
//
//	for each epoch:  evaluate now and then; step; append a row of metrics; save a checkpoint
//
// with checkpoint.go and log.go, which write the run folder; outcome.go reads one.
package imagerun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/rundir"
	"momentum/models"
)

// experiment is a run: its configuration and what that was turned into.
type experiment struct {
	Config
	base           Settings // what ownText does not name; see [Command.base]
	backend        *backend.Backend
	net            *models.Network
	train, eval    *descent.Data
	diagnosed      *descent.Data // of the training images, for the sharpness
	noiseData      *descent.Data // the same in other chunks, for the noise of gradients
	groups         groupImages
	random         bool              // the images have random pixels
	trainer        *descent.Trainer  // of the run, and of the next seed's
	fresh          bool              // an existing run folder is set aside
	dry            bool              // measures only: images that are not on disk are random
	metadata       map[string]string // of the files of weights
	folder         string            // of the run, once it is open
	stdout, stderr io.Writer

	trainImages   int
	evalImages    int
	chunk         int
	stepsPerEpoch int
	every         int     // epochs between evaluations
	forwardFLOP   float64 // per image
	stepFLOP      float64 // per image, forward and backward
}

// Run executes the command: it opens everything that the run needs, in the order in which that can
// fail, and trains, with -seeds one run after the other. With -task divergence is not an error,
// since it is a result to a sweep.
func (cmd *Command) Run(ctx context.Context, stdout, stderr io.Writer) error {
	// The backend, which decides what -preset=auto means.
	be, err := backend.Open(ctx, cmd.first.Backend, backend.Options{Offline: cmd.first.Offline,
		Devices: cmp.Or(int(cmd.first.Devices), backend.AllDevices), AtMost: cmd.useful,
		Out: stderr, TF32: cmd.first.Precision == "tf32", Deterministic: cmd.first.Deterministic,
		MemoryFraction: cmd.first.GPUMemory, Preallocate: cmd.first.Preallocate})
	if err != nil {
		return err
	}
	defer be.LeaveAutotuned()
	return cmd.runOn(ctx, be, stdout, stderr)
}

// runOn is [Command.Run] on an open backend.
func (cmd *Command) runOn(ctx context.Context, be *backend.Backend, stdout,
	stderr io.Writer) error {
	c, preset, err := cmd.Config(be.Kind)
	if err != nil {
		return err
	}
	if c.Precision == "tf32" && be.Kind != backend.CUDA {
		return cli.Usagef("-precision=tf32 needs a GPU, got the backend %s: use -precision=f32",
			be.Kind)
	}
	fmt.Fprintf(stdout, "backend   %s\n", be)
	fmt.Fprintln(stdout, cmd.origin(preset, be.Kind))

	r := &experiment{Config: c, base: cmd.base(preset, c.Opt), backend: be, fresh: cmd.fresh,
		dry: cmd.dryRun, stdout: stdout, stderr: stderr}
	if cmd.dryRun {
		return r.dryRun(ctx, cmd.costFile)
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	err = cmd.several(ctx, r)
	if diverged := (*cli.DivergedError)(nil); cmd.task >= 0 && errors.As(err, &diverged) {
		fmt.Fprintf(stderr, "cifar: %s\n", err)
		return nil
	}
	return err
}

// useful is the number of devices that a batch has work for, on a kind of backend.
func (cmd *Command) useful(kind backend.Kind) int {
	c, _, err := cmd.Config(kind)
	if err != nil {
		return 1 // Run returns the error
	}
	facts, err := datasets.Describe(c.Data)
	if err != nil {
		return 1 // as above
	}
	return descent.Parts(cmp.Or(c.Batch, c.trainedOn(facts.Train)), c.fullChunk(kind))
}

// open loads the images onto the device, builds the network, and prints what will be trained.
func (r *experiment) open(ctx context.Context) error {
	// The host holds the images no longer than it takes to copy them to the devices.
	trainSet, evalSet, err := load(ctx, r.Config, r.dry, r.stderr)
	if err != nil {
		return err
	}
	if r.Batch > trainSet.N() {
		return cli.Usagef("-batch must be at most the %d training images, got %d: use a smaller "+
			"one, or -opt=%s for the full batch", trainSet.N(), r.Batch, r.Opt[1:])
	}
	if r.net, err = r.Network(trainSet.Classes); err != nil {
		return err
	}
	if r.metadata, err = r.weightsMetadata(trainSet); err != nil {
		return err
	}
	r.resolve(trainSet.N(), evalSet.N())
	if err := r.checkMemory(); err != nil {
		return err
	}
	l := descent.Layout{Chunk: r.chunk, Ragged: r.Norm == "batch"}
	if r.eval, err = descent.NewData(r.backend, evalSet, l); err != nil {
		return err
	}
	l.Random = r.Batch > 0
	if r.train, err = descent.NewData(r.backend, trainSet, l); err != nil {
		return err
	}
	if err := r.copyDiagnosed(trainSet, l); err != nil {
		return err
	}
	if r.groups, err = r.newGroupImages(trainSet, l); err != nil {
		return err
	}
	r.random = trainSet.Random
	trainSet, evalSet = nil, nil
	debug.FreeOSMemory()
	fmt.Fprintf(r.stdout, "devices   %s%s\n", r.backend.Shares(), r.idle())
	fmt.Fprintf(r.stdout, "data      %s: %d training images%s, %d %s%s\n", r.Data, r.train.N,
		smallMarginCount(r.train), r.eval.N, r.evalName(), smallMarginCount(r.eval))
	if r.random {
		fmt.Fprintf(r.stdout, "          %s\n", RandomText(r.Data))
	}
	fmt.Fprintf(r.stdout, "model     %s, width %d, norm %s, init %s: %d parameters, %.3g GFLOP "+
		"per image and step\n", r.Model, r.Width, r.Norm, r.Init, r.net.NumParams(),
		r.stepFLOP/1e9)
	fmt.Fprintf(r.stdout, "descent   %s; η = %g %s, η_eff = %.4g; %d epochs of %d step(s)%s%s\n",
		r.RuleName(), r.Rate, r.Schedule, r.Rule().EffectiveRate(r.Rate), r.Epochs,
		r.stepsPerEpoch, r.ownText(), r.untilText())
	return nil
}

// ownText names the batch, the epochs of warm-up and the precision, each unless it is that of base.
func (r *experiment) ownText() (text string) {
	if r.Batch != r.base.Batch {
		text += fmt.Sprintf(", batch %d", r.Batch)
	}
	if r.Warmup != r.base.Warmup {
		text += fmt.Sprintf(", warm-up %d", r.Warmup)
	}
	if r.Precision != r.base.Precision {
		text += ", " + r.Precision
	}
	return text
}

// load reads the training images and those to evaluate: the test images or, with -holdout, training
// images that are held out. A share of each may get a small margin; which images do does not depend
// on how many are taken. A dry run makes do with random images if there are no others on disk.
func load(ctx context.Context, c Config, dry bool, stderr io.Writer) (train, eval *datasets.Images,
	err error) {
	train, test, err := datasets.Load(ctx, c.Data, datasets.Options{Dir: c.DataDir,
		Offline: c.Offline, Mirror: c.Mirror, OrRandom: dry, Out: stderr})
	if err != nil {
		return nil, nil, err
	}
	if c.SmallMargin > 0 {
		if train, err = c.SmallMarginImages().Apply(train, "train"); err != nil {
			return nil, nil, err
		}
		if test, err = c.SmallMarginImages().Apply(test, "test"); err != nil {
			return nil, nil, err
		}
	}
	images := c.Images
	if images == 0 {
		images = train.N() - c.Holdout
	}
	eval = test
	if c.Holdout > 0 {
		eval = train.Slice(train.N()-c.Holdout, train.N())
	}
	train = train.Slice(0, images)
	for _, set := range []*datasets.Images{train, eval} {
		if c.SmallMargin > 0 && (!slices.Contains(set.SmallMargin, true) ||
			!slices.Contains(set.SmallMargin, false)) {
			return nil, nil, cli.Usagef("-small-margin=%v must give a small margin to some but "+
				"not all of the %d training images and of the %d others: use more of them",
				c.SmallMargin, train.N(), eval.N())
		}
	}
	return train, eval, nil
}

// RandomText says that a dry run has random images in place of a set.
func RandomText(data string) string {
	return "data " + data + " is not on this machine: measured on random pixels"
}

// untilText says what may end the run earlier.
func (r *experiment) untilText() string {
	if r.UntilLoss == 0 {
		return ""
	}
	return fmt.Sprintf(", or until all images are fitted with a loss of %g", r.UntilLoss)
}

// idle says which devices have no work, if any.
func (r *experiment) idle() string {
	parts := descent.Parts(r.train.N, r.chunk)
	if len(r.backend.Devices) <= parts {
		return ""
	}
	if parts == descent.MaxParts {
		return fmt.Sprintf("; %d of them have work, the most that share a batch", parts)
	}
	have, noun := "have", "parts"
	if parts == 1 {
		have, noun = "has", "part"
	}
	return fmt.Sprintf("; %d of them %s work, since the chunks of %d images make %d %s: a smaller "+
		"-chunk makes more", parts, have, r.chunk, parts, noun)
}

// smallMarginCount says how many images of a set have a small margin, if any.
func smallMarginCount(d *descent.Data) string {
	if d.SmallMargin == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d with a small margin)", d.SmallMargin)
}

// chunkOf is the number of images per call of a graph, by kind of backend. It was measured for
// ResNet-18: on 2 cores the rate is flat from 32 to 64 images; a GPU wants all that fits.
var chunkOf = map[backend.Kind]int{backend.CUDA: 1000, backend.CPU: 32, backend.Go: 16}

// fullChunk is the number of images per call of a graph, unless there are fewer. In bf16 and tf32 a
// GPU is so fast that the host's half millisecond for each call counts: twice the images halve it.
func (c *Config) fullChunk(kind backend.Kind) int {
	chunk := chunkOf[kind]
	if kind == backend.CUDA && c.Precision != "f32" {
		chunk *= 2
	}
	return cmp.Or(c.Chunk, chunk)
}

// resolve fills in what the settings leave to the backend and the numbers of images.
func (r *experiment) resolve(train, eval int) {
	r.trainImages, r.evalImages = train, eval
	r.forwardFLOP, r.stepFLOP = r.net.FLOPs()
	r.every = r.EvaluationEvery(r.forwardFLOP, r.stepFLOP, train, eval)
	r.stepsPerEpoch = 1
	if r.Batch > 0 {
		r.stepsPerEpoch = (train + r.Batch - 1) / r.Batch
	}
	r.chunk = r.Config.chunk(r.backend.Kind, train)
}

// chunk is the number of images per call, with a number of training images. Fillers make the last
// call of a batch as large as the others. On a GPU they might be half of the work, so that the
// images are spread evenly over as few calls, unless -chunk says how many.
func (c *Config) chunk(kind backend.Kind, train int) int {
	batch, full := cmp.Or(c.Batch, train), c.fullChunk(kind)
	if kind == backend.CUDA && c.Chunk == 0 {
		calls := (batch + full - 1) / full
		return (batch + calls - 1) / calls
	}
	return min(full, batch)
}

// evalName names the evaluated images.
func (r *experiment) evalName() string {
	if r.Holdout > 0 {
		return "held-out training images"
	}
	return "test images"
}

// derived is stored beside the settings.
func (r *experiment) derived() Derived {
	facts, _ := datasets.Describe(r.Data) // known, since its images are loaded
	return Derived{
		Title: fmt.Sprintf("%s, %d images%s, %s of width %d: %s, η = %g %s, seed %d", facts.Title,
			r.train.N, smallMarginCount(r.train), models.Title(r.Model), r.Width, r.RuleName(),
			r.Rate, r.Schedule, r.Seed),
		Rule: r.RuleName(), EffectiveRate: r.Rule().EffectiveRate(r.Rate),
		Parameters: r.net.NumParams(), Chunk: r.chunk, TrainImages: r.train.N,
		EvalImages: r.eval.N, StepsPerEpoch: r.stepsPerEpoch, EvalEvery: r.every,
		EpochFLOP: r.stepFLOP * float64(r.train.N),
	}
}

// run trains in the run's folder: from the start, from a checkpoint, or not at all if the run is
// done.
func (r *experiment) run(ctx context.Context) (err error) {
	dir, err := rundir.Open(rundir.Spec{Root: r.Runs, Label: r.Label(), Settings: r.Settings,
		Derived: r.derived(), Execution: r.Execution, Fresh: r.fresh})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if aside := dir.SetAside(); aside != "" {
		fmt.Fprintf(r.stdout, "run       the folder that was there is now %s\n", aside)
	}
	r.folder = dir.Path()
	fmt.Fprintf(r.stdout, "run       %s\n", r.folder)
	if dir.State().Ended() {
		return r.show(ctx, dir)
	}
	if warning := r.backend.TakeAutotuned(dir.Path()); warning != "" {
		fmt.Fprintf(r.stderr, "warning: %s\n", warning)
	}

	err = r.trainIn(ctx, dir)
	var diverged *cli.DivergedError
	if err == nil || errors.As(err, &diverged) {
		// A run without its table and its curves has failed; the same command then adds them.
		if e := r.finish(ctx, dir); e != nil {
			err = e
		}
	}
	if err := cli.End(dir, err); err != nil {
		return err
	}
	return r.report(ctx, dir)
}
