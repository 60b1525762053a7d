package imagerun

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/runtest"
)

// Small-margin images are measured apart. Together with the others they add up to all images, in
// training and in evaluation, for mini-batches as for the full batch. It is long because it
// compares all columns of three runs.
func TestSmallMargin(t *testing.T) {
	root, mini, plain := t.TempDir(), t.TempDir(), t.TempDir()
	// A rate that moves nothing, so that an epoch of mini-batches measures what a full batch does.
	stdout := succeed(t, testArgs(root, "-small-margin=0.25", "-lr=1e-30", "-eval-every=2")...)
	data := regexp.MustCompile(`(?m)^data      cifar10-mini: ` +
		`13 training images \((\d+) with a small margin\), ` +
		`10 held-out training images \((\d+) with a small margin\)$`).FindStringSubmatch(stdout)
	if data == nil {
		t.Fatalf("no count of small-margin images in\n%s", stdout)
	}
	number := func(text string) float64 { x, _ := strconv.ParseFloat(text, 64); return x }
	rows := runtest.Metrics(t, folder(t, root))
	for i, row := range rows {
		for _, tt := range []struct {
			name             string
			all, smallMargin float64 // images
			evaluated        bool
		}{
			{"loss", 13, number(data[1]), true}, {"train_accuracy", 13, number(data[1]), true},
			{"held_out_loss", 10, number(data[2]), i%2 == 0},
			{"held_out_accuracy", 10, number(data[2]), i%2 == 0},
		} {
			all, small, large := get(row, tt.name), get(row, tt.name+"_small_margin"),
				get(row, tt.name+"_large_margin")
			sum := (tt.smallMargin*small + (tt.all-tt.smallMargin)*large) / tt.all
			if tt.evaluated && !(math.Abs(sum-all) < 1e-9) {
				t.Errorf("step %d: %s is %v, but %v on %v small-margin images and %v on the others",
					i, tt.name, all, small, tt.smallMargin, large)
			} else if !tt.evaluated && !math.IsNaN(small+large) {
				t.Errorf("step %d: %s is %v and %v without an evaluation", i, tt.name, small, large)
			}
		}
		if get(row, "loss_small_margin") == get(row, "loss_large_margin") {
			t.Errorf("step %d: both parts have the loss %v", i, get(row, "loss_small_margin"))
		}
	}
	last := rows[len(rows)-1]
	for _, want := range []string{
		fmt.Sprintf("  with a small margin  +%s +%.4g +%.2f%%", data[1],
			get(last, "loss_small_margin"), 100*get(last, "train_accuracy_small_margin")),
		fmt.Sprintf("  with a large margin  +%v +%.4g +%.2f%%", 10-number(data[2]),
			get(last, "held_out_loss_large_margin"),
			100*get(last, "held_out_accuracy_large_margin")),
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(stdout) {
			t.Errorf("no line %q in\n%s", want, stdout)
		}
	}
	if got := header(t, folder(t, root)); !strings.Contains(got,
		",held_out_accuracy_small_margin,held_out_accuracy_large_margin,") {
		t.Errorf("metrics.csv has the columns %s", got)
	}

	succeed(t, testArgs(mini, "-small-margin=0.25", "-lr=1e-30", "-eval-every=2", "-opt=sgdm",
		"-batch=5", "-chunk=4")...)
	for i, row := range runtest.Metrics(t, folder(t, mini)) {
		for _, name := range []string{"loss_small_margin", "loss_large_margin",
			"train_accuracy_small_margin", "train_accuracy_large_margin"} {
			if a, b := get(row, name), get(rows[i], name); !(math.Abs(a-b) < 1e-6) {
				t.Errorf("epoch %d: with mini-batches %s is %v, want %v", i, name, a, b)
			}
		}
	}

	// Without small-margin images there are no such columns, and the images are others.
	succeed(t, testArgs(plain, "-lr=1e-30", "-eval-every=2")...)
	if got := header(t, folder(t, plain)); strings.Contains(got, "margin") {
		t.Errorf("without -small-margin metrics.csv has the columns %s", got)
	}
	if row := runtest.Metrics(t, folder(t, plain))[0]; get(row, "loss") == get(rows[0], "loss") {
		t.Error("the loss does not change with -small-margin")
	}
}

// Images get a small margin as in the paper unless other settings are given, wherever the share
// comes from. Without a share nothing is left of these settings.
func TestSmallMarginSettings(t *testing.T) {
	want := datasets.SmallMargin{Share: 0.1, Factor: 2, Variance: 0.005, Shuffle: "image", Seed: 1}
	config := func(settings string) string {
		return "-config=" + runtest.File(t, "config.json", `{"settings": `+settings+`}`)
	}
	for _, args := range [][]string{
		{"-preset=paper", "-small-margin=0.1"},
		{"-preset=tiny", "-opt=gd", "-small-margin=0.1"},
		{config(`{"opt": "gd"}`), "-small-margin=0.1"},
		{config(`{"small_margin": 0.1}`)},
		{config(`{"small_margin": 0.2, "small_margin_factor": 4, "small_margin_noise": 1,
			"small_margin_shuffle": "fixed", "small_margin_seed": 3}`),
			"-small-margin=0.1", "-small-margin-factor=2", "-small-margin-noise=0.005",
			"-small-margin-shuffle=image", "-small-margin-seed=1"},
	} {
		c := parse(t, backend.Go, args...)
		if got := c.SmallMarginImages(); got != want ||
			!strings.HasPrefix(c.Label(), c.Data+"-sm0.1-") {
			t.Errorf("%q: %+v in %s, want %+v", args, got, c.Label(), want)
		}
	}
	c := Preset("paper", "gd") // as a sweep makes its settings
	c.SmallMargin = 0.1
	c.Normalize()
	if err := c.Validate(); err != nil || c.SmallMarginImages() != want {
		t.Errorf("%+v, %v, want %+v", c.SmallMarginImages(), err, want)
	}
	for _, args := range [][]string{{"-preset=tiny"},
		{"-preset=tiny", config(`{"small_margin": 0, "small_margin_factor": 4}`)}} {
		c := parse(t, backend.Go, args...)
		text, err := json.Marshal(c.Settings)
		if err != nil || bytes.Contains(text, []byte("small")) {
			t.Errorf("%q: %s, %v, want nothing about small margins", args, text, err)
		}
	}
}
