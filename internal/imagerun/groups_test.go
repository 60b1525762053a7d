package imagerun

import (
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
)

// groupArgs are the arguments of a run whose images are in two groups.
func groupArgs(root string, more ...string) []string {
	return runtest.Changed(testArgs(root, "-opt=gdm", "-small-margin=0.25", "-epochs=6",
		"-weight-decay=0.01"), more...)
}

// A diagnosis by group adds columns and changes no other number. The parts of the gradient and of
// the buffer have the lengths and angles that the whole has; what a step takes from the loss of the
// small-margin images is, for a small rate, what the next row shows; and a run that was stopped
// anywhere has the same columns.
func TestDiagnoseGroups(t *testing.T) {
	for _, rule := range []string{"gd", "gdm", "gd -clip=0.05", "gdm -clip=0.05"} {
		plain, root := t.TempDir(), t.TempDir()
		small := strings.Fields("-lr=1e-3 -opt=" + rule)
		opt, _, clips := strings.Cut(rule, " ")
		succeed(t, groupArgs(plain, small...)...)
		diagnosed := append(small, "-diagnose=groups", "-diagnose-every=1")
		succeed(t, groupArgs(root, diagnosed...)...)
		want := runtest.Metrics(t, folder(t, plain))
		rows := runtest.Metrics(t, folder(t, root))
		for i, row := range rows {
			for _, v := range want[i].Values {
				if got := get(row, v.Name); got != v.X {
					t.Errorf("row %d: %s is %v with a diagnosis and %v without", i, v.Name, got,
						v.X)
				}
			}
			checkGroups(t, opt, rows, i)
			if x, ok := row.Get("clip_factor"); ok != (clips && i < len(rows)-1) || ok &&
				!(x > 0 && x < 1) {
				t.Errorf("row %d of %s: ∇L is scaled by %v, want a factor below 1", i, rule, x)
			}
		}

		if rule != "gdm" {
			continue
		}
		for _, calls := range []int{5, 90} {
			stopped := t.TempDir()
			ctx := &runtest.Countdown{Context: t.Context(), Calls: calls}
			args := groupArgs(stopped, diagnosed...)
			if status, _, stderr := cifar(t, ctx, args...); status != cli.Stopped {
				t.Fatalf("%d calls: status %d, %s", calls, status, stderr)
			}
			succeed(t, args...)
			sameResult(t, folder(t, stopped), folder(t, root))
		}
	}
}

// checkGroups checks the diagnosis of row i.
func checkGroups(t *testing.T, opt string, rows []rundir.Row, i int) {
	t.Helper()
	row := rows[i]
	last := i == len(rows)-1
	for _, group := range []string{smallMargin, largeMargin} {
		for _, set := range []struct{ margin, accuracy string }{{"margin", "train_accuracy"},
			{"held_out_margin", "held_out_accuracy"}} {
			low, middle, high := get(row, set.margin+"_q10"+group),
				get(row, set.margin+"_q50"+group), get(row, set.margin+"_q90"+group)
			if !(low <= middle && middle <= high) {
				t.Errorf("row %d: quantiles %v, %v, %v of %s%s", i, low, middle, high, set.margin,
					group)
			}
			// An image is classified correctly if its margin is positive.
			if a := get(row, set.accuracy+group); a < 0.5 && middle > 0 || a > 0.5 && middle < 0 {
				t.Errorf("row %d: accuracy %v with a median margin of %v", i, a, middle)
			}
		}
	}
	if last {
		if b := get(row, "buffer_decay"); !math.IsNaN(b) {
			t.Errorf("the last row, after which no step is taken, has a buffer: %v", b)
		}
		return
	}
	small, large := get(row, "gradient"+smallMargin), get(row, "gradient"+largeMargin)
	sum := math.Sqrt(small*small + large*large + 2*small*large*get(row, "gradient_cosine"))
	if factor, ok := row.Get("clip_factor"); ok {
		sum *= factor
	}
	if g, slack := get(row, "grad_norm"), 0.011*get(row, "param_norm"); math.Abs(sum-g) > slack {
		t.Errorf("row %d: the parts' sum has the norm %v, with the decay %v ± %v", i, sum, g, slack)
	}
	took := get(row, "loss"+smallMargin) - get(rows[i+1], "loss"+smallMargin)
	decrease := get(row, "decrease"+smallMargin)
	if math.Abs(took-decrease) > 0.1*math.Abs(decrease)+2e-6 {
		t.Errorf("row %d: the small-margin images lose %v, to first order %v", i, took, decrease)
	}
	// In the first step, and without momentum in all, there is no past.
	past := get(row, "decrease"+smallMargin+"_by_past_large")
	if none := i == 0 || opt == "gd"; none != math.IsNaN(past) ||
		math.Abs(past) < 1e-6*math.Abs(decrease) {
		t.Errorf("row %d: the past takes %v of %v", i, past, decrease)
	}
}

