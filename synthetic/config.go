package main

import (
	"errors"
	"fmt"
	"math"
	"time"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/cubic"
	"momentum/internal/descent"
	"momentum/synthetic/table1"
)

// Settings are the symbols of the paper, all of which may change the result. Each experiment varies
// some of them.
type Settings struct {
	N           int     // training samples
	SmallMargin int     // training samples with a small margin; μ = SmallMargin/N
	Test        int     // test samples, each tried with either margin
	D           int     // d, dimension of a patch
	P           int     // patches of a sample
	M           int     // m, neurons
	Alpha       float64 // α, size of a large-margin signal
	Beta        float64 // β, size of a small-margin signal
	Sigma       float64 // σ, standard deviation of the noise in each direction
	Sigma0      float64 // σ₀, standard deviation of the initial weights
	Form        string  // of momentum
	Eta         float64 // η of GD and GD+M
	Gamma       float64 // γ of GD+M
	Lambda      float64 // λ
	T           int     // steps at most
	// Stop defines convergence: no training error, and a mean loss of at most Stop on Z₁ and on Z₂.
	Stop   float64
	Fitted float64 // a set is fitted when the mean of its ℓ = sigmoid(−y f) is below this
	Seed   uint64  // the first one
	Seeds  int     // number of seeds, where results are averaged
}

// Execution holds what changes speed and places, but not the result.
type Execution struct {
	Backend         string       `json:"backend"`
	CheckpointEvery cli.Duration `json:"checkpoint_every"`
	Runs            string       `json:"runs"`
	Out             string       `json:"out"`
	Offline         bool         `json:"offline"`
}

// Config is the whole configuration of one command.
type Config struct {
	Settings
	Execution
	Table1 table1.Settings
}

// quickN is the number of samples of the preset quick.
const quickN = 1000

// defaultD is d unless it is given.
const defaultD = 30

// presets lists what -preset may be.
var presets = []string{"quick", "paper", "theory"}

// preset returns the settings of a preset. The constants are those that were found to reproduce the
// paper's Figure 3. The paper itself gives only N, d, m and P.
func preset(name string, d int) Settings {
	s := Settings{
		N: quickN, SmallMargin: 20, Test: 2000, D: 30, P: 5, M: 5,
		Alpha: math.Pow(30, 0.49), Beta: 0.2, Sigma: 0.35, Sigma0: 0.03,
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

// theory scales settings with d as the paper's Section 2 and its Parametrization 2.1 do. The paper
// leaves powers of log d and constants open, and some formulas can be read in more than one way.
// The choice here makes Lemma 5.3's 1/(√(1−γ) α) of the order 1/β, and d = 30 similar to Figure 3:
//
//	α = d^0.49         σ = d^−0.509           β = α/(√d ln d)
//	η = 0.2            σ₀ = √(ln d / d)/10    γ = 1 − ln d/(10 d)
//	μ = Θ(1/N), with N = 32 d and 4 small-margin samples
//	T = N/(2 η σ₀ σ³ d^1.5), half of Lemma 4.4's time to memorize
func theory(s Settings, d int) Settings {
	x := float64(d)
	log := math.Log(x)
	s.D, s.Alpha, s.Sigma = d, math.Pow(x, 0.49), math.Pow(x, -0.509)
	s.Beta, s.Sigma0 = s.Alpha/(math.Sqrt(x)*log), math.Sqrt(log/x)/10
	s.N, s.SmallMargin = 32*d, 4
	s.Gamma = 1 - log/(10*x)
	memorized := float64(s.N) / (2 * s.Eta * s.Sigma0 * math.Pow(s.Sigma, 3) * math.Pow(x, 1.5))
	s.T = int(min(1e9, math.Ceil(memorized)))
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

// validate refuses, before any work, a configuration that cannot be run.
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
		check(c.Test >= 1, "test", "at least 1", c.Test),
		check(c.D >= 2, "d", "at least 2: the signal takes one dimension, noise the others", c.D),
		check(c.P >= 2, "P", "at least 2: one patch is the signal", c.P),
		check(c.M >= 1 && c.M <= 1000, "m", "in [1, 1000]", c.M),
		positive("alpha", c.Alpha), positive("sigma", c.Sigma), positive("sigma0", c.Sigma0),
		check(c.Beta > 0 && c.Beta <= c.Alpha, "beta", fmt.Sprintf("in (0, %.4g] (α)", c.Alpha),
			c.Beta),
		check(c.Form == string(descent.Damped) || c.Form == string(descent.Undamped), "form",
			"damped or undamped", c.Form),
		positive("lr", c.Eta),
		check(c.Gamma >= 0 && c.Gamma < 1, "momentum", "in [0, 1)", c.Gamma),
		check(c.Lambda >= 0 && !math.IsInf(c.Lambda, 0), "weight-decay",
			"finite and not negative", c.Lambda),
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

// spec specifies the training set of a seed.
func (s Settings) spec(seed uint64) datasets.Distribution {
	return datasets.Distribution{N: s.N, SmallMargin: s.SmallMargin, D: s.D, P: s.P,
		Alpha: s.Alpha, Beta: s.Beta, Sigma: s.Sigma, Seed: seed}
}

// gd and gdm are the two algorithms of the paper at the settings' rate.
func (s Settings) gd() lane {
	rule := descent.Rule{Form: descent.Form(s.Form), WeightDecay: s.Lambda}
	return lane{"gd", cubic.Lane{Rule: rule, Eta: s.Eta}}
}

func (s Settings) gdm() lane {
	l := s.gd()
	l.Name, l.Gamma = "gdm", s.Gamma
	return l
}

// bundle trains lanes on the settings' data of one seed.
func (s Settings) bundle(name string, seed uint64, lanes ...lane) bundle {
	return bundle{
		Name: fmt.Sprintf("synthetic-%s-N%d-d%d-s%d", name, s.N, s.D, seed),
		Data: s.spec(seed), Test: s.Test, Degree: 3, M: s.M, Sigma0: s.Sigma0,
		Fitted: s.Fitted, Lanes: lanes, T: s.T, Stop: s.Stop,
	}
}
