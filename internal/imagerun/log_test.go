package imagerun

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"momentum/internal/rundir"
	"momentum/internal/runtest"
	"momentum/internal/tbevents"
)

// A row that was not evaluated is shown with the last evaluation and its epoch.
func TestLine(t *testing.T) {
	for _, tt := range []struct {
		holdout      int
		column, name string
	}{{0, "test_accuracy", "test"}, {10, "held_out_accuracy", "held-out"}} {
		l := &runLog{training: &training{experiment: &experiment{
			Config: Config{Settings: Settings{Epochs: 60, Holdout: tt.holdout}}}}}
		for _, step := range []struct {
			epoch    float64
			accuracy []rundir.Value // of the evaluation, if there is one
			more     []rundir.Value
			want     string
		}{
			{39, nil, nil, "epoch 39/60  loss 0.5000  train 75.00%"}, // resumed between evaluations
			{40, []rundir.Value{{Name: tt.column, X: 0.125}}, nil,
				"epoch 40/60  loss 0.5000  train 75.00%  " + tt.name + " 12.50%"},
			{41, nil, nil,
				"epoch 41/60  loss 0.5000  train 75.00%  " + tt.name + " 12.50% (epoch 40)"},
			{42, nil, []rundir.Value{{Name: "sharpness", X: 3}}, "epoch 42/60  loss 0.5000  " +
				"train 75.00%  " + tt.name + " 12.50% (epoch 40)  sharpness 3"},
			{43, []rundir.Value{{Name: tt.column, X: 0.25}}, nil,
				"epoch 43/60  loss 0.5000  train 75.00%  " + tt.name + " 25.00%"},
			{44, nil, nil,
				"epoch 44/60  loss 0.5000  train 75.00%  " + tt.name + " 25.00% (epoch 43)"},
		} {
			values := append([]rundir.Value{{Name: "epoch", X: step.epoch},
				{Name: "loss", X: 0.5}, {Name: "train_accuracy", X: 0.75}}, step.accuracy...)
			got, evaluated := l.line(rundir.Row{Values: append(values, step.more...)})
			if got != step.want || evaluated != (step.accuracy != nil) {
				t.Errorf("%q, evaluated %v; want %q", got, evaluated, step.want)
			}
		}
	}
}

// The events have every value of the metrics, under tags in groups. The columns are all that a run
// can write, with everything that adds some. It is long because it lists them.
func TestTags(t *testing.T) {
	root := t.TempDir()
	succeed(t, testArgs(root, "-opt=gdm", "-epochs=3", "-norm=weights", "-clip=1",
		"-small-margin=0.25", "-diagnose="+strings.Join(diagnoses, ","), "-diagnose-every=1",
		"-eigenvalues=2")...)
	dir := folder(t, root)
	want := map[string]string{}
	for _, group := range []struct{ tag, column, rests string }{
		{"epoch", "epoch", "-"}, {"rate", "rate", "-"},
		{"train/loss", "loss", "- _small_margin _large_margin"},
		{"train/accuracy", "train_accuracy", "- _small_margin _large_margin"},
		{"train/", "", "margin_q10_small_margin margin_q50_small_margin margin_q90_small_margin " +
			"margin_q10_large_margin margin_q50_large_margin margin_q90_large_margin"},
		{"held_out/", "held_out_", "loss loss_small_margin loss_large_margin " +
			"accuracy accuracy_small_margin accuracy_large_margin " +
			"margin_q10_small_margin margin_q50_small_margin margin_q90_small_margin " +
			"margin_q10_large_margin margin_q50_large_margin margin_q90_large_margin"},
		{"norm/gradient", "grad_norm", "-"}, {"norm/update", "update_norm", "-"},
		{"norm/parameters", "param_norm", "-"}, {"norm/clip_factor", "clip_factor", "-"},
		{"diagnosis/", "", "sharpness sharpness_2 sharpness_residual sharpness_update " +
			"stability_limit critical_step critical_sharpness gradient_noise noise_scale " +
			"gradient_small_margin gradient_large_margin gradient_cosine " +
			"top_cosine_small_margin top_cosine_large_margin top_cosine_buffer " +
			"top_cosine_2_small_margin top_cosine_2_large_margin top_cosine_2_buffer " +
			"buffer_small_margin buffer_large_margin buffer_decay " +
			"buffer_cosine_small_margin buffer_cosine_large_margin decrease_small_margin " +
			"decrease_small_margin_by_large decrease_small_margin_by_past_large " +
			"relative_step_stem relative_step_stage1 relative_step_stage2 relative_step_stage3 " +
			"relative_step_head relative_step_gains relative_step_biases"},
	} {
		for _, rest := range strings.Fields(group.rests) {
			rest = strings.TrimPrefix(rest, "-")
			want[group.column+rest] = group.tag + rest
		}
	}

	events := tbevents.NewReader(strings.NewReader(runtest.Read(t, dir, eventsFile)))
	events.Next() // the version
	got := map[string]string{}
	for _, row := range runtest.Metrics(t, dir) {
		e, err := events.Next()
		if err != nil || len(e.Scalars) != len(row.Values) {
			t.Fatalf("event %+v, %v; want the row %+v", e, err, row)
		}
		for i, v := range row.Values {
			s := e.Scalars[i]
			if got[v.Name] = s.Tag; float32(s.Value) != float32(v.X) {
				t.Errorf("step %d: %s is %v, want the %v of %s", row.Step, s.Tag, s.Value, v.X,
					v.Name)
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// A run that evaluates test images has the same columns of these.
	for column, want := range map[string]string{"test_loss": "test/loss",
		"test_accuracy_small_margin":   "test/accuracy_small_margin",
		"test_margin_q50_large_margin": "test/margin_q50_large_margin"} {
		if got := tag(column); got != want {
			t.Errorf("%s has the tag %s, want %s", column, got, want)
		}
	}
}
