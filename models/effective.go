package models

import "math"

// reluFactor makes up for a ReLU before a convolution with standardized weights: the variance of
// relu(z), z normal with variance 1, is (1−1/π)/2.
func reluFactor() float64 { return math.Sqrt(2 / (1 - 1/math.Pi)) }

// Effective are the values of the parameters as the network uses them, in the order of
// [Network.Params]. With Norm "weights" each kernel is standardized and multiplied by its gains,
// and the gains are left out: a scaling of the weights of a channel, which leaves the network's
// function as it is, leaves them as they are, too. With another norm they are the values.
func (n *Network) Effective(values []float64) []float64 {
	if n.Norm != "weights" {
		return values
	}
	var effective []float64
	params := n.Params()
	for i := 0; i < len(params); i++ {
		p := params[i]
		x := values[:p.Size()]
		values = values[p.Size():]
		if len(p.Shape) == 4 { // a kernel [k, k, in, out], which the gains [out] follow
			i++
			gains := values[:params[i].Size()]
			values = values[len(gains):]
			x = standardized(x, gains)
			if p.Name != n.stem.name+"/weights" {
				for j := range x {
					x[j] *= reluFactor()
				}
			}
		}
		effective = append(effective, x...)
	}
	return effective
}

// standardized are the weights of a convolution, shifted and scaled for each output channel to mean
// 0 and a sum of squares of 1, times the channel's gain.
func standardized(w, gains []float64) []float64 {
	x, out := make([]float64, len(w)), len(gains)
	copy(x, w)
	center(x, out)
	for c, gain := range gains {
		square := 0.0
		for i := c; i < len(x); i += out {
			square += x[i] * x[i]
		}
		for i := c; i < len(x); i += out {
			x[i] *= gain / math.Sqrt(max(square, standardizationEpsilon))
		}
	}
	return x
}
