package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/cubic"
	"momentum/internal/descent"
	"momentum/synthetic/table1"
)

// Settings are the symbols of the paper, which may all change the result. Each experiment varies
// some of them.
type Settings struct {
	N           int     // training samples
	SmallMargin int     // of them with a small margin; μ = SmallMargin/N
	Test        int     // test samples, each tried with either margin
	D           int     // d, dimension of a patch
	P           int     // patches of a sample
	M           int     // m, neurons
	Alpha       float64 // α, size of a large-margin signal
	Beta        float64 // β, size of a small-margin signal
	Sigma       float64 // σ, standard deviation of the noise in each direction
	Sigma0      float64 // σ0, standard deviation of the initial weights
	Form        string  // of momentum
	Eta         float64 // η of GD and GD+M
	Gamma       float64 // γ of GD+M
	Lambda      float64 // λ
	T           int     // steps at most
	// a setting has converged when it has no training error and a mean loss of at most this on Z1
	// and on Z2
	Stop   float64
	Fitted float64 // a set counts as fitted when the mean of its ℓ = sigmoid(−y f) is below this
	Seed   uint64  // the first one
	Seeds  int     // how many, where results are averaged
}

// Execution is what changes speed and places, but not the result.
type Execution struct {
	Backend         string       `json:"backend"`
	CheckpointEvery cli.Duration `json:"checkpoint_every"`
	Runs            string       `json:"runs"`
	Out             string       `json:"out"`
	Offline         bool         `json:"offline"`
}

// Config is what one command works with.
type Config struct {
	Settings
	Execution
	Table1 table1.Settings // of Table 1, which has data of its own
}

// command is what the flags ask for.
type command struct {
	preset string
	parts  []string
	all    bool // every part, and the page
	fresh  bool
	dryRun bool
}

// quickN is the number of samples of the preset quick.
const quickN = 1000

// presets lists what -preset may be.
var presets = []string{"quick", "paper", "theory"}

// preset returns the settings of a preset. The constants are those with which the paper's Figure 3
// was found to come out; the paper itself gives N, d, m and P only.
func preset(name string, d int) Settings {
	s := Settings{
		N: quickN, SmallMargin: 20, Test: 2000, D: 30, P: 5, M: 5, Alpha: math.Pow(30, 0.49), Beta: 0.2,
		Sigma: 0.35, Sigma0: 0.03,
		Form: string(descent.Damped), Eta: 0.2, Gamma: 0.99, T: 20000, Stop: 0.01, Fitted: 0.1,
		Seed: 1, Seeds: 1,
	}
	switch name {
	case "paper":
		s.N, s.SmallMargin, s.Sigma, s.T, s.Seeds = 20000, 40, 0.5, 120000, 5
	case "theory":
		s = theory(s, d)
	}
	return s
}

// theory sets what the paper's Section 2 and its Parametrization 2.1 say of the scaling with d.
// They leave powers of log d and constants open, and some formulas can be read in more than one
// way. Here, so that Lemma 5.3's 1/(√(1−γ) α) is of the order 1/β and d = 30 is near Figure 3:
//
//	α = d^0.49   σ = d^−0.509   β = α/(√d ln d)   σ0 = √(ln d / d)/10   γ = 1 − ln d/(10 d)   η = 0.2
//	μ = Θ(1/N), here N = 32 d with 4 small-margin samples   T = N/(2 η σ0 σ³ d^1.5), half of Lemma 4.4's time to memorize
func theory(s Settings, d int) Settings {
	x := float64(d)
	log := math.Log(x)
	s.D, s.Alpha, s.Sigma = d, math.Pow(x, 0.49), math.Pow(x, -0.509)
	s.Beta, s.Sigma0 = s.Alpha/(math.Sqrt(x)*log), math.Sqrt(log/x)/10
	s.N, s.SmallMargin = 32*d, 4
	s.Gamma = 1 - log/(10*x)
	s.T = int(min(1e9, math.Ceil(float64(s.N)/(2*s.Eta*s.Sigma0*math.Pow(s.Sigma, 3)*math.Pow(x,
		1.5)))))
	return s
}

// The parts of the command, in the order in which -all runs them.
const (
	partFigure2   = "figure2"
	partFigure3   = "figure3"
	partTheory    = "theory"
	partMechanism = "mechanism"
	partScales    = "scales"
	partMap       = "map"
	partTable1    = "table1"
)

var allParts = []string{partFigure2, partFigure3, partTheory, partMechanism, partScales, partTable1,
	partMap}

