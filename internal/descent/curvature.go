package descent

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend"
)

// NumParams is the number of trained values.
func (t *Trainer) NumParams() (n int) {
	for _, p := range t.params {
		n += p.Size()
	}
	return n
}

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
	if n := t.NumParams(); len(all) != n {
		return fmt.Errorf("descent: %d values, want %d, one for each parameter", len(all), n)
	}
	return backend.Try("descent: write weights", func() {
		for i, w := range t.tensors(all) {
			for _, r := range t.replicas {
				r.weights[i] = must(w.LocalClone())
			}
		}
	})
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
	if n := t.NumParams(); len(v) != n {
		return nil, fmt.Errorf("descent: a vector of %d values, want %d, one for each parameter",
			len(v), n)
	}
	shares := make([][]float64, len(t.replicas))
	err := t.each(ctx, func(goOn check, i int, r *replica) {
		if len(d.shares[i]) == 0 {
			return
		}
		direction := t.tensors(v)
		imageWeight := t.Precision.scalar(1 / float64(d.N))
		s := r.call(r.zero, nil)[:len(t.params)] // without the scores
		for _, p := range d.shares[i] {
			for _, c := range p.chunks {
				goOn()
				s = r.call(r.product, s, slices.Concat(r.weights, direction, r.arguments(d, c),
					[]*tensors.Tensor{imageWeight})...)
			}
		}
		for _, x := range s {
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
