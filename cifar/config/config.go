// Package config holds the settings of one training on images: what the flags of the command cifar,
// a config.json and a line of a sweep's list say, with the presets that they start from.
package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/rundir"
	"momentum/internal/sweep"
	"momentum/models"
)

// Settings are all that may change the result. Their JSON is hashed into the name of the run
// folder.
type Settings struct {
	Data   string `json:"data"`
	Images int    `json:"images"` // 0: all (less the held-out ones)
	// training images kept out and evaluated in place of the test set
	Holdout int `json:"holdout"`

	// Degraded images (datasets.SmallMargin). Without any the share is 0, and so is the rest.
	SmallMargin        float64 `json:"small_margin,omitempty"` // their share
	SmallMarginFactor  int     `json:"small_margin_factor,omitempty"`
	SmallMarginNoise   float64 `json:"small_margin_noise,omitempty"` // variance
	SmallMarginShuffle string  `json:"small_margin_shuffle,omitempty"`
	SmallMarginSeed    uint64  `json:"small_margin_seed,omitempty"`

	Model string `json:"model"`
	Width int    `json:"width"`
	Norm  string `json:"norm"`
	// with batch normalization: the chunk, since it changes the statistics
	GhostBatch  int     `json:"ghost_batch,omitempty"`
	BranchScale float64 `json:"branch_scale"`
	Opt         string  `json:"opt"`
	Form        string  `json:"form"`
	Rate        float64 `json:"lr"`       // η
	Momentum    float64 `json:"momentum"` // γ
	WeightDecay float64 `json:"weight_decay"`
	Schedule    string  `json:"schedule"`
	Warmup      int     `json:"warmup"` // epochs
	Epochs      int     `json:"epochs"`
	Batch       int     `json:"batch"` // 0: full batch
	Precision   string  `json:"precision"`
	EvalEvery   int     `json:"eval_every"` // epochs; 0: chosen from the cost
	Seed        uint64  `json:"seed"`
}

// Execution is what changes speed, memory and places, but not the result beyond rounding.
type Execution struct {
	Backend         string       `json:"backend"`
	Chunk           int          `json:"chunk"` // images per call; 0: chosen for the backend
	CheckpointEvery cli.Duration `json:"checkpoint_every"`
	Slim            bool         `json:"slim"` // a run that has ended keeps no weights
	Runs            string       `json:"runs"`
	DataDir         string       `json:"data_dir,omitempty"`
	Mirror          string       `json:"mirror,omitempty"`
	Offline         bool         `json:"offline"`
}

// Derived is what follows from the settings and helps a reader; it is stored but not read back.
type Derived struct {
	Title         string  `json:"title"` // of the curves
	Rule          string  `json:"rule"`
	EffectiveRate float64 `json:"eta_eff"` // η/(1−γ) in the undamped form, η otherwise
	Parameters    int     `json:"parameters"`
	TrainImages   int     `json:"train_images"`
	EvalImages    int     `json:"eval_images"`
	StepsPerEpoch int     `json:"steps_per_epoch"`
	EvalEvery     int     `json:"eval_every"`
	Chunk         int     `json:"chunk"`
	EpochFLOP     float64 `json:"flop_per_epoch"` // of training, without evaluations
}

// Config is one run, whole.
type Config struct {
	Settings
	Execution
}

// presets lists what -preset may be.
var presets = []string{"auto", "tiny", "quick", "paper"}

