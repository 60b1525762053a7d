package imagerun

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// A command line that cannot be executed gives one line, which names the flag, and status 2, before
// a backend is opened: this one would fail with another status. It is long because it is a table of
// cases.
func TestUsage(t *testing.T) {
	absent := runtest.File(t, "config.json", "")
	os.Remove(absent)
	for _, tt := range []struct{ args, want string }{
		{"-images=x", `invalid value "x" for flag -images: want a whole number`},
		{"-fast", "flag provided but not defined: -fast; see -h"},
		{"gdm", `unexpected argument "gdm": flags are written -name=value`},
		{"-preset=huge", `-preset must be one of auto, tiny, quick, paper, got "huge"`},
		{"-opt=adam", `-opt must be one of gd, gdm, sgd, sgdm, got "adam"`},
		{"-opt=", `-opt must be one of gd, gdm, sgd, sgdm, got ""`},
		{"-data=mnist", `-data must be one of cifar10-mini, cifar10, cifar100, got "mnist"`},
		{"-gpu-memory=1.5", "-gpu-memory must be in [0, 1], got 1.5"},
		{"-precision=f16", `-precision must be one of f32, tf32, bf16, got "f16"`},
		{"-form=heavy", `-form must be one of damped, undamped, got "heavy"`},
		{"-schedule=linear", `-schedule must be one of constant, cosine, step, got "linear"`},
		{"-norm=layer", `-norm must be one of none, batch, weights, got "layer"`},
		{"-images=-1", "-images must be at least 0, got -1"},
		{"-holdout=-1", "-holdout must be at least 0, got -1"},
		{"-epochs=0", "-epochs must be at least 1, got 0"},
		{"-batch=-1", "-batch must be at least 0, got -1"},
		{"-eval-every=-1", "-eval-every must be at least 0, got -1"},
		{"-devices=0",
			`invalid value "0" for flag -devices: want auto or a number of at least 1, got "0"`},
		{"-devices=two",
			`invalid value "two" for flag -devices: want auto or a number of at least 1, ` +
				`got "two"`},
		{"-chunk=-1", "-chunk must be at least 0, got -1"},
		{"-warmup=-1", "-warmup must be in [0, 300] epochs, got -1"},
		{"-epochs=10 -warmup=11", "-warmup must be in [0, 10] epochs, got 11"},
		{"-checkpoint-every=-1s", "-checkpoint-every must be at least 0s, got -1s"},
		{"-checkpoint-every=1",
			`invalid value "1" for flag -checkpoint-every: want a time such as 30s or 1m, got "1"`},
		{"-seed=-1", `invalid value "-1" for flag -seed: want a whole number`},
		{"-lr=0", "-lr must be positive and finite, got 0"},
		{"-lr=-0.1", "-lr must be positive and finite, got -0.1"},
		{"-lr=NaN", "-lr must be positive and finite, got NaN"},
		{"-lr=Inf", "-lr must be positive and finite, got +Inf"},
		{"-momentum=1", "-momentum must be in [0, 1), got 1"},
		{"-momentum=-0.1", "-momentum must be in [0, 1), got -0.1"},
		{"-momentum=NaN", "-momentum must be in [0, 1), got NaN"},
		{"-weight-decay=-1", "-weight-decay must be finite and not negative, got -1"},
		{"-weight-decay=NaN", "-weight-decay must be finite and not negative, got NaN"},
		{"-branch-scale=-1", `invalid value "-1" for flag -branch-scale: want auto, or a number ` +
			`that is finite and not negative`},
		{"-branch-scale=Inf", `invalid value "Inf" for flag -branch-scale: want auto, or a number`},
		{"-init=xavier", "-init must be one of centered, he, pytorch, fixup, skipinit, " +
			`got "xavier"`},
		{"-init=fixup -norm=weights", "init fixup is for networks without normalization, got " +
			"norm weights: use norm none, or init centered"},
		{"-init=skipinit -model=vgg19", "init skipinit is for residual branches, and vgg19 has " +
			"none: use init centered"},
		{"-clip=-1", "-clip must be finite and not negative, got -1"},
		{"-until-loss=NaN", "-until-loss must be finite and not negative, got NaN"},
		{"-opt=sgdm -until-loss=0.1", "-until-loss needs the training loss at one point, which " +
			"-opt=sgdm does not know"},
		{"-width=-1", "cifar: -width must be 0 or in [1, 4096], got -1"},
		{"-width=4097", "cifar: -width must be 0 or in [1, 4096], got 4097"},
		{"-model=vgg",
			`cifar: -model: unknown model "vgg", want resnet18, vgg19 or wrn16-K (such ` +
				`as wrn16-4)`},
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
		{"-small-margin=0.1 -small-margin-noise=NaN",
			"-small-margin-noise must be in (0, 1], got NaN"},
		{"-small-margin=0.1 -small-margin-shuffle=none",
			`-small-margin-shuffle must be one of image, fixed, got "none"`},
		{"-small-margin=0.1 -small-margin-shuffle=",
			`-small-margin-shuffle must be one of image, fixed, got ""`},
		{"-small-margin=0.1 -small-margin-seed=0", "-small-margin-seed must be at least 1, got 0"},
		{"-small-margin-factor=4",
			"-small-margin-factor needs small-margin images: add -small-margin=0.1, or leave it " +
				"out"},
		{"-small-margin=0 -small-margin-seed=2",
			"-small-margin-seed needs small-margin images: add -small-margin=0.1, or leave it out"},
		{"-diagnose-every=3",
			"-diagnose-every needs a diagnosis: add -diagnose=sharpness, or leave it out"},
		{"-diagnose=layers -diagnose-images=3", "-diagnose-images needs a diagnosis of the loss: " +
			"add -diagnose=sharpness, or leave it out"},
		{"-diagnose=layers -eigenvalues=2",
			"-eigenvalues needs the sharpness: add -diagnose=sharpness, or leave it out"},
		{"-intervene-at=0.2", "-intervene-at needs an intervention that waits: add " +
			"-intervene=reset, or leave it out"},
		{"-small-margin=0.1 -intervene=keep-out -intervene-at=0.2", "-intervene-at needs an " +
			"intervention that waits"},
		{"-cost=c.json", "-cost needs -dry-run: add it, or leave -cost out"},
		{"-task=1", "-task needs -config=FILE, the runs.jsonl of a sweep"},
		{"-task=x", `the task must be a whole number of at least 0, or auto, got "x"`},
		{"-norm=batch", "-norm=batch takes its statistics over a chunk: say which with -chunk, " +
			"for example -chunk=128"},
		{"-backend=tpu",
			`unknown backend "tpu", want auto, go, xla:cuda, xla:cpu, ` +
				`xla:cpu:BUILD or xla:/absolute/plugin.so`},
		{"-backend=xla:cpu.so", "the path of a plugin must be absolute"},
		{"-backend=xla:/lib/pjrt.so", "must contain either cpu or cuda"},
		{"-config=" + absent, "-config: open " + absent + ": no such file or directory"},
		{"-config=" + runtest.File(t, "a", `{"settings": {"epochs": 0}}`),
			"-epochs must be at least 1, got 0"},
	} {
		fails(t, cli.BadUsage, tt.want, runtest.Changed([]string{"-preset=paper",
			"-backend=xla:/absent/cpu.so"}, strings.Fields(tt.args)...)...)
	}
}