// A run in which an intervention never took place says so, and any says which it has.
func TestInterventionIsSaid(t *testing.T) {
	root := t.TempDir()
	stdout := succeed(t, groupArgs(root, "-epochs=1", "-intervene=reset", "-intervene-at=1e-9")...)
	for _, line := range []string{"          -intervene=reset never took place: the mean loss of " +
		"the large-margin images did not fall below 1e-09\n",
		", intervention reset at a loss of 1e-09; η = "} {
		if strings.Count(stdout, line) != 1 {
			t.Errorf("%q stands not once in\n%s", line, stdout)
		}
	}
	c := parse(t, backend.Go, groupArgs(root, "-intervene=keep-out")...)
	if rule := c.RuleName(); !strings.HasSuffix(rule, ", intervention keep-out") {
		t.Errorf("the rule is %q", rule)
	}
}

// The first eigenvectors are told apart from the groups' gradients by cosines, with both diagnoses.
// They stand at right angles to each other, so that the squares of a vector's cosines add up to 1
// at most. In the first step the buffer is the gradient, and its cosine follows from the groups'
// gradients if these point the same way along the eigenvector, or against each other.
func TestDiagnoseBoth(t *testing.T) {
	root := t.TempDir()
	succeed(t, groupArgs(root, "-epochs=1", "-diagnose=sharpness,groups", "-eigenvalues=3",
		"-weight-decay=0")...)
	row := runtest.Metrics(t, folder(t, root))[0]
	for _, ending := range []string{smallMargin, largeMargin, "_buffer"} {
		sum := 0.0
		for i := range 3 {
			x := get(row, ranked("top_cosine", i)+ending)
			if !(x > 0 && x < 1) {
				t.Errorf("%s, eigenvector %d: |cosine| %v", ending, i+1, x)
			}
			sum += x * x
		}
		if sum > 1 {
			t.Errorf("%s: the squares of three cosines add up to %v", ending, sum)
		}
	}
	small, large := get(row, "gradient"+smallMargin), get(row, "gradient"+largeMargin)
	whole := math.Sqrt(small*small + large*large + 2*small*large*get(row, "gradient_cosine"))
	for i := range 3 {
		name := ranked("top_cosine", i)
		s, l := small*get(row, name+smallMargin), large*get(row, name+largeMargin)
		got := whole * get(row, name+"_buffer")
		if d := min(math.Abs(got-(s+l)), math.Abs(got-math.Abs(s-l))); d > 1e-4*(s+l) {
			t.Errorf("%s: along it lie %v and %v of the groups, %v of the buffer", name, s, l, got)
		}
	}
}

// Interventions at a fit that any loss passes take place after the first step. A run by hand, from
// gradients of each group, has the same losses; and a run that was stopped has the same bytes.
func TestIntervene(t *testing.T) {
	for _, form := range []string{"undamped", "damped"} {
		for i, intervention := range interventions {
			root := t.TempDir()
			args := []string{"-intervene=" + intervention, "-form=" + form, "-lr=0.05"}
			if i%2 == 1 {
				args = append(args, "-clip=0.05")
			}
			if intervention != keepOut {
				args = append(args, "-intervene-at=100")
			}
			stdout := succeed(t, groupArgs(root, args...)...)
			rows := runtest.Metrics(t, folder(t, root))
			got := column(rows, lossColumn)
			if want := byHand(t, parse(t, backend.Go, groupArgs(root, args...)...)); !floats.
				EqualApprox(got[:len(want)], want, 1e-5) {
				t.Errorf("%s, %s: losses %v, want %v\n%s", intervention, form, got, want, stdout)
			}
			line := "          -intervene=" + intervention + " after step 1\n"
			if at := strings.Count(stdout, line); intervention != keepOut && at != 1 {
				t.Errorf("%q stands %d times in\n%s", line, at, stdout)
			}
			if form == "damped" {
				continue
			}
			stopped := t.TempDir()
			ctx := &runtest.Countdown{Context: t.Context(), Calls: 12}
			if status, _, stderr := cifar(t, ctx, groupArgs(stopped, args...)...); status !=
				cli.Stopped {
				t.Fatalf("status %d, %s", status, stderr)
			}
			succeed(t, groupArgs(stopped, args...)...)
			sameResult(t, folder(t, stopped), folder(t, root))
		}
	}
}

