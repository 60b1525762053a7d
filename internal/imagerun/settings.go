package imagerun

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/rundir"
	"momentum/internal/runlist"
	"momentum/models"
)

// Settings are all that may change the result. Their JSON is hashed into the run folder's name.
type Settings struct {
	Data    string `json:"data"`
	Images  int    `json:"images"`  // 0: all, less the held-out ones
	Holdout int    `json:"holdout"` // training images evaluated in place of the test images

	// Small-margin images (datasets.SmallMargin). If their share is 0, so are the other fields.
	SmallMargin        float64 `json:"small_margin,omitempty"` // their share of the images
	SmallMarginFactor  int     `json:"small_margin_factor,omitempty"`
	SmallMarginNoise   float64 `json:"small_margin_noise,omitempty"` // variance
	SmallMarginShuffle string  `json:"small_margin_shuffle,omitempty"`
	SmallMarginSeed    uint64  `json:"small_margin_seed,omitempty"`

	Model       string  `json:"model"`
	Width       int     `json:"width"` // 0, before Normalize: the network's own
	Norm        string  `json:"norm"`
	GhostBatch  int     `json:"ghost_batch,omitempty"` // the chunk, which batch norm depends on
	Init        string  `json:"init"`
	BranchScale float64 `json:"branch_scale"` // −1, before Normalize: the initialization's own
	Opt         string  `json:"opt"`
	Form        string  `json:"form"`
	Rate        float64 `json:"lr"`       // η
	Momentum    float64 `json:"momentum"` // γ
	WeightDecay float64 `json:"weight_decay"`
	Clip        float64 `json:"clip,omitempty"` // the largest norm of the gradient; 0: any
	Schedule    string  `json:"schedule"`
	Warmup      int     `json:"warmup"` // epochs
	Epochs      int     `json:"epochs"`
	UntilLoss   float64 `json:"until_loss"` // ends a run earlier; 0: never
	Batch       int     `json:"batch"`      // 0: full batch
	Precision   string  `json:"precision"`
	EvalEvery   int     `json:"eval_every"` // epochs; 0: chosen by cost and epochs
	Seed        uint64  `json:"seed"`

	Diagnose       string `json:"diagnose,omitempty"`        // diagnoses, with commas
	DiagnoseEvery  int    `json:"diagnose_every,omitempty"`  // epochs
	DiagnoseImages int    `json:"diagnose_images,omitempty"` // for the sharpness; 0: all
	Eigenvalues    int    `json:"eigenvalues,omitempty"`     // the largest, of the Hessian

	Intervene   string  `json:"intervene,omitempty"`    // on the momentum
	InterveneAt float64 `json:"intervene_at,omitempty"` // mean loss of the large-margin images
}

// Execution is what changes speed, memory and places, but not the result beyond rounding.
type Execution struct {
	Backend         string       `json:"backend"`
	Devices         Devices      `json:"devices"` // that share each batch
	Chunk           int          `json:"chunk"`   // images per call; 0: chosen for the backend
	Deterministic   bool         `json:"deterministic,omitempty"`
	GPUMemory       float64      `json:"gpu_memory,omitempty"` // share of a GPU's; 0: XLA's own
	Preallocate     bool         `json:"preallocate,omitempty"`
	CheckpointEvery cli.Duration `json:"checkpoint_every"`
	// SaveWeightsEvery is the number of epochs between the weights that the run keeps; 0: none.
	SaveWeightsEvery int    `json:"save_weights_every,omitempty"`
	Slim             bool   `json:"slim"` // keep no weights once the run has ended
	Title            string `json:"name,omitempty"`
	Tags             string `json:"tags,omitempty"` // with commas
	Runs             string `json:"runs"`
	DataDir          string `json:"data_dir,omitempty"`
	Mirror           string `json:"mirror,omitempty"`
	Offline          bool   `json:"offline"`
}

// Devices is a number of devices. 0, or auto, is the number that the backend chooses.
type Devices int

