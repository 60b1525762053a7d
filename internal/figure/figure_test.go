package figure

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/plot/vg"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// folder makes a run folder with the rows, given as the lines of metrics.jsonl.
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

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run is what a run with momentum looks like: the loss rings while it falls,
// and the test accuracy, taken every tenth epoch, stops early.
func run(steps int) []string {
	var rows []string
	for s := range steps {
		x := float64(s) / 300
		loss := 2.3*math.Exp(-7*x) + 0.4*x*(1-x)*math.Exp(-4*x)*(1+math.Cos(60*x)) + 3e-4
		row := fmt.Sprintf(`{"step":%d,"epoch":%d,"loss":%.6g,"train_accuracy":%.4f`, s, s, loss,
			1-0.9*math.Exp(-12*x*x-2*x))
		if s%10 == 0 || s == steps-1 {
			row += fmt.Sprintf(`,"test_accuracy":%.4f`, 0.47-0.37*math.Exp(-6*x))
		}
		rows = append(rows, row+"}")
	}
	return rows
}

const config = `{"settings":{},"derived":{"title":"CIFAR-10 mini, ResNet-18 (width 16), GD+M, η = 0.02, γ = 0.9, undamped"}}`

func TestGolden(t *testing.T) {
	diverged := append(run(61),
		`{"step":61,"epoch":61,"loss":9.5,"train_accuracy":0.1,"test_accuracy":0.1}`,
		`{"step":62,"epoch":62,"loss":7e5,"train_accuracy":0.1}`,
		`{"step":63,"epoch":63,"loss":"NaN","train_accuracy":"NaN"}`)
	tests := []struct {
		name   string
		config string
		rows   []string
	}{
		{"run", config, run(301)},
		{"diverged", `{"settings":{}}`, diverged},
		{"one_row", config, run(1)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := folder(t, test.config, test.rows...)
			if err := Curves(dir); err != nil {
				t.Fatal(err)
			}
			svg, image := read(t, dir, "curves.svg"), read(t, dir, "curves.png")

			// Drawn again: the same bytes.
			if err := Curves(dir); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(svg, read(t, dir, "curves.svg")) ||
				!bytes.Equal(image, read(t, dir, "curves.png")) {
				t.Error("drawing again gave other bytes")
			}
			golden := filepath.Join("testdata", test.name)
			if *update {
				os.WriteFile(golden+".svg", svg, 0o666)
				os.WriteFile(golden+".png", image, 0o666)
			}
			if diff := cmp.Diff(string(read(t, golden+".svg")), string(svg)); diff != "" {
				t.Errorf("%s.svg has changed (look at it, then -update):\n%s", golden, diff)
			}
			if d := pixelDifference(t, read(t, golden+".png"), image); d > 0.001 {
				t.Errorf("%s.png has changed in %.2f%% of the pixels (look at it, then -update)",
					golden, 100*d)
			}
		})
	}
}

// pixelDifference is the share of pixels that differ visibly. Files are not
// compared, because another release of Go may compress differently.
func pixelDifference(t *testing.T, a, b []byte) float64 {
	t.Helper()
	x, errX := png.Decode(bytes.NewReader(a))
	y, errY := png.Decode(bytes.NewReader(b))
	if errX != nil || errY != nil {
		t.Fatal(errX, errY)
	}
	if x.Bounds() != y.Bounds() {
		return 1
	}
	size, n := x.Bounds().Size(), 0
	for i := range size.X {
		for j := range size.Y {
			p := color.GrayModel.Convert(x.At(i, j)).(color.Gray)
			q := color.GrayModel.Convert(y.At(i, j)).(color.Gray)
			if max(p.Y, q.Y)-min(p.Y, q.Y) > 16 {
				n++
			}
		}
	}
	return float64(n) / float64(size.X*size.Y)
}

func TestCurvesRefuses(t *testing.T) {
	tests := []struct {
		name   string
		config string
		rows   []string
		want   string // %s is the folder
	}{
		{"no rows", config, nil, "figure: %s/metrics.jsonl: no rows, want at least one"},
		{"damaged row", config, []string{`{"step":0}`, `{`},
			`rundir: %s/metrics.jsonl:2: "{", want a row such as {"step":3,"loss":0.5}`},
		{"damaged config", "{", run(1), "rundir: %s/config.json:1: unexpected end of JSON input"},
	}
	for _, test := range tests {
		dir := folder(t, test.config, test.rows...)
		if err, want := Curves(dir), fmt.Sprintf(test.want, dir); err == nil || err.Error() !=
			want {
			t.Errorf("%s: got error %v, want %s", test.name, err, want)
		}
	}
	if err := Curves(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: got error %v", err)
	}
}

