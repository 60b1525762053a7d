package study

import (
	"math"
	"testing"

	"momentum/internal/imagerun"
	"momentum/internal/rundir"
	"momentum/internal/stats"
)

// two is a study of one cell over two effective rates.
func two() *Study {
	base := imagerun.Preset("tiny", "gd")
	return &Study{
		Name: "figure", Title: "A figure", Cells: []Cell{{Key: "mini", Title: "mini", Base: base,
			Images: 64, Parameterization: "weights",
			Names: [4]string{"mini", "64 images", "ResNet-18", "full batch"},
			Paper: Setting{Data: "cifar10", Model: "resnet18"}}},
		Measures: []Measure{{Column: "test_accuracy", Title: "test accuracy",
			Paper: map[Setting][2]float64{{Data: "cifar10", Model: "resnet18"}: {75.83, 84.68}}}},
		Gamma: 0.9, Form: "undamped", Protocols: []Protocol{Effective}, TrialSeeds: 1,
		Rates:     []float64{0.1, 0.2},
		Schedules: []string{"cosine", "constant"}, WeightDecays: []float64{0, 0.5},
		Holdout: 500, Choose: Fitted, Grow: 1, Seeds: 3, Longer: 10,
	}
}

// ended is a run that ended with these numbers, which are the same on test images and on held-out
// images, after epochs with these accuracies on the training images.
func ended(loss, train, test, testLoss float64, before ...float64) imagerun.Outcome {
	var o imagerun.Outcome
	for epoch, accuracy := range append(before, train) {
		row := rundir.Row{Step: int64(epoch),
			Values: []rundir.Value{{Name: "epoch", X: float64(epoch)},
				{Name: "loss", X: 2 - float64(epoch)/2}, {Name: "train_accuracy", X: accuracy}}}
		if epoch == len(before) {
			row.Values[1].X = loss
			row.Values = append(row.Values, rundir.Value{Name: "test_loss", X: testLoss},
				rundir.Value{Name: "test_accuracy", X: test},
				rundir.Value{Name: "held_out_loss", X: testLoss},
				rundir.Value{Name: "held_out_accuracy", X: test})
		}
		o.Rows = append(o.Rows, row)
	}
	return o
}

func diverged() imagerun.Outcome {
	o := ended(math.NaN(), 1, 0.99, 0, 0.5)
	o.Diverged = true
	return o
}

// Both algorithms have the same trials, at the same effective rates: η is that rate for GD and
// (1−γ) of it with undamped momentum.
func TestTrials(t *testing.T) {
	s := two()
	all, err := s.trials(0, s.Rates)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2*2*2*2 {
		t.Fatalf("%d trials, want 2 algorithms of 2 schedules, 2 weight decays and 2 rates",
			len(all))
	}
	for i, a := range all[:8] {
		a, b, rate := a.configs[0], all[i+8].configs[0], a.effectiveRate
		if a.Opt != "gd" || b.Opt != "gdm" || b.Momentum != 0.9 ||
			rate != all[i+8].effectiveRate || a.Schedule != b.Schedule ||
			a.WeightDecay != b.WeightDecay || a.Holdout != 500 || b.Seed != 1 {
			t.Errorf("trial %d is %+v with GD and %+v with GD+M", i, a.Settings, b.Settings)
		}
		if a.Rate != rate || b.Rate != map[float64]float64{0.1: 0.01, 0.2: 0.02}[rate] {
			t.Errorf("effective rate %v: η is %v of GD and %v of GD+M", rate, a.Rate, b.Rate)
		}
	}
	s.Form = "damped"
	if all, err = s.trials(0, s.Rates); err != nil || all[8].configs[0].Rate != 0.1 {
		t.Errorf("η is %v with damped momentum, %v; want 0.1, the effective rate",
			all[8].configs[0].Rate, err)
	}
	s.TrialSeeds = 2
	if all, err = s.trials(0, s.Rates); err != nil || len(all[8].configs) != 2 ||
		all[8].configs[1].Seed != 2 {
		t.Errorf("configurations of a trial with 2 seeds: %+v, %v", all[8].configs, err)
	}
}

// The final runs: other seeds than the trials', nothing held out; the controls at GD+M's effective
// rate and with ten times the epochs.
func TestFinal(t *testing.T) {
	s := two()
	trials, err := s.trials(0, s.Rates)
	if err != nil {
		t.Fatal(err)
	}
	// cosine, 0, 0.1; constant, 0.5, 0.2
	all, err := s.final(0, [chosen]choice{{trial: trials[0]}, {trial: trials[15]}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]struct {
		opt      string
		rate     float64
		schedule string
		decay    float64
		epochs   int
	}{
		plain: {"gd", 0.1, "cosine", 0, 20}, momentum: {"gdm", 0.02, "constant", 0.5, 20},
		sameRate: {"gd", 0.2, "constant", 0.5, 20}, longer: {"gd", 0.1, "cosine", 0, 200},
	} {
		for j, c := range all[i] {
			if c.Opt != want.opt || c.Rate != want.rate || c.Schedule != want.schedule ||
				c.WeightDecay != want.decay || c.Epochs != want.epochs || c.Holdout != 0 ||
				c.Seed != uint64(2+j) {
				t.Errorf("arm %d, seed %d: %+v; want %+v", i, 2+j, c.Settings, want)
			}
		}
		if len(all[i]) != 3 {
			t.Errorf("arm %d: %d seeds, want 3", i, len(all[i]))
		}
	}
	s.Cells[0].Base.Diagnose = "sharpness"
	if trials, err = s.trials(0, s.Rates); err != nil || trials[15].configs[0].Diagnose != "" {
		t.Errorf("a trial has the diagnosis %q, %v; want none", trials[15].configs[0].Diagnose, err)
	}
	diagnosed, err := s.final(0, [chosen]choice{{trial: trials[0]}, {trial: trials[15]}})
	for _, arm := range []int{plain, momentum, sameRate, longer} {
		c := diagnosed[arm][2]
		if err != nil || c.Diagnose != "sharpness" || c.DiagnoseEvery != 10 {
			t.Errorf("arm %d has the diagnosis %q every %d epochs, %v", arm, c.Diagnose,
				c.DiagnoseEvery, err)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, tt := range []struct {
		paper, mean, half float64
		want              string
	}{
		{8.85, 8, 1, "reproduced"}, // 7 to 9 holds 8.85, without 0
		{8.85, 5, 1, "direction only"},
		{8.85, 12, 1, "direction only"},
		{8.85, 5, 6, "undecided"}, // holds 8.85 and 0
		{8.85, -2, 1, "opposite"},
		{8.85, 0, 1, "no difference seen"},
		{-0.24, 0.1, 0.5, "reproduced"}, // the paper sees none, and so do we
		{-0.24, 5, 0.5, "opposite"},
		{-0.24, 5, 30, "undecided"}, // too wide to see that there is none
		{-0.24, -5, 0.5, "direction only"},
	} {
		got := status(tt.paper, stats.Interval{Mean: tt.mean, Half: tt.half, N: 3})
		if got != tt.want {
			t.Errorf("paper %v, ours %v ± %v: %s, want %s", tt.paper, tt.mean, tt.half, got,
				tt.want)
		}
	}
	if got := status(8.85, stats.Interval{Mean: 9, N: 1}); got != "undecided, n = 1" {
		t.Errorf("one seed: %s", got)
	}
}