// MarshalText implements [encoding.TextMarshaler].
func (d Devices) MarshalText() ([]byte, error) {
	if d == 0 {
		return []byte(auto), nil
	}
	return []byte(strconv.Itoa(int(d))), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Devices) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	switch {
	case string(text) == auto:
		n = 0
	case err != nil || n < 1:
		return fmt.Errorf("want auto or a number of at least 1, got %q", text)
	}
	*d = Devices(n)
	return nil
}

// trainedOn is the number of images that a run trains on, of all training images.
func (c *Config) trainedOn(all int) int { return cmp.Or(c.Images, all-c.Holdout) }

// Derived is what follows from the settings and helps a reader. It is stored but not read back.
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

// Config is the whole configuration of a run.
type Config struct {
	Settings
	Execution
}

// The values of Settings.Opt.
var algorithms = []string{"gd", "gdm", "sgd", "sgdm"}

// HasMomentum reports whether an algorithm has momentum.
func HasMomentum(opt string) bool { return opt == "gdm" || opt == "sgdm" }

// Algorithm is the usual name of an algorithm, such as GD+M for gdm.
func Algorithm(opt string) string {
	name := strings.ToUpper(strings.TrimSuffix(opt, "m"))
	if HasMomentum(opt) {
		name += "+M"
	}
	return name
}

// IsMiniBatch reports whether an algorithm steps on mini-batches rather than on all images.
func IsMiniBatch(opt string) bool { return opt == "sgd" || opt == "sgdm" }

// Normalize gives every run one name: it resolves the network's own width and branch scale, and
// clears the settings that have no effect beside the others.
func (c *Config) Normalize() {
	if c.Width == 0 {
		c.Width = models.DefaultWidth(c.Model)
	}
	if c.BranchScale < 0 {
		c.BranchScale = models.DefaultBranchScale(c.Model, c.Norm, c.Init)
	}
	if c.SmallMargin == 0 {
		c.SmallMarginFactor, c.SmallMarginNoise = 0, 0
		c.SmallMarginShuffle, c.SmallMarginSeed = "", 0
	}
	c.normalizeDiagnosis()
	if !HasMomentum(c.Opt) {
		c.Momentum = 0
		c.Form = string(descent.Undamped) // without momentum both forms are GD
	}
	if !IsMiniBatch(c.Opt) && c.Batch > 0 {
		c.Batch = 0
	}
	c.GhostBatch = 0
	if c.Norm == "batch" {
		c.GhostBatch = c.Chunk
	}
}

