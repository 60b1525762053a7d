package imagerun

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/runtest"
	"momentum/internal/sweep"
)

// mustParse resolves arguments that are right.
func mustParse(t *testing.T, kind backend.Kind, args ...string) Config {
	t.Helper()
	c, _, err := Parse(args, kind)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return c
}

func TestPresets(t *testing.T) {
	for _, tt := range []struct {
		arg         string
		kind        backend.Kind
		preset, opt string
	}{
		{"-preset=paper", backend.Go, "paper", "gdm"},
		{"-preset=quick", backend.CUDA, "quick", "gdm"},
		{"-preset=tiny", backend.CPU, "tiny", "gdm"},
		{"-preset=auto", backend.CUDA, "paper", "gdm"},
		{"-opt=gdm", backend.CPU, "quick", "gdm"},
		{"-opt=gd", backend.Go, "tiny", "gd"},
		{"-opt=sgdm", backend.CPU, "quick", "sgdm"},
		{"-opt=sgd", backend.Go, "tiny", "sgd"},
	} {
		if got, want := mustParse(t, tt.kind, tt.arg), Preset(tt.preset, tt.opt); got != want {
			t.Errorf("%s on %s:\ngot  %+v\nwant %+v", tt.arg, tt.kind, got, want)
		}
	}
	// Each network has the width of its paper there, unless one is given.
	config := "-config=" + runtest.File(t, "config.json", `{"settings": {"model": "wrn16-4"}}`)
	for _, tt := range []struct {
		args  string
		width int
	}{
		{"-preset=paper -model=wrn16-4", 16}, {"-preset=paper -model=wrn16-4 -width=64", 64},
		{"-preset=paper " + config, 16}, {"-preset=paper -model=resnet18 " + config, 64},
		{"-preset=quick -model=wrn16-4", 16}, {"-preset=tiny -model=wrn16-4", 4},
	} {
		if c := mustParse(t, "", strings.Fields(tt.args)...); c.Width != tt.width {
			t.Errorf("%s: width %d, want %d", tt.args, c.Width, tt.width)
		}
	}
	// The paper's setting.
	want := Settings{Data: "cifar10", Model: "resnet18", Width: 64, Norm: "none", Opt: "gdm",
		Momentum: 0.9, Epochs: 300}
	got := mustParse(t, "", "-preset=paper").Settings
	got.Form, got.Rate, got.Schedule, got.Precision, got.Seed = "", 0, "", "", 0
	if got != want {
		t.Errorf("the paper's setting is %+v, want %+v", got, want)
	}
	// GD has no momentum that would lengthen its steps, so its rate is not GD+M's.
	gd, gdm := mustParse(t, backend.CPU, "-opt=gd"), mustParse(t, backend.CPU, "-opt=gdm")
	if gd.Rate <= gdm.Rate {
		t.Errorf("rates %v of GD and %v of GD+M", gd.Rate, gdm.Rate)
	}
}

func TestFlagsOverrideConfigOverridesPreset(t *testing.T) {
	config := runtest.File(t, "config.json",
		`{"settings": {"epochs": 7, "width": 3, "opt": "gd"}, "derived": {"eta_eff": 1}, "execution": {"chunk": 5, "checkpoint_every": "2s"}}`)
	c := mustParse(t, backend.Go, "-config="+config, "-width=2", "-preset=tiny")
	if c.Width != 2 || c.Epochs != 7 || c.Images != 40 {
		t.Errorf("width %d of the flag, epochs %d of the file, images %d of the preset; want 2, "+
			"7 and 40", c.Width, c.Epochs, c.Images)
	}
	if every := time.Duration(c.CheckpointEvery); c.Chunk != 5 || every != 2*time.Second {
		t.Errorf("chunk %d, checkpoints every %v; want 5 and 2s", c.Chunk, every)
	}
	// The algorithm of the file decides on the preset's rate and momentum.
	if want := Preset("tiny", "gd"); c.Opt != "gd" || c.Rate != want.Rate || c.Momentum != 0 {
		t.Errorf("opt %s, rate %v, momentum %v; want gd, %v and 0", c.Opt, c.Rate, c.Momentum,
			want.Rate)
	}
	if c := mustParse(t, backend.Go, "-config="+config, "-opt=gdm", "-preset=tiny"); c.Rate !=
		Preset("tiny", "gdm").Rate || c.Momentum != 0.9 {
		t.Errorf("rate %v, momentum %v; want those of GD+M", c.Rate, c.Momentum)
	}
}