// Preset returns the settings of a preset for an algorithm. Rates are undamped; those of the paper
// preset are starting points, since the paper gives none; those of quick, which tiny has too, were
// chosen on held-out training images with the same number of trials for GD and for GD+M
// (results/quick/README.md).
func Preset(name, opt string) Config {
	c := Config{
		Settings: Settings{
			Data: "cifar10", Model: "resnet18", Width: 64, Norm: "none", Opt: opt, Form: "undamped",
			Schedule: "cosine", Epochs: 300,
			Precision: "f32", Seed: 1,
		},
		Execution: Execution{Backend: "auto", CheckpointEvery: cli.Duration(time.Minute),
			Runs: "runs"},
	}
	if IsMomentum(opt) {
		c.Momentum = 0.9
	}
	if IsMiniBatch(opt) {
		c.Batch = 128
	}
	rates := map[string]float64{"gd": 0.05, "gdm": 0.005, "sgd": 0.05, "sgdm": 0.005}
	switch name {
	case "quick":
		c.Data, c.Width, c.Images, c.Epochs = "cifar10-mini", 16, 128, 300
		if IsMiniBatch(opt) {
			c.Batch = 32
		}
	case "tiny":
		c.Data, c.Width, c.Images, c.Epochs = "cifar10-mini", 4, 40, 20
		if IsMiniBatch(opt) {
			c.Batch = 16
		}
	}
	c.Rate = rates[opt]
	return c
}

// IsMomentum says whether an algorithm has momentum.
func IsMomentum(opt string) bool { return opt == "gdm" || opt == "sgdm" }

// IsMiniBatch says whether an algorithm steps on mini-batches rather than on all images.
func IsMiniBatch(opt string) bool { return opt == "sgd" || opt == "sgdm" }

// Command is what the flags ask for beside a run: where its settings are from, and what to do with
// it.
type Command struct {
	Preset string // the preset that was used; its name is never auto once the backend is known
	Asked  bool   // for that preset, by -preset
	Config string // a file of settings
	Task   int    // the line of that file, from 0, if it is a sweep's list; else -1
	DryRun bool
	Cost   string // with DryRun: a file for the cost
	Fresh  bool
}

// smallMarginDefaults is how images are degraded, if any are, unless the settings say otherwise.
var smallMarginDefaults = datasets.SmallMargin{Factor: 2, Variance: 0.005, Shuffle: "image", Seed: 1}

// SmallMarginFlags binds how images are degraded to flags, and returns their names.
func (c *Config) SmallMarginFlags(fs *flag.FlagSet) (names []string) {
	fs.Float64Var(&c.SmallMargin, "small-margin", c.SmallMargin, "share of the training and of "+
		"the test images that are degraded, as in the paper's Figure 4 (0.1); they are then "+
		"measured apart, too")
	fs.IntVar(&c.SmallMarginFactor, "small-margin-factor", smallMarginDefaults.Factor, "a degraded image first "+
		"loses resolution, by the means of this many pixels squared; 1: it does not")
	fs.Float64Var(&c.SmallMarginNoise, "small-margin-noise", smallMarginDefaults.Variance,
		"then it gets Gaussian noise of this variance, pixels being in [0, 1]")
	fs.StringVar(&c.SmallMarginShuffle, "small-margin-shuffle", smallMarginDefaults.Shuffle,
		"and last its channels are permuted: image, each in its own way|fixed, all in one way")
	fs.Uint64Var(&c.SmallMarginSeed, "small-margin-seed", smallMarginDefaults.Seed,
		"of the choice of the degraded images, of the noise and of the permutations, at least 1")
	return []string{"small-margin", "small-margin-factor", "small-margin-noise", "small-margin-shuffle", "small-margin-seed"}
}

