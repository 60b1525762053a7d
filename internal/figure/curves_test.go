package figure

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"momentum/internal/rundir"

	"github.com/google/go-cmp/cmp"
)

// folder creates a run folder, with the rows as the lines of metrics.jsonl.
func folder(t *testing.T, config string, rows ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mini-gdm-s1-0123456789")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"config.json": config,
		"metrics.jsonl": strings.Join(append(rows, ""), "\n")}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// trainingRows returns rows like those of a run with momentum. The loss oscillates while it falls.
// The test accuracy, measured every tenth epoch, levels off early, and the test loss then rises.
func trainingRows(steps int) []string {
	var rows []string
	for s := range steps {
		x := float64(s) / 300
		loss := 2.3*math.Exp(-7*x) + 0.4*x*(1-x)*math.Exp(-4*x)*(1+math.Cos(60*x)) + 3e-4
		row := fmt.Sprintf(`{"step":%d,"epoch":%d,"loss":%.6g,"train_accuracy":%.4f`, s, s, loss,
			1-0.9*math.Exp(-12*x*x-2*x))
		if s%10 == 0 || s == steps-1 {
			row += fmt.Sprintf(`,"test_loss":%.4f,"test_accuracy":%.4f`, 1.3*x+2.3*math.Exp(-3*x),
				0.47-0.37*math.Exp(-6*x))
		}
		rows = append(rows, row+"}")
	}
	return rows
}

