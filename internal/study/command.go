package study

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"momentum/cifar/config"
	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/lockfile"
	"momentum/internal/sweep"
	"momentum/models"
)

// Figure is a command that makes a study: a figure of the paper.
type Figure struct {
	Name   string // of the command and of its files
	Manual string // what -h prints above the flags
	Scales []Scale
	Title  func(o *Options) string
	// Flags adds the figure's own flags; may be nil. Their names and a title are returned for the
	// manual.
	Flags func(fs *flag.FlagSet, o *Options) cli.FlagGroup
	// Cells are the comparisons for the options, and Measures what is compared in them.
	Cells    func(o *Options) ([]Cell, error)
	Measures func(o *Options) []Measure
	// More writes what belongs beside the tables, and returns Markdown about it; may be nil.
	More func(ctx context.Context, o *Options, folder string) (markdown string, err error)
}

// Scale is a size of a study: the values that flags have unless they are given.
type Scale struct {
	Name   string
	Says   string // what it is and takes, for the manual and the note below the tables
	Values map[string]string
}

// Options are what the flags of all figures say.
type Options struct {
	Scale  string
	Base   config.Config // what all runs share
	Data   []string
	Models []string

	study Study

	out      string
	cifar    string
	launcher string
	dryRun   bool
	failFast bool
	pool     struct {
		jobs int
		gpus string
	}
	slurm  sweep.Slurm
	sbatch string
}

// verbs are what a figure's command can be told to do.
var verbs = map[string]string{
	"run":     "make the study: all that is missing, stage by stage (the default)",
	"plan":    "write the list of the next stage and say what it costs",
	"status":  "say what has become of each run",
	"retry":   "run what has failed or was stopped once more, and nothing else",
	"collect": "make tables and pictures from the run folders alone",
}

