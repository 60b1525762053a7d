package study

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"momentum/datasets"
	"momentum/internal/cli"
	"momentum/internal/imagerun"
	"momentum/internal/sweep/slurm"
)

// options are the values of a figure's flags.
type options struct {
	scale  string
	base   imagerun.Config // what all runs share
	data   []string
	models []string
	images []int // 0: all

	parameterizations []string

	study     Study
	protocol  string          // both, or one of Protocol
	rule      imagerun.Config // of which form and momentum are those with momentum
	part      string          // of the figure: a, or b for mini-batches
	batches   []int
	out       string
	launcher  string
	dryRun    bool
	failFast  bool
	given     map[string]string // flags, given now or remembered, by name
	selection map[string]string // values of choiceFlags
	settings  []string          // all that may change the result, as name=value
	command   string            // that executes the study anywhere
	resume    string            // that goes on with it in its own folder
	pool      struct {
		jobs   int
		gpus   string
		perGPU int
	}
	slurm  slurm.Launcher
	sbatch string
}

// flags binds the options to a new flag set, in groups for the manual.
func (f *Figure) flags(o *options) (*flag.FlagSet, []cli.FlagGroup) {
	fs := flag.NewFlagSet(f.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	o.base, o.rule = imagerun.Preset("paper", "gd"), imagerun.Preset("paper", "gdm")
	groups := []cli.FlagGroup{
		{Title: "What is compared", Names: f.comparisonFlags(fs, o)},
		{Title: "How settings are chosen", Names: o.selectionFlags(fs)},
		{Title: "How runs are executed", Names: o.executionFlags(fs)},
		{Title: "On a Slurm cluster", Names: o.slurmFlags(fs)},
	}
	return fs, groups
}

func (f *Figure) comparisonFlags(fs *flag.FlagSet, o *options) []string {
	fs.StringVar(&o.scale, "scale", f.Scales[0].Name,
		strings.Join(f.scaleNames(), "|")+": values to start from; every other flag overrides them")
	fs.Var(cli.Remembered(cli.Words(&o.data, datasets.Names()...)), "data",
		"sets of images, with commas: "+strings.Join(datasets.Names(), "|"))
	fs.Var(cli.Remembered(cli.Strings(&o.models)), "model",
		"networks, with commas: resnet18|wrn16-K|vgg19")
	fs.Var(cli.Remembered(cli.Words(&o.parameterizations, parameterizationNames()...)),
		"parameterizations", "of the network, with commas: weights (standardized at all times)|"+
			"batch (normalization)|centered, he, pytorch, fixup or skipinit (initialization only)")
	fs.Var(cli.Remembered(cli.NumbersOr(&o.images, "0", 0)), "images", "numbers of training "+
		"images, from the start of the set, with commas; 0: all but, in trials, the held-out ones")
	base := []string{"width", "epochs", "until-loss", "eval-every", "warmup", "clip", "precision",
		"diagnose", "diagnose-every", "diagnose-images"}
	rule := []string{"momentum", "form"}
	own := []string{"scale", "data", "model", "parameterizations", "images"}
	if f.SmallMargin {
		base = slices.Concat(base, []string{"small-margin"}, imagerun.SmallMarginFlags)
	}
	if f.MiniBatches != nil {
		fs.StringVar(&o.part, "part", "a",
			"a: full batch|b: mini-batches, of 128 images at the paper's scale")
		fs.Var(cli.Remembered(cli.Numbers(&o.batches)), "batches", "images per step, with commas: "+
			"a comparison for each; as many as all images or more: full batch; empty: that of "+
			"-part")
		own = append(own, "part", "batches")
	}
	o.base.Bind(fs, base...)
	o.rule.Bind(fs, rule...)
	// A study takes the warm-up as it is, and has another flag for schedules.
	fs.Lookup("warmup").Usage = "epochs of linear warm-up before the schedule"
	fs.Lookup("epochs").Usage = "passes over the training images; with full batch, one step " +
		"each. With -schedules=constant, a run goes on from one that is done with fewer and the " +
		"same -warmup"
	return slices.Concat(own, base, rule)
}

func (o *options) selectionFlags(fs *flag.FlagSet) []string {
	s := &o.study
	fs.Var(cli.Remembered(cli.Floats(&s.Rates)), "rates",
		"learning rates of the grid, increasing, with commas")
	fs.StringVar(&o.protocol, "protocol", "both", "what both algorithms have in common: "+
		"effective (the rates are η_eff)|eta (they are η, as a user of PyTorch searches)|both "+
		"(GD+M is tried and chosen in both ways)")
	fs.IntVar(&s.TrialSeeds, "trial-seeds", 2, "settings are tried with seed 1, and those "+
		"that may still be chosen with the seeds up to this")
	fs.Var(cli.Remembered(cli.Strings(&s.Schedules)), "schedules",
		"constant|cosine|step, with commas")
	fs.Var(cli.Remembered(cli.Floats(&s.WeightDecays)), "weight-decays", "λ, with commas")
	fs.IntVar(&s.Holdout, "holdout", 5000, "training images, from the end of the set, that the "+
		"trials leave out and are judged by")
	fs.StringVar(&s.Choose, "choose", Fitted,
		"fitted: the best of the settings that reach zero training error in the most trial "+
			"seeds|any: the best")
	fs.IntVar(&s.Grow, "grow", 1,
		"how often the grid grows by two rates where its first or last rate is the best")
	fs.IntVar(&s.Seeds, "seeds", 3, "number of seeds of the final runs, which follow those of "+
		"the trials")
	fs.IntVar(&s.Longer, "longer", 10,
		"a control without momentum has this many times the epochs; 0: no such control")
	fs.StringVar(&s.TrialsOf, "trials-of", "", "`folder` of another study, such as "+
		"sweeps/figure1-medium, whose trials choose the settings in place of new ones, by its "+
		"rules: of the same images, without their small margin, network and epochs; -until-loss "+
		"may differ; empty: none")
	return append(slices.Clone(choiceFlags), "grow", "trials-of", "seeds", "longer")
}

func (o *options) executionFlags(fs *flag.FlagSet) []string {
	fs.StringVar(&o.out, "out", "",
		"`folder` of this study; empty: sweeps/NAME, with the flags that differ from the scale's")
	fs.BoolVar(&o.dryRun, "dry-run", false, "as plan: print the settings, write a list, estimate "+
		"the cost, and stop")
	fs.StringVar(&o.launcher, "launcher", "local", "local|slurm: where runs are executed")
	fs.IntVar(&o.pool.jobs, "jobs", 0,
		"runs at a time; 0: -runs-per-gpu on each of -gpus, or on all GPUs together without that "+
			"flag, or two on a CPU with at least two cores")
	fs.StringVar(&o.pool.gpus, "gpus", "",
		"GPUs by number, with commas: a run gets one of them as CUDA_VISIBLE_DEVICES; empty: each "+
			"run shares its batch among all GPUs")
	fs.IntVar(&o.pool.perGPU, "runs-per-gpu", 1, "runs at a time on each GPU, which share its "+
		"memory alike unless -gpu-memory says otherwise: for small networks")
	fs.BoolVar(&o.failFast, "fail-fast", false, "stop at the first run that fails")
	own := []string{"out", "dry-run", "launcher", "jobs", "gpus", "runs-per-gpu", "fail-fast"}
	base := []string{"runs", "backend", "chunk", "deterministic", "gpu-memory", "preallocate",
		"checkpoint-every", "data-dir", "mirror", "offline"}
	o.base.Bind(fs, base...)
	return slices.Concat(own, base)
}

func (o *options) slurmFlags(fs *flag.FlagSet) []string {
	fs.IntVar(&o.slurm.Concurrent, "concurrent", 8, "tasks at a time")
	fs.IntVar(&o.slurm.GPUs, "gpus-per-run", 1, "GPUs of a task; 0: none")
	fs.DurationVar(&o.slurm.Time, "time", 4*time.Hour,
		"limit of a task; two minutes before it, the run saves and ends")
	fs.StringVar(&o.slurm.Partition, "partition", "", "of the cluster; empty: its default")
	fs.BoolVar(&o.slurm.Requeue, "requeue", false,
		"put a task that was stopped with a checkpoint back into the queue")
	fs.StringVar(&o.sbatch, "sbatch", "",
		"more `flags` of sbatch, with blanks between them, such as '--account=A --mem=16G'; "+
			"empty: none")
	return []string{"concurrent", "gpus-per-run", "time", "partition", "requeue", "sbatch"}
}

// parse turns arguments into a verb and options: the scale's values, overridden by the flags.
func (f *Figure) parse(args []string) (verb string, o *options, err error) {
	verb = "run"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = args[0], args[1:]
		if !isVerb(verb) {
			return verb, nil, cli.Usagef("nothing called %q to do, want run, plan, status, retry "+
				"or collect", verb)
		}
	}
	given := map[string]string{}
	scratch := &options{}
	fs, groups := f.flags(scratch)
	if err := cli.ParseOnce(fs, args); errors.Is(err, flag.ErrHelp) {
		return verb, nil, err
	} else if err != nil {
		return verb, nil, cli.Usagef("%w; see -h", err)
	}
	if fs.NArg() > 0 {
		return verb, nil, cli.Usagef("unexpected argument %q: flags are written -name=value, "+
			"after the word that says what to do", fs.Arg(0))
	}
	fs.Visit(func(g *flag.Flag) { given[g.Name] = g.Value.String() })
	if scratch.out != "" {
		places := slices.Concat(groups[3].Names, []string{"jobs", "gpus", "runs-per-gpu"})
		if err := f.remind(scratch.out, given, places); err != nil {
			return verb, nil, &cli.UsageError{Err: err}
		}
	}
	if folder := given["trials-of"]; folder != "" {
		if err := remindOfTrials(folder, given); err != nil {
			return verb, nil, &cli.UsageError{Err: err}
		}
	}
	scale := cmp.Or(given["scale"], scratch.scale)
	i := slices.IndexFunc(f.Scales, func(s Scale) bool { return s.Name == scale })
	if i < 0 {
		return verb, nil, cli.Usagef("-scale must be one of %s, got %q",
			strings.Join(f.scaleNames(), ", "), scale)
	}
	if o, err = f.resolve(f.Scales[i], given); err != nil {
		return verb, nil, err
	}
	o.given = maps.Clone(given)
	for _, once := range []string{"out", "dry-run", "fail-fast"} {
		delete(o.given, once)
	}
	o.command = f.commandLine(given, slices.Concat(groups[0].Names, groups[1].Names))
	o.resume = o.command
	if scratch.out != "" {
		o.resume = cli.CommandLine(o.command, "-out="+o.out)
	}
	return verb, o, nil
}

