package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/internal/cli"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
)

// synthetic runs the command as main does, but in this process.
func synthetic(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = cli.Report(&errs, "synthetic", run(ctx, &out, &errs, args))
	return status, out.String(), errs.String()
}

// goBackend needs no time to compile.
func goBackend(t *testing.T) *backend.Backend {
	t.Helper()
	be, err := backend.Open(t.Context(), "go", backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return be
}

// succeed runs the command, which must succeed without a warning, and returns what it prints.
func succeed(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	status, stdout, stderr := synthetic(t.Context(), args...)
	if status != cli.Done || stderr != "" {
		t.Fatalf("%q: status %d, %q", args, status, stderr)
	}
	return stdout
}

// fails checks that the command prints one line on stderr that contains want, and ends with the
// status.
func fails(t *testing.T, wantStatus int, want string, args ...string) {
	t.Helper()
	status, _, stderr := synthetic(t.Context(), args...)
	if status != wantStatus || !strings.HasPrefix(stderr, "synthetic: ") ||
		!strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%q: status %d, %q; want %d, %q", args, status, stderr, wantStatus, want)
	}
}

// smallRun are the arguments of a run of a tenth of a second: 60 samples of 3 patches in R^8, 2
// neurons and 60 steps.
func smallRun(root string, more ...string) []string {
	return runtest.Changed([]string{"-backend=go", "-offline", "-N=60", "-small-margin=0.1",
		"-d=8", "-P=3", "-m=2", "-T=60", "-test=50", "-runs=" + root,
		"-out=" + filepath.Join(root, "synthetic-quick")}, more...)
}

// folder returns the path of the only run folder in root.
func folder(t *testing.T, root string) string {
	t.Helper()
	configs, err := filepath.Glob(filepath.Join(root, "*-??????????", "config.json"))
	if err != nil || len(configs) != 1 {
		t.Fatalf("run folders in %s: %q, %v; want one", root, configs, err)
	}
	return filepath.Dir(configs[0])
}

