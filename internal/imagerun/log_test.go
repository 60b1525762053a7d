package imagerun

import (
	"testing"

	"momentum/internal/rundir"
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
