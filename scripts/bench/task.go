package main

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"runtime"

	"momentum/internal/backend"
	"momentum/internal/measure"
)

// eta is the learning rate of all contenders. It does not affect the speed of a step as long as the
// numbers stay finite.
const eta = 0.002

// task is the measurement of one child process.
type task struct {
	setting
	Backend   string     `json:"backend"`
	Images    int        `json:"images"`
	Steps     int        `json:"steps"`     // timed, after one that is not
	Matmul    int        `json:"matmul"`    // if not 0, the bare product of this size is measured
	Synthetic *synthetic `json:"synthetic"` // if not nil, its steps are measured
}

// sample is the output of one process. The other contenders print a part of these fields, and other
// fields.
type sample struct {
	Version      string    `json:"version"`
	Device       string    `json:"device"`
	Plugin       string    `json:"plugin,omitempty"` // name of its file
	PluginSHA256 string    `json:"plugin_sha256,omitempty"`
	Threads      int       `json:"threads,omitempty"`      // 0: unknown
	ImagesPerS   []float64 `json:"images_per_s,omitempty"` // of each step
	StepsPerS    []float64 `json:"steps_per_s,omitempty"`  // steps × settings per second, on D
	GFLOPPerS    []float64 `json:"gflop_per_s,omitempty"`  // of each product
	Losses       []float64 `json:"losses,omitempty"`       // final, of each setting on D
}

// do measures and prints the sample.
func (t task) do(ctx context.Context, stdout, stderr io.Writer) error {
	devices := cmp.Or(t.Devices, backend.AllDevices)
	if t.Matmul > 0 || t.Synthetic != nil {
		devices = 0 // the whole CPU
	}
	b, err := backend.Open(ctx, t.Backend, backend.Options{Out: stderr, Devices: devices})
	if err != nil {
		return err
	}
	defer b.LeaveAutotuned()
	s := sample{Version: b.Name(), Device: b.Device, PluginSHA256: b.PluginSHA256,
		Threads: runtime.NumCPU()}
	if b.Plugin != "" {
		s.Plugin = filepath.Base(b.Plugin)
	}
	if t.Matmul > 0 {
		if s.GFLOPPerS, err = measure.Matmul(b, t.Precision, t.Matmul, t.Steps); err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(s)
	}
	if t.Synthetic != nil {
		if s.StepsPerS, s.Losses, err = t.Synthetic.do(ctx, b); err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(s)
	}
	data, err := measure.Images(ctx, b, t.Images, t.Chunk)
	if err != nil {
		return err
	}
	trainer, err := t.Trainer(b, data)
	if err != nil {
		return err
	}
	steps, err := measure.Steps(ctx, trainer, eta, 1+t.Steps)
	if err != nil {
		return err
	}
	s.ImagesPerS = measure.PerSecond(float64(t.Images), steps[1:])
	return json.NewEncoder(stdout).Encode(s)
}