func write(t *testing.T, content string, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

// sameResult compares the files of two runs that depend on the settings alone.
func sameResult(t *testing.T, got, want string) {
	t.Helper()
	for _, name := range []string{"metrics.jsonl", "metrics.csv", rundir.EventsFile,
		"weights.safetensors", "state"} {
		if runtest.Read(t, got, name) != runtest.Read(t, want, name) {
			t.Errorf("%s differs from that of the other run", name)
		}
	}
}

func TestFigure3(t *testing.T) {
	root := t.TempDir()
	// After 15 steps both lanes are better on one margin than on the other.
	stdout := succeed(t, smallRun(root, "-T=15")...)
	dir, out := folder(t, root), filepath.Join(root, "synthetic-quick")
	var names []string
	for name := range runtest.Files(t, root) {
		names = append(names, filepath.Base(name))
	}
	slices.Sort(names)
	want := strings.Fields("SHA256SUMS config.json events.out.tfevents.0.momentum figure3.md " +
		"figure3.png figure3.svg manifest.json metrics.csv metrics.jsonl state weights.safetensors")
	if !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
	if base := filepath.Base(dir); !strings.HasPrefix(base, "synthetic-figure3-N60-d8-s1-") {
		t.Errorf("folder %s", base)
	}
	// Each step has all values of both lanes: 29 observables, and c, G and M of 2 neurons.
	rows := runtest.Metrics(t, dir)
	if len(rows) != 16 || rows[15].Step != 15 {
		t.Fatalf("%d rows up to step %d, want those of steps 0 to 15", len(rows),
			rows[len(rows)-1].Step)
	}
	for _, lane := range []string{"gd", "gdm"} {
		n := 0
		for _, v := range rows[0].Values {
			if strings.HasPrefix(v.Name, lane+"/") {
				n++
			}
		}
		if n != 29+3*2 {
			t.Errorf("%d values of %s, want 35", n, lane)
		}
	}

	// The table has the values of the last row.
	gd, gdm := trained{rows: rows}.last("gd"), trained{rows: rows}.last("gdm")
	tableRow := func(name, column string, scale float64) string {
		return fmt.Sprintf("| %s | %.4g | %.4g | ", name, scale*gd.get(column),
			scale*gdm.get(column))
	}
	table := runtest.Read(t, out, "figure3.md")
	for _, want := range []string{
		tableRow("training error, %", "error", 100), tableRow("training loss, nats", "loss", 1),
		tableRow("large-margin test accuracy, %", "test_1", 100),
		tableRow("small-margin test accuracy, %", "test_2", 100),
		tableRow("c, largest ⟨wᵣ, w*⟩", "c", 1), tableRow(`largest \|Ξ\| on Z₂`, "xi_max_2", 1),
	} {
		if !strings.Contains(table, want) {
			t.Errorf("figure3.md without %q:\n%s", want, table)
		}
	}
	for i, want := range []string{
		`backend   go on .+: -backend=go asks for it`,
		`preset    quick: N = 60 samples, 6 of them with a small margin \(μ = 0.1\), d = 8, ` +
			`P = 3, m = 2`,
		`data      α = 5.294, β = 0.2, σ = 0.35; initial weights σ₀ = 0.03`,
		`descent   GD and GD\+M damped, γ = 0.99, λ = 0; η = 0.2, η_eff = 0.2 for GD\+M; ` +
			`at most 15 steps`,
		``,
		`\| +\| +GD \| +GD\+M \| +GD\+M − GD \|`, `\|-+\|-+\|-+\|-+\|`,
		`\| training error, % +\| +\S+ \| +\S+ \| +\S+ \|`,
	} {
		line := strings.Split(stdout, "\n")[i]
		if !regexp.MustCompile("^" + want + "$").MatchString(line) {
			t.Errorf("line %d is %q, want %s", i+1, line, want)
		}
	}
}

// The same command again trains nothing and draws the same pictures from the files alone.
func TestFigure3Again(t *testing.T) {
	root := t.TempDir()
	args := smallRun(root, "-T=15")
	stdout := succeed(t, args...)
	before := runtest.Files(t, root)
	if err := os.RemoveAll(filepath.Join(root, "synthetic-quick")); err != nil {
		t.Fatal(err)
	}
	if again := succeed(t, args...); again != stdout {
		t.Errorf("the second time it prints\n%s\nwant\n%s", again, stdout)
	}
	after := runtest.Files(t, root)
	if len(after) != len(before) {
		t.Errorf("%d files the second time, %d the first time", len(after), len(before))
	}
	for name := range before {
		if after[name] != before[name] { // this includes the manifest, with the training's time
			t.Errorf("%s has changed", name)
		}
	}
}

// γ = 0 is GD in either form. The last bit may differ, since a product of matrices may sum the rows
// of two lanes in different orders.
func TestNoMomentumIsGD(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"damped", "undamped"} {
		root := t.TempDir()
		succeed(t, smallRun(root, "-momentum=0", "-form="+form, "-weight-decay=0.01",
			"-lr=1")...)
		rows := runtest.Metrics(t, folder(t, root))
		for _, row := range rows {
			for _, v := range row.Values {
				name, ok := strings.CutPrefix(v.Name, "gd/")
				if !ok {
					continue
				}
				if x, ok := row.Get("gdm/" + name); !ok ||
					!(math.Abs(x-v.X) <= 1e-5*max(1, math.Abs(x))) {
					t.Fatalf("%s, step %d: %s is %v with GD and %v with GD+M", form, row.Step, name,
						v.X, x)
				}
			}
		}
		if first, last := rows[0], rows[len(rows)-1]; slices.Equal(first.Values, last.Values) {
			t.Errorf("%s: nothing was learned", form)
		}
	}
}

