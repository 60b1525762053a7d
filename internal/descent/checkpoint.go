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

// saved says which variables make up the state of a run: weights, momentum and the global step. The
// sums are zero between steps.
func saved(v *model.Variable) bool { return !strings.HasPrefix(v.Path(), "/sum/") }

// Save writes the state as a GoMLX checkpoint into an empty folder, with extra numbers of the
// caller's as parameters of its scope /run. The folder can be read with GoMLX's gomlx_checkpoints.
// Save is not atomic: give it a folder that is renamed afterwards.
func (t *Trainer) Save(dir string, extra map[string]float64) error {
	return backend.Try("descent: save checkpoint", func() {
		// A store of its own, since a checkpoint handler stays attached to its store for good.
		store := model.NewStore()
		for v := range t.store.IterVariables() {
			if saved(v) {
				must(store.CreateVariable(v.Path(), v.MustValue())).SetTrainable(v.Trainable)
			}
		}
		for name, x := range extra {
			// as text, since JSON has no NaN and no infinity
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
// The trainer is changed only if all of it could be read and fits.
func (t *Trainer) Load(dir string) (step int, extra map[string]float64, err error) {
	err = backend.Try("descent: load checkpoint", func() {
		store := model.NewStore()
		must(checkpoint.Load(store).Dir(dir).Immediate().Done())
		values := map[*model.Variable]*tensors.Tensor{}
		for v := range t.store.IterVariables() {
			if !saved(v) {
				continue
			}
			from := store.GetVariable(v.Path())
			if from == nil || !from.Shape().Equal(v.Shape()) {
				panic(fmt.Errorf("%s: variable %s of shape %s is missing", dir, v.Path(),
					v.Shape()))
			}
			values[v] = from.MustValue()
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

// Weights copies the parameters to the host, as float32, under their names.
func (t *Trainer) Weights() ([]safetensors.Tensor, error) {
	var weights []safetensors.Tensor
	err := backend.Try("descent: read weights", func() {
		for _, p := range t.params {
			value := t.store.GetVariable("/model/" + p.Name).MustValue()
			data := make([]float32, p.Size())
			for i, x := range floats(value) {
				data[i] = float32(x)
			}
			weights = append(weights, safetensors.Tensor{Name: p.Name, Shape: slices.Clone(p.Shape),
				Data: data})
		}
	})
	return weights, err
}
