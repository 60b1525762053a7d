package descent

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/model/checkpoint"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"momentum/internal/backend"
	"momentum/internal/safetensors"
	"momentum/models"
)

// The variables of a checkpoint. The names of the parameters follow.
const (
	weightPath   = "/model/"
	momentumPath = "/momentum/"
)

// states calls f with the path and the value of each variable of a replica's state.
func (t *Trainer) states(r *replica, f func(path string, value **tensors.Tensor)) {
	for i, p := range t.params {
		f(weightPath+p.Name, &r.weights[i])
		if len(r.momentum) > 0 {
			f(momentumPath+p.Name, &r.momentum[i])
		}
	}
}

// Save writes the state as a GoMLX checkpoint into an empty folder, and the caller's extra numbers
// as parameters of the scope /run. GoMLX's gomlx_checkpoints can read the folder. Save is not
// atomic: give it a folder that is renamed afterwards.
func (t *Trainer) Save(dir string, extra map[string]float64) error {
	err := backend.Try(t.place(0), func() {
		backend.OnDevice(backend.Reading, func() {
			t.states(t.replicas[0], func(_ string, value **tensors.Tensor) {
				if err := (*value).ConstFlatData(func(any) {}); err != nil {
					panic(err)
				}
			})
		})
	})
	if err != nil {
		return err
	}
	return backend.Try("descent: save checkpoint", func() {
		store := model.NewStore()
		t.states(t.replicas[0], func(path string, value **tensors.Tensor) {
			v := must(store.CreateVariable(path, *value))
			v.SetTrainable(strings.HasPrefix(path, weightPath))
		})
		step := optimizer.GetGlobalStepVar(store)
		if err := step.SetValue(tensors.FromScalar(t.steps)); err != nil {
			panic(err)
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
		t.states(t.replicas[0], func(path string, value **tensors.Tensor) {
			stored := store.GetVariable(path)
			if stored == nil || !stored.Shape().Equal((*value).Shape()) {
				panic(fmt.Errorf("%s: variable %s of shape %s is missing", dir, path,
					(*value).Shape()))
			}
		})
		extra = map[string]float64{}
		for path, x := range store.IterParams() {
			if name, isRun := strings.CutPrefix(path, "/run/"); isRun {
				extra[name] = must(strconv.ParseFloat(x.(string), 64))
			}
		}
		for _, r := range t.replicas {
			t.states(r, func(path string, value **tensors.Tensor) {
				*value = must(store.GetVariable(path).MustValue().LocalClone())
			})
		}
		t.steps = optimizer.GetGlobalStep(store)
		step = int(t.steps)
	})
	return step, extra, err
}

// Weights copies the parameters to the host as float32, each under its name.
func (t *Trainer) Weights() ([]safetensors.Tensor, error) {
	var weights []safetensors.Tensor
	err := backend.Try(t.place(0), func() {
		for i, p := range t.params {
			data := converted[float32](backend.Floats(t.replicas[0].weights[i]))
			weights = append(weights, safetensors.Tensor{Name: p.Name, Shape: slices.Clone(p.Shape),
				Data: data})
		}
	})
	return weights, err
}

// SetWeights replaces all parameters by tensors such as [Trainer.Weights] returns, in any order. It
// refuses names and shapes that are not the network's.
func (t *Trainer) SetWeights(weights []safetensors.Tensor) error {
	all, err := Ordered(t.params, weights)
	if err != nil {
		return err
	}
	return t.SetValues(all)
}

// Ordered are the values of weights that lie in any order, one parameter after the other as
// [Trainer.SetValues] takes them. It refuses names and shapes that are not those of the parameters.
func Ordered(params []models.Param, weights []safetensors.Tensor) (all []float64, err error) {
	byName := map[string]safetensors.Tensor{}
	for _, w := range weights {
		byName[w.Name] = w
	}
	for _, p := range params {
		w, found := byName[p.Name]
		if !found {
			return nil, fmt.Errorf("descent: no weights %s, want shape %v", p.Name, p.Shape)
		}
		if !slices.Equal(w.Shape, p.Shape) {
			return nil, fmt.Errorf("descent: weights %s of shape %v, want %v", p.Name, w.Shape,
				p.Shape)
		}
		all = append(all, converted[float64](w.Data)...)
		delete(byName, p.Name)
	}
	if len(byName) > 0 {
		return nil, fmt.Errorf("descent: weights %s, which the network does not have",
			slices.Sorted(maps.Keys(byName))[0])
	}
	return all, nil
}