// flags binds a configuration and a command to the flags of a new flag set.
func flags(c *Config, do *Command) *flag.FlagSet {
	fs := flag.NewFlagSet("cifar", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&do.Preset, "preset", do.Preset,
		"auto|tiny|quick|paper: settings to start from; every other flag overrides them")
	fs.StringVar(&do.Config, "config", do.Config,
		"a `file` such as the config.json of a run folder; its values override the preset's")
	fs.Func("task", "-config is the runs.jsonl of a sweep: run its line `N`, from 0; auto: the "+
		"number that Slurm, Kubernetes or AWS Batch gives an array's task",
		func(value string) (err error) {
			do.Task, err = sweep.TaskIndex(value, os.Getenv)
			return err
		})
	fs.BoolVar(&do.DryRun, "dry-run", do.DryRun,
		"print the resolved run and its cost, run one chunk, stop")
	fs.StringVar(&do.Cost, "cost", do.Cost, "with -dry-run: a `file` to write the cost to, as JSON")
	fs.BoolVar(&do.Fresh, "fresh", do.Fresh, "start over: an existing run folder is set aside")

	fs.StringVar(&c.Data, "data", c.Data, strings.Join(datasets.Names(), "|"))
	fs.IntVar(&c.Images, "images", c.Images,
		"N, training images, taken from the start of the set; 0: all")
	fs.IntVar(&c.Holdout, "holdout", c.Holdout, "training images, from the end of the set, that "+
		"are kept out and evaluated in place of the test images: to choose settings")
	c.SmallMarginFlags(fs)
	fs.StringVar(&c.Model, "model", c.Model,
		"resnet18|vgg19|wrn16-K (WideResNet-16, widening factor K)")
	fs.IntVar(&c.Width, "width", c.Width,
		"channels of the stem; -preset=paper has 64 for resnet18 and vgg19, 16 for wrn16-K")
	fs.StringVar(&c.Norm, "norm", c.Norm, "none (the paper's)|batch: by the statistics of each "+
		"chunk, in evaluation too, so that -chunk then changes the result")
	fs.Float64Var(&c.BranchScale, "branch-scale", c.BranchScale, "multiplies the initial weights "+
		"of each residual branch's last convolution; 0: 1/√(number of blocks)")
	fs.StringVar(&c.Opt, "opt", c.Opt,
		"gd|gdm: full batch, without or with momentum; sgd|sgdm: mini-batches")
	fs.StringVar(&c.Form, "form", c.Form,
		"damped: g ← γg+(1−γ)∇L (the paper's)|undamped: b ← γb+∇L (PyTorch's)")
	fs.Float64Var(&c.Rate, "lr", c.Rate, "η, peak learning rate per step")
	fs.Float64Var(&c.Momentum, "momentum", c.Momentum, "γ, in [0, 1)")
	fs.Float64Var(&c.WeightDecay, "weight-decay", c.WeightDecay, "λ: the gradient is ∇L + λw")
	fs.StringVar(&c.Schedule, "schedule", c.Schedule,
		"constant|cosine (to 0 at the end)|step (a tenth at 1/2, a hundredth at 3/4)")
	fs.IntVar(&c.Warmup, "warmup", c.Warmup, "epochs of linear warm-up before the schedule")
	fs.IntVar(&c.Epochs, "epochs", c.Epochs,
		"passes over the training images; with full batch, one step each")
	fs.IntVar(&c.Batch, "batch", c.Batch, "images per step of sgd and sgdm; the last, short "+
		"batch of an epoch is kept; 0: full batch")
	fs.StringVar(&c.Precision, "precision", c.Precision,
		"f32|tf32 (GPU)|bf16 (compute only; weights, sums and loss stay f32)")
	fs.IntVar(&c.EvalEvery, "eval-every", c.EvalEvery, "epochs between evaluations of the test "+
		"images; 0: as often as costs less than a tenth of the training")
	fs.Uint64Var(&c.Seed, "seed", c.Seed, "of initialization and order, as separate streams")

	fs.StringVar(&c.Backend, "backend", c.Backend, "auto|xla:cuda|xla:cpu|xla:/abs/plugin.so|go")
	fs.IntVar(&c.Chunk, "chunk", c.Chunk,
		"images per call of the compiled step; 0: chosen for the backend")
	fs.TextVar(&c.CheckpointEvery, "checkpoint-every", c.CheckpointEvery,
		"time between checkpoints, such as 30s; 0s: every step")
	fs.BoolVar(&c.Slim, "slim", c.Slim, "when the run is done or has diverged, keep neither "+
		"checkpoints nor initial.safetensors nor weights.safetensors: for sweeps")
	fs.StringVar(&c.Runs, "runs", c.Runs, "`folder` of the run folders")
	fs.StringVar(&c.DataDir, "data-dir", c.DataDir,
		"`folder` of CIFAR; empty: the user's cache folder")
	fs.StringVar(&c.Mirror, "mirror", c.Mirror,
		"`URL` to fetch CIFAR from in place of the official host")
	fs.BoolVar(&c.Offline, "offline", c.Offline, "never use the network")
	fs.Usage = func() {} // not on every error: run prints the manual for -h alone
	return fs
}

