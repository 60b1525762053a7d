package main

import (
	"flag"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// mustParse resolves valid arguments.
func mustParse(t *testing.T, args ...string) (Config, request) {
	t.Helper()
	c, r, err := parse(args)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return c, r
}

// near compares with numbers computed by hand to five digits.
func near(got, want float64) bool { return math.Abs(got-want) <= 1e-4*math.Abs(want) }

func TestPresets(t *testing.T) {
	// All have d = 30, m = 5 and P = 5 of the paper's Figure 3, and α = 30^0.49 = e^(0.49·3.401197)
	// = 5.2941.
	quick, _ := mustParse(t)
	if !near(quick.Alpha, 5.2941) {
		t.Errorf("α = %v, want 5.2941", quick.Alpha)
	}
	want := Settings{
		N: 1000, SmallMargin: 20, Test: 2000, D: 30, P: 5, M: 5, Alpha: quick.Alpha, Beta: 0.2,
		Sigma: 0.35, Sigma0: 0.03, Form: "damped", Eta: 0.2, Gamma: 0.99, T: 20000, Stop: 0.01,
		Fitted: 0.1, Seed: 1, Seeds: 1,
	}
	if quick.Settings != want {
		t.Errorf("quick:\ngot  %v\nwant %v", quick.Settings, want)
	}
	want.N, want.SmallMargin, want.Sigma, want.T, want.Seeds = 20000, 40, 0.5, 120000, 5
	if paper, _ := mustParse(t, "-preset=paper"); paper.Settings != want {
		t.Errorf("paper:\ngot  %v\nwant %v", paper.Settings, want)
	}

	// With d = 100: ln d = 4.60517, 100^0.49 = 10^0.98 = 9.54993, √0.0460517 = 0.214597, and
	// 100^−0.509 = 10^−1.018 = 0.0959401, whose cube is 8.83081e−4.
	theory, r := mustParse(t, "-preset=theory", "-d=100")
	for name, pair := range map[string][2]float64{
		"α": {theory.Alpha, 9.54993}, "σ": {theory.Sigma, 0.0959401},
		"β": {theory.Beta, 9.54993 / 46.0517}, "σ₀": {theory.Sigma0, 0.0214597},
		"N": {float64(theory.N), 3200}, "small margin": {float64(theory.SmallMargin), 4},
		"1−γ": {1 - theory.Gamma, 0.00460517},
		"T":   {float64(theory.T), 3200 / (2 * 0.2 * 0.0214597 * 8.83081e-4 * 1000)},
		"d":   {float64(theory.D), 100},
	} {
		if !near(pair[0], pair[1]) {
			t.Errorf("theory, d = 100: %s = %v, want %v", name, pair[0], pair[1])
		}
	}
	if !slices.Equal(r.parts, []string{partScales}) {
		t.Errorf("theory has the parts %q, want the scales", r.parts)
	}
}

// Flags override the preset in any position, and μ refers to the resolved N.
func TestFlagsOverridePreset(t *testing.T) {
	c, r := mustParse(t, "-N=500", "-d=7", "-mu=0.1", "-gamma=0.5", "-preset=paper", "-runs=a",
		"-seed=18446744073709551615")
	if c.N != 500 || c.D != 7 || c.SmallMargin != 50 || c.Gamma != 0.5 || c.T != 120000 ||
		c.Seed != math.MaxUint64 {
		t.Errorf("got %v", c.Settings)
	}
	const out = "a/synthetic-paper-N=500-d=7-momentum=0.5-seed=18446744073709551615" +
		"-small-margin=0.1"
	if c.Out != out || r.preset != "paper" || c.Table1.Seed != c.Seed {
		t.Errorf("out %q, preset %q, seed %d of Table 1", c.Out, r.preset, c.Table1.Seed)
	}
	// N = 32·10
	if c, _ := mustParse(t, "-mu=0.5", "-preset=theory", "-d=10"); c.SmallMargin != 160 {
		t.Errorf("%d of %d samples have a small margin, want 160", c.SmallMargin, c.N)
	}
	if c, _ := mustParse(t, "-out=there", "-checkpoint-every=2s", "-mu=0"); c.Out != "there" ||
		c.SmallMargin != 0 || time.Duration(c.CheckpointEvery) != 2*time.Second {
		t.Errorf("got %+v", c)
	}
}

func TestParts(t *testing.T) {
	for _, tt := range []struct {
		args string
		want []string
	}{
		{"", []string{partFigure3}},
		{"-figure=2", []string{partFigure2}},
		{"-figure=3,2", []string{partFigure2, partFigure3}},
		{"-map -figure=3 -figure=3", []string{partFigure3, partMap}},
		{"-table=1 -scales -mechanism -theory", []string{partTheory, partMechanism, partScales,
			partTable1}},
		{"-theory -map=false", []string{partTheory}},
		{"-all", allParts},
		{"-preset=theory -theory -d=20", []string{partTheory}},
	} {
		if _, r := mustParse(t, strings.Fields(tt.args)...); !slices.Equal(r.parts, tt.want) {
			t.Errorf("%q has the parts %q, want %q", tt.args, r.parts, tt.want)
		}
	}
}

// An invalid command line gives one line, which names the flag, and status 2 before a backend is
// opened: that of these commands does not exist. It is long because it is a table of cases.
func TestUsage(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-N=x", `invalid value "x" for flag -N: want a whole number`},
		{"-all -figure=2", "-all has every part: leave out -all or the parts that you name"},
		{"-map -lr=3", "-lr changes nothing in map: leave it out, or ask for a part that it " +
			"changes"},
		{"-map -gamma=0.5", "-momentum changes nothing in map"},
		{"-theory -seeds=2", "-seeds changes nothing in theory"},
		{"-figure=2 -N=10", "-N changes nothing in figure2"},
		{"-table=1 -theory -filters=3 -lr=0.1 -seeds=3",
			"-seeds changes nothing in theory, table1"},
		{"-table-seeds=3", "-table-seeds changes nothing in figure3"},
		{"-fast", "flag provided but not defined: -fast; see -h"},
		{"map", `unexpected argument "map": flags are written -name=value`},
		{"-preset=huge", `-preset must be one of quick, paper, theory, got "huge"`},
		{"-figure=4", `invalid value "4" for flag -figure: want 2 or 3`},
		{"-figure=e3", `invalid value "e3" for flag -figure: want 2 or 3`},
		{"-figure=2,", `invalid value "2," for flag -figure: want 2 or 3`},
		{"-figure=", `invalid value "" for flag -figure: want 2 or 3`},
		{"-figure=true", `invalid value "true" for flag -figure: want 2 or 3`},
		{"-table=2", `invalid value "2" for flag -table: want 1`},
		{"-map=no", `invalid boolean value "no" for -map`},
		{"-mu=0.1 -small-margin=0.2", `invalid value "0.2" for flag -small-margin: it is the ` +
			`same as -mu, which was given as "0.1": give one of them`},
		{"-mu=1.1", "-small-margin must be a share in [0, 1], got 1.1: 40 of 20,000 samples"},
		{"-small-margin=40", "-small-margin must be a share in [0, 1], got 40"},
		{"-mu=-0.1", "-small-margin must be a share in [0, 1], got -0.1"},
		{"-mu=NaN", "-small-margin must be a share in [0, 1], got NaN"},
		{"-N=0", "-N must be at least 1, got 0"},
		{"-test=0", "-test must be at least 1, got 0"},
		{"-d=1", "-d must be at least 2: the signal takes one dimension, noise the others, got 1"},
		{"-d=0", "-d must be at least 2"},
		{"-P=1", "-P must be at least 2: one patch is the signal, got 1"},
		{"-m=0", "-m must be in [1, 1000], got 0"},
		{"-alpha=0", "-alpha must be positive and finite, got 0"},
		{"-sigma=NaN", "-sigma must be positive and finite, got NaN"},
		{"-sigma0=Inf", "-sigma0 must be positive and finite, got +Inf"},
		{"-beta=6", "-beta must be in (0, 5.294] (α), got 6"},
		{"-beta=0", "-beta must be in (0, 5.294] (α), got 0"},
		{"-form=heavy", "-form must be damped or undamped, got heavy"},
		{"-eta=0", "-lr must be positive and finite, got 0"},
		{"-lr=-1", "-lr must be positive and finite, got -1"},
		{"-gamma=1", "-momentum must be in [0, 1), got 1"},
		{"-gamma=-0.1", "-momentum must be in [0, 1), got -0.1"},
		{"-momentum=NaN", "-momentum must be in [0, 1), got NaN"},
		// α/(√2 ln 2) = α/0.980
		{"-preset=theory -d=2", "-beta must be in (0, 1.404] (α), got 1.43"},
		{"-lambda=-1", "-weight-decay must be finite and not negative, got -1"},
		{"-T=0", "-T must be in [1, 1e9], got 0"},
		{"-stop=NaN", "-stop must be finite and not negative, got NaN"},
		{"-fitted=0.5", "-fitted must be in (0, 0.5), got 0.5"},
		{"-seeds=0", "-seeds must be in [1, 1000], got 0"},
		{"-seed=-1", `invalid value "-1" for flag -seed: want a whole number that is`},
		{"-checkpoint-every=-1s", "-checkpoint-every must be not negative, got -1s"},
		{"-checkpoint-every=1", "want a time such as 30s or 1m, got"},
		{"-runs=", "-runs must be a folder, got nothing"},
		{"-N=1000000000", "distribution D: N·P·d must be at most 1073741824, got 1000000000·5·30"},
		{"-test=1000000000",
			"-test: distribution D: N·P·d must be at most 1073741824, got 1000000000·5·30"},
		{"-alpha=1e31", "distribution D: α must be in [1e-30, 1e+30], got 1e+31"},
		{"-mlp-width=0", "table1: "},
		{"-filters=0", "table1: "},
		{"-filter-size=31", "table1: "},
		{"-teacher-width=0", "table1: "},
		{"-teacher-filters=-1", "table1: "},
		{"-table-seeds=0", "table1: seeds must be at least 1, got 0"},
		{"-table-epochs=0", "table1: epochs must be at least 1, got 0"},
		{"-table-momentum=1", "table1: gamma must be in [0, 1), got 1"},
		{"-backend=tpu",
			`unknown backend "tpu", want auto, go, xla:cuda, xla:cpu, ` +
				`xla:cpu:BUILD or xla:/absolute/plugin.so`},
	} {
		args := runtest.Changed([]string{"-preset=paper", "-backend=xla:/absent/cpu.so"},
			strings.Fields(tt.args)...)
		status, stdout, stderr := synthetic(t.Context(), args...)
		if status != cli.BadUsage || stdout != "" || strings.Count(stderr, "\n") != 1 ||
			!strings.HasPrefix(stderr, "synthetic: ") || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: status %d, %q, %q; want 2, nothing and %q", tt.args, status, stdout,
				stderr, tt.want)
		}
	}
}