// Validate returns an error for the first value that is out of range, and changes nothing. Call it
// after Normalize.
func (c *Config) Validate() error {
	oneOf := func(flag, got string, want []string) error {
		return check(flag, slices.Contains(want, got),
			"one of "+strings.Join(want, ", "), fmt.Sprintf("%q", got))
	}
	atLeast := func(flag string, got, least int) error {
		return check(flag, got >= least, fmt.Sprintf("at least %d", least), got)
	}
	finite := func(x float64) bool { return x >= 0 && !math.IsInf(x, 0) } // false for NaN, too
	if err := cmp.Or(
		oneOf("opt", c.Opt, algorithms),
		oneOf("form", c.Form, []string{string(descent.Damped), string(descent.Undamped)}),
		oneOf("schedule", c.Schedule, descent.Schedules()),
		oneOf("data", c.Data, datasets.Names()),
		oneOf("norm", c.Norm, models.Norms()),
		oneOf("init", c.Init, models.Inits()),
		oneOf("precision", c.Precision, []string{"f32", "tf32", "bf16"}),
		atLeast("images", c.Images, 0), atLeast("holdout", c.Holdout, 0),
		CheckImages(c.Data, c.Images, c.Holdout), c.validateSmallMargin(), c.validateDiagnosis(),
		check("width", c.Width >= 0 && c.Width <= models.MaxWidth,
			fmt.Sprintf("0 or in [1, %d]", models.MaxWidth), c.Width),
		atLeast("epochs", c.Epochs, 1), atLeast("batch", c.Batch, 0),
		atLeast("eval-every", c.EvalEvery, 0), atLeast("chunk", c.Chunk, 0),
		check("lr", c.Rate > 0 && finite(c.Rate), "positive and finite", c.Rate),
		check("momentum", c.Momentum >= 0 && c.Momentum < 1, "in [0, 1)", c.Momentum),
		check("weight-decay", finite(c.WeightDecay), "finite and not negative", c.WeightDecay),
		check("branch-scale", finite(c.BranchScale), "auto, or finite and not negative",
			c.BranchScale),
		check("clip", finite(c.Clip), "finite and not negative", c.Clip),
		check("gpu-memory", c.GPUMemory >= 0 && c.GPUMemory <= 1, "in [0, 1]", c.GPUMemory),
		check("until-loss", finite(c.UntilLoss), "finite and not negative", c.UntilLoss),
		check("warmup", c.Warmup >= 0 && c.Warmup <= c.Epochs,
			fmt.Sprintf("in [0, %d] epochs", c.Epochs), c.Warmup),
		check("checkpoint-every", c.CheckpointEvery >= 0, "at least 0s",
			time.Duration(c.CheckpointEvery)),
		atLeast("save-weights-every", c.SaveWeightsEvery, 0),
	); err != nil {
		return err
	}
	switch {
	case IsMiniBatch(c.Opt) && c.Batch == 0:
		return fmt.Errorf(
			"-opt=%s needs -batch of at least 1, got 0: for the full batch use -opt=%s",
			c.Opt, c.Opt[1:])
	case IsMiniBatch(c.Opt) && c.UntilLoss > 0:
		return fmt.Errorf("-until-loss needs the training loss at one point, which -opt=%s does "+
			"not know: its epochs are sums while the weights move; leave -until-loss out, or use "+
			"-opt=%s", c.Opt, c.Opt[1:])
	case c.Offline && c.Mirror != "":
		return fmt.Errorf("-offline and -mirror contradict each other: leave one out")
	case c.Slim && c.SaveWeightsEvery > 0:
		return fmt.Errorf("-slim keeps no weights, got -save-weights-every=%d: leave one out",
			c.SaveWeightsEvery)
	case c.Runs == "":
		return fmt.Errorf("-runs must name a folder, got nothing")
	}
	if _, err := models.New(models.Config{Model: c.Model, Width: models.DefaultWidth(c.Model),
		Norm: "none", Classes: 10}); err != nil {
		return fmt.Errorf("-model: %w", err) // whatever the other settings are
	}
	if _, err := c.Network(10); err != nil {
		return fmt.Errorf("-model=%s -width=%d -norm=%s -init=%s: %w", c.Model, c.Width, c.Norm,
			c.Init, err)
	}
	if c.Norm == "batch" && c.Chunk == 0 {
		return fmt.Errorf("-norm=batch takes its statistics over a chunk: say which with -chunk, " +
			"for example -chunk=128")
	}
	return backend.Parse(c.Backend)
}

// CheckImages returns an error if a set has too few training images for as many to train on, 0 for
// all others, and as many held out.
func CheckImages(data string, images, holdout int) error {
	facts, err := datasets.Describe(data)
	if err != nil {
		return err
	}
	most := facts.Train - holdout // to train on
	if most >= 1 && images <= most {
		return nil
	}
	remedy := fmt.Sprintf("use -images=%d or fewer", most)
	if most < 1 {
		remedy = "use a smaller -holdout"
	}
	return fmt.Errorf("-images + -holdout must be at most the %d training images of %s, got %d + "+
		"%d: %s", facts.Train, data, images, holdout, remedy)
}

// validateSmallMargin is the part of Validate about small-margin images.
func (c *Config) validateSmallMargin() error {
	if c.SmallMargin == 0 {
		return nil
	}
	shuffles := datasets.Shuffles()
	return cmp.Or(
		check("small-margin", c.SmallMargin > 0 && c.SmallMargin < 1, "in [0, 1)", c.SmallMargin),
		check("small-margin-factor",
			c.SmallMarginFactor > 0 && datasets.Side%c.SmallMarginFactor == 0,
			"one of 1, 2, 4, 8, 16, 32", c.SmallMarginFactor),
		// JSON leaves out a variance of 0.
		check("small-margin-noise", c.SmallMarginNoise > 0 && c.SmallMarginNoise <= 1,
			"in (0, 1]", fmt.Sprintf("%v: for none, 1e-9 is rounded away", c.SmallMarginNoise)),
		check("small-margin-shuffle", slices.Contains(shuffles, c.SmallMarginShuffle),
			"one of "+strings.Join(shuffles, ", "), fmt.Sprintf("%q", c.SmallMarginShuffle)),
		check("small-margin-seed", c.SmallMarginSeed > 0, "at least 1", c.SmallMarginSeed),
	)
}