// flags binds settings and a command to the flags of a new flag set.
func flags(c *Config, do *command, mu *float64) *flag.FlagSet {
	fs := flag.NewFlagSet("synthetic", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&do.preset, "preset", do.preset,
		"quick|paper|theory: settings to start from; every other flag overrides them")
	part := func(name string) func(string) error {
		return func(v string) error {
			on, err := strconv.ParseBool(v)
			if on {
				do.parts = append(do.parts, name)
			}
			return err
		}
	}
	numbered := func(kind string, numbers ...string) func(string) error {
		return func(v string) error {
			for number := range strings.SplitSeq(v, ",") {
				if !slices.Contains(numbers, number) {
					return fmt.Errorf("want %s", strings.Join(numbers, " or "))
				}
				do.parts = append(do.parts, kind+number)
			}
			return nil
		}
	}
	fs.Func("figure", "`2|3|2,3`: 2 draws the data, 3 trains GD and GD+M (what happens without "+
		"any such flag)", numbered("figure", "2", "3"))
	fs.Func("table", "`1`: Gaussian data, 4 teachers, 5 students, GD, GD+M, SGD and SGD+M",
		numbered("table", "1"))
	fs.BoolFunc("map", "final state over a grid of (η, γ)", part(partMap))
	fs.BoolFunc("theory", "theorems and lemmas as a checklist, for one run of GD and GD+M",
		part(partTheory))
	fs.BoolFunc("mechanism", "interventions on momentum, and controls in which it must not matter",
		part(partMechanism))
	fs.BoolFunc("scales", "how c, Ξ and 𝒢 move with d, β and γ", part(partScales))
	fs.BoolVar(&do.all, "all", do.all, "all of these, and synthetic.html; above 1,000 samples, "+
		"-mechanism and -scales at 1,000 with 5 seeds, -map at both")
	fs.BoolVar(&do.fresh, "fresh", do.fresh, "start over: existing run folders are set aside")
	fs.BoolVar(&do.dryRun, "dry-run", do.dryRun, "print the settings and the work, stop")

	fs.IntVar(&c.N, "N", c.N, "training samples")
	fs.IntVar(&c.SmallMargin, "small", c.SmallMargin,
		"training samples with a small margin (the set Z2), at most N")
	fs.Float64Var(mu, "mu", *mu,
		"μ, share of samples with a small margin, in [0, 1]; in place of -small")
	fs.IntVar(&c.Test, "test", c.Test, "test samples, each tried with either margin")
	fs.IntVar(&c.D, "d", c.D, "dimension of a patch")
	fs.IntVar(&c.P, "P", c.P, "patches of a sample, one of them the signal")
	fs.IntVar(&c.M, "m", c.M, "neurons")
	fs.Float64Var(&c.Alpha, "alpha", c.Alpha, "α, size of a large-margin signal")
	fs.Float64Var(&c.Beta, "beta", c.Beta, "β, size of a small-margin signal, at most α")
	fs.Float64Var(&c.Sigma, "sigma", c.Sigma,
		"σ, standard deviation of the noise in each direction")
	fs.Float64Var(&c.Sigma0, "sigma0", c.Sigma0, "σ0, standard deviation of the initial weights")
	fs.StringVar(&c.Form, "form", c.Form, "damped: g ← γg+(1−γ)∇L (the paper's)|undamped: b ← "+
		"γb+∇L (PyTorch's), whose effective rate is η/(1−γ)")
	fs.Float64Var(&c.Eta, "eta", c.Eta, "η, learning rate of GD and of GD+M")
	fs.Float64Var(&c.Gamma, "gamma", c.Gamma, "γ of GD+M, in [0, 1)")
	fs.Float64Var(&c.Lambda, "lambda", c.Lambda, "λ: the loss has λ/2 ‖W‖²")
	fs.IntVar(&c.T, "T", c.T, "steps at most")
	fs.Float64Var(&c.Stop, "stop", c.Stop, "training ends when every setting has no training "+
		"error and at most this mean loss (nats) on Z1 and on Z2; 0: at T")
	fs.Float64Var(&c.Fitted, "fitted", c.Fitted,
		"a set counts as fitted when the mean of its ℓ = sigmoid(−y f) is below this, in (0, 1/2)")
	fs.Uint64Var(&c.Seed, "seed", c.Seed,
		"the first seed, of data and initial weights as separate streams")
	fs.IntVar(&c.Seeds, "seeds", c.Seeds, "seeds, where results are averaged")

	fs.IntVar(&c.Table1.Seeds, "table-seeds", c.Table1.Seeds, "seeds of Table 1, from -seed on")
	fs.IntVar(&c.Table1.Epochs, "table-epochs", c.Table1.Epochs, "epochs of Table 1")
	fs.IntVar(&c.Table1.MLPWidth, "mlp-width", c.Table1.MLPWidth,
		"units of each hidden layer of Table 1's MLP students")
	fs.IntVar(&c.Table1.Filters, "filters", c.Table1.Filters,
		"filters of each layer of Table 1's CNN students")
	fs.IntVar(&c.Table1.FilterSize, "filter-size", c.Table1.FilterSize,
		"inputs that a filter of Table 1's CNNs sees")
	fs.IntVar(&c.Table1.TeacherWidth, "teacher-width", c.Table1.TeacherWidth,
		"units of each hidden layer of Table 1's MLP teachers")
	fs.IntVar(&c.Table1.TeacherFilters, "teacher-filters", c.Table1.TeacherFilters,
		"filters of each layer of Table 1's CNN teachers")
	fs.Float64Var(&c.Table1.Gamma, "table-gamma", c.Table1.Gamma,
		"γ of GD+M and SGD+M in Table 1, in the damped form, in [0, 1)")

	fs.StringVar(&c.Backend, "backend", c.Backend, "auto|xla:cuda|xla:cpu|xla:/abs/plugin.so|go")
	fs.TextVar(&c.CheckpointEvery, "checkpoint-every", c.CheckpointEvery,
		"time between checkpoints, such as 30s; 0s: every call")
	fs.StringVar(&c.Runs, "runs", c.Runs, "`folder` of the run folders")
	fs.StringVar(&c.Out, "out", c.Out,
		"`folder` of pictures and tables; empty: synthetic-PRESET under -runs")
	fs.BoolVar(&c.Offline, "offline", c.Offline, "never use the network")
	fs.Usage = func() {}
	return fs
}