// -h explains every flag once, in its group, with its second name and the presets' defaults.
func TestManualHasEveryFlagOnce(t *testing.T) {
	status, stdout, stderr := synthetic(t.Context(), "-h")
	if status != cli.Done || stderr != "" {
		t.Fatalf("status %d, %q", status, stderr)
	}
	var c Config
	var r request
	var mu float64
	var want []string
	flagSet(&c, &r, &mu).VisitAll(func(f *flag.Flag) { want = append(want, f.Name) })
	var got []string
	explained := regexp.MustCompile(`(?m)^  -([A-Za-z0-9-]+)(?:, -[a-z]+)? +\S`)
	for _, m := range explained.FindAllStringSubmatch(stdout, -1) {
		got = append(got, m[1])
	}
	groups := slices.Concat(requestFlags, settingFlags, tableFlags, executionFlags)
	if !slices.Equal(got, groups) {
		t.Errorf("-h explains %q, want the groups %q", got, groups)
	}
	for name, second := range aliases {
		if !strings.Contains(stdout, "\n  -"+name+", -"+second+" ") {
			t.Errorf("-h does not show -%s beside -%s", second, name)
		}
	}
	runtest.Manual(t, "synthetic", stdout,
		"-N training samples (default quick 1000, paper 20000, theory 960)",
		"-lr, -eta η, learning rate of GD and of GD+M (default 0.2)",
		"-seeds number of seeds, where results are averaged (default quick 1, paper 5, theory 1)")
	for _, second := range aliases {
		got = append(got, second)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) { // VisitAll visits flags in lexical order
		t.Errorf("-h explains %q, want each of %q once", got, want)
	}
}