// The flags of each group, in the order of the manual.
var (
	commandFlags = []string{"preset", "config", "task", "dry-run", "cost", "fresh"}
	settingFlags = []string{"opt", "form", "lr", "momentum", "weight-decay", "schedule", "warmup",
		"epochs", "batch", "data", "images", "holdout", "small-margin", "small-margin-factor",
		"small-margin-noise", "small-margin-shuffle", "small-margin-seed", "model", "width", "norm", "branch-scale",
		"precision", "eval-every", "seed"}
	executionFlags = []string{"backend", "chunk", "checkpoint-every", "slim", "runs", "data-dir",
		"mirror", "offline"}
)

// PrintFlags explains the flags by group.
func PrintFlags(out io.Writer) {
	c, do := Preset("paper", "gdm"), Command{Preset: "auto", Task: -1}
	fs := flags(&c, &do)
	cli.PrintFlags(out, fs,
		cli.FlagGroup{Title: "What to do", Names: commandFlags},
		cli.FlagGroup{Title: "Settings that may change the result (hashed into the run folder's " +
			"name)", Names: settingFlags},
		cli.FlagGroup{Title: "Settings that change speed, memory or places only (may differ when " +
			"a run is resumed)", Names: executionFlags},
	)
}

// Parse turns arguments into a configuration: the preset's values, overridden by those of the file
// of -config, overridden by the flags. kind is the backend's, which decides what -preset=auto
// means; before it is known, Parse with "" checks the flags against every preset.
func Parse(args []string, kind backend.Kind) (Config, Command, error) {
	do := Command{Preset: "auto", Task: -1}
	first := Preset("paper", "gdm")
	fs := flags(&first, &do)
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return Config{}, do, err
	} else if err != nil {
		return Config{}, do, cli.Usagef("%w (see go run ./cifar -h)", err)
	}
	if fs.NArg() > 0 {
		return Config{}, do, cli.Usagef("unexpected argument %q: flags are written -name=value",
			fs.Arg(0))
	}
	if !slices.Contains(presets, do.Preset) {
		return Config{}, do, cli.Usagef("-preset must be one of %s, got %q",
			strings.Join(presets, ", "), do.Preset)
	}
	if do.Preset == "auto" && kind == "" {
		var c Config
		var err error
		for _, name := range presets[1:] {
			if c, do, err = resolve(args, name); err == nil {
				return c, do, nil
			}
		}
		return c, do, err
	}
	name, asked := do.Preset, do.Preset != "auto"
	if !asked {
		name = presetOf(kind)
	}
	c, do, err := resolve(args, name)
	do.Asked = asked
	return c, do, err
}

// presetOf is what -preset=auto means on a backend.
func presetOf(kind backend.Kind) string {
	switch kind {
	case backend.CUDA:
		return "paper"
	case backend.Go:
		return "tiny"
	}
	return "quick"
}

// resolve parses arguments over one preset and checks the result.
func resolve(args []string, name string) (Config, Command, error) {
	var do Command
	var c Config
	opt, model := "gdm", "resnet18"
	given := map[string]bool{}
	var err error
	// The preset depends on the algorithm and on the network, which the flags or the file name: so,
	// twice.
	for range 2 {
		c, do = Preset(name, opt), Command{Preset: name, Task: -1}
		if name == "paper" {
			c.Width = models.DefaultWidth(model)
		}
		fs := flags(&c, &do)
		if err = fs.Parse(args); err != nil {
			return c, do, cli.Usagef("%w", err)
		}
		if do.Config != "" {
			if err = readConfig(do, &c); err != nil {
				return c, do, &cli.UsageError{Err: err}
			}
			if err = fs.Parse(args); err != nil {
				return c, do, cli.Usagef("%w", err)
			}
		}
		fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
		opt, model = c.Opt, c.Model
	}
	if do.Task >= 0 && do.Config == "" {
		return c, do, cli.Usagef("-task needs -config=FILE, the runs.jsonl of a sweep")
	}
	if err = c.Validate(given); err != nil {
		return c, do, &cli.UsageError{Err: err}
	}
	if do.Task >= 0 {
		if err = c.is(do); err != nil {
			return c, do, err
		}
	}
	return c, do, nil
}