// flags binds the options to a new flag set.
func (f *Figure) flags(o *Options, scale Scale) (*flag.FlagSet, []cli.FlagGroup) {
	fs := flag.NewFlagSet(f.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	b, s := &o.Base, &o.study
	*b = config.Preset("paper", "gd")
	groups := []cli.FlagGroup{{Title: "What is compared"}, {Title: "How settings are chosen"},
		{Title: "How runs are made"}, {Title: "On a Slurm cluster"}}
	group := 0
	in := func(name string) string {
		groups[group].Names = append(groups[group].Names,
			name)
		return name
	}

	var names []string
	for _, s := range f.Scales {
		names = append(names, s.Name)
	}
	fs.StringVar(&o.Scale, in("scale"), scale.Name,
		strings.Join(names, "|")+": values to start from; every other flag overrides them")
	fs.Var(cli.Remembered(cli.Words(&o.Data, datasets.Names()...)), in("data"),
		"sets of images, with commas: "+strings.Join(datasets.Names(), "|"))
	fs.Var(cli.Remembered(func(v string) error { o.Models = strings.Split(v, ","); return nil }),
		in("model"), "networks, with commas: resnet18|wrn16-K|vgg19")
	fs.IntVar(&b.Width, in("width"), 0,
		"channels of the stem; 0: the network's own (64 of resnet18 and vgg19, 16 of wrn16-K)")
	fs.StringVar(&b.Norm, in("norm"), b.Norm,
		"none|batch: with batch normalization, whose statistics are those of -chunk images")
	fs.IntVar(&b.Images, in("images"), 0, "training images; 0: all")
	fs.IntVar(&b.Epochs, in("epochs"), b.Epochs,
		"passes over the training images; with full batch, one step each")
	fs.IntVar(&b.EvalEvery, in("eval-every"), b.EvalEvery,
		"epochs between evaluations; 0: as often as costs less than a tenth of the training")
	fs.IntVar(&b.Warmup, in("warmup"), b.Warmup, "epochs of linear warm-up before the schedule")
	fs.Float64Var(&s.Gamma, in("momentum"), 0.9, "γ of GD+M")
	fs.StringVar(&s.Form, in("form"), "undamped", "damped: g ← γg+(1−γ)∇L (the "+
		"paper's)|undamped: b ← γb+∇L (PyTorch's); both have the same effective rates here")
	fs.StringVar(&b.Precision, in("precision"), b.Precision, "f32|tf32 (GPU)|bf16")
	if f.Flags != nil {
		g := f.Flags(fs, o)
		groups[0].Names = append(groups[0].Names, g.Names...)
	}

	group++
	fs.Var(cli.Remembered(floats(&s.Rates)), in("rates"),
		"effective learning rates of the grid, increasing, with commas")
	fs.Var(cli.Remembered(func(v string) error { s.Schedules = strings.Split(v, ","); return nil }),
		in("schedules"), "constant|cosine|step, with commas")
	fs.Var(cli.Remembered(floats(&s.WeightDecays)), in("weight-decays"), "λ, with commas")
	fs.IntVar(&s.Holdout, in("holdout"), 5000,
		"training images, from the end of the set, that the trials leave out and are judged by")
	fs.StringVar(&s.Choose, in("choose"), Fitted,
		"fitted: the best of those that reach zero training error, if any does|any: the best")
	fs.IntVar(&s.Grow, in("grow"), 1,
		"how often the grid grows by two rates where the best one is its first or last")
	fs.IntVar(&s.Seeds, in("seeds"), 3, "of the final runs, from 2 on; the trials have seed 1")
	fs.IntVar(&s.Longer, in("longer"), 10,
		"the control in which GD gets so many times the epochs; 0: none")

	group++
	fs.StringVar(&o.out, in("out"), "",
		"`folder` of this study; empty: sweeps/NAME, with the flags that differ from the scale's")
	fs.BoolVar(&o.dryRun, in("dry-run"), false, "write the list, say what it costs, stop")
	fs.StringVar(&o.launcher, in("launcher"), "local", "local|slurm: where runs are made")
	fs.IntVar(&o.pool.jobs, in("jobs"), 0,
		"runs at a time; 0: one a GPU, or two on a CPU with at least two cores")
	fs.StringVar(&o.pool.gpus, in("gpus"), "",
		"GPUs by number, with commas: a run gets one of them as CUDA_VISIBLE_DEVICES")
	fs.BoolVar(&o.failFast, in("fail-fast"), false, "stop at the first run that fails")
	fs.StringVar(&o.cifar, in("cifar"), "",
		"the `program` that makes a run; empty: go build ./cifar")
	fs.StringVar(&b.Runs, in("runs"), b.Runs, "`folder` of the run folders, which studies share")
	fs.StringVar(&b.Backend, in("backend"), b.Backend,
		"auto|xla:cuda|xla:cpu|xla:/abs/plugin.so|go")
	fs.IntVar(&b.Chunk, in("chunk"), 0,
		"images per call of the compiled step; 0: chosen for the backend")
	fs.TextVar(&b.CheckpointEvery, in("checkpoint-every"), b.CheckpointEvery,
		"time between checkpoints")
	fs.StringVar(&b.DataDir, in("data-dir"), "",
		"`folder` of CIFAR; empty: the user's cache folder")
	fs.StringVar(&b.Mirror, in("mirror"), "",
		"`URL` to fetch CIFAR from in place of the official host")
	fs.BoolVar(&b.Offline, in("offline"), false, "never use the network")

	group++
	fs.IntVar(&o.slurm.Concurrent, in("concurrent"), 8, "tasks at a time")
	fs.IntVar(&o.slurm.GPUs, in("gpus-per-run"), 1, "GPUs of a task; 0: none")
	fs.DurationVar(&o.slurm.Time, in("time"), 4*time.Hour,
		"limit of a task; two minutes before it, the run saves and ends")
	fs.StringVar(&o.slurm.Partition, in("partition"), "", "of the cluster; empty: its default")
	fs.BoolVar(&o.slurm.Requeue, in("requeue"), false,
		"put a task that was stopped with a checkpoint back into the queue")
	fs.StringVar(&o.sbatch, in("sbatch"), "",
		"more `flags` of sbatch, with blanks between them, such as '--account=A --mem=16G'")
	return fs, groups
}

// floats is a flag whose value is a list of numbers with commas between them.
func floats(list *[]float64) func(string) error {
	return func(value string) error {
		*list = nil
		for word := range strings.SplitSeq(value, ",") {
			x, err := strconv.ParseFloat(word, 64)
			if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
				return fmt.Errorf("%q is no number", word)
			}
			*list = append(*list, x)
		}
		return nil
	}
}

