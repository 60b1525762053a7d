package imagerun

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/runlist"
)

// Bind adds the flags of these names to fs. They set the fields of c, whose values are the
// defaults.
func (c *Config) Bind(fs *flag.FlagSet, names ...string) {
	all := c.flags()
	for _, name := range names {
		f := all.Lookup(name)
		fs.Var(f.Value, f.Name, f.Usage)
	}
}

// flags binds every flag of the settings and of the execution to a new flag set.
func (c *Config) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("cifar", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {} // not after every error
	fs.StringVar(&c.Opt, "opt", c.Opt,
		"gd|gdm: full batch, without or with momentum; sgd|sgdm: mini-batches")
	fs.StringVar(&c.Form, "form", c.Form,
		"damped: g ← γg+(1−γ)∇L (the paper's)|undamped: b ← γb+∇L (PyTorch's)")
	fs.Float64Var(&c.Rate, "lr", c.Rate, "η, the peak learning rate")
	fs.Float64Var(&c.Momentum, "momentum", c.Momentum, "γ, in [0, 1)")
	fs.Float64Var(&c.WeightDecay, "weight-decay", c.WeightDecay, "λ: the gradient is ∇L + λw")
	fs.Float64Var(&c.Clip, "clip", c.Clip, "the largest norm of ∇L: a longer one is scaled down "+
		"to it, before weight decay; 0: none")
	fs.StringVar(&c.Schedule, "schedule", c.Schedule,
		"constant|cosine (to 0 at the end)|step (a tenth at 1/2, a hundredth at 3/4)")
	fs.IntVar(&c.Warmup, "warmup", c.Warmup, "epochs of linear warm-up before the "+
		"schedule; where the preset has some, at most a twentieth of -epochs")
	fs.IntVar(&c.Epochs, "epochs", c.Epochs,
		"passes over the training images; with full batch, one step each. With "+
			"-schedule=constant, a run goes on from one that is done with fewer and the same "+
			"-warmup")
	fs.Float64Var(&c.UntilLoss, "until-loss", c.UntilLoss, "end before the first step at which "+
		"all training images are classified correctly and the training loss is at most this, "+
		"in nats; 0: take all -epochs")
	fs.IntVar(&c.Batch, "batch", c.Batch, "images per step of sgd and sgdm; the last batch of an "+
		"epoch may be smaller; 0: full batch")

	fs.StringVar(&c.Data, "data", c.Data,
		strings.Join(datasets.Names(), "|")+"; cifar10-mini is embedded in the program")
	fs.IntVar(&c.Images, "images", c.Images, "N, the number of training images, from the start "+
		"of the set; 0: all that are not held out")
	fs.IntVar(&c.Holdout, "holdout", c.Holdout, "number of training images, from the end of the "+
		"set, to hold out and evaluate in place of the test images: for choosing settings")
	fs.Float64Var(&c.SmallMargin, "small-margin", c.SmallMargin, "share of the training and of "+
		"the test images that get a small margin and are also measured apart (0.1 in the "+
		"paper's Figure 4)")
	fs.IntVar(&c.SmallMarginFactor, "small-margin-factor", c.SmallMarginFactor, "how such an "+
		"image is made: first, each square of this many pixels a side becomes its mean; 1: the "+
		"resolution stays")
	fs.Float64Var(&c.SmallMarginNoise, "small-margin-noise", c.SmallMarginNoise,
		"then, Gaussian noise of this variance is added (pixels are in [0, 1])")
	fs.StringVar(&c.SmallMarginShuffle, "small-margin-shuffle", c.SmallMarginShuffle,
		"last, the channels are permuted: image (each image in its own way)|fixed (all alike)")
	fs.Uint64Var(&c.SmallMarginSeed, "small-margin-seed", c.SmallMarginSeed, "seed of the choice "+
		"of small-margin images, of their noise and of their permutations; at least 1")

	fs.StringVar(&c.Model, "model", c.Model,
		"resnet18|vgg19|wrn16-K (WideResNet-16, widening factor K)")
	fs.IntVar(&c.Width, "width", c.Width, "channels of the stem; 0: the network's own (64 for "+
		"resnet18 and vgg19, 16 for wrn16-K)")
	fs.StringVar(&c.Norm, "norm", c.Norm, "none (the paper's)|weights: scaled weight "+
		"standardization (Brock et al., 2021), weights centered and scaled at every step|batch: "+
		"with the statistics of each chunk, in evaluation too, so that -chunk changes the result")
	fs.StringVar(&c.Init, "init", c.Init, "initial weights: centered (He's, shifted to sum to 0 "+
		"for each output channel)|he|pytorch (PyTorch's default)|fixup|skipinit")
	fs.Var((*branchScale)(&c.BranchScale), "branch-scale", "the size of each residual branch at "+
		"the start: its gain with -norm=weights and -init=skipinit, else a factor of its last "+
		"convolution's weights: a number|auto (1/√(number of blocks) with centered, 0.2 with "+
		"-norm=weights, 0 with fixup and skipinit, 1 otherwise)")
	fs.StringVar(&c.Precision, "precision", c.Precision,
		"f32|tf32 (GPU)|bf16 (compute only; weights, sums and loss stay f32)")
	fs.IntVar(&c.EvalEvery, "eval-every", c.EvalEvery, "epochs between evaluations of the test "+
		"images; 0: as few as keep their cost below a tenth of that of training, but at most a "+
		"tenth of -epochs, for at least ten evaluations")
	fs.Uint64Var(&c.Seed, "seed", c.Seed, "seed of the initial weights and of the order of the "+
		"images, as separate streams")
	c.bindDiagnosis(fs)
	c.bindExecution(fs)
	return fs
}