// Images are degraded as in the paper unless something else is said, wherever the share comes from;
// without a share nothing is left of it, so that the names of runs are those that they had before
// there was such a setting.
func TestSmallMargin(t *testing.T) {
	want := datasets.SmallMargin{Share: 0.1, Factor: 2, Variance: 0.005, Shuffle: "image", Seed: 1}
	config := func(settings string) string {
		return "-config=" + runtest.File(t, "config.json", `{"settings": `+settings+`}`)
	}
	for _, args := range [][]string{
		{"-preset=paper", "-small-margin=0.1"},
		{"-preset=tiny", "-opt=gd", "-small-margin=0.1"},
		{config(`{"opt": "gd"}`), "-small-margin=0.1"},
		{config(`{"small_margin": 0.1}`)},
		{config(`{"small_margin": 0.2, "small_margin_factor": 4, "small_margin_noise": 1, "small_margin_shuffle": "fixed", "small_margin_seed": 3}`),
			"-small-margin=0.1", "-small-margin-factor=2", "-small-margin-noise=0.005", "-small-margin-shuffle=image",
			"-small-margin-seed=1"},
	} {
		c := mustParse(t, backend.Go, args...)
		if got := c.SmallMarginImages(); got != want || !strings.HasPrefix(c.Label(), c.Data+"-sm0.1-") {
			t.Errorf("%q: %+v in %s, want %+v", args, got, c.Label(), want)
		}
	}
	c := Preset("paper", "gd") // as a sweep makes its settings
	if c.SmallMargin = 0.1; c.Validate(nil) != nil || c.SmallMarginImages() != want {
		t.Errorf("%+v, want %+v", c.SmallMarginImages(), want)
	}
	for _, args := range [][]string{{"-preset=tiny"},
		{"-preset=tiny", config(`{"small_margin": 0, "small_margin_factor": 4}`)}} {
		c := mustParse(t, backend.Go, args...)
		// The name of this run before the settings of small margins came.
		if name, err := c.Name(); err != nil || name !=
			"cifar10-mini-resnet18w4-gdm-undamped-g0.9-lr0.005-s1-e62ebba357" {
			t.Errorf("%q: the run %s, %v, want its old name", args, name, err)
		}
	}
}

// What a run folder's config.json says comes back whole, whatever the backend is then.
func TestConfigComesBack(t *testing.T) {
	for _, args := range [][]string{
		{"-preset=tiny"},
		{"-preset=tiny", "-small-margin=0.25", "-small-margin-factor=8", "-small-margin-noise=0.1",
			"-small-margin-shuffle=fixed", "-small-margin-seed=7", "-slim"},
		{"-preset=quick", "-opt=gd", "-seed=18446744073709551615", "-lr=0.1234567890123456"},
		{"-preset=paper", "-opt=sgdm", "-batch=100", "-form=damped", "-norm=batch", "-chunk=50",
			"-weight-decay=5e-4", "-checkpoint-every=90s"},
	} {
		want := mustParse(t, backend.Go, args...)
		content, err := json.Marshal(map[string]any{"settings": want.Settings, "derived": Derived{},
			"execution": want.Execution})
		if err != nil {
			t.Fatal(err)
		}
		config := "-config=" + runtest.File(t, "config.json", string(content))
		for _, kind := range []backend.Kind{backend.CUDA, backend.CPU, backend.Go} {
			if got := mustParse(t, kind, config); got != want {
				t.Errorf("%q on %s:\ngot  %+v\nwant %+v", args, kind, got, want)
			}
		}
	}
}