// is checks that a run from a sweep's list has the name that stands there.
func (c *Config) is(do Command) error {
	runs, err := sweep.ReadRuns(do.Config)
	if err != nil {
		return err
	}
	name, err := c.Name()
	if err == nil && name != runs[do.Task].Name {
		return cli.Usagef("%s:%d: the run %s, but its settings are those of %s: leave out flags "+
			"that change the result, and plan the sweep with this version of the program",
			do.Config, do.Task+1, runs[do.Task].Name, name)
	}
	return err
}

// readConfig reads the settings and the execution of a config.json, or of a line of a sweep's list,
// over c.
func readConfig(do Command, c *Config) error {
	if do.Task >= 0 {
		runs, err := sweep.ReadRuns(do.Config)
		if err != nil {
			return err
		}
		if do.Task >= len(runs) {
			return fmt.Errorf("-task: %s has the tasks 0 to %d, got %d", do.Config, len(runs)-1,
				do.Task)
		}
		run := runs[do.Task]
		place := fmt.Sprintf("%s:%d", do.Config, do.Task+1)
		return errors.Join(decode(place, run.Settings, &c.Settings),
			decode(place, run.Execution, &c.Execution))
	}
	data, err := os.ReadFile(do.Config)
	if err != nil {
		return fmt.Errorf("-config: %w", err)
	}
	return parseConfig(do.Config, data, c)
}

// parseConfig reads a config.json. Unknown fields are refused; "derived" is not read.
func parseConfig(path string, data []byte, c *Config) error {
	var file struct {
		Settings  *Settings       `json:"settings"`
		Derived   json.RawMessage `json:"derived"`
		Execution *Execution      `json:"execution"`
	}
	file.Settings, file.Execution = &c.Settings, &c.Execution
	if err := decode(path, data, &file); err != nil {
		return fmt.Errorf("-config: %w; want {\"settings\": {…}, \"execution\": {…}} as in a run "+
			"folder's config.json", err)
	}
	return nil
}

// decode reads one JSON object over v, whose fields are all that it may have.
func decode(place string, data []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("%s: more follows the JSON object; want one object", place)
	}
	return nil
}