// The flags of each group, in the order of the manual.
var (
	commandFlags = []string{"preset", "figure", "theory", "mechanism", "scales", "map", "table",
		"all", "dry-run", "fresh"}
	settingFlags = []string{"N", "small", "mu", "test", "d", "P", "m", "alpha", "beta", "sigma",
		"sigma0", "form", "eta", "gamma", "lambda", "T", "stop", "fitted", "seed", "seeds"}
	tableFlags = []string{"table-seeds", "table-epochs", "table-gamma", "mlp-width", "filters",
		"filter-size", "teacher-width", "teacher-filters"}
	executionFlags = []string{"backend", "checkpoint-every", "runs", "out", "offline"}
)

// printManual explains the command, the flags by group.
func printManual(out io.Writer) {
	c, do, mu := Config{Settings: preset("quick", 30), Table1: table1.Default()}, command{}, 0.0
	fs := flags(&c, &do, &mu)
	fmt.Fprint(out, manual)
	cli.PrintFlags(out, fs,
		cli.FlagGroup{Title: "What to do", Names: commandFlags},
		cli.FlagGroup{Title: "Settings that may change the result, under the paper's names",
			Names: settingFlags},
		cli.FlagGroup{Title: "Settings of Table 1, which has data of its own", Names: tableFlags},
		cli.FlagGroup{Title: "Settings that change speed and places only", Names: executionFlags},
	)
}

// parse turns arguments into settings: the preset's values, overridden by the flags.
func parse(args []string) (Config, command, error) {
	const unset = -1
	c, do, mu := Config{}, command{preset: "quick"}, float64(unset)
	// The preset and d, which decide the values of the others, are flags themselves: so, twice.
	for range 2 {
		s := preset(do.preset, max(2, c.D))
		if c.D == 0 {
			s = preset(do.preset, 30)
		}
		c, do, mu = Config{Settings: s, Execution: Execution{Backend: "auto",
			CheckpointEvery: cli.Duration(time.Minute), Runs: "runs"}, Table1: table1.Default()},
			command{preset: do.preset}, unset
		fs := flags(&c, &do, &mu)
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			return c, do, err
		} else if err != nil {
			return c, do, cli.Usagef("%w (see go run ./synthetic -h)", err)
		}
		if fs.NArg() > 0 {
			return c, do, cli.Usagef("unexpected argument %q: flags are written -name=value",
				fs.Arg(0))
		}
		if !slices.Contains(presets, do.preset) {
			return c, do, cli.Usagef("-preset must be one of %s, got %q",
				strings.Join(presets, ", "), do.preset)
		}
		given := map[string]bool{}
		fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
		if given["mu"] && given["small"] {
			return c, do, cli.Usagef("-mu and -small say the same: give one of them")
		}
		if given["mu"] && !(mu >= 0 && mu <= 1) {
			return c, do, cli.Usagef("-mu must be in [0, 1], got %v", mu)
		}
		if given["mu"] {
			c.SmallMargin = int(math.Round(mu * float64(c.N)))
		}
	}
	if do.all {
		do.parts = slices.Clone(allParts)
	}
	slices.SortFunc(do.parts, func(a, b string) int {
		return slices.Index(allParts, a) -
			slices.Index(allParts, b)
	})
	do.parts = slices.Compact(do.parts)
	if len(do.parts) == 0 {
		do.parts = []string{partFigure3}
		if do.preset == "theory" {
			do.parts = []string{partScales}
		}
	}
	c.Table1.Seed = c.Seed
	if c.Out == "" {
		c.Out = filepath.Join(c.Runs, "synthetic-"+do.preset)
	}
	if err := c.validate(); err != nil {
		return c, do, &cli.UsageError{Err: err}
	}
	return c, do, nil
}