// Parse turns arguments into what to do and the options: the scale's values, overridden by the
// flags.
func (f *Figure) Parse(args []string) (verb string, o *Options, err error) {
	verb = "run"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = args[0], args[1:]
		if verbs[verb] == "" {
			return verb, nil, cli.Usagef("nothing called %q to do, want run, plan, status, retry "+
				"or collect", verb)
		}
	}
	scale := f.Scales[0]
	// The scale decides on the values of the other flags: so, twice.
	var fs *flag.FlagSet
	var groups []cli.FlagGroup
	for range 2 {
		o = &Options{}
		fs, groups = f.flags(o, scale)
		for name, value := range scale.Values {
			if err := fs.Set(name, value); err != nil {
				return verb, nil, fmt.Errorf("%s: scale %s: -%s=%s: %w", f.Name, scale.Name, name,
					value, err)
			}
		}
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			return verb, nil, err
		} else if err != nil {
			return verb, nil, cli.Usagef("%w (see go run ./scripts/%s -h)", err, f.Name)
		}
		i := slices.IndexFunc(f.Scales, func(s Scale) bool { return s.Name == o.Scale })
		if i < 0 {
			return verb, nil, cli.Usagef("-scale is %q, want one of those of -h", o.Scale)
		}
		scale = f.Scales[i]
	}
	if fs.NArg() > 0 {
		return verb, nil, cli.Usagef("unexpected argument %q: flags are written -name=value, "+
			"after the word that says what to do", fs.Arg(0))
	}
	given := map[string]bool{}
	fs.Visit(func(g *flag.Flag) { given[g.Name] = true })
	if err := o.check(given); err != nil {
		return verb, nil, &cli.UsageError{Err: err}
	}
	other := variant(fs, scale, slices.Concat(groups[0].Names, groups[1].Names))
	if o.out == "" {
		name := strings.Join(append([]string{f.Name, o.Scale}, other...), "-")
		o.out = filepath.Join("sweeps", strings.ReplaceAll(name, string(filepath.Separator), "_"))
	}
	s := &o.study
	s.Name, s.Title, s.Measures = f.Name, f.Title(o), f.Measures(o)
	s.Note = fmt.Sprintf("Scale %s: %s.", o.Scale, scale.Says)
	if len(other) > 0 {
		s.Note += " Otherwise here: " + strings.Join(other, ", ") + "."
	}
	if s.Cells, err = f.Cells(o); err != nil {
		return verb, nil, &cli.UsageError{Err: err}
	}
	keys := map[string]bool{}
	for i := range s.Cells {
		c := &s.Cells[i]
		if keys[c.Key] {
			return verb, nil, cli.Usagef("%s is asked for twice: name each set of images, "+
				"network and batch size once (%d images or more are the full batch)", c.Title,
				c.Images)
		}
		keys[c.Key] = true
		// With the flags that were given, since what is 0 and was not given has a value of its own.
		base := c.Base
		base.Rate = s.Rates[0]
		if err := base.Validate(given); err != nil {
			return verb, nil, &cli.UsageError{Err: err}
		}
		c.Base = base
		if _, err := s.trials(i, s.Rates); err != nil {
			return verb, nil, &cli.UsageError{Err: err}
		}
	}
	return verb, o, nil
}

// variant are those of some flags that differ from what the scale says, as name=value.
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

// Cell is a comparison of the study, as it was resolved.
func (o *Options) Cell(i int) Cell { return o.study.Cells[i] }