// check is the error of a flag that is not ok.
func check(flag string, ok bool, want string, got any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("-%s must be %s, got %v", flag, want, got)
}

// SmallMarginImages describes how images get a small margin.
func (c *Config) SmallMarginImages() datasets.SmallMargin {
	return datasets.SmallMargin{Share: c.SmallMargin, Factor: c.SmallMarginFactor,
		Variance: c.SmallMarginNoise, Shuffle: c.SmallMarginShuffle, Seed: c.SmallMarginSeed}
}

// Rule is the descent rule of the settings.
func (c *Config) Rule() descent.Rule {
	return descent.Rule{Form: descent.Form(c.Form), Gamma: c.Momentum, WeightDecay: c.WeightDecay,
		Clip: c.Clip}
}

// RuleName is the usual name of the rule, SGD on mini-batches, and names what intervenes in it.
func (c *Config) RuleName() string {
	name := c.Rule().String()
	if c.Batch > 0 {
		name = "S" + name
	}
	if c.Intervene != "" {
		name += ", intervention " + c.Intervene
	}
	if c.interventionWaits() {
		name += fmt.Sprintf(" at a loss of %g", c.InterveneAt)
	}
	return name
}

// Network builds the network of the settings.
func (c *Config) Network(classes int) (*models.Network, error) {
	return models.New(models.Config{Model: c.Model, Width: c.Width, Norm: c.Norm,
		Initialization: c.Init, Classes: classes, BranchScale: &c.BranchScale})
}

// Label is the readable part of the run folder's name.
func (c *Config) Label() string {
	label := c.Data
	if c.SmallMargin > 0 {
		label += fmt.Sprintf("-sm%g", c.SmallMargin)
	}
	label += fmt.Sprintf("-%sw%d", c.Model, c.Width)
	if c.Norm != "none" {
		label += "-norm-" + c.Norm
	}
	if c.Init != "centered" {
		label += "-" + c.Init
	}
	label += "-" + c.Opt
	if HasMomentum(c.Opt) {
		label += fmt.Sprintf("-%s-g%g", c.Form, c.Momentum)
	}
	if c.Intervene != "" {
		label += "-" + c.Intervene
	}
	return label + fmt.Sprintf("-lr%g-s%d", c.Rate, c.Seed)
}

// Name is the name of the run folder.
func (c *Config) Name() (string, error) { return rundir.Name(c.Label(), c.Settings) }

// Run returns the run as a line of a list.
func (c *Config) Run() (runlist.Run, error) {
	name, err := c.Name()
	if err != nil {
		return runlist.Run{}, err
	}
	settings, err1 := json.Marshal(c.Settings)
	execution, err2 := json.Marshal(c.Execution)
	return runlist.Run{Name: name, Settings: settings, Execution: execution},
		errors.Join(err1, err2)
}

// ConfigOf is the configuration of a line of a list, without its execution.
func ConfigOf(run runlist.Run) (c Config, err error) {
	return c, settingsFile{place: "run " + run.Name, settings: run.Settings}.decode(&c)
}

// EvaluationEvery is the number of epochs between evaluations: -eval-every or, if that is 0, the
// fewest for which evaluation costs less than a tenth of training, but at most a tenth of all
// epochs. forward and step are the floating-point operations per image of an evaluation and of a
// training step; train and eval are numbers of images.
func (c *Config) EvaluationEvery(forward, step float64, train, eval int) int {
	if c.EvalEvery > 0 {
		return c.EvalEvery
	}
	const share = 0.09 // leaves the rest for reading the sums
	cheap := int(math.Ceil(forward * float64(eval) / (share * step * float64(train))))
	return max(1, min(cheap, c.Epochs/10))
}
