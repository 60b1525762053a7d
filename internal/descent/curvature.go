package descent

import "context"

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
		shares[i] = concatenated(r.products(goOn, d, d.shares[i], direction, imageWeight))
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
