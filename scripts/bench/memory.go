package main

import (
	"context"
	"fmt"
	"io"

	"momentum/internal/descent"
	"momentum/internal/measure"
)

// peak is the peak memory of one process.
type peak struct {
	measure.Setting
	Images int   `json:"images"`
	Bytes  int64 `json:"bytes"` // resident
}

// imageBytes is the size of an image in bytes.
const imageBytes = 32 * 32 * 3

// comparePeaks measures the memory of 45,000 additional images, at a width at which a step over
// 50,000 takes a minute, and the memory of a network of full width.
//
// While images are copied to the device they are in memory twice. This is the peak for tiny
// networks only, such as width 2.
func (o *options) comparePeaks(ctx context.Context, r *report, stderr io.Writer) error {
	narrow := measure.Setting{Model: "resnet18", Width: 16, Precision: descent.F32, Chunk: 32}
	full := narrow
	full.Width = 64
	return o.measurePeaks(ctx, r, []task{
		{setting: setting{Setting: narrow}, Images: 5_000},
		{setting: setting{Setting: narrow}, Images: 50_000},
		{setting: setting{Setting: full}, Images: 256, Steps: 2},
	}, stderr)
}

// measurePeaks measures the peak memory of each task in a process of its own.
func (o *options) measurePeaks(ctx context.Context, r *report, tasks []task,
	stderr io.Writer) error {
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

// growth is the peak memory of b relative to that of a plus the additional images of b.
func growth(a, b peak) float64 {
	return float64(b.Bytes) / float64(a.Bytes+int64(b.Images-a.Images)*imageBytes)
}