// Cells are comparisons on every set of images, with every network and at every batch size; 0, and
// all images or more, is the full batch.
func (o *Options) Cells(batches []int) ([]Cell, error) {
	var cells []Cell
	networks := map[string]string{"resnet18": "ResNet-18", "vgg19": "VGG-19"}
	for _, data := range o.Data {
		for _, model := range o.Models {
			for _, batch := range batches {
				c := o.Base
				c.Data, c.Model, c.Opt, c.Batch = data, model, "gd", 0
				facts, err := datasets.Describe(data)
				if err != nil {
					return nil, err
				}
				all := c.Images
				if all == 0 {
					all = facts.Train
				}
				// images that a run trains on: a trial, if all are asked for, leaves some out
				least := all
				if c.Images == 0 {
					least -= o.study.Holdout
				}
				if all+o.study.Holdout > facts.Train && c.Images > 0 || least < 1 {
					return nil, fmt.Errorf("-images + -holdout must be at most the %d training "+
						"images of %s, got %d + %d", facts.Train, data, c.Images, o.study.Holdout)
				}
				if batch > least && batch < all {
					return nil, fmt.Errorf("batches must be of at most the %d images that a "+
						"trial trains on, or of all %d, got %d", least, all, batch)
				}
				key, title := "full", "full batch"
				if batch > 0 && batch < all {
					c.Opt, c.Batch = "sgd", batch
					key, title = strconv.Itoa(batch), fmt.Sprintf("batch %d", batch)
				}
				if c.Width == 0 {
					c.Width = models.DefaultWidth(model)
				}
				if c.Norm == "batch" && c.Chunk == 0 {
					c.Chunk = min(128, all)
					if c.Batch > 0 {
						c.Chunk = min(c.Chunk, c.Batch)
					}
				}
				network := networks[model]
				if network == "" {
					network = "WideResNet-" + strings.TrimPrefix(model, "wrn")
				}
				if c.Norm == "batch" {
					network += " with batch normalization"
				}
				cells = append(cells, Cell{
					Key: fmt.Sprintf("%s-%s-%s", data, model, key), Base: c, Images: all,
					Classes: facts.Classes,
					Paper: Setting{Data: strings.TrimSuffix(data, "-mini"),
						Model: strings.Split(model, "-")[0], Batch: c.Batch},
					Title: fmt.Sprintf("%s (%d images), %s of width %d, %s", facts.Title, all,
						network, c.Width, title),
				})
			}
		}
	}
	return cells, nil
}

// check refuses options out of range.
func (o *Options) check(given map[string]bool) error {
	s := &o.study
	for _, name := range []string{"jobs", "gpus"} {
		if given[name] && o.launcher == "slurm" {
			return fmt.Errorf("-%s is about this machine, got -launcher=slurm: use -concurrent "+
				"and -gpus-per-run, or leave it out", name)
		}
	}
	for _, name := range []string{"concurrent", "gpus-per-run", "time", "partition", "requeue",
		"sbatch"} {
		if given[name] && o.launcher == "local" {
			return fmt.Errorf("-%s is about a cluster: add -launcher=slurm, or leave it out", name)
		}
	}
	if o.pool.gpus != "" && slices.Contains(strings.Split(o.pool.gpus, ","), "") {
		return fmt.Errorf("-gpus must be numbers with commas between them, got %q", o.pool.gpus)
	}
	if o.launcher == "slurm" {
		if err := o.slurm.Check(); err != nil {
			return err
		}
	}
	switch {
	case repeats(s.Schedules) || repeats(s.WeightDecays):
		return fmt.Errorf(
			"-schedules and -weight-decays must not name a value twice, got %s and %s",
			strings.Join(s.Schedules, ","), list(s.WeightDecays))
	case len(s.Rates) == 0 || s.Rates[0] <= 0 || !slices.IsSorted(s.Rates) || repeats(s.Rates):
		return fmt.Errorf("-rates must be positive and increasing, got %s", list(s.Rates))
	case len(s.WeightDecays) == 0 || slices.Min(s.WeightDecays) < 0:
		return fmt.Errorf("-weight-decays must not be negative, got %s", list(s.WeightDecays))
	case s.Holdout < 1:
		return fmt.Errorf("-holdout must be at least 1 image, got %d: settings are never chosen "+
			"on test images", s.Holdout)
	case s.Choose != Fitted && s.Choose != Any:
		return fmt.Errorf("-choose must be %s or %s, got %q", Fitted, Any, s.Choose)
	case s.Grow < 0:
		return fmt.Errorf("-grow must be at least 0, got %d", s.Grow)
	case s.Grow > 0 && len(s.Rates) == 1:
		s.Grow = 0 // there is no way to go on
	case s.Seeds < 1:
		return fmt.Errorf("-seeds must be at least 1, got %d", s.Seeds)
	case s.Longer != 0 && s.Longer < 2:
		return fmt.Errorf("-longer must be 0 or at least 2, got %d", s.Longer)
	case !(s.Gamma > 0 && s.Gamma < 1):
		return fmt.Errorf("-momentum must be in (0, 1), got %v: what is compared is descent with "+
			"and without it", s.Gamma)
	case o.launcher != "local" && o.launcher != "slurm":
		return fmt.Errorf("-launcher must be local or slurm, got %q", o.launcher)
	case o.pool.jobs < 0:
		return fmt.Errorf("-jobs must be at least 0, got %d", o.pool.jobs)
	}
	return nil
}

