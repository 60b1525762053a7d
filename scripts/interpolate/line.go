package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"momentum/internal/descent"
	"momentum/internal/imagerun"
)

// point is a point of the line: t, and the mean losses and accuracies there.
type point struct {
	t                             float64
	loss, accuracy                float64 // training images
	evaluatedLoss, evaluatedRight float64 // the images that the runs evaluate
}

// places are n points from one t to another at equal steps, with 0 and 1 among them.
func places(from, to float64, n int) []float64 {
	ts := []float64{0, 1}
	for i := range n {
		t := from + (to-from)*float64(i)/float64(n-1)
		if math.Abs(t) > 1e-9 && math.Abs(t-1) > 1e-9 { // else it is there
			ts = append(ts, t)
		}
	}
	slices.Sort(ts)
	return ts
}

// between is the point t of the line from a to b, exactly a at 0 and b at 1.
func between(a, b []float64, t float64) []float64 {
	w := make([]float64, len(a))
	for i := range w {
		w[i] = (1-t)*a[i] + t*b[i]
	}
	return w
}

// line measures the points of the line between two weight sets.
func (o *options) line(ctx context.Context, ends [2]*imagerun.Saved, stdout,
	stderr io.Writer) ([]point, error) {
	var w [2][]float64
	for i, s := range ends {
		var err error
		if w[i], err = s.Values(); err != nil {
			return nil, err
		}
	}
	run := ends[0]
	train, err := run.Images(ctx, run.Data, imagerun.TrainSplit, o.Execution, stderr)
	if err != nil {
		return nil, err
	}
	other, err := run.Images(ctx, run.Data, run.Evaluated(), o.Execution, stderr)
	if err != nil {
		return nil, err
	}
	net, err := run.Open(ctx, o.Backend, o.Offline, max(train.N(), other.N()), stderr)
	if err != nil {
		return nil, err
	}
	defer net.Backend.LeaveAutotuned()
	fmt.Fprintf(stdout, "backend   %s on %s\n", net.Backend.Name(), net.Backend.Device)
	fmt.Fprintf(stdout, "images    %s: %d for training, %d %s\n", run.Data, train.N(), other.N(),
		run.Evaluated())
	var sets [2]*descent.Data
	if sets[0], err = net.Prepare(train); err != nil {
		return nil, err
	}
	if sets[1], err = net.Prepare(other); err != nil {
		return nil, err
	}
	var line []point
	for _, t := range places(o.from, o.to, o.points) {
		if err := net.SetValues(between(w[0], w[1], t)); err != nil {
			return nil, err
		}
		p := point{t: t}
		if p.loss, p.accuracy, err = score(ctx, net, sets[0]); err != nil {
			return nil, err
		}
		if p.evaluatedLoss, p.evaluatedRight, err = score(ctx, net, sets[1]); err != nil {
			return nil, err
		}
		line = append(line, p)
	}
	return line, recorded(ends, stdout)
}

// score is the mean loss and the accuracy on a set of images.
func score(ctx context.Context, net *imagerun.Classifier, d *descent.Data) (loss, accuracy float64,
	err error) {
	s, err := net.Score(ctx, d)
	return s.Loss, float64(s.Correct) / float64(d.N), err
}

// recorded prints what the runs themselves measured at the ends of the line, as far as they did.
func recorded(ends [2]*imagerun.Saved, stdout io.Writer) error {
	for i, s := range ends {
		for _, split := range []string{imagerun.TrainSplit, s.Evaluated()} {
			loss, accuracy, found, err := s.Recorded(split)
			if err != nil {
				return err
			}
			if found {
				fmt.Fprintf(stdout, "measured  t = %d, %s: loss %.4g, accuracy %.2f%% by the run\n",
					i, split, loss, 100*accuracy)
			}
		}
	}
	return nil
}

// barrier is how far the training loss rises above the straight line between its values at t = 0
// and t = 1, and where, for t between them: Frankle et al.'s error barrier (2020), of the loss.
func barrier(line []point) (height, at float64) {
	first := line[slices.IndexFunc(line, func(p point) bool { return p.t == 0 })]
	last := line[slices.IndexFunc(line, func(p point) bool { return p.t == 1 })]
	for _, p := range line {
		rise := p.loss - (1-p.t)*first.loss - p.t*last.loss
		if 0 < p.t && p.t < 1 && rise > height {
			height, at = rise, p.t
		}
	}
	return height, at
}