// scaleNames are the values of -scale.
func (f *Figure) scaleNames() (names []string) {
	for _, s := range f.Scales {
		names = append(names, s.Name)
	}
	return names
}

// commandLine is the command that executes a study anywhere: with the flags that belong to it, not
// those about the machine at hand.
func (f *Figure) commandLine(given map[string]string, names []string) string {
	var args []string
	for _, name := range names {
		if value, ok := given[name]; ok {
			args = append(args, "-"+name+"="+value)
		}
	}
	return cli.CommandLine("go run ./scripts/"+f.Name, args...)
}

// isVerb reports whether a word is one of verbs.
func isVerb(word string) bool {
	for _, verb := range verbs {
		if verb.name == word {
			return true
		}
	}
	return false
}

// resolve returns the options at a scale, overridden by the flags that were given, and their study.
func (f *Figure) resolve(scale Scale, given map[string]string) (*options, error) {
	o := &options{}
	fs, groups := f.flags(o)
	values := maps.Clone(scale.Values)
	maps.Copy(values, given)
	for name, value := range values {
		if err := fs.Set(name, value); err != nil {
			return nil, fmt.Errorf("%s: scale %s: -%s=%s: %w", f.Name, scale.Name, name, value, err)
		}
	}
	for _, name := range slices.Concat(groups[0].Names, groups[1].Names) {
		if value := fs.Lookup(name).Value.String(); value != "" {
			o.settings = append(o.settings, name+"="+value)
		}
	}
	o.selection = map[string]string{}
	for _, name := range choiceFlags {
		o.selection[name] = fs.Lookup(name).Value.String()
	}
	s := &o.study
	s.Name, s.Title, s.Measures = f.Name, f.title(o), f.Measures
	s.Gamma, s.Form = o.rule.Momentum, o.rule.Form
	s.Protocols = []Protocol{Protocol(o.protocol)}
	if o.protocol == "both" {
		s.Protocols = []Protocol{Effective, Eta}
	}
	if err := o.validate(given); err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	other := variant(fs, scale, slices.Concat(groups[0].Names, groups[1].Names))
	if o.out == "" {
		name := strings.Join(append([]string{f.Name, o.scale}, other...), "-")
		o.out = filepath.Join("sweeps", strings.ReplaceAll(name, string(filepath.Separator), "_"))
	}
	s.Note = fmt.Sprintf("Scale %s: %s.", o.scale, scale.Description)
	if len(other) > 0 {
		s.Note += " Otherwise here: " + strings.Join(other, ", ") + "."
	}
	var err error
	if s.Cells, err = f.cells(o); err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	if _, ok := given["until-loss"]; ok && o.base.UntilLoss != 0 && !slices.ContainsFunc(s.Cells,
		func(c Cell) bool { return c.Base.Batch == 0 }) {
		return nil, cli.Usagef("-until-loss needs the training loss at one point, which " +
			"mini-batches do not have: leave it out, or ask for the full batch, too")
	}
	keys := map[string]bool{}
	for i, c := range s.Cells {
		if keys[c.Key] {
			return nil, cli.Usagef("%s is asked for twice: name each set of images, network, "+
				"parameterization, number of images and batch size once (%d images or more are "+
				"the full batch)", c.Title, c.Images)
		}
		keys[c.Key] = true
		if _, err := s.trials(i, s.Rates); err != nil {
			return nil, &cli.UsageError{Err: err}
		}
	}
	return o, nil
}

