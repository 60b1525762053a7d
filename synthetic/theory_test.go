package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"momentum/internal/cubic"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares a text with that of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		write(t, got, path)
	}
	if want := runtest.Read(t, path); got != want {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

// columns are the values of newRun by name. A NaN is left out of its row.
type columns map[string][]float64

// newRun is a run with these rows.
func newRun(steps []int64, c columns) trained {
	var t trained
	var names []string
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, step := range steps {
		row := rundir.Row{Step: step}
		for _, name := range names {
			if x := c[name]; i < len(x) && !math.IsNaN(x[i]) {
				row.Values = append(row.Values, rundir.Value{Name: name, X: x[i]})
			}
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func TestCurve(t *testing.T) {
	c := curve{[]float64{0, 1, 3, 10}, []float64{4, 2, 6, 1}}
	above := func(limit float64) func(float64) bool {
		return func(x float64) bool { return x > limit }
	}
	for limit, want := range map[float64]int{3: 0, 5: 3, 6: -1} {
		if got := c.firstStep(above(limit)); got != want {
			t.Errorf("first above %v: %d, want %d", limit, got, want)
		}
	}
	for step, want := range map[float64]float64{0: 4, 2.9: 2, 3: 6, 100: 1} {
		if got := c.value(step); got != want {
			t.Errorf("step %v: %v, want %v", step, got, want)
		}
	}
	if got := c.value(-1); !math.IsNaN(got) {
		t.Errorf("before the first step: %v, want NaN", got)
	}
	if got := c.sum(); got != 3+8+24.5 { // 1·(4+2)/2 + 2·(2+6)/2 + 7·(6+1)/2
		t.Errorf("sum %v, want 35.5", got)
	}
	if got := c.last(); got != 1 {
		t.Errorf("last %v, want 1", got)
	}
	product := func(step, x float64) float64 { return step * x }
	if got := c.largest(0, product); got != 18 { // 3·6
		t.Errorf("largest %v, want 18", got)
	}
	if got := c.largest(4, product); got != 10 {
		t.Errorf("largest from step 4 on: %v, want 10", got)
	}
}

func TestNearerAndWithin(t *testing.T) {
	for _, tt := range []struct {
		x    float64
		want bool
	}{{1, true}, {9, true}, {11, false}, {100, false}, {0.001, true}, {0, false}, {-1, false},
		{math.NaN(), false}} { // 10 is halfway
		if got := nearer(tt.x, 1, 100); got != tt.want {
			t.Errorf("%v is nearer to 1 than to 100: %t", tt.x, got)
		}
	}
	for _, tt := range []struct {
		step      int
		predicted float64
		want      bool
	}{{20, 2, true}, {21, 2, false}, {10, 0.01, true}, {11, 0.01, false}, {0, 2, true},
		{-1, 2, false}} {
		if got := withinOrder(tt.step, tt.predicted); got != tt.want {
			t.Errorf("step %d is within a factor of 10 of %v: %t", tt.step, tt.predicted, got)
		}
	}
}

// handMade are settings with round numbers:
// 1/α = 0.5, 1/β = 10, μ = 0.1, σ₀ σ √d = 0.1, 1/(1−γ) = 10.
func handMade() Settings {
	return Settings{N: 100, SmallMargin: 10, D: 4, M: 2, Alpha: 2, Beta: 0.1, Sigma: 0.5,
		Sigma0: 0.1, Form: "damped", Eta: 0.5, Gamma: 0.9}
}

// seenAll are two runs in which all claims are seen. Predicted for GD: T₀ = 1/(0.5·2³·0.1) = 2.5
// and T₁ = 100/(0.5·0.1·0.5·2·0.5²·4) = 2000; for GD+M: T₀ = 2.5 + 10 and √(1−γ)/α = 0.158. Both
// have c ≥ 1/α at step 10, so T₁ of GD+M is step 20.
func seenAll() ([]int64, columns) {
	return []int64{0, 10, 20, 100}, columns{
		"gd/c":    {0.01, 0.6, 0.602, 0.605},
		"gd/nu_1": {0.45, 0.01, 0.001, 0.0001}, // ν₁·ηα(t−T₀+1): at most 0.001·11
		// Their sum is 0.5 + 0.35 + 0.84 = 1.69, and 3ηβ³/α² times that is 6.3e−4.
		"gd/nu_2":        {0.05, 0.05, 0.02, 0.001},
		"gd/noise_min_2": {-0.1, 0, 0.5, 1.5},
		"gd/error":       {0.5, 0.1, 0.1, 0},
		"gd/test_1":      {0.5, 1, 1, 1},
		"gd/test_2":      {0.5, 0.5, 0.5, 0.5}, // error 0.1·0.5

		"gdm/c":        {0.01, 0.6, 6, 12},
		"gdm/c1":       {0.01, 0.1, 0.1, 0.1},
		"gdm/c2":       {0.01, 0.6, 6, 12}, // the strongest
		"gdm/M1":       {0, 0, 0, 0},
		"gdm/M2":       {0, -0.1, -0.05, 0},
		"gdm/G1":       {0, 0, 0, 0},
		"gdm/G2":       {-0.5, -0.05, -0.001, 0},
		"gdm/nu_1":     {0.45, 0.01, 0.01, 0},
		"gdm/nu_2":     {0.05, 0.05, 0.01, 0.001}, // ν·ηβ(t−T₁+1): at most 0.001·0.05·81
		"gdm/xi_max_1": {0.1, 0.1, 0.2, 0.3},
		"gdm/xi_max_2": {0.1, 0.1, 0.2, 0.2},
		"gdm/error":    {0.5, 0.1, 0, 0},
		"gdm/test_1":   {0.5, 1, 1, 1},
		"gdm/test_2":   {0.5, 0.5, 0.8, 1},
	}
}

// Every claim is seen where it holds, and not seen where its own number contradicts it. It is long
// because it is a table of cases.
func TestClaims(t *testing.T) {
	nan := math.NaN()
	claims := func(s Settings, t trained) []claim {
		return append(s.claimsGD(t), s.claimsGDM(t)...)
	}
	for _, tt := range []struct {
		name    string
		rows    int // to keep; 0: all
		change  columns
		notSeen []int // indices of claims: 0 to 8 are GD's, 9 to 16 GD+M's
	}{
		{name: "all as the theory says"},
		{name: "GD learns nothing", change: columns{"gd/c": {0.01, 0.01, 0.01, 0.01}},
			notSeen: []int{0, 1, 2, 3}},
		// The bound of ν₁ is 0.2·91.
		{name: "GD forgets Z₁", change: columns{"gd/nu_1": {0.45, 0.01, 0.001, 0.2}},
			notSeen: []int{1, 2}},
		{name: "Z₂ rules before T₀, too", change: columns{"gd/nu_1": {0.04, 0.01, 0.001, 0.0001}}},
		{name: "c of GD grows", change: columns{"gd/c": {0.01, 0.6, 0.7, 0.8}}, notSeen: []int{3}},
		{name: "c of GD reaches 1/β", change: columns{"gd/c": {0.01, 0.6, 5, 9}},
			notSeen: []int{3, 6}},
		{name: "GD does not memorize", change: columns{"gd/noise_min_2": {-0.1, 0, 0.5, 0.5}},
			notSeen: []int{4, 7}},
		// The sum is 25.25 + 50 + 200.04, and η times that is 137 > 10/σ₀.
		{name: "ν₂ stays", change: columns{"gd/nu_2": {0.05, 5, 5, 0.001}}, notSeen: []int{5}},
		{name: "GD does not fit", change: columns{"gd/error": {0, 0, 0, 0.01}}, notSeen: []int{8}},
		{name: "GD generalizes", change: columns{"gd/test_2": {0, 0, 0, 1}}, notSeen: []int{8}},
		{name: "GD diverges at the end", change: columns{"gd/diverged": {nan, nan, nan, 99}},
			notSeen: []int{6, 7, 8}},

		{name: "GD+M learns nothing", change: columns{"gdm/c": {0.01, 0.01, 0.01, 0.01}},
			notSeen: []int{9, 10, 11, 12, 13, 15}},
		{name: "GD+M has no momentum", change: columns{"gdm/M2": {0, -0.001, -0.05, 0}},
			notSeen: []int{10}},
		{name: "its gradient lasts as long", change: columns{"gdm/G2": {-0.5, -0.05, -0.02, 0}},
			notSeen: []int{11}},
		{name: "it is carried too short", change: columns{"gdm/c": {0.01, 0.6, 1, 12}},
			notSeen: []int{12}},
		// The bound of ν is 5·0.05·81.
		{name: "ν of GD+M stays", change: columns{"gdm/nu_2": {0.05, 0.05, 0.01, 5}},
			notSeen: []int{13}},
		{name: "noise of Z₁ grows", change: columns{"gdm/xi_max_1": {0.1, 0.1, 0.2, 1.01}},
			notSeen: []int{14}},
		{name: "noise of Z₂ grows", change: columns{"gdm/xi_max_2": {0.1, 0.1, 0.2, 1.01}},
			notSeen: []int{14}},
		{name: "c falls back", change: columns{"gdm/c": {0.01, 0.6, 6, 1}}, notSeen: []int{15}},
		{name: "GD+M does not fit", change: columns{"gdm/error": {0, 0, 0, 0.01}},
			notSeen: []int{16}},
		// The test error is 0.1·0.2 > μ/10.
		{name: "GD+M misses a fifth of Z₂", change: columns{"gdm/test_2": {0, 0, 0, 0.8}},
			notSeen: []int{16}},
		// No neuron is then the strongest.
		{name: "GD+M diverges at the end", change: columns{"gdm/diverged": {nan, nan, nan, 99}},
			notSeen: []int{10, 11, 14, 15, 16}},

		// At step 10 GD has neither memorized nor fitted anything. GD+M has not reached T₁, so
		// nothing is known of what follows it.
		{name: "ends at step 10", rows: 2, notSeen: []int{4, 7, 8, 11, 12, 13, 15, 16}},
	} {
		steps, c := seenAll()
		for name, values := range tt.change {
			c[name] = values
		}
		if tt.rows > 0 {
			steps = steps[:tt.rows]
		}
		var notSeen []int
		for i, claim := range claims(handMade(), newRun(steps, c)) {
			if !claim.Seen {
				notSeen = append(notSeen, i)
			}
		}
		if !slices.Equal(notSeen, tt.notSeen) {
			t.Errorf("%s: claims %v are not seen, want %v", tt.name, notSeen, tt.notSeen)
		}
	}

	// In the undamped form the same path has 1−γ times the rate, 1/(1−γ) times the buffer and the
	// same claims.
	steps, c := seenAll()
	damped := claims(handMade(), newRun(steps, c))[9:]
	s := handMade()
	s.Form, s.Eta = "undamped", s.Eta/10
	c["gdm/M2"] = []float64{0, -1, -0.5, 0}
	undamped := claims(s, newRun(steps, c))[9:]
	for i := range damped {
		if undamped[i] != damped[i] {
			t.Errorf("undamped %v, damped %v", undamped[i], damped[i])
		}
	}

	var text strings.Builder
	for _, c := range claims(handMade(), newRun(seenAll())) {
		fmt.Fprintf(&text, "%s | %s | %s | %s | %t\n", c.Where, c.What, c.Predicted, c.Measured,
			c.Seen)
	}
	golden(t, "claims.txt", text.String())
}

func TestTestError(t *testing.T) {
	s := handMade() // μ = 0.1
	r := newRun([]int64{5}, columns{"gd/test_1": {0.75}, "gd/test_2": {0.5}}).last("gd")
	if got := s.testError(r); math.Abs(got-0.275) > 1e-15 { // 0.9·0.25 + 0.1·0.5
		t.Errorf("got %v, want 0.275", got)
	}
}

func TestStrongest(t *testing.T) {
	run := newRun([]int64{0, 7}, columns{"gdm/c1": {9, 1}, "gdm/c2": {0, 3}, "gdm/c3": {0, 2}})
	if got := run.strongest("gdm", 3); got != 2 {
		t.Errorf("the strongest neuron at the end is %d, want 2", got)
	}
	if got := describeStep(3, run); got != "step 3" {
		t.Errorf("got %q", got)
	}
	if got := describeStep(-1, run); got != "not in 7 steps" {
		t.Errorf("got %q", got)
	}
}

func TestGrid(t *testing.T) {
	etas, gammas := preset("quick", 30).grid()
	// 0.01·10^(3.5 i/15)
	if len(etas) != 16 || etas[0] != 0.01 || etas[1] != 0.0171 || etas[15] != 31.6 ||
		!slices.IsSorted(etas) {
		t.Errorf("rates %v", etas)
	}
	if want := []float64{0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995}; !slices.Equal(gammas, want) {
		t.Errorf("momenta %v, want %v", gammas, want)
	}
	for x, want := range map[float64]float64{0.0171133: 0.0171, 12.345: 12.3, 9.996: 10, 1234: 1230,
		0.5: 0.5} {
		if got := round3(x); math.Abs(got-want) > 1e-12 {
			t.Errorf("%v to three digits is %v, want %v", x, got, want)
		}
	}
}

// The map of a world in which a setting learns the small margin if η/(1−γ) ≥ 10, and diverges from
// η = 20 on. One rate above the least that learns does not learn.
func TestMap(t *testing.T) {
	s := &session{execution: Execution{Out: t.TempDir()}, stdout: new(strings.Builder)}
	set := preset("quick", 30)
	etas, gammas := set.grid()
	row := func(eta, gamma float64) laneRow {
		c := columns{"x/loss": {0.01}, "x/loss_2": {0.02}, "x/error": {0.002}, "x/test_1": {1},
			"x/test_2": {0.5}, "x/c": {0.8}, "x/xi_max_2": {1.5}}
		if eta/(1-gamma) >= 10 && !(eta == 3.69 && gamma == paperGamma) {
			c["x/error"], c["x/test_2"], c["x/converged"] = []float64{0}, []float64{0.95},
				[]float64{1}
			c["x/c"], c["x/xi_max_2"] = []float64{6}, []float64{0.1}
		}
		if eta >= 20 {
			c = columns{"x/error": {0}, "x/test_2": {1}, "x/" + cubic.Diverged.String(): {3}}
		}
		return newRun([]int64{700}, c).last("x")
	}
	shown, err := s.showMap(t.Context(), rateMap{set, etas, gammas, row})
	if err != nil {
		t.Fatal(err)
	}
	file := runtest.Read(t, s.execution.Out, "map-N1000.csv")
	if n := strings.Count(file, "\n"); n != 1+16*8 {
		t.Errorf("%d lines, want a header and 128", n)
	}
	for _, want := range []string{
		"\n0.01,0,0.01,0.01,0.02,0.002,1,0.5,0.8,1.5,700,false,\n",
		"\n0.147,0.99,0.00147,0.01,0.02,0,1,0.95,6,0.1,700,true,\n",
		"\n31.6,0.5,15.8,NaN,NaN,NaN,NaN,NaN,NaN,NaN,700,false,3\n",
	} {
		if !strings.Contains(file, want) {
			t.Errorf("map-N1000.csv without %q", want)
		}
	}
	golden(t, "map.md", runtest.Read(t, s.execution.Out, "map-N1000.md"))
	want := "plain GD learns it at 2 of 16 rates (the least is η = 10.8), GD+M with γ = 0.99 at " +
		"9 of 16 rates (the least is η = 0.147)."
	if !strings.Contains(shown.Text, want) {
		t.Errorf("the text %q lacks %q", shown.Text, want)
	}
	// Of the four panels, the first names its guides.
	picture := runtest.Read(t, s.execution.Out, "map-N1000.svg")
	var names []string
	small := regexp.MustCompile(`font-size:7px[^>]*>([^<]*)<`)
	for _, m := range small.FindAllStringSubmatch(picture, -1) {
		names = append(names, m[1])
	}
	guides := []string{"0.001", "0.01", "0.1", "1", "η/(1−γ) = 10"}
	if dashed := strings.Count(picture, "stroke-dasharray"); !slices.Equal(names, guides) ||
		dashed != 4*4 {
		t.Errorf("%d dashed lines and the names %q, want 16 and %q", dashed, names, guides)
	}
}

// A map in which nothing is learned says so.
func TestMapWithoutLearning(t *testing.T) {
	m := rateMap{preset("quick", 30), []float64{1, 2}, []float64{0}, func(_, _ float64) laneRow {
		return newRun([]int64{7}, columns{"x/error": {0}, "x/test_2": {0.5}}).last("x")
	}}
	if got := m.ratesThatLearn(0); got != "no rate" {
		t.Errorf("it learns at %q", got)
	}
}
