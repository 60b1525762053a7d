package main

import (
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

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/synthetic/table1"
)

const manual = `synthetic trains the paper's cubic CNN on its distribution D by full-batch gradient
descent (GD) or gradient descent with momentum (GD+M).

  go run ./synthetic                          Figure 3 with 1,000 samples, in seconds
  go run ./synthetic -preset=paper            Figure 3 with the paper's 20,000 samples and 5 seeds
  go run ./synthetic -figure=2                the data in two dimensions
  go run ./synthetic -map                     what GD and GD+M learn over a grid of (η, γ)
  go run ./synthetic -theory                  the theorems and lemmas as a checklist
  go run ./synthetic -mechanism               interventions on momentum, and controls
  go run ./synthetic -scales                  c, Ξ and 𝒢 over d, β and γ
  go run ./synthetic -table=1                 Gaussian data: where momentum does nothing
  go run ./synthetic -all -preset=paper       everything, and synthetic.html
  go run ./synthetic -preset=theory -d=100    constants scaled with d as the paper's theory has them

A sample has P patches in R^d. One is the signal, y·α·w* or, in a small-margin sample (Z₂), y·β·w*;
the others are noise orthogonal to w*. The network is f_W(X) = Σ_r Σ_j ⟨w_r, X[j]⟩³ with m neurons.
A step of GD is w ← w − η∇L(w). GD+M is g ← γg + (1−γ)∇L(w), w ← w − ηg in the damped form, the
paper's, and b ← γb + ∇L(w), w ← w − ηb in the undamped form.

Each training has a run folder under -runs. The same command does not repeat a training that is
done, and resumes one that was stopped or killed. Pictures and tables are drawn from those folders
into -out. If one setting diverges, it is marked as such and the others continue.

Exit status: 0 done, 1 error, 2 usage, 3 GD or GD+M diverged in Figure 3, 75 stopped by a signal
with its work saved.
`

// request is what the flags ask for.
type request struct {
	preset string
	parts  []string
	named  bool // the command line names parts
	all    bool // every part, and the page
	fresh  bool
	dryRun bool
}

// The flags of each group, in the order of the manual.
var (
	requestFlags = []string{"preset", "figure", "theory", "mechanism", "scales", "map", "table",
		"all", "dry-run", "fresh"}
	settingFlags = []string{"N", "small-margin", "test", "d", "P", "m", "alpha", "beta",
		"sigma", "sigma0", "form", "lr", "momentum", "weight-decay", "T", "stop", "fitted", "seed",
		"seeds"}
	tableFlags = []string{"table-seeds", "table-epochs", "table-momentum", "mlp-width", "filters",
		"filter-size", "teacher-width", "teacher-filters"}
	executionFlags = []string{"backend", "checkpoint-every", "runs", "out", "offline"}
)

// aliases are the paper's symbols of settings that all commands name alike.
var aliases = map[string]string{"lr": "eta", "momentum": "gamma", "weight-decay": "lambda",
	"small-margin": "mu"}