// repeats says whether a value stands in a list twice.
func repeats[T cmp.Ordered](values []T) bool {
	sorted := slices.Sorted(slices.Values(values))
	return len(slices.Compact(sorted)) < len(values)
}

// Main is the command.
func (f *Figure) Main() int { return cli.Main(f.Name, f.Run) }

// Run is the command with its arguments.
func (f *Figure) Run(ctx context.Context, stdout, stderr io.Writer, args []string) (err error) {
	verb, o, err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		f.printManual(stdout)
		return nil
	} else if err != nil {
		return err
	}
	j := &job{Figure: f, Options: o, stdout: stdout, stderr: stderr}
	at := j.run
	switch verb {
	case "plan":
		at = j.plan
	case "status":
		at = j.status
	case "collect":
		at = j.complete
	case "retry":
		at = j.retry
	}
	if o.dryRun {
		at = j.plan
	}
	switch verb {
	case "status", "collect":
		j.readOnly = true
	case "run", "retry":
		lock, e := j.lock()
		if e != nil {
			return e
		}
		defer func() { err = errors.Join(err, lock.Release()) }()
	}
	results, err := j.stages(ctx, at)
	if errors.Is(err, errEnough) {
		return nil
	} else if err != nil {
		return err
	}
	if verb == "status" {
		return nil
	}
	return j.collect(ctx, results, args)
}

func (f *Figure) printManual(w io.Writer) {
	fmt.Fprint(w, f.Manual)
	fmt.Fprintf(w, "\nWhat to do, as the first word:\n")
	for _, verb := range []string{"run", "plan", "status", "retry", "collect"} {
		fmt.Fprintf(w, "  %-18s %s\n", verb, verbs[verb])
	}
	fmt.Fprintf(w, "\nScales:\n")
	for _, s := range f.Scales {
		fmt.Fprintf(w, "  %-18s %s\n", s.Name, s.Says)
	}
	fs, groups := f.flags(&Options{}, f.Scales[0])
	cli.PrintFlags(w, fs, groups...)
}

// job is one start of the command.
type job struct {
	*Figure
	*Options
	stdout, stderr io.Writer
	program        string // that makes a run
	readOnly       bool   // lists that are not there are not written
}

// lock keeps a second process off the study, before it builds another program or writes a list.
func (j *job) lock() (*lockfile.Lock, error) {
	if err := os.MkdirAll(j.out, 0o777); err != nil {
		return nil, err
	}
	lock, err := lockfile.Acquire(filepath.Join(j.out, "study.lock"))
	if held := (*lockfile.HeldError)(nil); errors.As(err, &held) {
		return nil, fmt.Errorf("%s is worked on already, wait for it or stop it: %w", j.out, held)
	}
	return lock, err
}

// errEnough ends the stages early, but well.
var errEnough = errors.New("enough")

