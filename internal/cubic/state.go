package cubic

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend"
	"momentum/internal/safetensors"
)

// state is the content of state.json: all of the state except the tensors.
type state struct {
	Steps  int     `json:"steps"`
	Events []int32 `json:"events"` // [S, event], row by row
}

// Save writes the state into a folder: W and the momentum buffer [S, m, d] into state.safetensors,
// the rest into state.json. It is not atomic: the caller renames the folder afterwards.
func (l *Lanes) Save(dir string) error {
	var values []safetensors.Tensor
	s := state{Steps: l.steps}
	err := backend.Try("cubic: save", func() {
		values = []safetensors.Tensor{
			{Name: "W", Shape: l.w.Shape().Dimensions,
				Data: tensors.MustCopyFlatData[float32](l.w)},
			{Name: "buffer", Shape: l.buffer.Shape().Dimensions,
				Data: tensors.MustCopyFlatData[float32](l.buffer)},
		}
		s.Events = tensors.MustCopyFlatData[int32](l.events)
	})
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "state.safetensors"))
	if err != nil {
		return err
	}
	if err := safetensors.Write(f, values, nil); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "state.json"), text, 0o644)
}

// Load reads what [Lanes.Save] wrote. It changes the lanes only if the whole state can be read and
// fits them.
func (l *Lanes) Load(dir string) error {
	var s state
	path := filepath.Join(dir, "state.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("cubic: %s: %w", path, err)
	}
	if want := len(l.lanes) * int(eventCount); len(s.Events) != want || s.Steps < 0 {
		return fmt.Errorf("cubic: %s: %d events after %d steps, want %d", path, len(s.Events),
			s.Steps, want)
	}
	path = filepath.Join(dir, "state.safetensors")
	values, err := safetensors.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cubic: %w", err)
	}
	loaded := map[string]*tensors.Tensor{}
	for _, v := range values {
		if len(v.Data) == l.w.Size() {
			loaded[v.Name] = tensors.FromFlatDataAndDimensions(v.Data, l.w.Shape().Dimensions...)
		}
	}
	if loaded["W"] == nil || loaded["buffer"] == nil {
		return fmt.Errorf("cubic: %s: want W and buffer of shape %v", path, l.w.Shape().Dimensions)
	}
	l.w, l.buffer = loaded["W"], loaded["buffer"]
	l.events = tensors.FromFlatDataAndDimensions(s.Events, len(l.lanes), int(eventCount))
	l.steps = s.Steps
	return nil
}

// Weights copies W to the host, as float32 [S, m, d] under the name W.
func (l *Lanes) Weights() (safetensors.Tensor, error) {
	t := safetensors.Tensor{Name: "W", Shape: l.w.Shape().Dimensions}
	err := backend.Try("cubic: read weights",
		func() { t.Data = tensors.MustCopyFlatData[float32](l.w) })
	return t, err
}
