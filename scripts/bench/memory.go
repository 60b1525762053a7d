package main

import (
	"context"
	"fmt"
	"io"

	"momentum/internal/descent"
	"momentum/internal/measure"
)

// peak is the memory that one process had at most.
type peak struct {
	measure.Setting
	Images int   `json:"images"`
	Bytes  int64 `json:"bytes"` // resident
}

// imageBytes is the size of an image.
const imageBytes = 32 * 32 * 3

// peaks measures what 45,000 more images cost, at a width at which a step over 50,000 takes a
// minute, and how much a network of full width needs.
//
// While images are copied to the device they are in memory twice. That is not the peak unless the
// network is tiny: at width 2 it is.
func (o *options) peaks(ctx context.Context, r *report, stderr io.Writer) error {
	small := measure.Setting{Model: "resnet18", Width: 16, Precision: descent.F32, Chunk: 32}
	full := small
	full.Width = 64
	return o.peaksOf(ctx, r, []task{{Setting: small, Images: 5_000},
		{Setting: small, Images: 50_000}, {Setting: full, Images: 256, Steps: 2}}, stderr)
}

// peaksOf measures the peak memory of each of the tasks, in a process of its own.
func (o *options) peaksOf(ctx context.Context, r *report, tasks []task, stderr io.Writer) error {
	for _, t := range tasks {
		t.Backend = o.backend
		var got sample
		bytes, err := measure.Self(ctx, stderr, t, &got)
		if err != nil {
			return fmt.Errorf("%v: %w", t.Setting, err)
		}
		got.ImagesPerS = nil
		r.Versions[ours] = got
		r.Peaks = append(r.Peaks, peak{t.Setting, t.Images, bytes})
		fmt.Fprintf(stderr, "%v  %d images  %.0f MB\n", t.Setting, t.Images, float64(bytes)/1e6)
	}
	return nil
}

// growth is the peak memory of b relative to that of a plus the images that b has and a has not.
func growth(a, b peak) float64 {
	return float64(b.Bytes) / float64(a.Bytes+int64(b.Images-a.Images)*imageBytes)
}
