package imagerun

import (
	"math"
	"regexp"
	"strings"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/runtest"
)

var diagnosed = []string{"-opt=gdm", "-epochs=4", "-diagnose=sharpness", "-diagnose-every=2",
	"-eigenvalues=2", "-diagnose-images=7"}

// A diagnosis adds columns to the rows of its epochs and to the last one, and changes no other
// number. The columns do not depend on where the run was stopped, in a diagnosis or beside one.
func TestDiagnose(t *testing.T) {
	plain, root := t.TempDir(), t.TempDir()
	succeed(t, testArgs(plain, "-opt=gdm", "-epochs=4")...)
	stdout := succeed(t, testArgs(root, diagnosed...)...)
	if !strings.Contains(stdout, "  sharpness ") {
		t.Errorf("no sharpness in\n%s", stdout)
	}
	want := runtest.Metrics(t, folder(t, plain))
	rows := runtest.Metrics(t, folder(t, root))
	if len(rows) != 5 || len(want) != 5 {
		t.Fatalf("%d and %d rows, want 5", len(rows), len(want))
	}
	rule := descent.Rule{Form: descent.Undamped, Gamma: 0.9}
	for i, row := range rows {
		for _, v := range want[i].Values {
			if got := get(row, v.Name); got != v.X {
				t.Errorf("row %d: %s is %v with a diagnosis and %v without", i, v.Name, got, v.X)
			}
		}
		if i%2 == 1 {
			if extra := len(row.Values) - len(want[i].Values); extra != 0 {
				t.Errorf("row %d has %d columns more", i, extra)
			}
			continue
		}
		first, second := get(row, "sharpness"), get(row, "sharpness_2")
		if !(first >= second && get(row, "sharpness_residual") >= 0) {
			t.Errorf("row %d: sharpness %v and %v", i, first, second)
		}
		along, limit := get(row, "sharpness_update"), get(row, "stability_limit")
		if last := i == len(rows)-1; math.IsNaN(along) != last || math.IsNaN(limit) != last {
			t.Errorf("row %d: curvature along the step %v, limit %v", i, along, limit)
		} else if !last && (along > first*(1+sharpnessTolerance) ||
			limit != rule.StabilityLimit(get(row, "rate"))) {
			t.Errorf("row %d: curvature along the step %v of at most %v, limit %v", i, along, first,
				limit)
		}
	}

	for _, calls := range []int{3, 40, 90} {
		stopped := t.TempDir()
		ctx := &runtest.Countdown{Context: t.Context(), Calls: calls}
		if status, _, stderr := cifar(t, ctx, testArgs(stopped, diagnosed...)...); status !=
			cli.Stopped {
			t.Fatalf("%d calls: status %d, %s", calls, status, stderr)
		}
		succeed(t, testArgs(stopped, diagnosed...)...)
		sameResult(t, folder(t, stopped), folder(t, root))
	}
}

// -dry-run says what share the diagnosis has: 3 diagnoses (of the epochs 0 and 2, and the last) of
// up to 41 products, each as long as 3 gradients, of 7 images, beside 4 epochs of 13 images and the
// evaluations.
func TestDiagnosisCost(t *testing.T) {
	stdout := succeed(t, testArgs(t.TempDir(), append(diagnosed, "-dry-run")...)...)
	r := regexp.MustCompile(`of it, up to (\d+)% for -diagnose`).FindStringSubmatch(stdout)
	if r == nil || r[1] != "96" && r[1] != "97" && r[1] != "98" {
		t.Errorf("share %q, want about 3·41·3·7 of as much and 4·13 and some: 97%%\n%s", r, stdout)
	}
}

func TestDiagnoseSettings(t *testing.T) {
	c := parse(t, backend.Go, "-diagnose=sharpness")
	if c.DiagnoseEvery != 10 || c.Eigenvalues != 1 {
		t.Errorf("every %d epochs, %d eigenvalues; want 10 and 1", c.DiagnoseEvery, c.Eigenvalues)
	}
	c = parse(t, backend.Go, "-diagnose-every=0", "-config="+runtest.File(t, "config.json",
		`{"settings": {"diagnose_every": 3, "eigenvalues": 2}}`))
	if c.DiagnoseEvery != 0 || c.Eigenvalues != 0 {
		t.Errorf("a diagnosis that is off has settings: %+v", c.Settings)
	}
	for want, args := range map[string][]string{
		"-diagnose must be some of sharpness, critical, groups, layers, noise, with commas, " +
			`got "flatness"`: {"-diagnose=flatness"},
		"-diagnose=sharpness needs the full batch, on which gd and gdm step, got -opt=sgd": {
			"-diagnose=sharpness", "-opt=sgd"},
		"-diagnose-every must be at least 0 epochs, got -1": {"-diagnose=sharpness",
			"-diagnose-every=-1"},
		"-diagnose-images must be at most the number of training images, got 14": {
			"-diagnose=sharpness", "-diagnose-images=14"},
		"-eigenvalues must be in [0, 20], got 21": {"-diagnose=sharpness", "-eigenvalues=21"},
	} {
		fails(t, cli.BadUsage, want, testArgs(t.TempDir(), args...)...)
	}
}