// A command line that cannot be run gives one line, which names the flag, and status 2.
func TestUsage(t *testing.T) {
	absent := runtest.File(t, "config.json", "")
	os.Remove(absent)
	for _, tt := range []struct{ args, want string }{
		{"-images=x", `invalid value "x" for flag -images: parse error`},
		{"-fast", "flag provided but not defined: -fast (see go run ./cifar -h)"},
		{"gdm", `unexpected argument "gdm": flags are written -name=value`},
		{"-preset=huge", `-preset must be one of auto, tiny, quick, paper, got "huge"`},
		{"-opt=adam", `-opt must be one of gd, gdm, sgd, sgdm, got "adam"`},
		{"-opt=", `-opt must be one of gd, gdm, sgd, sgdm, got ""`},
		{"-data=mnist", `-data must be one of cifar10-mini, cifar10, cifar100, got "mnist"`},
		{"-precision=f16", `-precision must be one of f32, tf32, bf16, got "f16"`},
		{"-form=heavy", `-form must be one of damped, undamped, got "heavy"`},
		{"-schedule=linear", `-schedule must be one of constant, cosine, step, got "linear"`},
		{"-norm=layer", `-norm must be one of none, batch, got "layer"`},
		{"-images=-1", "-images must be at least 0, got -1"},
		{"-holdout=-1", "-holdout must be at least 0, got -1"},
		{"-epochs=0", "-epochs must be at least 1, got 0"},
		{"-batch=-1", "-batch must be at least 0, got -1"},
		{"-eval-every=-1", "-eval-every must be at least 0, got -1"},
		{"-chunk=-1", "-chunk must be at least 0, got -1"},
		{"-warmup=-1", "-warmup must be in [0, 300] epochs, got -1"},
		{"-epochs=10 -warmup=11", "-warmup must be in [0, 10] epochs, got 11"},
		{"-checkpoint-every=-1s", "-checkpoint-every must be at least 0s, got -1s"},
		{"-checkpoint-every=1",
			`invalid value "1" for flag -checkpoint-every: time: missing unit in duration "1"`},
		{"-seed=-1", `invalid value "-1" for flag -seed: parse error`},
		{"-lr=0", "-lr must be positive and finite, got 0"},
		{"-lr=-0.1", "-lr must be positive and finite, got -0.1"},
		{"-lr=NaN", "-lr must be positive and finite, got NaN"},
		{"-lr=Inf", "-lr must be positive and finite, got +Inf"},
		{"-momentum=1", "-momentum must be in [0, 1), got 1"},
		{"-momentum=-0.1", "-momentum must be in [0, 1), got -0.1"},
		{"-momentum=NaN", "-momentum must be in [0, 1), got NaN"},
		{"-weight-decay=-1", "-weight-decay must be finite and not negative, got -1"},
		{"-weight-decay=NaN", "-weight-decay must be finite and not negative, got NaN"},
		{"-branch-scale=-1", "-branch-scale must be finite and not negative, got -1"},
		{"-branch-scale=Inf", "-branch-scale must be finite and not negative, got +Inf"},
		{"-width=0", "-model=resnet18 -width=0: models: width must be in [1, 4096], got 0"},
		{"-model=vgg",
			`-model=vgg -width=64: models: unknown model "vgg", want resnet18, vgg19 or wrn16-K (such as wrn16-4)`},
		{"-model=wrn16-0", `the widening factor must be a whole number in [1, 64]`},
		{"-opt=gd -momentum=0.9",
			"-opt=gd has no momentum, got -momentum=0.9: use -opt=gdm or leave -momentum out"},
		{"-opt=sgd -momentum=0.9",
			"-opt=sgd has no momentum, got -momentum=0.9: use -opt=sgdm or leave -momentum out"},
		{"-opt=gd -form=damped",
			"-opt=gd has no momentum and so no -form: use -opt=gdm or leave -form out"},
		{"-opt=sgdm -batch=0",
			"-opt=sgdm needs -batch of at least 1, got 0: for the full batch use -opt=gdm"},
		{"-opt=gdm -batch=8",
			"-opt=gdm is full batch, got -batch=8: use -opt=sgdm or leave -batch out"},
		{"-offline -mirror=http://localhost",
			"-offline and -mirror contradict each other: leave one out"},
		{"-runs=", "-runs must name a folder, got nothing"},
		{"-small-margin=1", "-small-margin must be in [0, 1), got 1"},
		{"-small-margin=-0.1", "-small-margin must be in [0, 1), got -0.1"},
		{"-small-margin=NaN", "-small-margin must be in [0, 1), got NaN"},
		{"-small-margin=0.1 -small-margin-factor=3",
			"-small-margin-factor must be one of 1, 2, 4, 8, 16, 32, got 3"},
		{"-small-margin=0.1 -small-margin-factor=0",
			"-small-margin-factor must be one of 1, 2, 4, 8, 16, 32, got 0"},
		{"-small-margin=0.1 -small-margin-noise=0",
			"-small-margin-noise must be in (0, 1], got 0: for none, 1e-9 is rounded away"},
		{"-small-margin=0.1 -small-margin-noise=NaN", "-small-margin-noise must be in (0, 1], got NaN"},
		{"-small-margin=0.1 -small-margin-shuffle=none",
			`-small-margin-shuffle must be one of image, fixed, got "none"`},
		{"-small-margin=0.1 -small-margin-shuffle=", `-small-margin-shuffle must be one of image, fixed, got ""`},
		{"-small-margin=0.1 -small-margin-seed=0", "-small-margin-seed must be at least 1, got 0"},
		{"-small-margin-factor=4",
			"-small-margin-factor needs degraded images: add -small-margin=0.1, or leave it out"},
		{"-small-margin=0 -small-margin-seed=2",
			"-small-margin-seed needs degraded images: add -small-margin=0.1, or leave it out"},
		{"-task=1", "-task needs -config=FILE, the runs.jsonl of a sweep"},
		{"-task=x", `the task must be a whole number of at least 0, or auto, got "x"`},
		{"-norm=batch", "-norm=batch takes its statistics over a chunk: say which with -chunk, " +
			"for example -chunk=128"},
		{"-backend=tpu",
			`backend: unknown backend "tpu", want auto, xla:cuda, xla:cpu, xla:/absolute/plugin.so or go`},
		{"-backend=xla:cpu.so", "the path of a plugin must be absolute"},
		{"-backend=xla:/lib/pjrt.so", "must contain either cpu or cuda"},
		{"-config=" + absent, "-config: open " + absent + ": no such file or directory"},
		{"-config=" + runtest.File(t, "a", ""), "EOF; want {"},
		{"-config=" + runtest.File(t, "a", "{"), "unexpected EOF; want {"},
		{"-config=" + runtest.File(t, "a", "epochs: 3"),
			"invalid character 'e' looking for beginning of value; want {"},
		{"-config=" + runtest.File(t, "a", `{"settings": {"epoch": 3}}`),
			`unknown field "epoch"; want {`},
		{"-config=" + runtest.File(t, "a", `{"epochs": 3}`), `unknown field "epochs"; want {`},
		{"-config=" + runtest.File(t, "a", `{"settings": {"epochs": "3"}}`),
			"cannot unmarshal string into Go struct field"},
		{"-config=" + runtest.File(t, "a", `{"settings": {"epochs": 3}} {}`),
			"more follows the JSON object; want one object"},
		{"-config=" + runtest.File(t, "a", `{"settings": {"epochs": 0}}`),
			"-epochs must be at least 1, got 0"},
	} {
		args := append([]string{"-preset=paper", "-backend=xla:/absent/cpu.so"},
			strings.Fields(tt.args)...)
		_, _, err := Parse(args, "")
		var stderr strings.Builder
		if status := cli.Report(&stderr, "cifar", err); status != cli.BadUsage ||
			strings.Count(stderr.String(), "\n") != 1 ||
			!strings.Contains(stderr.String(), tt.want) {
			t.Errorf("%s: status %d, %q; want 2 and %q", tt.args, status, stderr.String(), tt.want)
		}
	}
}