// The examples of the manual are valid and run the parts that they name.
func TestManualExamples(t *testing.T) {
	want := [][]string{
		{partFigure3}, {partFigure3}, {partFigure2}, {partMap}, {partTheory}, {partMechanism},
		{partScales}, {partTable1}, allParts, {partScales},
	}
	examples := regexp.MustCompile(`(?m)^  go run ./synthetic((?: -\S+)*)  `).FindAllStringSubmatch(
		manual, -1)
	if len(examples) != len(want) {
		t.Fatalf("%d examples, want %d", len(examples), len(want))
	}
	for i, m := range examples {
		if _, r := mustParse(t, strings.Fields(m[1])...); !slices.Equal(r.parts, want[i]) {
			t.Errorf("go run ./synthetic%s has the parts %q, want %q", m[1], r.parts, want[i])
		}
	}
}

// With more than 1,000 samples, -all uses the quick preset for the parts with many settings, and
// draws the map for both.
func TestPlan(t *testing.T) {
	plan := func(args ...string) []part {
		c, r := mustParse(t, args...)
		return c.plan(r)
	}
	names := func(parts []part) (names []string) {
		for _, p := range parts {
			names = append(names, p.name)
		}
		return names
	}

	paper, quick := preset("paper", 30), preset("quick", 30)
	paper.Seed, quick.Seed = 3, 3
	many := quick
	many.Seeds = 5
	got := plan("-all", "-preset=paper", "-seed=3")
	want := []part{
		{partFigure2, paper}, {partFigure3, paper}, {partTheory, paper}, {partMechanism, many},
		{partScales, many}, {partTable1, paper}, {partMap, quick}, {partMap, paper},
	}
	if !slices.Equal(got, want) {
		t.Errorf("-all at paper:\ngot  %v\nwant %v", got, want)
	}

	got = plan("-all", "-gamma=0.9")
	if !slices.Equal(names(got), allParts) {
		t.Errorf("-all at quick has the parts %q, want each once", names(got))
	}
	for _, p := range got {
		if p.settings.N != quickN || p.settings.Seeds != 1 || p.settings.Gamma != 0.9 {
			t.Errorf("%s at quick has %v", p.name, p.settings)
		}
	}

	// A part alone has the settings of its flags.
	c, r := mustParse(t, "-preset=paper", "-mechanism", "-map")
	want = []part{{partMechanism, c.Settings}, {partMap, c.Settings}}
	if got := c.plan(r); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}

	// The scales of the theory preset start from -d.
	c, r = mustParse(t, "-all", "-preset=theory", "-d=100")
	got = c.plan(r)
	i := slices.IndexFunc(got, func(p part) bool { return p.name == partScales })
	if got[i].settings != c.Settings {
		t.Errorf("the scales at -preset=theory have %v, want %v", got[i].settings, c.Settings)
	}
}