// title is the title of the part of the figure that the options ask for.
func (f *Figure) title(o *options) string {
	switch {
	case len(o.batches) > 0:
		return f.MiniBatches.TitleBySize
	case o.part == "b":
		return f.MiniBatches.Title
	}
	return f.Title
}

// variant lists the flags of these names whose values differ from the scale's, as name=value.
func variant(fs *flag.FlagSet, scale Scale, names []string) (other []string) {
	fs.Visit(func(g *flag.Flag) { // given, or set by the scale
		value, ofScale := scale.Values[g.Name]
		if !ofScale {
			value = g.DefValue
		}
		if g.Name != "scale" && slices.Contains(names, g.Name) && g.Value.String() != value {
			other = append(other, g.Name+"="+g.Value.String())
		}
	})
	return other
}

// validate refuses options that are out of range or contradict the given flags.
func (o *options) validate(given map[string]string) error {
	s := &o.study
	_, warmup := given["warmup"]
	switch {
	case !warmup && o.base.Warmup > o.base.Epochs && o.base.Epochs > 0:
		return fmt.Errorf("the scale's -warmup=%d is more than -epochs=%d: give -warmup",
			o.base.Warmup, o.base.Epochs)
	case o.part != "" && o.part != "a" && o.part != "b":
		return fmt.Errorf("-part must be a or b, got %q", o.part)
	case repeats(s.Schedules) || repeats(s.WeightDecays):
		return fmt.Errorf(
			"-schedules and -weight-decays must not name a value twice, got %s and %s",
			strings.Join(s.Schedules, ","), numbers(s.WeightDecays))
	case len(s.Rates) == 0 || s.Rates[0] <= 0 || !slices.IsSorted(s.Rates) || repeats(s.Rates):
		return fmt.Errorf("-rates must be positive and increasing, got %s", numbers(s.Rates))
	case len(s.WeightDecays) == 0 || slices.Min(s.WeightDecays) < 0:
		return fmt.Errorf("-weight-decays must not be negative, got %s", numbers(s.WeightDecays))
	case s.Holdout < 1:
		return fmt.Errorf("-holdout must be at least 1 image, got %d: settings are never chosen "+
			"on test images", s.Holdout)
	case s.Choose != Fitted && s.Choose != Any:
		return fmt.Errorf("-choose must be %s or %s, got %q", Fitted, Any, s.Choose)
	case o.protocol != "both" && o.protocol != string(Effective) && o.protocol != string(Eta):
		return fmt.Errorf("-protocol must be both, effective or eta, got %q", o.protocol)
	case s.TrialSeeds < 1:
		return fmt.Errorf("-trial-seeds must be at least 1, got %d", s.TrialSeeds)
	case s.Grow < 0:
		return fmt.Errorf("-grow must be at least 0, got %d", s.Grow)
	case s.Seeds < 1:
		return fmt.Errorf("-seeds must be at least 1, got %d", s.Seeds)
	case s.Longer != 0 && s.Longer < 2:
		return fmt.Errorf("-longer must be 0 or at least 2, got %d", s.Longer)
	case !(s.Gamma > 0 && s.Gamma < 1):
		return fmt.Errorf("-momentum must be in (0, 1), got %v: the study compares descent with "+
			"and without it", s.Gamma)
	}
	return o.validateLauncher(given)
}