// Every flag is in one group and is explained once by -h.
func TestManualHasEveryFlagOnce(t *testing.T) {
	var manual strings.Builder
	PrintFlags(&manual)
	stdout := manual.String()
	var want, got []string
	var c Config
	var do Command
	flags(&c, &do).VisitAll(func(f *flag.Flag) {
		want = append(want, f.Name)
		if !strings.Contains(stdout, "\n  -"+f.Name+" ") {
			t.Errorf("-h does not explain -%s", f.Name)
		}
	})
	for _, m := range regexp.MustCompile(`(?m)^  -([a-z-]+) +\S`).FindAllStringSubmatch(stdout,
		-1) {
		got = append(got, m[1])
	}
	if groups := slices.Concat(commandFlags, settingFlags, executionFlags); !slices.Equal(got,
		groups) {
		t.Errorf("-h explains %q, want the groups %q", got, groups)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) { // VisitAll goes in order
		t.Errorf("-h explains %q, want each of %q once", got, want)
	}
}

// A line of a sweep's list is a run, whole: neither the preset nor the line's place changes it.
func TestTask(t *testing.T) {
	want := mustParse(t, backend.Go, "-preset=tiny", "-opt=gd", "-lr=0.25", "-chunk=7")
	other := mustParse(t, backend.Go, "-preset=quick", "-seed=3")
	var runs []sweep.Run
	for _, c := range []Config{other, want} {
		run, err := c.Run()
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	dir := t.TempDir()
	if _, err := sweep.Plan(dir, "runs", runs); err != nil {
		t.Fatal(err)
	}
	list := "-config=" + filepath.Join(dir, "runs.jsonl")
	for _, kind := range []backend.Kind{backend.CUDA, backend.CPU} {
		if got := mustParse(t, kind, list, "-task=1"); got != want {
			t.Errorf("line 1 on %s:\ngot  %+v\nwant %+v", kind, got, want)
		}
	}
	t.Setenv("JOB_COMPLETION_INDEX", "0")
	if got := mustParse(t, backend.CPU, list, "-task=auto"); got != other {
		t.Errorf("line 0:\ngot  %+v\nwant %+v", got, other)
	}
	_, _, err := Parse([]string{list, "-task=2"}, "")
	if want := "has the tasks 0 to 1, got 2"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// The two groups of flags are the two structs: what is hashed into the folder's name and what is
// not.
func TestGroupsAreTheStructs(t *testing.T) {
	for _, tt := range []struct {
		names []string
		of    func(c Config) any
	}{
		{settingFlags, func(c Config) any { return c.Settings }},
		{executionFlags, func(c Config) any { return c.Execution }},
	} {
		var fields map[string]any
		text, err := json.Marshal(tt.of(Config{ // with values where empty ones are left out
			Settings: Settings{SmallMargin: 1, SmallMarginFactor: 1, SmallMarginNoise: 1, SmallMarginShuffle: "x",
				SmallMarginSeed: 1},
			Execution: Execution{DataDir: "x", Mirror: "x"},
		}))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		for _, name := range tt.names {
			delete(fields, strings.ReplaceAll(name, "-", "_"))
		}
		if len(fields) > 0 {
			t.Errorf("%s: no flag in the group sets %v", text, fields)
		}
	}
}

// An evaluation every so many epochs costs less than a tenth of these epochs, and no more epochs
// are left between than that takes.
func TestEvalEvery(t *testing.T) {
	var c Config
	const forward, step = 1, 3 // a backward pass costs two forward passes
	for _, train := range []int{1, 10, 40, 256, 1000, 50000} {
		for _, eval := range []int{10, 1000, 10000} {
			every := c.EvaluationEvery(forward, step, train, eval)
			cost := float64(forward*eval) / float64(step*train)
			if share := cost / float64(every); share >= 0.1 {
				t.Errorf("%d images evaluated every %d epochs of %d: %.3g of the training", eval,
					every, train, share)
			}
			if every > 1 && cost/float64(every-1) < 0.08 {
				t.Errorf("%d images evaluated every %d epochs of %d, although %d cost %.3g", eval,
					every, train, every-1, cost/float64(every-1))
			}
		}
	}
	if got := c.EvaluationEvery(forward, step, 50000, 10000); got != 1 { // 10000/150000 = 6.7%
		t.Errorf("CIFAR-10 is evaluated every %d epochs, want each", got)
	}
	c.EvalEvery = 5
	if got := c.EvaluationEvery(forward, step, 1, 1000); got != 5 {
		t.Errorf("got %d, want the 5 of -eval-every", got)
	}
}

// parseConfig never panics, and what it accepts it also reads back from what is written of it.
func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"settings": null, "execution": null}`,
		`{"settings": {"epochs": 3, "seed": 18446744073709551615, "lr": 1e-3}}`,
		`{"settings": {"ghost_batch": 5}, "derived": [1, {}], "execution": {"checkpoint_every": "1m0s", "offline": true}}`,
		`{"execution": {"checkpoint_every": null}}`, `{"settings": {"Epochs": 1, "epochs": 2}}`,
		`{"settings": {"small_margin": 0.1, "small_margin_noise": 0}}`, `{"settings": {"lr": 1e999}}`,
		`[`, `{} {}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Preset("tiny", "gdm")
		if err := parseConfig("file", data, &c); err != nil {
			if !strings.HasPrefix(err.Error(), "-config: file: ") {
				t.Errorf("the error %q does not begin with the place", err)
			}
			return
		}
		text, err := json.Marshal(map[string]any{"settings": c.Settings, "execution": c.Execution})
		if err != nil {
			t.Fatal(err)
		}
		again := Preset("quick", "sgd")
		if err := parseConfig("file", text, &again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if again != c {
			t.Errorf("got  %+v\nwant %+v", again, c)
		}
	})
}