// bindDiagnosis binds the flags of diagnoses and interventions.
func (c *Config) bindDiagnosis(fs *flag.FlagSet) {
	fs.StringVar(&c.Diagnose, "diagnose", c.Diagnose, "sharpness: add to the metrics the largest "+
		"eigenvalues of the Hessian of the training loss, the curvature along each step, and "+
		"the stability limit; takes up to 41 products, each as long as three gradients|critical: "+
		"the multiple of each step from which on it raises the loss; takes about five "+
		"gradients|groups: what the small-margin images and the others put into gradient and "+
		"momentum, and the margins of both|layers: the length of each step relative to the "+
		"weights', by stage|noise: how much the gradients of images differ, as variance and as "+
		"batch size; takes a gradient; several with commas; empty: none")
	fs.IntVar(&c.DiagnoseEvery, "diagnose-every", c.DiagnoseEvery,
		"epochs between diagnoses; 0: 10")
	fs.IntVar(&c.DiagnoseImages, "diagnose-images", c.DiagnoseImages,
		"sharpness, critical step and noise of the loss of this many training images only, "+
			"from the start; 0: all")
	fs.IntVar(&c.Eigenvalues, "eigenvalues", c.Eigenvalues, "how many eigenvalues; 0: 1")
	fs.StringVar(&c.Intervene, "intervene", c.Intervene, "experiment on gdm's momentum, with "+
		"-small-margin: reset (the buffer is emptied once the large-margin images are fitted)|"+
		"keep-out (their gradients act at once and never enter the buffer)|phase1, phase2 "+
		"(momentum until or from that moment, GD at its effective rate otherwise); empty: none")
	fs.Float64Var(&c.InterveneAt, "intervene-at", c.InterveneAt, "the mean loss of the "+
		"large-margin training images below which they count as fitted; 0: 0.1")
}

// branchScale is the value of -branch-scale; −1 is auto.
type branchScale float64

// String implements [flag.Value].
func (s *branchScale) String() string {
	if *s < 0 {
		return auto
	}
	return strconv.FormatFloat(float64(*s), 'g', -1, 64)
}

// Set implements [flag.Value].
func (s *branchScale) Set(text string) error {
	if text == auto {
		*s = -1
		return nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x >= 0) || math.IsInf(x, 0) {
		return errors.New("want auto, or a number that is finite and not negative")
	}
	*s = branchScale(x)
	return nil
}