// Whatever was measured or not, a picture comes out.
func TestOdd(t *testing.T) {
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
		{"long title", `{"settings":{},"derived":{"title":"` + long + `"}}`, run(2), long + "<"},
		{"title of another type", `{"settings":{},"derived":{"title":3}}`, run(2), ">mini-gdm-s1<"},
	}
	for _, test := range tests {
		dir := folder(t, test.config, test.rows...)
		if err := Curves(dir); err != nil {
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

func TestManyRows(t *testing.T) {
	rows := make([]string, 100_000)
	for i := range rows {
		loss := 1 + 0.2*math.Sin(float64(i)) // changes faster than can be drawn
		if i == 70_000 {
			loss = 50 // a spike of one step
		}
		rows[i] = fmt.Sprintf(`{"step":%d,"epoch":%d,"loss":%g,"train_accuracy":0.5}`, i, i, loss)
	}
	dir := folder(t, config, rows...)
	if err := Curves(dir); err != nil {
		t.Fatal(err)
	}
	if n := len(read(t, dir, "curves.svg")); n > 150_000 {
		t.Errorf("curves.svg has %d bytes, want at most 150000", n)
	}
}

func TestThin(t *testing.T) {
	// Ten points in two columns: 0..4 and 5..9.
	var points []vg.Point
	for x, y := range []vg.Length{3, 1, 2, 9, 4, 5, 5, 5, 5, 5} {
		points = append(points, vg.Point{X: vg.Length(x), Y: y})
	}
	got := thin(points, 0, 10, 2)
	want := []vg.Point{{X: 0, Y: 3}, {X: 1, Y: 1}, {X: 3, Y: 9}, {X: 4, Y: 4}, {X: 5, Y: 5},
		{X: 9, Y: 5}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := thin(points, 0, 10, 10); len(got) != len(points) {
		t.Errorf("%d points are left of %d in as many columns", len(got), len(points))
	}
}

func TestTicks(t *testing.T) {
	tests := []struct {
		axis Axis
		want string
	}{
		{Axis{Low: 0, High: 300}, "0 50 100 150 200 250 300"},
		{Axis{Low: 0, High: 1}, "0 0.2 0.4 0.6 0.8 1"},
		{Axis{Low: 0, High: 63}, "0 20 40 60"},
		{Axis{Low: 0, High: 100_000}, "0 20000 40000 60000 80000 100000"},
		{Axis{Low: 2.25, High: 2.34, Log: true}, "2.26 2.28 2.3 2.32 2.34"},
		{Axis{Low: 0.03, High: 2.5, Log: true}, "0.05 0.1 0.2 0.5 1 2"},
		{Axis{Low: 0.002, High: 2.5, Log: true}, "0.01 0.1 1"},
		{Axis{Low: 5, High: 3000, Log: true}, "10 100 1000"},
		{Axis{Low: 3e3, High: 2e5, Log: true}, "5000 10000 20000 50000 100000 200000"},
		{Axis{Low: 2e-6, High: 2.5, Log: true}, "10⁻⁵ 10⁻⁴ 10⁻³ 10⁻² 10⁻¹ 10⁰"},
		{Axis{Low: 1e-12, High: 1, Log: true}, "10⁻¹² 10⁻¹⁰ 10⁻⁸ 10⁻⁶ 10⁻⁴ 10⁻² 10⁰"},
	}
	for _, test := range tests {
		var labels []string
		for _, tick := range test.axis.ticks(300, labelWidth) {
			if !tick.IsMinor() {
				labels = append(labels, tick.Label)
			}
			if at := test.axis.at(tick.Value); at < -1e-9 || at > 1+1e-9 {
				t.Errorf("%v: tick %g lies outside", test.axis, tick.Value)
			}
		}
		if got := strings.Join(labels, " "); got != test.want {
			t.Errorf("%v: got %s, want %s", test.axis, got, test.want)
		}
	}
}
