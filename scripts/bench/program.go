package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"momentum/internal/measure"
	"momentum/internal/tbevents"
)

// programs compares the whole of ./cifar, built as it is and with evaluations and checkpoints as
// good as off, with the bare step. Both do the same steps on as many images; the program's times
// are those between the rows of its event file, from the first to the last step's.
func (o *options) programs(ctx context.Context, r *report, stderr io.Writer) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "cifar")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "momentum/cifar")
	build.Stderr = stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("%v: %w", build, err)
	}
	r.columns = []column{{of: bareStep}, {of: cifar}, {of: cifar, by: bareStep}}
	return o.compare(ctx, r, []contender[measure.Setting]{
		{bareStep, func(ctx context.Context, s measure.Setting) (sample,
			error) {
			return o.own(ctx, s, 0, stderr)
		}},
		{cifar, func(ctx context.Context, s measure.Setting) (sample, error) {
			return o.whole(ctx, program, dir, s, stderr)
		}},
	}, stderr)
}

// whole runs the program in a fresh run folder and reads its rates.
func (o *options) whole(ctx context.Context, program, dir string, s measure.Setting,
	stderr io.Writer) (sample, error) {
	runs, err := os.MkdirTemp(dir, "runs")
	if err != nil {
		return sample{}, err
	}
	defer os.RemoveAll(runs)
	epochs := 1 + o.steps
	cmd := exec.CommandContext(ctx, program, "-preset=quick", "-opt=gdm", "-schedule=constant",
		fmt.Sprintf("-lr=%g", eta),
		"-backend="+o.backend, "-model="+s.Model, fmt.Sprintf("-width=%d", s.Width),
		"-precision="+string(s.Precision), fmt.Sprintf("-chunk=%d", s.Chunk),
		// full batch: an epoch is a step
		fmt.Sprintf("-images=%d", o.images), fmt.Sprintf("-epochs=%d", epochs),
		"-holdout=1", fmt.Sprintf("-eval-every=%d", epochs), "-checkpoint-every=24h", "-runs="+runs)
	cmd.Stderr = stderr
	if err := cmd.Run(); err != nil {
		return sample{}, err
	}
	files, err := filepath.Glob(filepath.Join(runs, "*", "events.*"))
	if err != nil || len(files) != 1 {
		return sample{}, fmt.Errorf("%s: %d event files, want 1", runs, len(files))
	}
	ends, err := stepEnds(files[0])
	if err != nil {
		return sample{}, err
	}
	if len(ends) != epochs+1 { // the last row is that of the final evaluation
		return sample{}, fmt.Errorf("%s: %d rows, want %d", files[0], len(ends), epochs+1)
	}
	var got sample
	for i := 1; i < epochs; i++ {
		got.ImagesPerS = append(got.ImagesPerS, float64(o.images)/(ends[i]-ends[i-1]))
	}
	return got, nil
}

// stepEnds reads when the rows of an event file were written, in seconds.
func stepEnds(path string) (ends []float64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	events := tbevents.NewReader(bufio.NewReader(f))
	for {
		e, err := events.Next()
		if errors.Is(err, io.EOF) {
			return ends, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if len(e.Scalars) > 0 {
			ends = append(ends, e.Wall)
		}
	}
}