// stages goes through the stages of the study, from the run folders of one to the list of the next,
// and returns the results. at deals with each stage: when it returns nil, all its runs must have
// ended.
func (j *job) stages(ctx context.Context, at func(ctx context.Context, stage string,
	l *sweep.List) error) ([]result, error) {
	s := &j.study
	results := make([]result, len(s.Cells))
	best := make([][2]choice, len(s.Cells))
	rates := make([][]float64, len(s.Cells)) // tried so far
	more := make([][]float64, len(s.Cells))  // rates of the next stage
	for i, cell := range s.Cells {
		results[i].Cell, more[i] = cell, s.Rates
	}
	for n := 1; ; n++ {
		var configs []config.Config
		for i := range s.Cells {
			added, err := s.trials(i, more[i])
			if err != nil {
				return nil, err
			}
			results[i].trials = append(results[i].trials, added...)
			rates[i] = append(rates[i], more[i]...)
			slices.Sort(rates[i])
			for _, t := range added {
				configs = append(configs, t.config)
			}
		}
		if len(configs) == 0 {
			break
		}
		if err := j.stage(ctx, fmt.Sprintf("trials-%d", n), configs, at); err != nil {
			return nil, err
		}
		for i := range results {
			var err error
			if best[i], results[i].tried, err = s.best(j.Base.Runs, results[i].trials); err != nil {
				return nil, err
			}
		}
		if n > s.Grow {
			break
		}
		for i := range more {
			more[i] = grow(best[i], rates[i])
		}
	}

	var configs []config.Config
	finals := make([][arms][]config.Config, len(s.Cells))
	for i := range s.Cells {
		var err error
		if finals[i], err = s.final(i, best[i]); err != nil {
			return nil, err
		}
		configs = append(configs, slices.Concat(finals[i][:]...)...)
	}
	// the longest first: then no slot is left with one at the end
	slices.SortStableFunc(configs, func(a, b config.Config) int { return b.Epochs - a.Epochs })
	if err := j.stage(ctx, "final", configs, at); err != nil {
		return nil, err
	}
	for i, r := range results {
		var err error
		if results[i], err = s.read(j.Base.Runs, r, best[i], finals[i]); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// stage plans a stage and deals with it.
func (j *job) stage(ctx context.Context, name string, configs []config.Config,
	at func(context.Context, string, *sweep.List) error) error {
	lines, err := runs(configs)
	if err != nil {
		return err
	}
	dir := filepath.Join(j.out, name)
	if j.readOnly {
		if _, err := sweep.Read(dir, j.Base.Runs); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: not planned yet: go run ./scripts/%s with the same flags "+
				"makes it", dir, j.Figure.Name)
		}
	}
	l, err := sweep.Plan(dir, j.Base.Runs, lines)
	if err != nil {
		return err
	}
	return at(ctx, name, l)
}

// launch makes what makes runs.
func (j *job) launch(ctx context.Context) (sweep.Launcher, error) {
	if j.program == "" {
		var err error
		if j.program, err = j.build(ctx); err != nil {
			return nil, err
		}
	}
	command := []string{j.program}
	if j.launcher == "slurm" {
		l := j.slurm
		l.Command, l.Extra, l.Stdout = command, strings.Fields(j.sbatch), j.stdout
		return &l, nil
	}
	jobs, gpus := j.slots()
	return &sweep.Pool{Command: command, Jobs: jobs, GPUs: gpus, Stdout: j.stdout}, nil
}

// slots are the numbers of runs at a time and the GPUs.
func (j *job) slots() (jobs int, gpus []string) {
	if j.pool.gpus != "" {
		gpus = strings.Split(j.pool.gpus, ",")
	}
	jobs = j.pool.jobs
	switch {
	case jobs > 0:
	case len(gpus) > 0:
		jobs = len(gpus)
	case backend.HasGPU():
		jobs = 1
	default:
		jobs = min(2, runtime.GOMAXPROCS(0))
	}
	return jobs, gpus
}

// build returns the program that makes a run.
func (j *job) build(ctx context.Context) (string, error) {
	if j.cifar != "" {
		path, err := exec.LookPath(j.cifar)
		if err != nil {
			return "", cli.Usagef("-cifar: %w", err)
		}
		return filepath.Abs(path)
	}
	path, err := filepath.Abs(filepath.Join(j.out, "cifar"))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(j.out, 0o777); err != nil {
		return "", err
	}
	// Aside and renamed: tasks of a cluster may be running the one that is there.
	aside := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	defer os.Remove(aside)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", aside, "momentum/cifar")
	if out, err := cmd.CombinedOutput(); ctx.Err() != nil {
		return "", ctx.Err()
	} else if err != nil {
		return "", fmt.Errorf("go build momentum/cifar: %w: %s; run this in the repository, or "+
			"build cifar elsewhere and name it with -cifar", err, strings.TrimSpace(string(out)))
	}
	return path, os.Rename(aside, path)
}