// This machine's backend, on which a call takes many steps, agrees to rounding with the Go backend,
// on which it takes one.
func TestBackendsAgree(t *testing.T) {
	be := backendtest.Open(t)
	root, other := t.TempDir(), t.TempDir()
	succeed(t, smallRun(root)...)
	succeed(t, smallRun(other, "-backend="+string(be.Kind))...)
	got, want := runtest.Metrics(t, folder(t, other)), runtest.Metrics(t, folder(t, root))
	if len(got) != len(want) {
		t.Fatalf("%d rows on %s, %d on go", len(got), be.Kind, len(want))
	}
	for i := range want {
		for _, lane := range []string{"gd", "gdm"} {
			for _, name := range []string{"loss", "c", "norm", "xi_max_2"} {
				x, y := laneRow{got[i], lane}.get(name), laneRow{want[i], lane}.get(name)
				// 60 steps of float32, c grows up to 0.5
				if diff := x - y; !(diff < 1e-3 && diff > -1e-3) {
					t.Errorf("step %d: %s/%s is %v on %s and %v on go", want[i].Step, lane, name, x,
						be.Kind, y)
				}
			}
		}
	}
}

// Edge cases: one step, no small margin, no large one, settings whose curves are all zero. TestAll
// takes one step of every part.
func TestEdges(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // files in -out, except .png
	}{
		{"-T=1", "figure3.md figure3.svg"},
		{"-small-margin=0", "figure3.md figure3.svg"},
		{"-small-margin=1", "figure3.md figure3.svg"},
		{"-seeds=2 -T=5", "figure3.md figure3.svg"},
		{"-theory", "theory.md theory.svg"},
		{"-theory -small-margin=0 -T=10", "theory.md theory.svg"},
		{"-scales -small-margin=0 -T=1 -d=4", "scales.md scales.svg"},
		{"-map -T=1 -small-margin=0", "map-N60.csv map-N60.md map-N60.svg"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			succeed(t, smallRun(root, strings.Fields(tt.args)...)...)
			var names []string
			for name := range runtest.Files(t, filepath.Join(root, "synthetic-quick")) {
				if !strings.HasSuffix(name, ".png") {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			if want := strings.Fields(tt.want); !slices.Equal(names, want) {
				t.Errorf("files %q, want %q", names, want)
			}
		})
	}
}

