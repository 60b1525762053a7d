package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/figure"
	"momentum/internal/rundir"
	"momentum/internal/runtable"
	"momentum/internal/runtest"
)

// write writes the folder of a run of two epochs and returns its path.
func write(t *testing.T, root, state string, settings map[string]any, losses [3]float64) string {
	t.Helper()
	dir := filepath.Join(root, fmt.Sprint(settings["opt"], settings["lr"], settings["seed"]))
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	text := ""
	for name, value := range settings {
		text += fmt.Sprintf(",%q:%#v", name, value)
	}
	metrics := ""
	for i, loss := range losses {
		metrics += fmt.Sprintf(`{"step":%d,"epoch":%[1]d,"loss":%g,"train_accuracy":0.5,`+
			`"test_accuracy":0.25}`+"\n", i, loss)
	}
	for name, content := range map[string]string{"state": state + "\n", "metrics.jsonl": metrics,
		"config.json": `{"settings":{` + text[1:] + `},"derived":{"rule":"R","eta_eff":1},` +
			`"execution":{}}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	runtest.Seal(t, dir)
	return dir
}

// BenchmarkMillionRows compares two seeds of GD with one of GD+M, each of a million epochs.
func BenchmarkMillionRows(b *testing.B) {
	root := b.TempDir()
	var folders []string
	for name, settings := range map[string]string{"a": `"opt":"gd","seed":1`,
		"b": `"opt":"gd","seed":2`, "c": `"opt":"gdm","seed":1`} {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o777); err != nil {
			b.Fatal(err)
		}
		for file, content := range map[string]string{"state": "done\n",
			"config.json": `{"settings":{"lr":0.5,` + settings + `},"derived":{"rule":"R"}}`} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o666); err != nil {
				b.Fatal(err)
			}
		}
		runtest.LongMetrics(b, dir, 1_000_000)
		runtest.Seal(b, dir)
		folders = append(folders, dir)
	}
	args := append([]string{"-out=" + filepath.Join(root, "picture")}, folders...)
	for b.Loop() {
		if err := run(b.Context(), &bytes.Buffer{}, os.Stderr, args); err != nil {
			b.Fatal(err)
		}
	}
}

// Seeds that are done make one curve of means in a band; a run that goes on is drawn on its own.
// Curves are named by what differs.
func TestCompare(t *testing.T) {
	root := t.TempDir()
	gd := func(seed int) map[string]any {
		return map[string]any{"opt": "gd", "lr": 0.5, "seed": seed, "weight_decay": 0.25,
			"form": "undamped", "momentum": 0.0}
	}
	gdm := map[string]any{"opt": "gdm", "lr": 0.25, "seed": 1, "weight_decay": 0.25,
		"form": "undamped", "momentum": 0.9}
	folders := []string{write(t, root, "done", gd(1), [3]float64{4, 2, 1}),
		write(t, root, "done", gd(2), [3]float64{4, 8, 4}),
		write(t, root, "running", gd(3), [3]float64{4, 5, 6}),
		write(t, root, "done", gdm, [3]float64{4, 1, 0.5})}
	rows := runtable.Rows(runtable.ReadAll(t.Context(), folders, t.Output()))
	p := picture(rows, runtable.Differing(rows))
	if len(p.Panels) != 2 || len(p.Panels[0]) != 2 || len(p.Panels[1]) != 1 {
		t.Fatalf("panels %+v, want loss, accuracies and no norm", p.Panels)
	}
	lines := p.Panels[0][0].Lines
	if len(lines) != 3 {
		t.Fatalf("%d curves of the loss, want 3", len(lines))
	}
	mean := lines[0]
	// Of 2 and 8, the geometric mean is 4, and half of the interval is the factor 2 to the power of
	// t = 12.706, for two values. The axis ends at the largest loss, 8.
	if mean.Name != "GD, η = 0.5" || fmt.Sprintf("%.4g", mean.Y) != "[4 4 2]" ||
		math.Abs(math.Log2(mean.High[1])-2-12.706) > 1e-3 ||
		math.Abs(math.Log2(mean.Low[1])-2+12.706) > 1e-3 {
		t.Errorf("the curve of GD is %+v", mean)
	}
	if high := p.Panels[0][0].Y.High; high < 8 || high > 10 {
		t.Errorf("the axis ends at %g, want a little above 8", high)
	}
	if l := lines[1]; !reflect.DeepEqual(l.Y, []float64{4, 5, 6}) || l.Color != mean.Color {
		t.Errorf("the curve of the run that goes on is %+v", l)
	}
	if l := lines[2]; l.Name != "GD+M, η = 0.25" || l.Low != nil {
		t.Errorf("the curve of GD+M is %+v", l)
	}

	var stdout, stderr bytes.Buffer
	out := filepath.Join(root, "picture")
	err := run(t.Context(), &stdout, &stderr, append([]string{"-out=" + out}, folders...))
	if err != nil || stderr.Len() > 0 {
		t.Fatal(err, stderr.String())
	}
	if !strings.Contains(stdout.String(), "| R    | 0.25 |     1 |") ||
		!strings.HasSuffix(stdout.String(), "picture   "+out+".png\npage      "+out+".html\n") {
		t.Errorf("printed\n%s", &stdout)
	}
	if info, err := os.Stat(out + ".png"); err != nil || info.Size() < 1000 {
		t.Errorf("the picture: %v", err)
	}
	html := runtest.Page(t, out+".html")
	for _, want := range []string{"<svg ", "<th>GD+M, η = 0.25</th>",
		"<tr><td>seed</td><td>1, 2, 3</td><td>1</td></tr>",
		"<td>running</td>", "go run ./scripts/compare -out="} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %s:\n%s", want, html)
		}
	}
}

// Runs have a panel for each quantity that one of them has, on test or on held-out images, and no
// others.
func TestPanels(t *testing.T) {
	columns := []struct {
		column, title, label string
		factor               float64
	}{
		{"loss", "training loss", "training loss (nats)", 1},
		{"train_accuracy", "training accuracy", "training accuracy (%)", 100},
		{"held_out_loss", "loss on test or held-out images", "loss (nats)", 1},
		{"test_accuracy", "accuracy on test or held-out images", "accuracy (%)", 100},
		{"grad_norm", "norm of the gradient", "‖gradient‖", 1},
		{"update_norm", "norm of the step", "‖step‖", 1},
		{"param_norm", "norm of the weights", "‖weights‖", 1},
		{"sharpness", "sharpness", "sharpness", 1},
		{"critical_sharpness", "critical sharpness", "critical sharpness", 1},
		{"noise_scale", "noise scale of the gradient", "noise scale (images)", 1},
		{"held_out_accuracy_small_margin", "accuracy on small-margin images", "accuracy (%)", 100},
		{"gradient_small_margin", "gradient of the small-margin images", "‖gradient‖", 1},
		{"gradient_cosine", "cosine of both groups' gradients", "cosine", 1},
		{"relative_step_stage3", "relative step, stage3", "‖step‖ / ‖weights‖", 1},
		{"relative_step_biases", "relative step, biases", "‖step‖ / ‖weights‖", 1},
	}
	// The second run has the loss alone.
	all := [2]runtable.Run{{State: rundir.Done, Settings: map[string]string{"opt": "gd"}},
		{State: rundir.Done, Settings: map[string]string{"opt": "gdm"}}}
	values := []rundir.Value{{Name: "epoch", X: 0}}
	for i, c := range columns {
		values = append(values, rundir.Value{Name: c.column, X: 0.5 / float64(i+1)})
	}
	all[0].Rows = []rundir.Row{{Values: values}}
	all[1].Rows = []rundir.Row{{Values: values[:2]}}
	rows := []runtable.Row{{all[0]}, {all[1]}}
	panels := slices.Concat(picture(rows, nil).Panels...)
	if len(panels) != len(columns) {
		t.Fatalf("%d panels, want %d", len(panels), len(columns))
	}
	for i, c := range columns {
		p, want := panels[i], 0.5/float64(i+1)*c.factor
		if p.Title != c.title || p.Y.Label != c.label || math.Abs(p.Lines[0].Y[0]-want) > 1e-9 ||
			(len(p.Lines) == 2) != (c.column == "loss") {
			t.Errorf("%s: a panel %q of %q with %v, want %q of %q with %g", c.column, p.Title,
				p.Y.Label, p.Lines, c.title, c.label, want)
		}
	}
	// Of clipped runs the titles say which gradient is the clipped one.
	all[1].Settings["clip"] = "1"
	clipped := slices.Concat(picture(rows, nil).Panels...)
	for i, want := range map[int]string{4: "norm of the gradient as used, clipped",
		5: "norm of the step", 11: "gradient of the small-margin images, not clipped"} {
		if clipped[i].Title != want {
			t.Errorf("panel %d is %q, want %q", i, clipped[i].Title, want)
		}
	}
}

// lossRun is a run that is done, at whose epochs the losses and accuracies are known.
func lossRun(opt, seed, evaluated string, losses, accuracies [3]float64) runtable.Run {
	r := runtable.Run{State: rundir.Done, Evaluated: evaluated,
		Settings: map[string]string{"opt": opt, "lr": "1", "seed": seed}}
	for i, loss := range losses {
		r.Rows = append(r.Rows, rundir.Row{Step: int64(i), Values: []rundir.Value{
			{Name: "epoch", X: float64(i)}, {Name: "loss", X: loss},
			{Name: "test_accuracy", X: accuracies[i]}}})
	}
	return r
}

// The loss of a falls from 4 over 2 to 1, its accuracy rises from 10 over 20 to 40%: a loss of 1 is
// reached at 40%, and √2, half-way in the logarithm, at 30%. b has 2 at 40% and nothing below.
func TestAtLosses(t *testing.T) {
	a := lossRun("gd", "1", "test", [3]float64{4, 2, 1}, [3]float64{0.1, 0.2, 0.4})
	b := lossRun("gdm", "1", "test", [3]float64{4, 2, 3}, [3]float64{0.1, 0.4, 0.5})
	other := lossRun("gdm", "2", "test", [3]float64{4, 2, 1}, [3]float64{0.1, 0.6, 0.5})
	for level, want := range map[float64]float64{4: 10, 2: 20, math.Sqrt2: 30, 1: 40,
		0.9: math.NaN()} {
		if got := accuracyAt(a, level); math.Abs(got-want) > 1e-9 ||
			math.IsNaN(got) != math.IsNaN(want) {
			t.Errorf("at %g: %g%%, want %g", level, got, want)
		}
	}
	for _, c := range []struct {
		rows [2]runtable.Row
		want [][]string
	}{
		// 40 and 60, of which 40 is paired with 20; t = 12.706 and s = 10√2: ± 127.06.
		{[2]runtable.Row{{a}, {b, other}}, [][]string{
			{"2", "20", "50 ± 127 (40, 60)", "20, n = 1"}, {"1", "40", "50, n = 1", "none"}}},
		{[2]runtable.Row{{b, other}, {a}}, [][]string{
			{"2", "50 ± 127 (40, 60)", "20", "-20, n = 1"}, {"1", "50, n = 1", "40", "none"}}},
	} {
		table, reached := atLosses(c.rows[:], []string{"A", "B"}, []float64{2, 1})
		if !reached || !reflect.DeepEqual(table.Rows, c.want) ||
			table.Title != "Test accuracy at equal training loss, %" {
			t.Errorf("%q: got %q, want %q", table.Title, table.Rows, c.want)
		}
	}
	if _, reached := atLosses([]runtable.Row{{a}, {b}}, []string{"A", "B"},
		[]float64{0.5}); reached {
		t.Error("no run falls to 0.5")
	}
}

// Only accuracies on the same images of runs that differ only in the algorithm and its rate are
// subtracted.
func TestDifferentImages(t *testing.T) {
	root := t.TempDir()
	settings := func(opt string, images, holdout int) map[string]any {
		return map[string]any{"opt": opt, "lr": 0.5 + float64(images+holdout), "seed": 1,
			"images": images, "holdout": holdout}
	}
	folders := []string{
		write(t, root, "done", settings("gd", 100, 0), [3]float64{4, 2, 1}),
		write(t, root, "done", settings("gdm", 100, 0), [3]float64{4, 2, 1}),
		write(t, root, "done", settings("gdm", 200, 0), [3]float64{4, 2, 1}),
		write(t, root, "done", settings("gdm", 100, 50), [3]float64{4, 2, 1}),
	}
	rows := runtable.Rows(runtable.ReadAll(t.Context(), folders, t.Output()))
	const minus = "minus the first, paired by seed"
	for n, want := range map[int]string{
		3: "Test accuracy: training loss|A|B|" + minus + "|C",
		4: "Accuracy: training loss|A (test accuracy)|B (test accuracy)|" + minus +
			"|C (test accuracy)|D (held-out accuracy)",
	} {
		table, _ := atLosses(rows[:n], []string{"A", "B", "C", "D"}, []float64{2})
		title := strings.TrimSuffix(table.Title, " at equal training loss, %")
		if got := title + ": " + strings.Join(table.Head, "|"); got != want {
			t.Errorf("%d rows: %s, want %s", n, got, want)
		}
		if got := len(table.Rows[0]); got != len(table.Head) {
			t.Errorf("%d rows: %d cells below %d titles", n, got, len(table.Head))
		}
	}
	var stdout bytes.Buffer
	args := append([]string{"-at-loss=0.5,0.2", "-out=" + filepath.Join(root, "picture")},
		folders...)
	if err := run(t.Context(), &stdout, t.Output(), args); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout.String(), "\nNo run that is done falls to a training loss of 0.5: "+
		"name higher ones with -at-loss") || strings.Contains(stdout.String(), "none") {
		t.Errorf("printed\n%s", &stdout)
	}
}

// What differs beside the algorithm and its rate is in the name, but for what a run has not.
func TestNames(t *testing.T) {
	root := t.TempDir()
	settings := func(momentum, decay float64, width int) map[string]any {
		return map[string]any{"opt": "gdm", "lr": 0.5 + momentum + decay + float64(width),
			"seed": 1, "weight_decay": decay, "form": "undamped", "momentum": momentum,
			"width": width}
	}
	intervened := settings(0.9, 0, 24)
	intervened["intervene"], intervened["intervene_at"] = "reset", 0.1
	rows := runtable.Rows(runtable.ReadAll(t.Context(), []string{
		write(t, root, "done", settings(0.9, 0, 8), [3]float64{4, 2, 1}),
		write(t, root, "done", settings(0.5, 0, 8), [3]float64{4, 2, 1}),
		write(t, root, "done", settings(0.9, 0, 16), [3]float64{4, 2, 1}),
		write(t, root, "done", intervened, [3]float64{4, 2, 1}),
	}, t.Output()))
	for i, want := range []string{"GD+M, η = 9.4, width 8, momentum 0.9",
		"GD+M, η = 9, width 8, momentum 0.5", "GD+M, η = 17.4, width 16, momentum 0.9",
		"GD+M, η = 25.4, width 24, buffer reset, momentum 0.9"} {
		if got := name(rows[i], rows, runtable.Differing(rows)); got != want {
			t.Errorf("row %d is %q, want %q", i, got, want)
		}
	}
}

// row is a row of runs that are done, one for each seed, with settings such as "opt=gdm lr=0.1" and
// a loss of 1 at epoch 0.
func row(seeds int, settings string) runtable.Row {
	var row runtable.Row
	for seed := range seeds {
		r := runtable.Run{State: rundir.Done}
		r.Settings = map[string]string{"seed": strconv.Itoa(seed)}
		r.Rows = []rundir.Row{{Values: []rundir.Value{{Name: "epoch"}, {Name: "loss", X: 1}}}}
		for pair := range strings.FieldsSeq(settings) {
			name, value, _ := strings.Cut(pair, "=")
			r.Settings[name] = value
		}
		row = append(row, r)
	}
	return row
}

// A moment is named where it differs, but not where the intervention says all.
func TestNamesOfInterventions(t *testing.T) {
	settings := []string{"intervene", "intervene_at", "epochs"}
	rows := []runtable.Row{row(1, "opt=gdm lr=1 intervene=phase1 intervene_at=0.1 epochs=3"),
		row(1, "opt=gdm lr=1 intervene=keep-out epochs=3"), row(1, "opt=gdm lr=1 epochs=30")}
	for i, want := range []string{"GD+M, η = 1, GD from the fit on, 3 epochs",
		"GD+M, η = 1, large margins kept out, 3 epochs", "GD+M, η = 1, 30 epochs"} {
		if got := name(rows[i], rows, settings); got != want {
			t.Errorf("row %d is %q, want %q", i, got, want)
		}
	}
	later := append(rows, row(1, "opt=gdm lr=1 intervene=phase1 intervene_at=0.2 epochs=3"))
	want := "GD+M, η = 1, GD from the fit on, intervene at 0.1, 3 epochs"
	if got := name(rows[0], later, settings); got != want {
		t.Errorf("beside another moment: %q, want %q", got, want)
	}
}

// GD is blue and GD+M vermilion in any order of the arguments, and no two rows share a color.
// Interventions come first, so they lie on top, and are dashed.
func TestColors(t *testing.T) {
	gd, gdm := row(1, "opt=gd lr=1"), row(1, "opt=gdm lr=0.1")
	reset := row(1, "opt=gdm lr=0.1 intervene=reset")
	for _, rows := range [][]runtable.Row{{gd, gdm, reset}, {reset, gdm, gd}, {gdm, reset, gd}} {
		lines := picture(rows, []string{"intervene"}).Panels[0][0].Lines
		colors := map[string]any{}
		for i, l := range lines {
			colors[l.Name] = l.Color
			if l.Dashed != (i == 0) {
				t.Errorf("line %d, %s: dashed %v", i, l.Name, l.Dashed)
			}
		}
		if want := map[string]any{"GD, η = 1": figure.Blue, "GD+M, η = 0.1": figure.Vermilion,
			"GD+M, η = 0.1, buffer reset": figure.Green}; !reflect.DeepEqual(colors, want) {
			t.Errorf("colors %v, want %v", colors, want)
		}
	}
	for _, opt := range []string{"gd", "sgdm"} {
		var rows []runtable.Row
		for range most {
			rows = append(rows, row(1, "opt="+opt))
		}
		if all := slices.Sorted(slices.Values(colors(rows))); len(slices.Compact(all)) != most {
			t.Errorf("%d rows of %s have the colors %v", most, opt, colors(rows))
		}
	}
}

// The title has what all rows share, and the note the number of seeds, in the order of the legend.
func TestTitleAndNote(t *testing.T) {
	const common = " data=cifar10-mini model=wrn16-1 width=8 batch=0"
	gd, gdm := row(5, "opt=gd images=512"+common), row(5, "opt=gdm images=512"+common)
	reset := row(3, "opt=gdm intervene=reset images=100"+common)
	diverged := row(5, "opt=gdm images=512"+common)
	diverged[4].State = rundir.Diverged
	const rest = " and their 95% t intervals; on logarithmic axes those of the logarithm. A seed " +
		"that ended before others keeps its last value."
	for _, tt := range []struct {
		rows        []runtable.Row
		title, note string
	}{
		{[]runtable.Row{gd, gdm}, "CIFAR-10 sample, 512 images, WideResNet-16-1 of width 8, full " +
			"batch", "Means over 5 seeds" + rest},
		{[]runtable.Row{gd, gdm, reset}, "CIFAR-10 sample, WideResNet-16-1 of width 8, full batch",
			"Means over the seeds (n = 3, 5, 5, in the order of the legend)" + rest},
		{[]runtable.Row{gd, diverged}, "CIFAR-10 sample, 512 images, WideResNet-16-1 of width 8, " +
			"full batch", "Means over the seeds (n = 5, 4, in the order of the legend)" + rest +
			" Each run that diverged or has not ended is a curve of its own."},
		{[]runtable.Row{row(1, "opt=sgd batch=128 model=vgg19")}, "VGG-19, batch 128", "One seed."},
		{[]runtable.Row{row(1, "opt=gd")}, "Comparison of runs", "One seed."},
	} {
		p := picture(tt.rows, nil)
		if p.Title != tt.title || p.Note != tt.note {
			t.Errorf("got %q and %q, want %q and %q", p.Title, p.Note, tt.title, tt.note)
		}
	}
}

func TestManual(t *testing.T) {
	var help bytes.Buffer
	if err := run(t.Context(), &help, t.Output(), []string{"-h"}); cli.Status(err) != cli.Done {
		t.Error(err)
	}
	runtest.Manual(t, "compare", help.String(), "-at-loss list of training losses, in nats",
		"-out the name of the picture and the page, without .svg (default compare)")
}

func TestRefuses(t *testing.T) {
	err := run(t.Context(), t.Output(), t.Output(), []string{t.TempDir()})
	if cli.Status(err) != cli.BadUsage {
		t.Error(err)
	}
	root := t.TempDir()
	good := write(t, root, "done", map[string]any{"opt": "gd", "lr": 99, "seed": 1},
		[3]float64{1, 1, 1})
	err = run(t.Context(), t.Output(), t.Output(), []string{"-at-loss=1,0", good})
	if cli.Status(err) != cli.BadUsage ||
		!strings.Contains(err.Error(), "-at-loss must be positive, got 0") {
		t.Error(err)
	}
	var folders []string
	for i := range most + 1 {
		folders = append(folders, write(t, root, "done", map[string]any{"opt": "gd", "lr": i,
			"seed": 1}, [3]float64{1, 1, 1}))
	}
	if err := run(t.Context(), t.Output(), t.Output(), folders); cli.Status(err) != cli.BadUsage ||
		!strings.Contains(err.Error(), "9 configurations are too many for one picture") {
		t.Error(err)
	}
}
