package imagerun

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/runlist"
	"momentum/internal/runtest"
)

// The preset's values are overridden by the file's, and these by the flags'.
func TestFlagsOverrideConfigOverridesPreset(t *testing.T) {
	config := runtest.File(t, "config.json", `{
		"settings": {"epochs": 7, "width": 3, "opt": "gd"},
		"derived": {"eta_eff": 1},
		"execution": {"chunk": 5, "checkpoint_every": "2s"}}`)
	c := parse(t, backend.Go, "-config="+config, "-width=2", "-preset=tiny")
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
	c = parse(t, backend.Go, "-config="+config, "-opt=gdm", "-preset=tiny")
	if c.Rate != Preset("tiny", "gdm").Rate || c.Momentum != 0.9 {
		t.Errorf("rate %v, momentum %v; want those of GD+M", c.Rate, c.Momentum)
	}
}

// A run folder's config.json gives the same configuration again, whatever the backend is then.
func TestConfigComesBack(t *testing.T) {
	for _, args := range [][]string{
		{"-preset=tiny"},
		{"-preset=tiny", "-small-margin=0.25", "-small-margin-factor=8", "-small-margin-noise=0.1",
			"-small-margin-shuffle=fixed", "-small-margin-seed=7", "-slim"},
		{"-preset=quick", "-opt=gd", "-seed=18446744073709551615", "-lr=0.1234567890123456"},
		{"-preset=paper", "-opt=sgdm", "-batch=100", "-form=damped", "-norm=batch", "-chunk=50",
			"-weight-decay=5e-4", "-checkpoint-every=90s"},
	} {
		want := parse(t, backend.Go, args...)
		content, err := json.Marshal(map[string]any{"settings": want.Settings, "derived": Derived{},
			"execution": want.Execution})
		if err != nil {
			t.Fatal(err)
		}
		config := "-config=" + runtest.File(t, "config.json", string(content))
		for _, kind := range []backend.Kind{backend.CUDA, backend.CPU, backend.Go} {
			if got := parse(t, kind, config); got != want {
				t.Errorf("%q on %s:\ngot  %+v\nwant %+v", args, kind, got, want)
			}
		}
	}
}