// flagSet binds a configuration, a request and μ to the flags of a new flag set.
func flagSet(c *Config, r *request, mu *float64) *flag.FlagSet {
	fs := flag.NewFlagSet("synthetic", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	bindRequest(fs, r)
	bindSettings(fs, &c.Settings, mu)
	bindTable1(fs, &c.Table1)
	fs.StringVar(&c.Backend, "backend", c.Backend, backend.Flag)
	fs.TextVar(&c.CheckpointEvery, "checkpoint-every", c.CheckpointEvery,
		"time between checkpoints, such as 30s; 0s: after every call")
	fs.StringVar(&c.Runs, "runs", c.Runs, "`folder` of the run folders")
	fs.StringVar(&c.Out, "out", c.Out,
		"`folder` of pictures and tables; empty: synthetic-PRESET under -runs, with the settings "+
			"that differ from the preset's")
	fs.BoolVar(&c.Offline, "offline", c.Offline, "never use the network")
	for name, second := range aliases {
		cli.Alias(fs, name, second)
	}
	return fs
}

func bindRequest(fs *flag.FlagSet, r *request) {
	fs.StringVar(&r.preset, "preset", r.preset,
		"quick|paper|theory: initial settings; every other flag overrides them")
	part := func(name string) func(string) error {
		return func(v string) error {
			on, err := strconv.ParseBool(v)
			if on {
				r.parts = append(r.parts, name)
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
				r.parts = append(r.parts, kind+number)
			}
			return nil
		}
	}
	fs.Func("figure", "`2|3|2,3`: 2 draws the data, 3 trains GD and GD+M (the default part)",
		numbered("figure", "2", "3"))
	fs.Func("table", "`1`: Gaussian data, 4 teachers, 5 students, GD, GD+M, SGD and SGD+M",
		numbered("table", "1"))
	fs.BoolFunc("map", "final state over a grid of (η, γ)", part(partMap))
	fs.BoolFunc("theory", "theorems and lemmas as a checklist, for one run of GD and GD+M",
		part(partTheory))
	fs.BoolFunc("mechanism", "interventions on momentum, and controls in which it must not matter",
		part(partMechanism))
	fs.BoolFunc("scales", "how c, Ξ and 𝒢 scale with d, β and γ", part(partScales))
	fs.BoolVar(&r.all, "all", r.all, "all of these, and synthetic.html; if N > 1000, -mechanism "+
		"and -scales at N = 1000 with 5 seeds, -map at both")
	fs.BoolVar(&r.fresh, "fresh", r.fresh, "start over: set existing run folders aside")
	fs.BoolVar(&r.dryRun, "dry-run", r.dryRun, "print the settings, and what each part trains "+
		"and its time, from steps that are measured, and stop")
}

func bindSettings(fs *flag.FlagSet, s *Settings, mu *float64) {
	fs.IntVar(&s.N, "N", s.N, "training samples")
	fs.Float64Var(mu, "small-margin", float64(s.SmallMargin)/float64(s.N),
		"μ, share of the training samples with a small margin (the set Z₂), in [0, 1]")
	fs.IntVar(&s.Test, "test", s.Test, "test samples, each tried with either margin")
	fs.IntVar(&s.D, "d", s.D, "dimension of a patch")
	fs.IntVar(&s.P, "P", s.P, "patches of a sample, one of them the signal")
	fs.IntVar(&s.M, "m", s.M, "neurons")
	fs.Float64Var(&s.Alpha, "alpha", s.Alpha, "α, size of a large-margin signal")
	fs.Float64Var(&s.Beta, "beta", s.Beta, "β, size of a small-margin signal, at most α")
	fs.Float64Var(&s.Sigma, "sigma", s.Sigma,
		"σ, standard deviation of the noise in each direction")
	fs.Float64Var(&s.Sigma0, "sigma0", s.Sigma0, "σ₀, standard deviation of the initial weights")
	fs.StringVar(&s.Form, "form", s.Form, "damped: g ← γg+(1−γ)∇L (the paper's)|undamped: "+
		"b ← γb+∇L (PyTorch's), whose effective rate is η/(1−γ)")
	fs.Float64Var(&s.Eta, "lr", s.Eta, "η, learning rate of GD and of GD+M")
	fs.Float64Var(&s.Gamma, "momentum", s.Gamma, "γ of GD+M, in [0, 1)")
	fs.Float64Var(&s.Lambda, "weight-decay", s.Lambda, "λ: the loss has λ/2 ‖W‖²")
	fs.IntVar(&s.T, "T", s.T, "steps at most")
	fs.Float64Var(&s.Stop, "stop", s.Stop, "training ends when every setting has no training "+
		"error and at most this mean loss (nats) on Z₁ and on Z₂; 0: at T")
	fs.Float64Var(&s.Fitted, "fitted", s.Fitted,
		"a set is fitted when its mean ℓ = sigmoid(−y f) is below this, in (0, 1/2)")
	fs.Uint64Var(&s.Seed, "seed", s.Seed,
		"the first seed, of data and initial weights as separate streams")
	fs.IntVar(&s.Seeds, "seeds", s.Seeds, "number of seeds, where results are averaged")
}

func bindTable1(fs *flag.FlagSet, s *table1.Settings) {
	fs.IntVar(&s.Seeds, "table-seeds", s.Seeds, "number of seeds of Table 1, from -seed on")
	fs.IntVar(&s.Epochs, "table-epochs", s.Epochs, "epochs of Table 1")
	fs.IntVar(&s.MLPWidth, "mlp-width", s.MLPWidth,
		"units of each hidden layer of Table 1's MLP students")
	fs.IntVar(&s.Filters, "filters", s.Filters, "filters of each layer of Table 1's CNN students")
	fs.IntVar(&s.FilterSize, "filter-size", s.FilterSize,
		"inputs that a filter of Table 1's CNNs sees")
	fs.IntVar(&s.TeacherWidth, "teacher-width", s.TeacherWidth,
		"units of each hidden layer of Table 1's MLP teachers")
	fs.IntVar(&s.TeacherFilters, "teacher-filters", s.TeacherFilters,
		"filters of each layer of Table 1's CNN teachers")
	fs.Float64Var(&s.Gamma, "table-momentum", s.Gamma,
		"γ of GD+M and SGD+M in Table 1, in the damped form, in [0, 1)")
}

// defaultsOf is the configuration that a preset starts from.
func defaultsOf(name string, d int) Config {
	return Config{Settings: preset(name, d), Table1: table1.Default(), Execution: Execution{
		Backend: "auto", CheckpointEvery: cli.Duration(time.Minute), Runs: "runs"}}
}

// printManual prints the manual and the flags by group.
func printManual(out io.Writer) {
	defaults := func(name string) *flag.FlagSet {
		c, r, mu := defaultsOf(name, defaultD), request{preset: presets[0]}, 0.0
		return flagSet(&c, &r, &mu)
	}
	fs := defaults(presets[0])
	cli.DefaultsOf(fs, presets, defaults)
	fmt.Fprint(out, manual)
	cli.PrintFlags(out, fs,
		cli.FlagGroup{Title: "What to do", Names: requestFlags},
		cli.FlagGroup{Title: "Settings that may change the result, under the paper's names",
			Names: settingFlags},
		cli.FlagGroup{Title: "Settings of Table 1, which has data of its own", Names: tableFlags},
		cli.FlagGroup{Title: "Settings that change speed and places only", Names: executionFlags},
	)
}

// parse turns arguments into settings: the preset's values, overridden by the flags.
func parse(args []string) (Config, request, error) {
	c, r, mu := Config{}, request{preset: presets[0]}, 0.0
	var given, other []string // settings: given as flags, differing from the preset's
	// The flags -preset and -d decide the defaults of the others, so the arguments are parsed
	// twice.
	for range 2 {
		d := defaultD
		if c.D != 0 {
			d = max(2, c.D)
		}
		c, r = defaultsOf(r.preset, d), request{preset: r.preset}
		fs := flagSet(&c, &r, &mu)
		given, other = nil, nil
		if err := cli.ParseOnce(fs, args); errors.Is(err, flag.ErrHelp) {
			return c, r, err
		} else if err != nil {
			return c, r, cli.Usagef("%w; see -h", err)
		}
		if fs.NArg() > 0 {
			return c, r, cli.Usagef("unexpected argument %q: flags are written -name=value",
				fs.Arg(0))
		}
		if !slices.Contains(presets, r.preset) {
			return c, r, cli.Usagef("-preset must be one of %s, got %q",
				strings.Join(presets, ", "), r.preset)
		}
		if !(mu >= 0 && mu <= 1) {
			return c, r, cli.Usagef("-small-margin must be a share in [0, 1], got %v: 40 of "+
				"20,000 samples are 0.002", mu)
		}
		c.SmallMargin = int(math.Round(mu * float64(max(c.N, 0))))
		fs.Visit(func(f *flag.Flag) {
			if !slices.Contains(settingFlags, f.Name) && !slices.Contains(tableFlags, f.Name) {
				return
			}
			given = append(given, f.Name)
			if f.Value.String() != f.DefValue || f.Name == "d" && c.D != defaultD {
				other = append(other, "-"+f.Name+"="+f.Value.String())
			}
		})
	}
	r.named = len(r.parts) > 0
	r.parts = r.orderedParts()
	c.Table1.Seed = c.Seed
	if c.Out == "" {
		c.Out = filepath.Join(c.Runs, "synthetic-"+r.preset+strings.Join(other, ""))
	}
	if err := c.validate(); err != nil {
		return c, r, &cli.UsageError{Err: err}
	}
	return c, r, r.checkEffects(given)
}

// changes reports whether a setting changes a part of the command.
func changes(part, name string) bool {
	switch part {
	case partTable1: // has data and rates of its own
		return name == "seed" || slices.Contains(tableFlags, name)
	case partFigure2: // two dimensions, no training
		return slices.Contains([]string{"alpha", "beta", "sigma", "seed"}, name)
	case partMap: // a grid of η and γ in the damped form, of one seed
		return slices.Contains(settingFlags, name) &&
			!slices.Contains([]string{"lr", "momentum", "form", "seeds"}, name)
	case partTheory:
		return slices.Contains(settingFlags, name) && name != "seeds"
	}
	return slices.Contains(settingFlags, name)
}

// checkEffects refuses flags that would change nothing.
func (r request) checkEffects(given []string) error {
	if r.all && r.named {
		return cli.Usagef("-all has every part: leave out -all or the parts that you name")
	}
	for _, name := range given {
		if !slices.ContainsFunc(r.parts, func(part string) bool { return changes(part, name) }) {
			return cli.Usagef("-%s changes nothing in %s: leave it out, or ask for a part that it "+
				"changes", name, strings.Join(r.parts, ", "))
		}
	}
	return nil
}

// orderedParts are the parts asked for, or the default one, each once and in the order of -all.
func (r request) orderedParts() []string {
	switch {
	case r.all:
		return slices.Clone(allParts)
	case len(r.parts) == 0 && r.preset == "theory":
		return []string{partScales}
	case len(r.parts) == 0:
		return []string{partFigure3}
	}
	return slices.DeleteFunc(slices.Clone(allParts), func(name string) bool {
		return !slices.Contains(r.parts, name)
	})
}