// Validate refuses values out of range and flags that contradict each other, before any work. given
// holds the flags on the command line.
func (c *Config) Validate(given map[string]bool) error {
	oneOf := func(flag, got string, want []string) error {
		if slices.Contains(want, got) {
			return nil
		}
		return fmt.Errorf("-%s must be one of %s, got %q", flag, strings.Join(want, ", "), got)
	}
	atLeast := func(flag string, got, least int) error {
		if got >= least {
			return nil
		}
		return fmt.Errorf("-%s must be at least %d, got %d", flag, least, got)
	}
	inRange := func(flag string, ok bool, want string, got any) error {
		if ok {
			return nil
		}
		return fmt.Errorf("-%s must be %s, got %v", flag, want, got)
	}
	if err := errors.Join(
		oneOf("opt", c.Opt, []string{"gd", "gdm", "sgd", "sgdm"}),
		oneOf("form", c.Form, []string{string(descent.Damped), string(descent.Undamped)}),
		oneOf("schedule", c.Schedule, descent.Schedules()),
		oneOf("data", c.Data, datasets.Names()),
		oneOf("norm", c.Norm, []string{"none", "batch"}),
		oneOf("precision", c.Precision, []string{"f32", "tf32", "bf16"}),
		c.validateSmallMargin(given),
		atLeast("images", c.Images, 0), atLeast("holdout", c.Holdout, 0),
		atLeast("epochs", c.Epochs, 1), atLeast("batch", c.Batch, 0),
		atLeast("eval-every", c.EvalEvery, 0), atLeast("chunk", c.Chunk, 0),
		// Written so that NaN is refused too.
		inRange("lr", c.Rate > 0 && !math.IsInf(c.Rate, 0), "positive and finite", c.Rate),
		inRange("momentum", c.Momentum >= 0 && c.Momentum < 1, "in [0, 1)", c.Momentum),
		inRange("weight-decay", c.WeightDecay >= 0 && !math.IsInf(c.WeightDecay, 0),
			"finite and not negative", c.WeightDecay),
		inRange("branch-scale", c.BranchScale >= 0 && !math.IsInf(c.BranchScale, 0),
			"finite and not negative", c.BranchScale),
		inRange("warmup", c.Warmup >= 0 && c.Warmup <= c.Epochs,
			fmt.Sprintf("in [0, %d] epochs", c.Epochs), c.Warmup),
		inRange("checkpoint-every", c.CheckpointEvery >= 0, "at least 0s",
			time.Duration(c.CheckpointEvery)),
	); err != nil {
		return firstOf(err)
	}
	switch {
	case !IsMomentum(c.Opt) && given["momentum"] && c.Momentum != 0:
		return fmt.Errorf("-opt=%s has no momentum, got -momentum=%v: use -opt=%sm or leave "+
			"-momentum out", c.Opt, c.Momentum, c.Opt)
	case !IsMomentum(c.Opt) && given["form"]:
		return fmt.Errorf(
			"-opt=%s has no momentum and so no -form: use -opt=%sm or leave -form out", c.Opt,
			c.Opt)
	case IsMiniBatch(c.Opt) && c.Batch == 0:
		return fmt.Errorf("-opt=%s needs -batch of at least 1, got 0: for the full batch use "+
			"-opt=%s", c.Opt, c.Opt[1:])
	case !IsMiniBatch(c.Opt) && given["batch"] && c.Batch != 0:
		return fmt.Errorf("-opt=%s is full batch, got -batch=%d: use -opt=s%s or leave -batch out",
			c.Opt, c.Batch, c.Opt)
	case c.Offline && c.Mirror != "":
		return fmt.Errorf("-offline and -mirror contradict each other: leave one out")
	case c.Runs == "":
		return fmt.Errorf("-runs must name a folder, got nothing")
	}
	if !IsMomentum(c.Opt) {
		c.Momentum = 0
		// without momentum both forms are GD: one name for one thing
		c.Form = string(descent.Undamped)
	}
	if !IsMiniBatch(c.Opt) {
		c.Batch = 0
	}
	if _, err := models.New(models.Config{Model: c.Model, Width: c.Width, Norm: c.Norm, Classes: 10,
		BranchScale: c.BranchScale}); err != nil {
		return fmt.Errorf("-model=%s -width=%d: %w", c.Model, c.Width, err)
	}
	if c.Norm == "batch" && c.Chunk == 0 {
		return fmt.Errorf("-norm=batch takes its statistics over a chunk: say which with -chunk, " +
			"for example -chunk=128")
	}
	c.GhostBatch = 0
	if c.Norm == "batch" {
		c.GhostBatch = c.Chunk
	}
	return backend.Parse(c.Backend)
}