// validate refuses what cannot be run, before any work.
func (c *Config) validate() error {
	check := func(ok bool, flag, want string, got any) error {
		if ok {
			return nil
		}
		return fmt.Errorf("-%s must be %s, got %v", flag, want, got)
	}
	positive := func(flag string, x float64) error {
		return check(x > 0 && !math.IsInf(x, 0), flag, "positive and finite", x)
	}
	err := errors.Join(
		check(c.N >= 1, "N", "at least 1", c.N),
		check(c.SmallMargin >= 0 && c.SmallMargin <= max(c.N, 0), "small",
			fmt.Sprintf("in [0, %d] (the N training samples)", c.N), c.SmallMargin),
		check(c.Test >= 1, "test", "at least 1", c.Test),
		check(c.D >= 2, "d", "at least 2: the signal takes one dimension, noise the others", c.D),
		check(c.P >= 2, "P", "at least 2: one patch is the signal", c.P),
		check(c.M >= 1 && c.M <= 1000, "m", "in [1, 1000]", c.M),
		positive("alpha", c.Alpha), positive("sigma", c.Sigma), positive("sigma0", c.Sigma0),
		check(c.Beta > 0 && c.Beta <= c.Alpha, "beta", fmt.Sprintf("in (0, %.4g] (α)", c.Alpha),
			c.Beta),
		check(c.Form == string(descent.Damped) || c.Form == string(descent.Undamped), "form",
			"damped or undamped", c.Form),
		positive("eta", c.Eta),
		check(c.Gamma >= 0 && c.Gamma < 1, "gamma", "in [0, 1)", c.Gamma),
		check(c.Lambda >= 0 && !math.IsInf(c.Lambda, 0), "lambda", "finite and not negative",
			c.Lambda),
		check(c.T >= 1 && c.T <= 1e9, "T", "in [1, 1e9]", c.T),
		check(c.Stop >= 0 && !math.IsInf(c.Stop, 0), "stop", "finite and not negative", c.Stop),
		check(c.Fitted > 0 && c.Fitted < 0.5, "fitted", "in (0, 0.5)", c.Fitted),
		check(c.Seeds >= 1 && c.Seeds <= 1000, "seeds", "in [1, 1000]", c.Seeds),
		check(c.CheckpointEvery >= 0, "checkpoint-every", "not negative",
			time.Duration(c.CheckpointEvery)),
		backend.Parse(c.Backend),
		check(c.Runs != "", "runs", "a folder", "nothing"),
	)
	if err != nil {
		return err
	}
	if err := c.spec(c.Seed).Validate(); err != nil {
		return err
	}
	test := c.spec(c.Seed)
	test.N, test.SmallMargin = c.Test, 0
	if err := test.Validate(); err != nil {
		return fmt.Errorf("-test: %w", err)
	}
	return c.Table1.Validate()
}

// spec is the training set of a seed.
func (s Settings) spec(seed uint64) datasets.Distribution {
	return datasets.Distribution{N: s.N, SmallMargin: s.SmallMargin, D: s.D, P: s.P, Alpha: s.Alpha, Beta: s.Beta,
		Sigma: s.Sigma, Seed: seed}
}

// gd and gdm are the two algorithms of the paper at the settings' rate.
func (s Settings) gd() lane {
	return lane{"gd", cubic.Lane{Rule: descent.Rule{Form: descent.Form(s.Form),
		WeightDecay: s.Lambda}, Eta: s.Eta}}
}

func (s Settings) gdm() lane {
	l := s.gd()
	l.Name, l.Gamma = "gdm", s.Gamma
	return l
}

// bundle trains lanes on the settings' data of one seed.
func (s Settings) bundle(name string, seed uint64, lanes ...lane) bundle {
	return bundle{
		Name: fmt.Sprintf("synthetic-%s-N%d-d%d-s%d", name, s.N, s.D, seed), Data: s.spec(seed),
		Test: s.Test, Degree: 3, M: s.M, Sigma0: s.Sigma0,
		Fitted: s.Fitted, Lanes: lanes, T: s.T, Stop: s.Stop,
	}
}

// String is the settings as one line of JSON.
func (s Settings) String() string {
	text, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