// bindExecution binds the flags of the execution.
func (c *Config) bindExecution(fs *flag.FlagSet) {
	fs.StringVar(&c.Backend, "backend", c.Backend, backend.Flag)
	fs.TextVar(&c.Devices, "devices", c.Devices, "GPUs, or cores of the CPU, that share each "+
		"batch: a number|auto (all visible GPUs, or all cores); another number changes the "+
		"result by rounding at most")
	fs.IntVar(&c.Chunk, "chunk", c.Chunk,
		"images per call of the compiled step; 0: chosen for the backend")
	fs.BoolVar(&c.Deterministic, "deterministic", c.Deterministic, "on a GPU, use no operation "+
		"whose result may vary from call to call (docs/gpu.md)")
	fs.Float64Var(&c.GPUMemory, "gpu-memory", c.GPUMemory, "share of a GPU's memory that the run "+
		"may take, up to 1; 0: XLA's own, 0.75")
	fs.BoolVar(&c.Preallocate, "preallocate", c.Preallocate, "take that share at once, and not as "+
		"it is needed")
	fs.TextVar(&c.CheckpointEvery, "checkpoint-every", c.CheckpointEvery,
		"time between checkpoints, such as 30s; 0s: every step")
	fs.IntVar(&c.SaveWeightsEvery, "save-weights-every", c.SaveWeightsEvery, "keep the weights of "+
		"every so many epochs, of the first and of the last one, as weights/epoch-NNNNNN."+
		"safetensors; 0: only the initial and the final ones")
	fs.BoolVar(&c.Slim, "slim", c.Slim, "keep no checkpoints and no weights (*.safetensors) once "+
		"the run is done or has diverged: for sweeps")
	fs.StringVar(&c.Title, "name", c.Title, "what you call the run, in its manifest.json and "+
		"tables: summary -where=name=…; empty: none")
	fs.StringVar(&c.Tags, "tags", c.Tags, "words to find the run by, with commas: "+
		"summary -where=tag=…; empty: none")
	fs.StringVar(&c.Runs, "runs", c.Runs, "`folder` of the run folders")
	fs.StringVar(&c.DataDir, "data-dir", c.DataDir,
		"`folder` of CIFAR; empty: the user's cache folder")
	fs.StringVar(&c.Mirror, "mirror", c.Mirror,
		"`URL` to fetch CIFAR from; empty: the official host")
	fs.BoolVar(&c.Offline, "offline", c.Offline, "never use the network")
}

// SmallMarginFlags are the names of the flags of small-margin images, without their share.
var SmallMarginFlags = []string{"small-margin-factor", "small-margin-noise", "small-margin-shuffle",
	"small-margin-seed"}

// The flags of each group, in the order of the manual.
var (
	commandFlags = []string{"preset", "config", "task", "seeds", "dry-run", "cost", "fresh"}
	settingFlags = slices.Concat([]string{"opt", "form", "lr", "momentum", "weight-decay", "clip",
		"schedule", "warmup", "epochs", "until-loss", "batch", "data", "images", "holdout",
		"small-margin"}, SmallMarginFlags, []string{"model", "width", "norm", "init",
		"branch-scale", "precision", "eval-every", "seed", "diagnose", "diagnose-every",
		"diagnose-images", "eigenvalues", "intervene", "intervene-at"})
	executionFlags = []string{"backend", "devices", "chunk", "deterministic", "gpu-memory",
		"preallocate", "checkpoint-every", "save-weights-every", "slim", "name", "tags", "runs",
		"data-dir", "mirror", "offline"}
)

// Command is a parsed command line. It keeps the flags as they were given, since their defaults
// depend on the preset, and that depends on the backend.
type Command struct {
	Folders []string // of the runs that were begun, in their order

	preset   string // auto unless -preset says otherwise
	file     string // of settings, from -config
	task     int    // the line of that file, from 0, if it is a list of runs; else −1
	seeds    int    // number of runs, from the seed of the settings on
	dryRun   bool
	costFile string // for the cost, with dryRun
	fresh    bool

	given   map[string]string // the values of the other flags, by name
	first   Config            // with the first preset that the flags allow
	content settingsFile      // of file
	run     string            // the name of the run of task
}