// validateSmallMargin refuses settings of degraded images that are out of range, or that are given
// without any. It fills in those that are left out, and clears all of them if no image is degraded:
// one name for one thing.
func (c *Config) validateSmallMargin(given map[string]bool) error {
	if c.SmallMargin == 0 {
		for _, name := range []string{"small-margin-factor", "small-margin-noise", "small-margin-shuffle",
			"small-margin-seed"} {
			if given[name] {
				return fmt.Errorf(
					"-%s needs degraded images: add -small-margin=0.1, or leave it out", name)
			}
		}
		c.SmallMarginFactor, c.SmallMarginNoise, c.SmallMarginShuffle, c.SmallMarginSeed = 0, 0, "", 0
		return nil
	}
	if c.SmallMarginFactor == 0 && !given["small-margin-factor"] {
		c.SmallMarginFactor = smallMarginDefaults.Factor
	}
	if c.SmallMarginNoise == 0 && !given["small-margin-noise"] {
		c.SmallMarginNoise = smallMarginDefaults.Variance
	}
	if c.SmallMarginShuffle == "" && !given["small-margin-shuffle"] {
		c.SmallMarginShuffle = smallMarginDefaults.Shuffle
	}
	if c.SmallMarginSeed == 0 && !given["small-margin-seed"] {
		c.SmallMarginSeed = smallMarginDefaults.Seed
	}
	switch {
	case !(c.SmallMargin > 0 && c.SmallMargin < 1):
		return fmt.Errorf("-small-margin must be in [0, 1), got %v", c.SmallMargin)
	case c.SmallMarginFactor < 1 || datasets.Side%c.SmallMarginFactor != 0:
		return fmt.Errorf("-small-margin-factor must be one of 1, 2, 4, 8, 16, 32, got %d", c.SmallMarginFactor)
	case !(c.SmallMarginNoise > 0 && c.SmallMarginNoise <= 1): // 0 would not be written to config.json
		return fmt.Errorf("-small-margin-noise must be in (0, 1], got %v: for none, 1e-9 is rounded away",
			c.SmallMarginNoise)
	case !slices.Contains(datasets.Shuffles(), c.SmallMarginShuffle):
		return fmt.Errorf("-small-margin-shuffle must be one of %s, got %q",
			strings.Join(datasets.Shuffles(), ", "), c.SmallMarginShuffle)
	case c.SmallMarginSeed == 0:
		return fmt.Errorf("-small-margin-seed must be at least 1, got 0")
	}
	return nil
}

// SmallMarginImages is how images are degraded.
func (c *Config) SmallMarginImages() datasets.SmallMargin {
	return datasets.SmallMargin{Share: c.SmallMargin, Factor: c.SmallMarginFactor, Variance: c.SmallMarginNoise,
		Shuffle: c.SmallMarginShuffle, Seed: c.SmallMarginSeed}
}

// firstOf is the first of joined errors: one clear line, not a list.
func firstOf(err error) error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()[0]
	}
	return err
}

// Rule is the descent rule of the settings.
func (c *Config) Rule() descent.Rule {
	return descent.Rule{Form: descent.Form(c.Form), Gamma: c.Momentum, WeightDecay: c.WeightDecay}
}

// Label is the readable part of the run folder's name.
func (c *Config) Label() string {
	l := c.Data
	if c.SmallMargin > 0 {
		l += fmt.Sprintf("-sm%g", c.SmallMargin)
	}
	l += fmt.Sprintf("-%sw%d-%s", c.Model, c.Width, c.Opt)
	if IsMomentum(c.Opt) {
		l += fmt.Sprintf("-%s-g%g", c.Form, c.Momentum)
	}
	return l + fmt.Sprintf("-lr%g-s%d", c.Rate, c.Seed)
}

// Name is the name of the run folder.
func (c *Config) Name() (string, error) { return rundir.Name(c.Label(), c.Settings) }

// Run is the run as a line of a sweep's list.
func (c *Config) Run() (sweep.Run, error) {
	name, err := c.Name()
	if err != nil {
		return sweep.Run{}, err
	}
	run := sweep.Run{Name: name}
	var errs [2]error
	run.Settings, errs[0] = json.Marshal(c.Settings)
	run.Execution, errs[1] = json.Marshal(c.Execution)
	return run, errors.Join(errs[:]...)
}

// EvaluationEvery is the number of epochs between evaluations: -eval-every or, if that is 0, the
// fewest for which evaluating the images costs less than a tenth of training, counted in
// floating-point operations.
func (c *Config) EvaluationEvery(forward, step float64, train, eval int) int {
	if c.EvalEvery > 0 {
		return c.EvalEvery
	}
	const share = 0.09 // the rest is for reading the sums
	return max(1, int(math.Ceil(forward*float64(eval)/(share*step*float64(train)))))
}
