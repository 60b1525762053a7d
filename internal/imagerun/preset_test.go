package imagerun

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/runtest"
)

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
		want := Preset(tt.preset, tt.opt)
		want.Normalize()
		if got := parse(t, tt.kind, tt.arg); got != want {
			t.Errorf("%s on %s:\ngot  %+v\nwant %+v", tt.arg, tt.kind, got, want)
		}
	}
	// The paper preset leaves the width to the network.
	config := "-config=" + runtest.File(t, "config.json", `{"settings": {"model": "wrn16-4"}}`)
	for _, tt := range []struct {
		args  string
		width int
	}{
		{"-preset=paper -model=wrn16-4", 16}, {"-preset=paper -model=wrn16-4 -width=64", 64},
		{"-preset=paper " + config, 16}, {"-preset=paper -model=resnet18 " + config, 64},
		{"-preset=quick -model=wrn16-4", 8}, {"-preset=tiny -model=wrn16-4", 4},
		{"-preset=tiny -model=wrn16-4 -width=0", 16}, {"-preset=tiny -width=0", 64},
	} {
		if c := parse(t, backend.Go, strings.Fields(tt.args)...); c.Width != tt.width {
			t.Errorf("%s: width %d, want %d", tt.args, c.Width, tt.width)
		}
	}
	// The preset's warm-up is at most a twentieth of the epochs.
	for args, want := range map[string]int{"": 15, "-epochs=100": 5, "-epochs=1000": 15,
		"-epochs=100 -warmup=15": 15} {
		if c := parse(t, backend.CPU, strings.Fields(args)...); c.Warmup != want {
			t.Errorf("%q: %d epochs of warm-up, want %d", args, c.Warmup, want)
		}
	}
	// The paper's setting.
	want := Settings{Data: "cifar10", Model: "resnet18", Width: 64, Norm: "none",
		Init: "centered", BranchScale: 1 / math.Sqrt(8), Opt: "gdm", Momentum: 0.9, Epochs: 300}
	got := parse(t, backend.Go, "-preset=paper").Settings
	got.Form, got.Rate, got.Schedule, got.Precision, got.Seed = "", 0, "", "", 0
	if got != want {
		t.Errorf("the paper's setting is %+v, want %+v", got, want)
	}
	// GD has no momentum to lengthen its steps, so its rate is larger than that of GD+M.
	gd, gdm := parse(t, backend.CPU, "-opt=gd"), parse(t, backend.CPU, "-opt=gdm")
	if gd.Rate <= gdm.Rate {
		t.Errorf("rates %v of GD and %v of GD+M", gd.Rate, gdm.Rate)
	}
}

// The first lines of a run name batch, warm-up and precision where they are not the preset's or,
// where a file has all settings, the usual ones.
func TestOwnSettingsAreNamed(t *testing.T) {
	whole := func(args ...string) string {
		config, err := json.Marshal(map[string]any{
			"settings": parse(t, backend.Go, testArgs("runs", args...)...).Settings})
		if err != nil {
			t.Fatal(err)
		}
		return "-config=" + runtest.File(t, "config.json", string(config))
	}
	own := []string{"-images=40", "-opt=sgdm", "-batch=8", "-warmup=2", "-precision=bf16"}
	runs := t.TempDir()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{testArgs(runs, own...), "4 epochs of 5 step(s), batch 8, warm-up 2, bf16"},
		{testArgs(runs, "-images=40", "-opt=sgdm"), "4 epochs of 3 step(s)"},
		{testArgs(runs, "-warmup=1", "-until-loss=0.5"), "4 epochs of 1 step(s), warm-up 1, or " +
			"until all images are fitted with a loss of 0.5"},
		{testArgs(runs, "-preset=quick", "-epochs=300"), "300 epochs of 1 step(s)"},
		{testArgs(runs, "-preset=quick", "-epochs=100"), "100 epochs of 1 step(s), warm-up 5"},
		{testArgs(runs, "-preset=quick", "-warmup=0"), "4 epochs of 1 step(s), warm-up 0"},
		{[]string{"-backend=go", "-runs=" + runs, whole(own...)},
			"4 epochs of 5 step(s), batch 8, warm-up 2, bf16"},
		{[]string{"-backend=go", "-runs=" + runs, whole()}, "4 epochs of 1 step(s)"},
	} {
		stdout := succeed(t, append(tt.args, "-dry-run")...)
		_, line, _ := strings.Cut(stdout, "\ndescent ")
		line, _, _ = strings.Cut(line, "\n")
		if _, got, _ := strings.Cut(line, "; "); !strings.HasSuffix(got, "; "+tt.want) {
			t.Errorf("%q: %q, want it to end in %q", tt.args, line, tt.want)
		}
	}
}