// flags binds a command, and a configuration beside it, to the flags of a new flag set.
func (cmd *Command) flags(c *Config) *flag.FlagSet {
	fs := c.flags()
	fs.StringVar(&cmd.preset, "preset", auto,
		strings.Join(presets, "|")+": settings to start from; every other flag overrides them")
	fs.StringVar(&cmd.file, "config", "", "a `file` such as the config.json of a run folder; its "+
		"values override the preset's; empty: none")
	cmd.task = -1
	fs.Func("task", "execute line `N`, from 0, of the runs.jsonl that -config names; auto: the "+
		"number that Slurm, Kubernetes or AWS Batch gives the task of an array (default none)",
		func(value string) (err error) {
			cmd.task, err = runlist.TaskIndex(value, os.Getenv)
			return err
		})
	fs.IntVar(&cmd.seeds, "seeds", 1, "number of runs, one after the other, with the seeds from "+
		"-seed on; a table of their results ends them")
	fs.BoolVar(&cmd.dryRun, "dry-run", false, "print the resolved configuration and its cost, "+
		"by the median time of three measured chunks, and stop; images that are not on disk are "+
		"not downloaded: it measures on random pixels")
	fs.StringVar(&cmd.costFile, "cost", "", "with -dry-run: a `file` to write the cost to, as "+
		"JSON; empty: none")
	fs.BoolVar(&cmd.fresh, "fresh", false, "start over: an existing run folder is set aside")
	return fs
}

// PrintFlags explains the flags by group.
func PrintFlags(out io.Writer) {
	defaults := func(preset string) *flag.FlagSet {
		c := Preset(preset, "gdm")
		return new(Command).flags(&c)
	}
	fs := defaults(presets[1])
	cli.DefaultsOf(fs, presets[1:], defaults)
	cli.PrintFlags(out, fs,
		cli.FlagGroup{Title: "What to do", Names: commandFlags},
		cli.FlagGroup{Names: settingFlags,
			Title: "Settings that may change the result, hashed into the run folder's name " +
				"(defaults for -opt=gdm)"},
		cli.FlagGroup{Names: executionFlags,
			Title: "Settings that change only speed, memory or places (may differ when a run is " +
				"resumed)"},
	)
}

// ParseCommand parses a command line and refuses one that no backend could execute. It returns
// flag.ErrHelp for -h.
func ParseCommand(args []string) (*Command, error) {
	cmd := &Command{given: map[string]string{}}
	scratch := Preset("paper", "gdm")
	fs := cmd.flags(&scratch)
	if err := cli.ParseOnce(fs, args); errors.Is(err, flag.ErrHelp) {
		return nil, err
	} else if err != nil {
		return nil, cli.Usagef("%w; see -h", err)
	}
	if fs.NArg() > 0 {
		return nil, cli.Usagef("unexpected argument %q: flags are written -name=value", fs.Arg(0))
	}
	if !slices.Contains(presets, cmd.preset) {
		return nil, cli.Usagef("-preset must be one of %s, got %q", strings.Join(presets, ", "),
			cmd.preset)
	}
	fs.Visit(func(f *flag.Flag) {
		if !slices.Contains(commandFlags, f.Name) {
			cmd.given[f.Name] = f.Value.String()
		}
	})
	if err := cmd.readFile(); err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	candidates := []string{cmd.preset}
	if cmd.preset == auto {
		candidates = presets[1:]
	}
	var err error
	for _, preset := range candidates {
		if cmd.first, err = cmd.resolve(preset); err == nil {
			return cmd, nil
		}
	}
	return nil, err
}

// Config resolves the configuration on a backend: the preset's values, overridden by the file's,
// overridden by the flags'.
func (cmd *Command) Config(kind backend.Kind) (c Config, preset string, err error) {
	preset = cmd.preset
	if preset == auto {
		preset = presetOf(kind)
	}
	c, err = cmd.resolve(preset)
	return c, preset, err
}

