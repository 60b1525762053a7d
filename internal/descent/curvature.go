package descent

import (
	"context"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend"
)

// Values copies all parameters to the host, one after the other, in the order of the network's
// Params.
func (t *Trainer) Values() (all []float64, err error) {
	err = backend.Try("descent: read weights", func() {
		for _, w := range t.replicas[0].weights {
			all = append(all, backend.Floats(w)...)
		}
	})
	return all, err
}

// SetValues replaces all parameters by those that [Trainer.Values] returned. The momentum stays.
func (t *Trainer) SetValues(all []float64) error {
	if err := t.checkSize(all); err != nil {
		return err
	}
	return backend.Try("descent: write weights", func() {
		for i, w := range t.tensors(all) {
			for _, r := range t.replicas {
				r.weights[i] = must(w.LocalClone())
			}
		}
	})
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

// HessianProduct is ∇²L v, where L is the mean loss over a set of images at the present weights,
// without weight decay. The values of v and of the product are those of all parameters, one after
// the other, in the order of the network's Params. It is exact up to rounding, and takes about
// three times as long as a gradient; where a ReLU's input is 0 its second derivative is taken as 0.
//
// With batch normalization the loss, and so its Hessian, depends on the chunks.
func (t *Trainer) HessianProduct(ctx context.Context, d *Data, v []float64) ([]float64, error) {
	if err := t.checkSize(v); err != nil {
		return nil, err
	}
	shares := make([][]float64, len(t.replicas))
	err := t.each(ctx, func(goOn check, i int, r *replica) {
		if len(d.shares[i]) == 0 {
			return
		}
		direction := t.tensors(v)
		imageWeight := t.Precision.scalar(1 / float64(d.N))
		for _, x := range r.products(goOn, d, d.shares[i], direction, imageWeight) {
			shares[i] = append(shares[i], backend.Floats(x)...)
		}
	})
	if err != nil {
		return nil, err
	}
	product := make([]float64, len(v))
	for _, share := range shares {
		for j, x := range share {
			product[j] += x
		}
	}
	return product, nil
}
