package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"image/png"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/imagerun"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
)

// train trains a network in a second and returns the run's folder: 13 images of cifar10-mini, and
// 10 that are held out.
func train(t *testing.T, more ...string) string {
	t.Helper()
	root := t.TempDir()
	args := runtest.Changed([]string{"-preset=tiny", "-backend=go", "-offline", "-model=wrn16-1",
		"-width=1", "-images=13", "-holdout=10", "-epochs=2", "-chunk=5", "-lr=0.1",
		"-runs=" + root}, more...)
	command, err := imagerun.ParseCommand(args)
	if err == nil {
		err = command.Run(t.Context(), t.Output(), t.Output())
	}
	if err != nil {
		t.Fatal(err)
	}
	folders, err := filepath.Glob(filepath.Join(root, "*-??????????"))
	if err != nil || len(folders) != 1 {
		t.Fatal(folders, err)
	}
	return folders[0]
}

// interpolate executes the command and returns what it prints.
func interpolate(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), &stdout, &stderr, append(args, "-backend=go",
		"-offline")); err != nil || stderr.Len() > 0 {
		t.Fatal(err, stderr.String())
	}
	return stdout.String()
}

// numbers are the rows of a CSV file under a head: NaN where a field is empty.
func numbers(t *testing.T, path, head string) (rows [][]float64) {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(runtest.Read(t, path))).ReadAll()
	if err != nil || strings.Join(all[0], ",") != head {
		t.Fatalf("%v, head %q, want %q", err, all[0], head)
	}
	for _, texts := range all[1:] {
		var row []float64
		for _, text := range texts {
			x, err := strconv.ParseFloat(cmp.Or(text, "NaN"), 64)
			if err != nil || text == "NaN" {
				t.Fatalf("%q, %v", text, err)
			}
			row = append(row, x)
		}
		rows = append(rows, row)
	}
	return rows
}

// sameScores compares a point with the row that the run measured there: its training loss to the
// rounding of a step, which adds the chunks up in another order than an evaluation.
func sameScores(t *testing.T, point []float64, row rundir.Row) {
	t.Helper()
	for i, name := range []string{"loss", "train_accuracy", "held_out_loss", "held_out_accuracy"} {
		if want, ok := row.Get(name); !ok || math.Abs(point[1+i]-want) > 1e-5*(1+want) {
			t.Errorf("t = %v: %s is %v, the run measured %v", point[0], name, point[1+i], want)
		}
	}
}

// At t = 0 and t = 1, loss and accuracy are those that the runs measured, and so they are at the
// epochs of one run. Both runs start from the same weights.
func TestInterpolate(t *testing.T) {
	gd := train(t, "-opt=gd", "-norm=weights", "-save-weights-every=1", "-eval-every=1")
	gdm := train(t, "-opt=gdm", "-norm=weights", "-save-weights-every=1", "-eval-every=1")
	out := filepath.Join(t.TempDir(), "result")
	printed := interpolate(t, gd, gdm, "-points=2", "-from=-0.5", "-to=1.5", "-out="+out)
	for _, want := range []string{"\nmeasured  t = 1, held-out: loss ", "\n| a, b  | ",
		"\nloss barrier ", fmt.Sprintf("\nfiles     %[1]s.csv, %[1]s-distances.csv, %[1]s.png, "+
			"%[1]s.svg\n", out)} {
		if !strings.Contains(printed, want) {
			t.Errorf("want %q in\n%s", want, printed)
		}
	}
	const head = "t,loss,train_accuracy,held_out_loss,held_out_accuracy"
	line := numbers(t, out+".csv", head)
	if len(line) != 4 || line[0][0] != -0.5 || line[3][0] != 1.5 {
		t.Fatalf("points %v", line)
	}
	sameScores(t, line[1], runtest.Metrics(t, gd)[2])
	sameScores(t, line[2], runtest.Metrics(t, gdm)[2])
	if _, err := png.Decode(strings.NewReader(runtest.Read(t, out+".png"))); err != nil {
		t.Error(err)
	}
	svg := runtest.Read(t, out+".svg")
	for _, want := range []string{"From a = GD (η = 0.1) to b = GD+M (η = 0.1), seed 1",
		"t, for the weights a + t (b − a)"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the picture lacks %q", want)
		}
	}

	apart := numbers(t, out+"-distances.csv", "epoch,distance,displacement_a,displacement_b,"+
		"cosine,standardized_distance,standardized_displacement_a,standardized_displacement_b,"+
		"standardized_cosine")
	if want := "[0 0 0 0 NaN 0 0 0 NaN]"; len(apart) != 3 || fmt.Sprint(apart[0]) != want {
		t.Fatalf("distances %v, want those of the epochs 0, 1 and 2, which are 0 at first, "+
			"without a cosine", apart)
	}
	if row := "\n|0|0|0|0|–|0|0|0|–|\n"; !strings.Contains(strings.ReplaceAll(printed, " ", ""),
		row) {
		t.Errorf("want a – for the cosine before the first step:\n%s", printed)
	}
	// The first steps of GD and GD+M are the same, and as long as the run says.
	first, _ := runtest.Metrics(t, gd)[0].Get("update_norm")
	if d := apart[1]; d[1] != 0 || d[4] < 0.999999 || math.Abs(d[2]-first) > 1e-5*first ||
		d[5] != 0 || !(d[6] > 0) {
		t.Errorf("after the first step %v, want no distance, and %v from the start", d, first)
	}
	if d := apart[2]; !(d[1] > 0 && d[5] > 0) {
		t.Errorf("after the second step %v, want some distance", d)
	}

	interpolate(t, "-points=2", gd+"@0", gd+"@1", "-out="+out)
	line = numbers(t, out+".csv", head)
	sameScores(t, line[0], runtest.Metrics(t, gd)[0])
	sameScores(t, line[1], runtest.Metrics(t, gd)[1])
}