// resolve is [Command.Config] for a preset.
func (cmd *Command) resolve(preset string) (Config, error) {
	// The preset depends on the algorithm.
	algorithm := Config{Settings: Settings{Opt: "gdm"}}
	if err := cmd.content.decode(&algorithm); err != nil {
		return Config{}, &cli.UsageError{Err: err}
	}
	if opt, ok := cmd.given["opt"]; ok {
		algorithm.Opt = opt
	}
	c := Preset(preset, algorithm.Opt)
	if err := cmd.content.decode(&c); err != nil {
		return c, &cli.UsageError{Err: err}
	}
	fs := c.flags()
	for name, value := range cmd.given {
		if err := fs.Set(name, value); err != nil {
			return c, cli.Usagef("invalid value %q for flag -%s: %w", value, name, err)
		}
	}
	if _, ok := cmd.given["warmup"]; !ok && cmd.file == "" {
		c.Warmup = min(c.Warmup, c.Epochs/20)
	}
	if err := cmd.checkGiven(&c); err != nil {
		return c, &cli.UsageError{Err: err}
	}
	c.Normalize()
	if err := cmp.Or(c.Validate(), cmd.checkSeveral(&c)); err != nil {
		return c, &cli.UsageError{Err: err}
	}
	if cmd.task >= 0 {
		name, err := c.Name()
		if err == nil && name != cmd.run {
			err = cli.Usagef("%s: the run %s, but its settings are those of %s: leave out flags "+
				"that change the result, and plan the sweep with this version of the program",
				cmd.content.place, cmd.run, name)
		}
		return c, err
	}
	return c, nil
}

// checkGiven refuses flags that contradict the algorithm or have no effect beside it.
func (cmd *Command) checkGiven(c *Config) error {
	if !slices.Contains(algorithms, c.Opt) {
		return nil // Validate says so
	}
	_, form := cmd.given["form"]
	_, momentum := cmd.given["momentum"]
	_, batch := cmd.given["batch"]
	switch {
	case !HasMomentum(c.Opt) && momentum && c.Momentum != 0:
		return fmt.Errorf("-opt=%s has no momentum, got -momentum=%v: use -opt=%sm or leave "+
			"-momentum out", c.Opt, c.Momentum, c.Opt)
	case !HasMomentum(c.Opt) && form:
		return fmt.Errorf(
			"-opt=%s has no momentum and so no -form: use -opt=%sm or leave -form out",
			c.Opt, c.Opt)
	case !IsMiniBatch(c.Opt) && batch && c.Batch > 0:
		return fmt.Errorf("-opt=%s is full batch, got -batch=%d: use -opt=s%s or leave -batch out",
			c.Opt, c.Batch, c.Opt)
	case cmd.costFile != "" && !cmd.dryRun:
		return errors.New("-cost needs -dry-run: add it, or leave -cost out")
	}
	for _, name := range SmallMarginFlags {
		if _, ok := cmd.given[name]; ok && c.SmallMargin == 0 {
			return fmt.Errorf(
				"-%s needs small-margin images: add -small-margin=0.1, or leave it out",
				name)
		}
	}
	for _, f := range []struct {
		name  string
		ok    bool
		needs string
	}{
		{"diagnose-every", c.Diagnose != "", "a diagnosis: add -diagnose=sharpness"},
		{"diagnose-images", c.diagnosesImages(),
			"a diagnosis of the loss: add -diagnose=sharpness"},
		{"eigenvalues", c.diagnoses(sharpness), "the sharpness: add -diagnose=sharpness"},
		{"intervene-at", c.interventionWaits(), "an intervention that waits: add -intervene=reset"},
	} {
		if value, ok := cmd.given[f.name]; ok && value != "0" && !f.ok {
			return fmt.Errorf("-%s needs %s, or leave it out", f.name, f.needs)
		}
	}
	return nil
}

// readFile reads the file of -config, if there is one.
func (cmd *Command) readFile() error {
	switch {
	case cmd.task >= 0 && cmd.file == "":
		return errors.New("-task needs -config=FILE, the runs.jsonl of a sweep")
	case cmd.file == "":
		return nil
	case cmd.task < 0:
		data, err := os.ReadFile(cmd.file)
		if err != nil {
			return fmt.Errorf("-config: %w", err)
		}
		cmd.content, err = parseSettingsFile(cmd.file, data)
		return err
	}
	runs, err := runlist.Read(cmd.file)
	if err != nil {
		return err
	}
	if cmd.task >= len(runs) {
		return fmt.Errorf("-task: %s has the tasks 0 to %d, got %d", cmd.file, len(runs)-1,
			cmd.task)
	}
	run := runs[cmd.task]
	cmd.run = run.Name
	cmd.content = settingsFile{place: fmt.Sprintf("%s:%d", cmd.file, cmd.task+1),
		settings: run.Settings, execution: run.Execution}
	return nil
}