// Every flag is in one group and is explained once by -h.
func TestManualHasEveryFlagOnce(t *testing.T) {
	var manual strings.Builder
	PrintFlags(&manual)
	var want, got []string
	var c Config
	new(Command).flags(&c).VisitAll(func(f *flag.Flag) { want = append(want, f.Name) })
	explained := regexp.MustCompile(`(?m)^  -([a-z-]+) +\S`)
	for _, match := range explained.FindAllStringSubmatch(manual.String(), -1) {
		got = append(got, match[1])
	}
	paper := Preset("paper", "gdm")
	new(Command).flags(&paper).VisitAll(func(f *flag.Flag) {
		if f.DefValue == "" && !strings.Contains(f.Usage, "empty: ") &&
			!strings.Contains(f.Usage, "(default none)") {
			t.Errorf("-%s does not say its default: %s", f.Name, f.Usage)
		}
	})
	groups := slices.Concat(commandFlags, settingFlags, executionFlags)
	if !slices.Equal(got, groups) {
		t.Errorf("-h explains %q, want the groups %q", got, groups)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) { // VisitAll goes in order
		t.Errorf("-h explains %q, want each of %q once", got, want)
	}
}

// The two groups of flags are the two structs: what is hashed into the folder's name and what is
// not. Each flag sets the field that has its name in config.json.
func TestGroupsAreTheStructs(t *testing.T) {
	values := map[string]string{"checkpoint-every": "7s", "slim": "true", "offline": "true",
		"deterministic": "true", "preallocate": "true"}
	for _, group := range []struct {
		flags []string
		part  func(c *Config) any
		other []string // fields that no flag sets
	}{
		{settingFlags, func(c *Config) any { return &c.Settings }, []string{"ghost_batch"}},
		{executionFlags, func(c *Config) any { return &c.Execution }, nil},
	} {
		unset := fields(group.part(new(Config)))
		for _, name := range group.flags {
			var c Config
			value := cmp.Or(values[name], "7") // is a number and a string
			if err := c.flags().Set(name, value); err != nil {
				t.Fatalf("-%s=%s: %v", name, value, err)
			}
			field := strings.ReplaceAll(name, "-", "_")
			got := fields(group.part(&c))
			if fmt.Sprint(got[field]) != value {
				t.Errorf("-%s=%s sets the field %s to %v", name, value, field, got[field])
			}
			if want := unset[field]; reflect.DeepEqual(got[field], want) {
				t.Errorf("-%s=%s leaves the field %s at %v", name, value, field, want)
			}
			delete(got, field)
			for other, x := range got {
				if !reflect.DeepEqual(x, unset[other]) {
					t.Errorf("-%s also sets the field %s, to %v", name, other, x)
				}
			}
		}
		want := append(slices.Clone(group.flags), group.other...)
		for i, name := range want {
			want[i] = strings.ReplaceAll(name, "-", "_")
		}
		got := slices.Collect(maps.Keys(unset))
		slices.Sort(want)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("fields %q, want those of the flags, %q", got, want)
		}
	}
}

// fields are the values of a struct by their names in JSON, also those that JSON leaves out.
func fields(pointer any) map[string]any {
	all := map[string]any{}
	v := reflect.ValueOf(pointer).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		all[name] = v.Field(i).Interface()
		if d, ok := all[name].(cli.Duration); ok {
			all[name] = time.Duration(d)
		}
	}
	return all
}

// Bind adds the flags that it is asked for, with the configuration's values as defaults.
func TestBind(t *testing.T) {
	c := Preset("quick", "gd")
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c.Bind(fs, "epochs", "lr", "checkpoint-every")
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name+"="+f.DefValue) })
	if want := []string{"checkpoint-every=1m0s", "epochs=300", "lr=1"}; !slices.Equal(names,
		want) {
		t.Errorf("flags %q, want %q", names, want)
	}
	if err := fs.Parse([]string{"-epochs=3", "-checkpoint-every=5s"}); err != nil {
		t.Fatal(err)
	}
	if c.Epochs != 3 || time.Duration(c.CheckpointEvery) != 5*time.Second || c.Rate != 1 {
		t.Errorf("configuration %+v", c)
	}
}