// The first lines name the preset, or the file whose settings replace all of it.
func TestOrigin(t *testing.T) {
	run, err := (&Config{}).Run()
	if err != nil {
		t.Fatal(err)
	}
	all := `{"settings": ` + string(run.Settings) + `}`
	some := `{"settings": {"epochs": 7}}`
	for text, want := range map[string]string{all: "settings  of config.json",
		some: "preset    quick, asked for by -preset: 512 embedded images"} {
		cmd := &Command{preset: "quick"}
		if cmd.content, err = parseSettingsFile("config.json", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := cmd.origin("quick", backend.CPU); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	cmd := &Command{content: settingsFile{place: "runs.jsonl:3", settings: run.Settings}}
	if got := cmd.origin("quick", backend.CPU); got != "settings  of runs.jsonl:3" {
		t.Errorf("a task: %q", got)
	}
}

// A line of a list is a whole run: neither the preset nor the line's place changes it.
func TestTask(t *testing.T) {
	want := parse(t, backend.Go, "-preset=tiny", "-opt=gd", "-lr=0.25", "-chunk=7")
	other := parse(t, backend.Go, "-preset=quick", "-seed=3")
	var runs []runlist.Run
	for _, c := range []Config{other, want} {
		run, err := c.Run()
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	content, err := runlist.Encode("runs.jsonl", runs)
	if err != nil {
		t.Fatal(err)
	}
	path := runtest.File(t, "runs.jsonl", string(content))
	list := "-config=" + path
	for _, kind := range []backend.Kind{backend.CUDA, backend.CPU} {
		if got := parse(t, kind, list, "-task=1"); got != want {
			t.Errorf("line 1 on %s:\ngot  %+v\nwant %+v", kind, got, want)
		}
	}
	for _, name := range []string{"SLURM_ARRAY_TASK_ID", "AWS_BATCH_JOB_ARRAY_INDEX"} {
		t.Setenv(name, "")
	}
	t.Setenv("JOB_COMPLETION_INDEX", "0")
	if got := parse(t, backend.CPU, list, "-task=auto"); got != other {
		t.Errorf("line 0:\ngot  %+v\nwant %+v", got, other)
	}

	// Flags may change the execution, but not the settings.
	if got := parse(t, backend.CPU, list, "-task=1", "-chunk=9"); got.Chunk != 9 ||
		got.Settings != want.Settings {
		t.Errorf("with -chunk=9:\ngot  %+v\nwant %+v", got, want)
	}
	const absent = "-backend=xla:/absent/cpu.so" // is not opened
	fails(t, cli.BadUsage, path+":2: the run "+runs[1].Name+", but its settings are those of "+
		"cifar10-mini-resnet18w4-gd-lr0.25-s2-", list, "-task=1", "-seed=2", absent)
	fails(t, cli.BadUsage, "-task: "+path+" has the tasks 0 to 1, got 2", list, "-task=2", absent)
}

// A list that is malformed is refused with its place.
func TestMalformedList(t *testing.T) {
	run := `{"name": "a", "settings": {"epochs": 1}, "execution": {}}` + "\n"
	for _, tt := range []struct{ list, want string }{
		{run + run, ":2: the run a stands on line 1 too; want a run as {"},
		{run + "{}", `:2: name is "", want that of a run folder; want a run as {`},
		{`{"name": "a", "settings": {"epoch": 1}, "execution": {}}`,
			":1: settings.epoch is not known: leave it out"},
		{`{"name": "a", "settings": {}, "execution": {"chunk": "5"}}`,
			":1: execution.chunk is of type string, want a whole number"},
		{`{"name": "a", "settings": {}, "execution": {}}`, ":1: the run a, but its settings are"},
	} {
		path := runtest.File(t, "runs.jsonl", tt.list)
		fails(t, cli.BadUsage, path+tt.want, "-config="+path, "-task=0",
			"-backend=xla:/absent/cpu.so")
	}
}

// A settings file that is malformed is refused, with its place and what is wanted, before a backend
// is opened: this one would fail in another way.
func TestMalformedSettingsFile(t *testing.T) {
	const file = `; want {"settings": {…}, "execution": {…}} as in a run folder's config.json`
	const whole = "want a whole number"
	for _, tt := range []struct{ content, problem string }{
		{"", "the file ends in the middle of the JSON object" + file},
		{"{", "the file ends in the middle of the JSON object" + file},
		{"epochs: 3", "invalid character 'e' looking for beginning of value" + file},
		{`{"epochs": 3}`, "epochs is not known: leave it out" + file},
		{`[]`, "the file is of type array, want an object {…}" + file},
		{`{"settings": {"epochs": 3}} {}`, "more follows the JSON object; want one object" + file},
		{`{"settings": {"epoch": 3}}`, "settings.epoch is not known: leave it out"},
		{`{"settings": {"lr": "fast"}}`, "settings.lr is of type string, want a number"},
		{`{"settings": {"lr": 1e999}}`, "settings.lr is of type number 1e999, want a number"},
		{`{"settings": {"epochs": "3"}}`, "settings.epochs is of type string, " + whole},
		{`{"settings": {"epochs": 1.5}}`, "settings.epochs is of type number 1.5, " + whole},
		{`{"settings": {"seed": -1}}`, "settings.seed is of type number -1, " + whole +
			" that is not negative"},
		{`{"settings": {"opt": 3}}`, "settings.opt is of type number, want a text in quotes"},
		{`{"settings": [1]}`, "settings is of type array, want an object {…}"},
		{`{"settings": 3}`, "settings is of type number, want an object {…}"},
		{`{"execution": {"slim": 1}}`, "execution.slim is of type number, want true or false"},
		{`{"execution": {"checkpoint_every": "soon"}}`,
			`want a time such as 30s or 1m, got "soon"`},
		{`{"execution": {"epochs": 3}}`, "execution.epochs is not known: leave it out"},
	} {
		path := runtest.File(t, "config.json", tt.content)
		fails(t, cli.BadUsage, "cifar: -config: "+path+": "+tt.problem+"\n", "-config="+path,
			"-backend=xla:/absent/cpu.so")
	}
}

// What a file leaves out, or has as null, is the preset's.
func TestSettingsFileOfNothing(t *testing.T) {
	preset := parse(t, backend.Go, "-preset=quick")
	for _, content := range []string{`{}`, `null`, `{"settings": null}`, `{"execution": null}`,
		`{"settings": {}, "derived": 3, "execution": {}}`, `{"settings": {"epochs": null}}`} {
		config := "-config=" + runtest.File(t, "config.json", content)
		if got := parse(t, backend.Go, "-preset=quick", config); got != preset {
			t.Errorf("%s:\ngot  %+v\nwant %+v", content, got, preset)
		}
	}
}

// A settings file never causes a panic. A valid configuration is read back from what is written of
// it.
func FuzzSettingsFile(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"settings": null, "execution": null}`, `[`, `{} {}`,
		`{"settings": {"epochs": 3, "seed": 18446744073709551615, "lr": 1e-3}}`,
		`{"settings": {"ghost_batch": 5}, "derived": [1, {}],
			"execution": {"checkpoint_every": "1m0s", "offline": true}}`,
		`{"execution": {"checkpoint_every": null}}`,
		`{"settings": {"Epochs": 1, "epochs": 2}}`,
		`{"settings": {"small_margin": 0.1, "small_margin_noise": 0}}`,
		`{"settings": {"small_margin": 0.1, "small_margin_shuffle": "fixed"}}`,
		`{"settings": {"model": "wrn16-2", "norm": "batch", "width": 0},
			"execution": {"chunk": 5}}`,
		`{"settings": {"opt": "gd", "momentum": 7, "form": "heavy"}}`,
		`{"settings": {"lr": 1e999}}`,
	} {
		f.Add([]byte(seed))
	}
	read := func(t *testing.T, text []byte, preset, opt string) (Config, error) {
		c := Preset(preset, opt)
		file, err := parseSettingsFile("file", text)
		if err == nil {
			if err := file.decode(&c); err != nil {
				t.Fatalf("%s: accepted, but then %v", text, err)
			}
		}
		c.Normalize()
		return c, err
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := read(t, data, "tiny", "gdm")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "-config: file: ") ||
				strings.Contains(err.Error(), "json:") {
				t.Errorf("the error %q lacks the place or has words of Go", err)
			}
			return
		}
		if c.Validate() != nil {
			return
		}
		text, err := json.Marshal(map[string]any{"settings": c.Settings, "execution": c.Execution})
		if err != nil {
			t.Fatal(err)
		}
		again, err := read(t, text, "quick", "sgd")
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if again != c {
			t.Errorf("got  %+v\nwant %+v", again, c)
		}
	})
}
