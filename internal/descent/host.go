package descent

import (
	"context"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend"
)

// This file is about the state of a trainer as lists of numbers on the host: the values of all
// parameters, one after the other, in the order of the network's Params. They are what diagnoses
// work with, and no part of a step.

// Values copies all parameters to the host.
func (t *Trainer) Values() (all []float64, err error) {
	err = backend.Try(t.place(0), func() { all = concatenated(t.replicas[0].weights) })
	return all, err
}

// SetValues replaces all parameters by those that [Trainer.Values] returned. The momentum stays.
func (t *Trainer) SetValues(all []float64) error {
	return t.replace("weights", all, func(r *replica) []*tensors.Tensor { return r.weights })
}

// Momentum copies the momentum buffer to the host. It is empty without momentum.
func (t *Trainer) Momentum() (all []float64, err error) {
	err = backend.Try(t.place(0), func() { all = concatenated(t.replicas[0].momentum) })
	return all, err
}

// SetMomentum replaces the momentum buffer. The weights stay.
func (t *Trainer) SetMomentum(all []float64) error {
	if !t.rule.HasMomentum() {
		return fmt.Errorf("descent: %s has no momentum buffer", t.rule)
	}
	return t.replace("the momentum", all, func(r *replica) []*tensors.Tensor { return r.momentum })
}

// replace replaces a list of tensors on all devices.
func (t *Trainer) replace(what string, all []float64,
	list func(*replica) []*tensors.Tensor) error {
	if err := t.checkSize(all); err != nil {
		return err
	}
	return backend.Try("descent: write "+what, func() {
		for i, x := range t.tensors(all) {
			for _, r := range t.replicas {
				list(r)[i] = must(x.LocalClone())
			}
		}
	})
}

// SetGamma gives the rule, which must have momentum, another γ from the next step on. 0 is GD; the
// buffer is then the last gradient.
func (t *Trainer) SetGamma(gamma float64) error {
	r := t.rule
	if !r.HasMomentum() {
		return fmt.Errorf("descent: %s has no momentum buffer", r)
	}
	r.Gamma = gamma
	if err := r.Validate(); err != nil {
		return fmt.Errorf("descent: %w", err)
	}
	t.gamma = gamma
	return nil
}

// Gradient is the sum of the gradients of some images, divided by a number of images, at the
// present weights and without weight decay.
func (t *Trainer) Gradient(ctx context.Context, d *Data, images int) (all []float64, err error) {
	totals, err := t.sums(ctx, d, d.shares, images, func(int) {})
	if err != nil {
		return nil, err
	}
	err = backend.Try(t.place(0), func() { all = concatenated(totals[0][:len(t.params)]) })
	return all, err
}

// checkSize refuses a list without a value for each parameter.
func (t *Trainer) checkSize(values []float64) error {
	if n := t.net.NumParams(); len(values) != n {
		return fmt.Errorf("descent: %d values, want %d, one for each parameter", len(values), n)
	}
	return nil
}

// tensors are the values of all parameters as tensors.
func (t *Trainer) tensors(values []float64) (list []*tensors.Tensor) {
	for _, p := range t.params {
		list = append(list, tensorOf(t.Precision, values[:p.Size()], p.Shape...))
		values = values[p.Size():]
	}
	return list
}

// concatenated are the values of tensors on the host, one after the other.
func concatenated(list []*tensors.Tensor) (all []float64) {
	for _, x := range list {
		all = append(all, backend.Floats(x)...)
	}
	return all
}