// -all writes every part's files and the page, in the order of the parts.
func TestAll(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	stdout := succeed(t, smallRun(root, "-all", "-T=1", "-table-epochs=1", "-table-seeds=1",
		"-mlp-width=2", "-filters=1", "-teacher-width=2", "-teacher-filters=1")...)
	out := filepath.Join(root, "synthetic-quick")
	var names []string
	for name := range runtest.Files(t, out) {
		if !strings.HasSuffix(name, ".png") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	want := "figure2.svg figure3.md figure3.svg map-N60.csv map-N60.md map-N60.svg mechanism.md " +
		"mechanism.svg scales.md scales.svg synthetic.html " +
		"table1.csv table1.json table1.md theory.md theory.svg"
	if want := strings.Fields(want); !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
	page := runtest.Page(t, out, "synthetic.html")
	if n := strings.Count(page, "<svg "); n != 6 || strings.Count(page, "<h2>") != len(allParts) {
		t.Errorf("%d pictures in %d sections, want 6 in %d", n, strings.Count(page, "<h2>"),
			len(allParts))
	}
	if !strings.HasSuffix(stdout, "page      "+filepath.Join(out, "synthetic.html")+"\n") {
		t.Errorf("it prints\n%s", stdout)
	}
}

// The folders of a seed have distinct names in plain ASCII, and its lanes have distinct names.
func TestNames(t *testing.T) {
	set := preset("quick", 30)
	seen := map[string]bool{}
	for _, c := range controls() {
		name := set.bundle("control-"+slug(c.name), 1).Name
		if seen[name] || !regexp.MustCompile(`^[a-z0-9.-]+$`).MatchString(strings.ToLower(name)) {
			t.Errorf("control %q is in the folder %q", c.name, name)
		}
		seen[name] = true
	}
	for _, i := range set.interventions() {
		if seen[i.lane.Name] {
			t.Errorf("two lanes are named %q", i.lane.Name)
		}
		seen[i.lane.Name] = true
		if err := i.lane.Validate(); err != nil {
			t.Errorf("%s: %v", i.name, err)
		}
	}
}

// -preset=theory varies d by factors of 2, from an eighth of -d on, but not below 3: with d = 2,
// β = α/(√d ln d) is above α.
func TestGrowth(t *testing.T) {
	root := t.TempDir()
	succeed(t, "-preset=theory", "-backend=go", "-offline", "-d=16", "-T=2", "-test=10",
		"-runs="+root)
	out := filepath.Join(root, "synthetic-theory-T=2-d=16-test=10")
	table := strings.Split(strings.TrimSpace(runtest.Read(t, out, "growth.md")), "\n")
	var ds []string
	for _, line := range table[2:] {
		ds = append(ds, strings.Join(strings.Split(line, " | ")[:2], " "))
	}
	if want := []string{"| 4 128", "| 8 256", "| 16 512"}; !slices.Equal(ds, want) { // N = 32 d
		t.Errorf("d and N are %q, want %q", ds, want)
	}
}

// A signal ends the measurement of a dry run, with lines in plain words.
func TestStoppedMeasuring(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	status, stdout, stderr := synthetic(ctx, smallRun(t.TempDir(), "-dry-run", "-theory")...)
	if want := "synthetic: stopped by a signal; nothing was measured\n"; status != cli.Stopped ||
		stderr != want || !strings.HasSuffix(stdout, "part      theory: \n") {
		t.Errorf("status %d, %q, %q, want %q", status, stdout, stderr, want)
	}
}

// A dry run tells the work of each part, that of a training which two parts share once, and adds up
// their times.
func TestDryRun(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs")
	table := []string{"-dry-run", "-table=1", "-table-epochs=100", "-table-seeds=1",
		"-mlp-width=2", "-filters=1", "-teacher-width=2", "-teacher-filters=1"}
	stdout := succeed(t, smallRun(root, append(table, "-figure=3", "-map", "-theory",
		"-seeds=2")...)...)
	var sum time.Duration
	for _, line := range []string{
		`part      figure3: 2 trainings of 4 settings in all, N = 60, at most 60 steps each: ` +
			`at most (.+)`,
		`part      theory: what an earlier part trains`,
		`part      table1: 5 students, each of them as 80 networks .+, 100 epochs of 500 points: ` +
			`(.+)`,
		`part      map: 8 trainings of 128 settings in all, N = 60, at most 60 steps each: ` +
			`at most (.+)`,
		`cost      at most (\S+) here; a training ends earlier .+`,
	} {
		m := regexp.MustCompile(`(?m)^` + line + `$`).FindStringSubmatch(stdout)
		switch {
		case m == nil:
			t.Fatalf("no line %q in\n%s", line, stdout)
		case len(m) == 1:
			continue
		}
		took, err := time.ParseDuration(m[1])
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(line, "cost") {
			sum += took
		} else if (took - sum).Abs() > time.Second/5+sum/50 { // each is rounded
			t.Errorf("%v in all, %v for the parts", took, sum)
		}
	}
	// Table 1 alone does not end earlier.
	stdout = succeed(t, append(table, "-backend=go", "-offline", "-runs="+root)...)
	if !regexp.MustCompile(`\ncost      at most \S+ here\n$`).MatchString(stdout) {
		t.Errorf("for Table 1 alone it prints\n%s", stdout)
	}
	if _, err := os.Stat(root); err == nil {
		t.Errorf("%s exists", root)
	}
}
