package main

import (
	"fmt"
	"slices"

	"momentum/internal/descent"
	"momentum/internal/measure"
)

// setting is one row of the table: a network, and the part of the machine that works on it.
type setting struct {
	measure.Setting
	Cores   int `json:"cores"`             // CPUs that the process may use
	Devices int `json:"devices,omitempty"` // of our step; 0: auto
}

func (s setting) String() string {
	text := s.Setting.String()
	if s.Chunk == 0 {
		text = fmt.Sprintf("%s width %d %s", s.Model, s.Width, s.Precision)
	}
	text += fmt.Sprintf(" cores %d", s.Cores)
	if s.Devices > 0 {
		text += fmt.Sprintf(" devices %d", s.Devices)
	}
	return text
}

// of returns the part of the setting that a contender depends on. Rows that have it in common show
// the same measurement. Each PyTorch has its own precision.
func (s setting) of(contender string) setting {
	switch contender {
	case jax:
		s.Devices = 0
	case torch:
		s.Devices, s.Precision = 0, descent.F32
	case torchBF16:
		s.Devices, s.Precision = 0, descent.BF16
	case matmul:
		s.Devices, s.Chunk = 0, 0
	}
	return s
}

// settings returns all combinations of the flags. With one core our step has one device.
func (o *options) settings() []setting {
	var all []setting
	add := func(s setting) {
		for _, s.Cores = range o.cores {
			devices := o.devices
			if s.Cores == 1 {
				devices = []int{1}
			}
			for _, s.Devices = range devices {
				for _, s.Chunk = range o.chunks {
					if !slices.Contains(all, s) {
						all = append(all, s)
					}
				}
			}
		}
	}
	for _, model := range o.models {
		widths := o.widths
		if widths == nil {
			widths = []int{8, 16}
			if model == "resnet18" {
				widths = append(widths, 64)
			}
		}
		for _, width := range widths {
			for _, precision := range o.precisions {
				add(setting{Setting: measure.Setting{Model: model, Width: width,
					Precision: precision}})
			}
		}
	}
	return all
}