// curvesOf are the curves of some rows.
func curvesOf(t *testing.T, rows []rundir.Row) curves {
	t.Helper()
	c, err := newCurves(t.Context(), rows)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const config = `{"settings":{},"derived":{"title":"CIFAR-10 mini, ResNet-18 (width 16), GD+M, ` +
	`η = 0.02, γ = 0.9, undamped"}}`

func TestCurves(t *testing.T) {
	diverged := append(trainingRows(61),
		`{"step":61,"epoch":61,"loss":9.5,"train_accuracy":0.1,"test_accuracy":0.1}`,
		`{"step":62,"epoch":62,"loss":7e5,"train_accuracy":0.1}`,
		`{"step":63,"epoch":63,"loss":"NaN","train_accuracy":"NaN"}`)
	tests := []struct {
		name   string
		config string
		rows   []string
	}{
		{"run", config, trainingRows(301)},
		{"diverged", `{"settings":{}}`, diverged},
		{"one_row", config, trainingRows(1)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := folder(t, test.config, test.rows...)
			if err := Curves(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			svg, image := read(t, dir, "curves.svg"), read(t, dir, "curves.png")

			// Drawing again gives the same bytes.
			if err := Curves(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(svg, read(t, dir, "curves.svg")) ||
				!bytes.Equal(image, read(t, dir, "curves.png")) {
				t.Error("drawing again gave other bytes")
			}
			golden(t, test.name, svg, image)
		})
	}
}

// The upper panels show the losses and accuracies that the metrics have, on test images or on
// held-out images, and no others. A run with small-margin images has two panels more.
func TestCurvesOfEvaluations(t *testing.T) {
	line := func(name string, c Category, values ...float64) Line {
		return Line{Name: name, Color: c, X: []float64{0, 1}[:len(values)], Y: values}
	}
	losses, accuracies := line("train", Blue, 2, 1), line("train", Blue, 25, 100)
	tests := []struct {
		name   string
		values [2]string // in the two rows
		want   [][]Line  // by panel
	}{
		{"test", [2]string{`"test_loss":2.5,"test_accuracy":0.125`,
			`"test_loss":4,"test_accuracy":0.5`},
			[][]Line{{losses, line("test", Vermilion, 2.5, 4)},
				{accuracies, line("test", Vermilion, 12.5, 50)}}},
		{"held-out", [2]string{`"held_out_loss":2.5,"held_out_accuracy":0.125`,
			`"held_out_accuracy":0.5`},
			[][]Line{{losses, line("held-out", Green, 2.5)},
				{accuracies, line("held-out", Green, 12.5, 50)}}},
		{"left out", [2]string{`"test_loss":"NaN","test_accuracy":0.125`,
			`"test_loss":0,"held_out_accuracy":"NaN"`},
			[][]Line{{losses}, {accuracies, line("test", Vermilion, 12.5)}}},
		{"no evaluation", [2]string{`"rate":2`, `"train_accuracy_small_margin":0.5`},
			[][]Line{{losses}, {accuracies}}},
		{"small margin", [2]string{`"test_loss_small_margin":3,"test_loss_large_margin":2,` +
			`"test_accuracy_small_margin":0.25,"test_accuracy_large_margin":0.5`,
			`"test_accuracy_large_margin":0.75`},
			[][]Line{{losses}, {accuracies},
				{line("test, small margin", Vermilion, 3), line("test, large margin", Blue, 2)},
				{line("test, small margin", Vermilion, 25),
					line("test, large margin", Blue, 50, 75)}}},
		{"held-out, small margin", [2]string{`"held_out_loss_small_margin":3`,
			`"held_out_accuracy_small_margin":1`},
			[][]Line{{losses}, {accuracies}, {line("held-out, small margin", Vermilion, 3)},
				{{Name: "held-out, small margin", Color: Vermilion, X: []float64{1},
					Y: []float64{100}}}}},
	}
	for _, test := range tests {
		dir := folder(t, config,
			`{"step":0,"epoch":0,"loss":2,"train_accuracy":0.25,`+test.values[0]+`}`,
			`{"step":1,"epoch":1,"loss":1,"train_accuracy":1,`+test.values[1]+`}`)
		rows, err := rundir.ReadMetrics(t.Context(), filepath.Join(dir, "metrics.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		c := curvesOf(t, rows)
		var got [][]Line
		for _, panel := range slices.Concat(c.picture().Panels...) {
			got = append(got, panel.Lines)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if err := Curves(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		svg := string(read(t, dir, "curves.svg"))
		for _, word := range []string{"train", "test", "held-out", "test, small margin",
			"test, large margin", "held-out, small margin"} {
			want := 0
			for _, l := range slices.Concat(test.want...) {
				if l.Name == word {
					want++
				}
			}
			if n := strings.Count(svg, ">"+word+"<"); n != want {
				t.Errorf("%s: %q in %d legends, want %d", test.name, word, n, want)
			}
		}
	}
}

func TestCurvesRefuses(t *testing.T) {
	const remedy = "; restore it, or start over with -fresh of the run's command, which keeps it " +
		"under another name"
	tests := []struct {
		name   string
		config string
		rows   []string
		want   string // %s is the folder
	}{
		{"no rows", config, nil, "figure: %s/metrics.jsonl: no rows, want at least one"},
		{"damaged row", config, []string{`{"step":0}`, `{`},
			`rundir: %s/metrics.jsonl:2: "{", want a row such as {"step":3,"loss":0.5}` + remedy},
		{"damaged config", "{", trainingRows(1),
			"rundir: %s/config.json:1: unexpected end of JSON input" + remedy},
	}
	for _, test := range tests {
		dir := folder(t, test.config, test.rows...)
		want := fmt.Sprintf(test.want, dir)
		if err := Curves(t.Context(), dir); err == nil || err.Error() != want {
			t.Errorf("%s: got error %v, want %s", test.name, err, want)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing")
	if err := Curves(t.Context(), missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: got error %v", err)
	}
}

// Curves draws a picture whatever the metrics contain.
func TestCurvesOfOddMetrics(t *testing.T) {
	long := strings.Repeat("long ", 100)
	tests := []struct {
		name, config string
		rows         []string
		want         string // in the SVG
	}{
		{"no values", config, []string{`{"step":0}`}, ">epoch<"},
		{"loss 0", config, []string{`{"step":0,"epoch":0,"loss":0}`}, ">epoch<"},
		{"never finite", config,
			[]string{`{"step":7,"epoch":7,"loss":"+Inf","train_accuracy":"NaN"}`},
			">diverged at step 7<"},
		{"extreme", config, []string{`{"step":0,"epoch":0,"loss":1e-300}`,
			`{"step":1,"epoch":1e300,"loss":1e300}`}, ">1e+300<"},
		{"accuracy", config,
			[]string{`{"step":0,"epoch":0,"loss":1,"train_accuracy":1e300,"test_accuracy":-1}`},
			">epoch<"},
		{"epoch not finite", config, []string{`{"step":0,"epoch":"NaN","loss":1}`}, ">epoch<"},
		{"long title", `{"settings":{},"derived":{"title":"` + long + `"}}`, trainingRows(2),
			long + "<"},
		{"title of another type", `{"settings":{},"derived":{"title":3}}`, trainingRows(2),
			">mini-gdm-s1<"},
	}
	for _, test := range tests {
		dir := folder(t, test.config, test.rows...)
		if err := Curves(t.Context(), dir); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		svg := string(read(t, dir, "curves.svg"))
		if !strings.Contains(svg, test.want) || strings.Contains(svg, "NaN") ||
			strings.Contains(svg, "Inf") {
			t.Errorf("%s: want a picture with %s, without NaN and Inf", test.name, test.want)
		}
	}
}

// A run of many steps has a small picture.
func TestCurvesOfManyRows(t *testing.T) {
	rows := make([]string, 100_000)
	for i := range rows {
		loss := 1 + 0.2*math.Sin(float64(i)) // varies faster than the picture can show
		if i == 70_000 {
			loss = 50 // a spike of one step
		}
		rows[i] = fmt.Sprintf(`{"step":%d,"epoch":%d,"loss":%g,"train_accuracy":0.5}`, i, i, loss)
	}
	dir := folder(t, config, rows...)
	if err := Curves(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if n := len(read(t, dir, "curves.svg")); n > 150_000 {
		t.Errorf("curves.svg has %d bytes, want at most 150000", n)
	}
}

// The axis of epochs ends at a label, if one is less than a tenth beyond the last epoch.
func TestEpochs(t *testing.T) {
	for last, want := range map[float64]float64{0.5: 0.5, 1: 1, 60: 60, 113: 120, 142: 150,
		151: 151, 199: 200, 270: 270, 300: 300} {
		if got := Epochs(last); got.High != want || got.Low != 0 {
			t.Errorf("%g epochs have an axis up to %g, want %g", last, got.High, want)
		}
	}
}

// A diagnosed run has a panel of curvatures, which shows up to twice the largest of them.
func TestCurvaturePanel(t *testing.T) {
	rows := []rundir.Row{
		{Step: 0, Values: []rundir.Value{{Name: "epoch", X: 0}, {Name: "loss", X: 2},
			{Name: "sharpness", X: 3}, {Name: "sharpness_update", X: -1},
			{Name: "stability_limit", X: 100}, {Name: "rate", X: 0.02}}},
		{Step: 1, Values: []rundir.Value{{Name: "epoch", X: 1}, {Name: "loss", X: 1},
			{Name: "rate", X: 0.25}}},
		{Step: 2, Values: []rundir.Value{{Name: "epoch", X: 2}, {Name: "loss", X: 1},
			{Name: "sharpness", X: 5}}},
	}
	c := curvesOf(t, rows)
	panels := c.picture().Panels
	if len(panels) != 2 || len(panels[1][0].Lines) != 3 {
		t.Fatalf("panels %+v", panels)
	}
	p := panels[1][0]
	if l := p.Lines[0]; len(l.X) != 2 || l.X[1] != 2 || l.Y[1] != 5 || p.Y.Low != -1 ||
		p.Y.High != 10 {
		t.Errorf("sharpness %+v in [%v, %v], want 3 and 5 in [-1, 10]", l, p.Y.Low, p.Y.High)
	}
	// The limit 100 at the rate 0.02 is 8 at 0.25; the last row has no rate.
	if l := p.Lines[2]; !slices.Equal(l.X, []float64{0, 1}) || !slices.Equal(l.Y,
		[]float64{100, 8}) || !l.Dashed {
		t.Errorf("the stability limit is %+v, want 100 and 8", l)
	}
	if note := c.picture().Note; !strings.Contains(note, "above the panel") {
		t.Errorf("the note %q does not say where the limit is", note)
	}
	c.limit.Y = []float64{9, 8}
	if note := c.picture().Note; note != "" {
		t.Errorf("a limit within the panel has the note %q", note)
	}

	rows[0].Values = append(rows[0].Values, rundir.Value{Name: "gradient_small_margin", X: 0.5},
		rundir.Value{Name: "gradient_large_margin", X: 2},
		rundir.Value{Name: "decrease_small_margin", X: -0.1})
	c = curvesOf(t, rows)
	if panels = c.picture().Panels; len(panels) != 3 || len(panels[2][0].Lines) != 2 ||
		panels[2][0].Lines[1].Y[0] != 2 || panels[2][1].Lines[0].Y[0] != -0.1 {
		t.Errorf("a diagnosis by groups has the panels %+v", panels)
	}
	rows[2].Values = append(rows[2].Values, rundir.Value{Name: "relative_step_stage1", X: 0.1},
		rundir.Value{Name: "relative_step_biases", X: 0.2})
	c = curvesOf(t, rows)
	if panels = c.picture().Panels; len(panels) != 4 || len(panels[3][0].Lines) != 2 ||
		panels[3][0].Lines[0].Name != "stage1" || panels[3][0].Lines[1].Y[0] != 0.2 {
		t.Errorf("steps by layer have the panels %+v", panels)
	}
	rows[2].Values = append(rows[2].Values, rundir.Value{Name: "noise_scale", X: 70})
	c = curvesOf(t, rows)
	if panels = c.picture().Panels; len(panels) != 5 || panels[4][0].Lines[0].Y[0] != 70 {
		t.Errorf("the noise of the gradient has the panels %+v", panels)
	}
	for i := range rows {
		rows[i].Values = rows[i].Values[:2]
	}
	if c := curvesOf(t, rows); len(c.picture().Panels) != 1 {
		t.Error("a run without a diagnosis has a panel of curvatures")
	}
}