// run makes what is missing of a stage.
func (j *job) run(ctx context.Context, stage string, l *sweep.List) error {
	return j.make(ctx, stage, l, false)
}

// retry makes what has failed or was stopped. Stages that come later are those of run.
func (j *job) retry(ctx context.Context, stage string, l *sweep.List) error {
	return j.make(ctx, stage, l, true)
}

func (j *job) make(ctx context.Context, stage string, l *sweep.List, retry bool) error {
	statuses, err := l.Status()
	if err != nil {
		return err
	}
	missing := 0
	for _, s := range statuses {
		if !s.State.Ended() {
			missing++
		}
	}
	fmt.Fprintf(j.stdout, "%-9s %d runs, %d to make\n", stage, len(l.Runs), missing)
	if missing == 0 {
		return nil
	}
	with, err := j.launch(ctx)
	if err != nil {
		return err
	}
	if stage == "trials-1" && missing == len(l.Runs) {
		if err := j.printCost(ctx, l); err != nil {
			return err
		}
	}
	return l.Run(ctx, with, sweep.Options{Retry: retry, FailFast: j.failFast, Stdout: j.stdout,
		Stderr: j.stderr})
}

// plan says what a stage costs, and ends at the first that is not made.
func (j *job) plan(ctx context.Context, stage string, l *sweep.List) error {
	err := j.complete(ctx, stage, l)
	if err == nil {
		fmt.Fprintf(j.stdout, "%-9s %d runs, all made: %s\n", stage, len(l.Runs), l.Dir)
		return nil
	} else if !errors.Is(err, errMissing) {
		return err
	}
	fmt.Fprintf(j.stdout, "%-9s %d runs: %s\n", stage, len(l.Runs),
		filepath.Join(l.Dir, "runs.jsonl"))
	if stage == "trials-1" {
		if err := j.printCost(ctx, l); err != nil {
			return err
		}
	}
	return errEnough
}

// status says what has become of the runs of a stage; later stages depend on them.
func (j *job) status(_ context.Context, stage string, l *sweep.List) error {
	statuses, err := l.Status()
	if err != nil {
		return err
	}
	fmt.Fprintf(j.stdout, "%-9s %s\n", stage, l.Dir)
	sweep.PrintStatus(j.stdout, statuses)
	if slices.ContainsFunc(statuses, func(s sweep.Status) bool { return !s.State.Ended() }) {
		return errEnough
	}
	return nil
}

// errMissing is wrapped by the error of a stage some of whose runs have not ended.
var errMissing = errors.New("want every run done")

// complete is an error unless all runs of a stage have ended.
func (j *job) complete(_ context.Context, stage string, l *sweep.List) error {
	statuses, err := l.Status()
	if err != nil {
		return err
	}
	for _, s := range statuses {
		if !s.State.Ended() {
			return fmt.Errorf("%s: %s, line %d, is %s, %w: go run ./scripts/%s run makes what is "+
				"missing, retry what has failed", l.Dir, s.Run.Name, s.Index+1, s.State, errMissing,
				j.Figure.Name)
		}
	}
	return nil
}

// cost is what -dry-run -cost of cifar writes.
type cost struct {
	Seconds      float64 `json:"seconds"`
	Compile      float64 `json:"compile_seconds"`
	ImagesPerSec float64 `json:"images_per_sec"`
	Disk         float64 `json:"disk_bytes"`
	Kept         float64 `json:"kept_bytes"`
	Device       string  `json:"device"`
}