// byHand computes the losses of a run with an intervention after the first step, on the host, from
// gradients of each group of images. It is long because it does without the trainer's step.
func byHand(t *testing.T, c Config) (losses []float64) {
	t.Helper()
	b, err := backend.Open(t.Context(), "go", backend.Options{Devices: 1})
	if err != nil {
		t.Fatal(err)
	}
	train, _, err := load(t.Context(), c, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &experiment{Config: c, backend: b}
	if r.net, err = r.Network(train.Classes); err != nil {
		t.Fatal(err)
	}
	l := descent.Layout{Chunk: 5}
	if r.train, err = descent.NewData(b, train, l); err != nil {
		t.Fatal(err)
	}
	r.Diagnose = byGroup // so that both groups are there
	if r.groups, err = r.newGroupImages(train, l); err != nil {
		t.Fatal(err)
	}
	tr, err := r.startTrainer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gradient := func(d *descent.Data) []float64 {
		g, err := tr.Gradient(t.Context(), d, train.N())
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	schedule := descent.Schedule{Kind: c.Schedule, Peak: c.Rate, Steps: c.Epochs, Warmup: c.Warmup}
	w, err := tr.Values()
	if err != nil {
		t.Fatal(err)
	}
	buffer := make([]float64, len(w))
	for step := range c.Epochs {
		score, err := tr.Evaluate(t.Context(), r.train)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, score.Loss)
		small, large := gradient(r.groups.small), gradient(r.groups.large)
		if whole := floats.AddTo(make([]float64, len(w)), small, large); c.Clip > 0 {
			factor := math.Min(1, c.Clip/floats.Norm(whole, 2))
			floats.Scale(factor, small)
			floats.Scale(factor, large)
		}
		floats.AddScaled(small, c.WeightDecay, w)
		effective := c.Rule().EffectiveRate(schedule.Rate(step))
		gd := c.Intervene == phase1 && step > 0 || c.Intervene == phase2 && step == 0
		if step == 1 && (c.Intervene == reset || c.Intervene == phase2) {
			clear(buffer)
		}
		// In the damped form, at the effective rate: both forms take the same steps.
		if gd {
			clear(buffer)
			floats.AddScaled(w, -effective, small)
			floats.AddScaled(w, -effective, large)
		} else {
			floats.Scale(c.Momentum, buffer)
			floats.AddScaled(buffer, 1-c.Momentum, small)
			if c.Intervene == keepOut {
				floats.AddScaled(w, -effective, large)
			} else {
				floats.AddScaled(buffer, 1-c.Momentum, large)
			}
			floats.AddScaled(w, -effective, buffer)
		}
		if err := tr.SetValues(w); err != nil {
			t.Fatal(err)
		}
	}
	return losses
}

// column is a column of a run's metrics.
func column(rows []rundir.Row, name string) (values []float64) {
	for _, row := range rows {
		values = append(values, get(row, name))
	}
	return values
}

func TestGroupSettings(t *testing.T) {
	c := parse(t, backend.Go, "-opt=gdm", "-small-margin=0.1", "-intervene=reset")
	if c.InterveneAt != 0.1 {
		t.Errorf("an intervention at a loss of %v, want 0.1", c.InterveneAt)
	}
	for want, args := range map[string][]string{
		"-diagnose=groups needs two groups of images: add -small-margin=0.1, got " +
			"-small-margin=0": {"-diagnose=groups"},
		"-intervene=reset needs -opt=gdm, got -opt=gd": {"-opt=gd", "-intervene=reset"},
		"-intervene=reset needs -momentum above 0, got 0": {"-opt=gdm", "-intervene=reset",
			"-momentum=0", "-small-margin=0.25"},
		`-intervene must be empty or one of reset, keep-out, phase1, phase2, got "more"`: {
			"-opt=gdm", "-intervene=more"},
		"-intervene=keep-out needs a loss that is a sum over images, which batch normalization " +
			"does not have, got -norm=batch": {"-opt=gdm", "-intervene=keep-out", "-norm=batch",
			"-small-margin=0.25"},
		"-intervene-at must be positive and finite, got -1": {"-opt=gdm", "-intervene=phase1",
			"-small-margin=0.25", "-intervene-at=-1"},
	} {
		fails(t, cli.BadUsage, want, testArgs(t.TempDir(), args...)...)
	}
}
