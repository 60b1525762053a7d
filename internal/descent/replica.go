package descent

import (
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend"
)

// replica is the copy of a run's state on one device. Its methods panic: call them inside
// backend.Try.
type replica struct {
	index  int // of the device
	device backend.Device
	*programs
	weights, momentum []*tensors.Tensor // momentum is empty without momentum
	zeros             sums              // to which others are added, once there are any
}

// call executes a graph on the device. Of its arguments, the tensors of given are lost.
func (r *replica) call(e *Exec, given []*tensors.Tensor, kept ...*tensors.Tensor) (
	results []*tensors.Tensor) {
	backend.OnDevice("executing the graph "+e.Name(), func() {
		args := make([]any, 0, len(kept)+len(given))
		for _, x := range kept {
			args = append(args, x)
		}
		for _, x := range given {
			args = append(args, must(DonateTensorBuffer(x, r.device.Client, r.device.Num)))
		}
		var err error
		if results, _, err = e.CallWithGraphOnDevice(r.device.Num, args...); err != nil {
			panic(err)
		}
	})
	return results
}

// addTo executes a graph that adds to its last n arguments: to the sums s, which are lost, or to
// zeros if s is nil.
func (r *replica) addTo(s sums, n int, e *Exec, kept ...*tensors.Tensor) sums {
	if s != nil {
		return r.call(e, s, kept...)
	}
	if r.zeros == nil {
		r.zeros = r.call(r.zero, nil)
	}
	return r.call(e, nil, slices.Concat(kept, r.zeros[:n])...)
}

// arguments returns the list of images of a chunk.
func (r *replica) arguments(d *Data, c chunk) []*tensors.Tensor {
	pixels := c.pixels
	if pixels == nil {
		pixels = r.call(r.gather, nil, d.pixels[r.index], c.indices)[0]
	}
	return []*tensors.Tensor{pixels, c.labels, c.kinds}
}

// sum adds the sums over its parts of a batch as far as the order of the tree allows. imageWeight
// is 1/B.
func (r *replica) sum(goOn check, d *Data, parts []part, imageWeight *tensors.Tensor,
	onChunk func(images int)) []node[sums] {
	t := tree[sums]{add: r.addSums}
	for _, p := range parts {
		var s sums
		for _, c := range p.chunks {
			goOn()
			s = r.addTo(s, len(r.weights)+1, r.accumulate, slices.Concat(r.weights,
				r.arguments(d, c), []*tensors.Tensor{imageWeight})...)
			onChunk(c.n)
		}
		t.push(node[sums]{0, p.index, s})
	}
	return t.nodes
}

// sums are a list of values, as the graphs have them.
type sums = []*tensors.Tensor

func (r *replica) addSums(left, right sums) sums {
	return r.call(r.add, slices.Concat(left, right))
}

// scores returns the scores of each part, still on the device.
func (r *replica) scores(goOn check, d *Data, parts []part,
	zero func() *tensors.Tensor) (scores []*tensors.Tensor) {
	for _, p := range parts {
		s := sums{zero()}
		for _, c := range p.chunks {
			goOn()
			s = r.call(r.evaluate, s, slices.Concat(r.weights, r.arguments(d, c))...)
		}
		scores = append(scores, s[0])
	}
	return scores
}

// logits returns the logits of the images of parts, one row of classes after the other, on the
// host.
func (r *replica) logits(goOn check, d *Data, parts []part, classes int) (all []float64) {
	for _, p := range parts {
		for _, c := range p.chunks {
			goOn()
			kept := slices.Concat(r.weights, r.arguments(d, c)[:1])
			x := r.call(r.programs.logits, nil, kept...)[0]
			all = append(all, backend.Floats(x)[:c.n*classes]...)
		}
	}
	return all
}

// products returns the sums of the products with the Hessian over parts of a batch. imageWeight is
// 1/B.
func (r *replica) products(goOn check, d *Data, parts []part, direction []*tensors.Tensor,
	imageWeight *tensors.Tensor) (s sums) {
	for _, p := range parts {
		for _, c := range p.chunks {
			goOn()
			s = r.addTo(s, len(direction), r.product, slices.Concat(r.weights, direction,
				r.arguments(d, c), []*tensors.Tensor{imageWeight})...)
		}
	}
	return s
}

// step takes the step with the sums over the whole batch and the numbers of the rule, and returns
// its stats.
func (r *replica) step(s sums, numbers *tensors.Tensor) (stats *tensors.Tensor) {
	n := len(r.weights)
	results := r.call(r.update, slices.Concat(r.weights, r.momentum, s,
		[]*tensors.Tensor{numbers}))
	r.weights, r.momentum = results[:n], results[n:len(results)-1]
	return results[len(results)-1]
}

// onHost copies tensors to the host.
func onHost(list []*tensors.Tensor) []*tensors.Tensor {
	copies := make([]*tensors.Tensor, len(list))
	backend.OnDevice(backend.Reading, func() {
		for i, x := range list {
			copies[i] = must(x.LocalClone())
		}
	})
	return copies
}