// printCost says what the whole study costs, of which l is the first list: in floating-point
// operations and, unless a cluster makes the runs, in time on this machine, by measuring a step of
// each cell.
func (j *job) printCost(ctx context.Context, l *sweep.List) error {
	s := &j.study
	settings := len(s.Rates) * len(s.Schedules) * len(s.WeightDecays)
	trials, finals, long := 2*settings, 3*s.Seeds, 0 // of a cell
	if s.Longer > 0 {
		long = s.Seeds
	}
	// two rates on both sides for both algorithms
	growth := s.Grow * 2 * 2 * 2 * len(s.Schedules) * len(s.WeightDecays)
	fmt.Fprintf(j.stdout, "study     %d comparison(s), in each %d trials, half of them with "+
		"momentum, and %d final runs (%d seeds of GD, GD+M and GD at the effective rate of GD+M)",
		len(s.Cells), trials, finals, s.Seeds)
	if long > 0 {
		fmt.Fprintf(j.stdout, " and %d of %d times the epochs", long, s.Longer)
	}
	fmt.Fprintf(j.stdout,
		"; at most %d more trials where a best rate lies at the edge of the grid\n", growth)

	units := float64(trials + finals + long*s.Longer) // of a cell, each as long as a trial
	flop := 0.0
	for _, cell := range s.Cells {
		c := cell.Base
		net, err := models.New(models.Config{Model: c.Model, Width: c.Width, Norm: c.Norm,
			Classes: cell.Classes, BranchScale: c.BranchScale})
		if err != nil {
			return err
		}
		_, step := net.FLOPs()
		flop += units * step * float64(cell.Images) * float64(c.Epochs)
	}
	const gpu = 1e13 // FLOP/s
	fmt.Fprintf(j.stdout, "cost      %.3g FLOP for training: %s of a GPU that does 10 TFLOP/s\n",
		flop, duration(flop/gpu))
	if j.launcher == "slurm" {
		return nil
	}

	if _, err := j.launch(ctx); err != nil {
		return err
	}
	jobs, gpus := j.slots()
	seconds, disk := 0.0, 0.0
	for _, cell := range s.Cells {
		// With momentum: a little more memory and time than without.
		at := slices.IndexFunc(l.Runs, func(r sweep.Run) bool {
			var c config.Settings
			return json.Unmarshal(r.Settings, &c) == nil && c.Data == cell.Base.Data && c.Model ==
				cell.Base.Model && c.Batch == cell.Base.Batch && config.IsMomentum(c.Opt)
		})
		fmt.Fprintf(j.stdout, "          measuring a step of %s …\n", cell.Title)
		c, err := j.measure(ctx, l, at, jobs, gpus)
		if err != nil {
			return err
		}
		seconds += units*c.Seconds + float64(trials+finals+long)*executables*c.Compile
		disk += float64(finals+long+jobs)*c.Disk + float64(trials)*c.Kept
		fmt.Fprintf(j.stdout, "          %.0f images/s a run on %s, %d run(s) at a time\n",
			c.ImagesPerSec, c.Device, jobs)
	}
	fmt.Fprintf(j.stdout, "          about %s on this machine, and at most %.2g GB of disk\n",
		duration(seconds/float64(jobs)), disk/1e9)
	return nil
}

// executables that a run compiles, each in about the time of the one that is measured: gradient,
// update and evaluation, some for two sizes of a chunk.
const executables = 3

// measure asks cifar for the cost of a run, as fast as it is beside the others.
func (j *job) measure(ctx context.Context, l *sweep.List, index, jobs int, gpus []string) (c cost,
	err error) {
	file := filepath.Join(l.Dir, "cost.json")
	cmd := exec.CommandContext(ctx, j.program, "-config="+filepath.Join(l.Dir, "runs.jsonl"),
		"-task="+strconv.Itoa(index), "-dry-run", "-cost="+file)
	cmd.Env = (&sweep.Pool{Jobs: jobs, GPUs: gpus}).Env(0)
	if out, err := cmd.CombinedOutput(); ctx.Err() != nil {
		return c, ctx.Err()
	} else if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return c, fmt.Errorf("measuring a step: %w: %s", err, lines[len(lines)-1])
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(text, &c)
}

// duration is "26 min", "9.5 h" or "12 days".
func duration(seconds float64) string {
	switch {
	case seconds < 5400:
		return fmt.Sprintf("%.0f min", math.Ceil(seconds/60))
	case seconds < 48*3600:
		return fmt.Sprintf("%.1f h", seconds/3600)
	}
	return fmt.Sprintf("%.0f days", seconds/86400)
}