// validateLauncher is the part of validate about the execution of runs.
func (o *options) validateLauncher(given map[string]string) error {
	onlyWith := func(launcher, format string, names ...string) error {
		for _, name := range names {
			if _, ok := given[name]; ok && o.launcher != launcher {
				return fmt.Errorf(format, name)
			}
		}
		return nil
	}
	switch {
	case o.launcher != "local" && o.launcher != "slurm":
		return fmt.Errorf("-launcher must be local or slurm, got %q", o.launcher)
	case o.pool.jobs < 0:
		return fmt.Errorf("-jobs must be at least 0, got %d", o.pool.jobs)
	case o.pool.perGPU < 1:
		return fmt.Errorf("-runs-per-gpu must be at least 1, got %d", o.pool.perGPU)
	case o.pool.gpus != "" && slices.ContainsFunc(strings.Split(o.pool.gpus, ","), notNumber):
		return fmt.Errorf("-gpus must be numbers with commas between them, got %q", o.pool.gpus)
	}
	if err := cmp.Or(
		onlyWith("local", "-%s is about this machine, got -launcher=slurm: use -concurrent and "+
			"-gpus-per-run, or leave it out", "jobs", "gpus", "runs-per-gpu"),
		onlyWith("slurm", "-%s is about a cluster: add -launcher=slurm, or leave it out",
			"concurrent", "gpus-per-run", "time", "partition", "requeue", "sbatch"),
	); err != nil {
		return err
	}
	if o.launcher == "slurm" {
		return o.slurm.Validate()
	}
	return nil
}

// repeats reports whether a list has a value twice.
func repeats[T cmp.Ordered](values []T) bool {
	sorted := slices.Sorted(slices.Values(values))
	return len(slices.Compact(sorted)) < len(values)
}
