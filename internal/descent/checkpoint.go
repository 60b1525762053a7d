package descent

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/model/checkpoint"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"momentum/internal/backend"
	"momentum/internal/safetensors"
)

// isState reports whether a variable belongs to the state of a run: weights, momentum and the
// global step. The sums do not, as they are zero between steps.
func isState(v *model.Variable) bool { return !strings.HasPrefix(v.Path(), sumPath) }

// Save writes the state as a GoMLX checkpoint into an empty folder, and the caller's extra numbers
// as parameters of the scope /run. GoMLX's gomlx_checkpoints can read the folder. Save is not
// atomic: give it a folder that is renamed afterwards.
func (t *Trainer) Save(dir string, extra map[string]float64) error {
	return backend.Try("descent: save checkpoint", func() {
		// A separate store, since a checkpoint handler stays attached to its store for good.
		store := model.NewStore()
		for v := range t.store.IterVariables() {
			if isState(v) {
				must(store.CreateVariable(v.Path(), v.MustValue())).SetTrainable(v.Trainable)
			}
		}
		for name, x := range extra {
			// As text, since JSON has no NaN and no infinity.
			store.SetParam("/run/"+name, strconv.FormatFloat(x, 'g', -1, 64))
		}
		handler := must(checkpoint.Build(store).Dir(dir).WithCompression(
			checkpoint.BinUncompressed).Done())
		if err := handler.Save(); err != nil {
			panic(err)
		}
	})
}

// Load reads what [Trainer.Save] wrote and returns the number of steps taken and the extra numbers.
// It changes the trainer only if everything could be read and fits.
func (t *Trainer) Load(dir string) (step int, extra map[string]float64, err error) {
	err = backend.Try("descent: load checkpoint", func() {
		store := model.NewStore()
		must(checkpoint.Load(store).Dir(dir).Immediate().Done())
		values := map[*model.Variable]*tensors.Tensor{}
		for v := range t.store.IterVariables() {
			if !isState(v) {
				continue
			}
			stored := store.GetVariable(v.Path())
			if stored == nil || !stored.Shape().Equal(v.Shape()) {
				panic(fmt.Errorf("%s: variable %s of shape %s is missing", dir, v.Path(),
					v.Shape()))
			}
			values[v] = stored.MustValue()
		}
		extra = map[string]float64{}
		for path, x := range store.IterParams() {
			if name, isRun := strings.CutPrefix(path, "/run/"); isRun {
				extra[name] = must(strconv.ParseFloat(x.(string), 64))
			}
		}
		for v, value := range values {
			setValue(v, value)
		}
		step = int(optimizer.GetGlobalStep(t.store))
	})
	return step, extra, err
}

// Weights copies the parameters to the host as float32, each under its name.
func (t *Trainer) Weights() ([]safetensors.Tensor, error) {
	var weights []safetensors.Tensor
	err := backend.Try("descent: read weights", func() {
		for _, p := range t.params {
			value := t.store.GetVariable(weightPath + p.Name).MustValue()
			data := make([]float32, p.Size())
			for i, x := range backend.Floats(value) {
				data[i] = float32(x)
			}
			weights = append(weights, safetensors.Tensor{Name: p.Name, Shape: slices.Clone(p.Shape),
				Data: data})
		}
	})
	return weights, err
}
