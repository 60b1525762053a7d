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

// peaks measures what 45,000 more images cost, in a network so small that a step over 50,000 takes seconds, and how much a network of full
// width needs.
func (o *options) peaks(ctx context.Context, r *report, stderr io.Writer) error {
	small := measure.Setting{Model: "resnet18", Width: 2, Precision: descent.F32, Chunk: 32}
	full := small
	full.Width = 64
	return o.peaksOf(ctx, r, []task{{Setting: small, Images: 5_000}, {Setting: small, Images: 50_000}, {Setting: full, Images: 256}}, stderr)
}

// peaksOf measures the peak memory of two steps of each of the tasks, in a process of its own.
func (o *options) peaksOf(ctx context.Context, r *report, tasks []task, stderr io.Writer) error {
	for _, t := range tasks {
		t.Backend, t.Steps = o.backend, 1
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