// The points of a line by hand: the loss along it of a quadratic, a model of one weight with the
// loss w², from a = −1 to b = 3, is (4t−1)². Its barrier is 0, since it is convex; that of the
// negative is 4, in the middle.
func TestLine(t *testing.T) {
	ts := places(-0.5, 1.5, 5)
	if !slices.Equal(ts, []float64{-0.5, 0, 0.5, 1, 1.5}) || !slices.Equal(places(0, 1, 2),
		[]float64{0, 1}) || len(places(-0.25, 1.25, 21)) != 23 {
		t.Errorf("points %v, %v, %v", ts, places(0, 1, 2), places(-0.25, 1.25, 21))
	}
	var bowl, hill []point
	for i, x := range ts {
		w := between([]float64{-1}, []float64{3}, x)[0]
		if want := []float64{-3, -1, 1, 3, 5}[i]; w != want {
			t.Errorf("w(%v) = %v, want %v", x, w, want)
		}
		bowl = append(bowl, point{t: x, loss: w * w})
		hill = append(hill, point{t: x, loss: -w * w})
	}
	if height, _ := barrier(bowl); height != 0 {
		t.Errorf("barrier %v in a bowl", height)
	}
	// −1 in the middle, where the straight line from −1 to −9 is at −5.
	if height, at := barrier(hill); height != 4 || at != 0.5 {
		t.Errorf("barrier %v at %v on a hill, want 4 at 0.5", height, at)
	}
}

// The title names what differs, and the seed once if both have it.
func TestTitle(t *testing.T) {
	saved := func(opt string, rate float64, seed uint64) *imagerun.Saved {
		s := new(imagerun.Saved)
		s.Opt, s.Rate, s.Seed = opt, rate, seed
		return s
	}
	for _, tt := range []struct {
		a, b   *imagerun.Saved
		epochs [2]int
		want   string
	}{
		{saved("gd", 0.05, 6), saved("gdm", 0.01, 6), [2]int{-1, -1},
			"From a = GD (η = 0.05) to b = GD+M (η = 0.01), seed 6"},
		{saved("sgd", 2, 3), saved("sgd", 2, 4), [2]int{-1, -1},
			"From a = SGD (η = 2, seed 3) to b = SGD (η = 2, seed 4)"},
		{saved("gdm", 2, 3), saved("gdm", 2, 3), [2]int{0, 100},
			"From a = GD+M (η = 2, epoch 0) to b = GD+M (η = 2, epoch 100), seed 3"},
	} {
		o := &options{ends: [2]end{{epoch: tt.epochs[0]}, {epoch: tt.epochs[1]}}}
		if got := o.title([2]*imagerun.Saved{tt.a, tt.b}); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// From (1, 0) and (1, 1) to (4, 4) and (1, 6): displacements (3, 4) and (0, 5).
func TestDistance(t *testing.T) {
	got := distanceOf([]float64{4, 4}, []float64{1, 6}, []float64{1, 0}, []float64{1, 1})
	for i, pair := range [][2]float64{{got.between, math.Sqrt(13)}, {got.a, 5}, {got.b, 5},
		{got.cosine, 0.8}} {
		if math.Abs(pair[0]-pair[1]) > 1e-14 {
			t.Errorf("value %d is %v, want %v", i, pair[0], pair[1])
		}
	}
	got = distanceOf([]float64{1}, []float64{2}, []float64{1}, []float64{1})
	if !math.IsNaN(got.cosine) {
		t.Errorf("cosine %v with a displacement of 0, want none", got.cosine)
	}
}

// Wrong command lines and runs that do not belong together are refused in one line.
func TestRefuses(t *testing.T) {
	a, b := train(t, "-epochs=1"), train(t, "-epochs=1", "-images=12")
	slim := train(t, "-epochs=1", "-slim")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{a}, "1 run folders, want two: runs/A runs/B"},
		{[]string{a, b}, fmt.Sprintf("%s and %s differ in -images: 13 and 12, want the same "+
			"network and the same images", a, b)},
		{[]string{a, a + "@7"}, a + " has no weights of epoch 7, but those of the epochs 0, 1; " +
			"-save-weights-every of cifar keeps more"},
		{[]string{a, a + "@x"}, "want a run folder, or RUN@EPOCH with an epoch of at least 0"},
		{[]string{a, slim}, "the run kept no weights (-slim)"},
		{[]string{a, t.TempDir()}, "is no run folder: it has no config.json"},
		{[]string{a, a, "-points=1"}, "-points must be 0 or at least 2, got 1"},
		{[]string{a, a, "-from=0.5"}, "-from must be finite and at most 0, got 0.5"},
		{[]string{a, a, "-to=NaN"}, "-to must be finite and at least 1, got NaN"},
		{[]string{a, a, "-out=" + filepath.Join(t.TempDir(), "x", "y")}, "there is no folder"},
	} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), &stdout, &stderr, tt.args)
		usage := (*cli.UsageError)(nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) ||
			strings.Contains(err.Error(), "\n") || !errors.As(err, &usage) &&
			!strings.Contains(tt.want, "-slim") {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
	}
}
