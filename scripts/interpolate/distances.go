package main

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"momentum/internal/imagerun"
)

// distance says how far apart two weight sets a and b are, and how far each is from the initial
// weights of its run.
type distance struct {
	between float64 // ‖a − b‖
	a, b    float64 // ‖a − a₀‖, ‖b − b₀‖
	cosine  float64 // of a − a₀ and b − b₀; NaN if one of them is 0, which has no direction
}

// distanceOf measures weights and initial weights.
func distanceOf(a, b, a0, b0 []float64) distance {
	from := func(x, y []float64) []float64 { return floats.SubTo(make([]float64, len(x)), x, y) }
	moveA, moveB := from(a, a0), from(b, b0)
	d := distance{between: floats.Distance(a, b, 2), a: floats.Norm(moveA, 2),
		b: floats.Norm(moveB, 2), cosine: math.NaN()}
	if d.a > 0 && d.b > 0 {
		d.cosine = floats.Dot(moveA, moveB) / (d.a * d.b)
	}
	return d
}

// apart are the distances of two weight sets: of the parameters, and of the weights as the network
// uses them, which differ from them with standardized weights alone.
type apart struct {
	epoch     int // −1: those of the ends of the line
	raw, used distance
}

// weights are the values of a weight set: its parameters, and as the network uses them.
type weights struct{ raw, used []float64 }

// read reads two weight sets.
func read(both [2]*imagerun.Saved) (w [2]weights, err error) {
	for i, s := range both {
		net, err := s.Network(s.Facts.Classes)
		if err != nil {
			return w, err
		}
		if w[i].raw, err = s.Values(); err != nil {
			return w, err
		}
		w[i].used = net.Effective(w[i].raw)
	}
	return w, nil
}

// readAt reads the weights of two runs before an epoch.
func readAt(ends [2]*imagerun.Saved, epoch int) (w [2]weights, err error) {
	var both [2]*imagerun.Saved
	for i, s := range ends {
		if both[i], err = imagerun.FindEpoch(s.Folder, epoch); err != nil {
			return w, err
		}
	}
	return read(both)
}

// measure measures two weight sets, of runs with these initial ones.
func measure(w, initial [2]weights, epoch int) apart {
	return apart{epoch: epoch, raw: distanceOf(w[0].raw, w[1].raw, initial[0].raw, initial[1].raw),
		used: distanceOf(w[0].used, w[1].used, initial[0].used, initial[1].used)}
}

// distances are those of the ends and, of two runs, those at each epoch of which both have weights.
func distances(ends [2]*imagerun.Saved) ([]apart, error) {
	initial, err := readAt(ends, 0)
	if err != nil {
		return nil, err
	}
	w, err := read(ends)
	if err != nil {
		return nil, err
	}
	all := []apart{measure(w, initial, -1)}
	if ends[0].Folder == ends[1].Folder {
		return all, nil
	}
	var epochs [2][]int
	for i, s := range ends {
		if epochs[i], err = s.Epochs(); err != nil {
			return nil, err
		}
	}
	for _, epoch := range epochs[0] {
		if !slices.Contains(epochs[1], epoch) {
			continue
		}
		if w, err = readAt(ends, epoch); err != nil {
			return nil, err
		}
		all = append(all, measure(w, initial, epoch))
	}
	return all, nil
}
