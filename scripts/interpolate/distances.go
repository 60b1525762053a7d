package main

import (
	"slices"

	"gonum.org/v1/gonum/floats"

	"momentum/internal/imagerun"
)

// distance says how far apart two weight sets a and b are, and how far each is from the initial
// weights of its run.
type distance struct {
	between float64 // ‖a − b‖
	a, b    float64 // ‖a − a₀‖, ‖b − b₀‖
	cosine  float64 // of a − a₀ and b − b₀; 0 if one of them is 0
}

// distanceOf measures weights and initial weights.
func distanceOf(a, b, a0, b0 []float64) distance {
	from := func(x, y []float64) []float64 { return floats.SubTo(make([]float64, len(x)), x, y) }
	moveA, moveB := from(a, a0), from(b, b0)
	d := distance{between: floats.Distance(a, b, 2), a: floats.Norm(moveA, 2),
		b: floats.Norm(moveB, 2)}
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

// distances are those of the ends and, of two runs, those at each epoch of which both have weights.
func distances(ends [2]*imagerun.Saved) ([]apart, error) {
	initial, err := at([2]string{ends[0].Folder, ends[1].Folder}, 0)
	if err != nil {
		return nil, err
	}
	of, err := measure(ends, initial, -1)
	if err != nil {
		return nil, err
	}
	all := []apart{of}
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
		both, err := at([2]string{ends[0].Folder, ends[1].Folder}, epoch)
		if err != nil {
			return nil, err
		}
		if of, err = measure(both, initial, epoch); err != nil {
			return nil, err
		}
		all = append(all, of)
	}
	return all, nil
}

// at finds the weights of two runs before an epoch.
func at(folders [2]string, epoch int) (both [2]*imagerun.Saved, err error) {
	for i, folder := range folders {
		if both[i], err = imagerun.FindEpoch(folder, epoch); err != nil {
			return both, err
		}
	}
	return both, nil
}

// measure reads two weight sets, and the initial ones of their runs.
func measure(both, initial [2]*imagerun.Saved, epoch int) (apart, error) {
	var raw, used [4][]float64
	for i, s := range []*imagerun.Saved{both[0], both[1], initial[0], initial[1]} {
		net, err := s.Network(s.Facts.Classes)
		if err != nil {
			return apart{}, err
		}
		if raw[i], err = s.Values(); err != nil {
			return apart{}, err
		}
		used[i] = net.Effective(raw[i])
	}
	return apart{epoch: epoch, raw: distanceOf(raw[0], raw[1], raw[2], raw[3]),
		used: distanceOf(used[0], used[1], used[2], used[3])}, nil
}
