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

	"momentum/internal/tbevents"
)

// comparePrograms compares the whole of ./cifar, with almost no evaluations and checkpoints, with
// the bare step. Both take the same steps on the same number of images. The program's times are
// those between the rows of its event file, from the row of the first step to that of the last.
func (o *options) comparePrograms(ctx context.Context, r *report, stderr io.Writer) error {
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
	r.columns = []column{{contender: bareStep}, {contender: cifar},
		{contender: cifar, baseline: bareStep}}
	return o.compare(ctx, r, []contender[setting]{
		{bareStep, o.child(0, stderr)},
		{cifar, func(ctx context.Context, s setting) (sample, error) {
			return o.measureProgram(ctx, program, dir, s, stderr)
		}},
	}, stderr)
}

// measureProgram executes the program in a new run folder and reads its rates.
func (o *options) measureProgram(ctx context.Context, program, dir string, s setting,
	stderr io.Writer) (sample, error) {
	runs, err := os.MkdirTemp(dir, "runs")
	if err != nil {
		return sample{}, err
	}
	defer os.RemoveAll(runs)
	epochs := 1 + o.steps
	args := []string{"-preset=quick", "-opt=gdm", "-schedule=constant",
		fmt.Sprintf("-lr=%g", eta), "-backend=" + o.backend, "-model=" + s.Model,
		fmt.Sprintf("-width=%d", s.Width), "-precision=" + string(s.Precision),
		fmt.Sprintf("-chunk=%d", s.Chunk), fmt.Sprintf("-images=%d", o.images),
		fmt.Sprintf("-epochs=%d", epochs), // of one step each, as the batch is full
		"-holdout=1", fmt.Sprintf("-eval-every=%d", epochs), "-checkpoint-every=24h",
		"-clip=0", "-norm=none", "-init=centered", "-runs=" + runs}
	if s.Devices > 0 {
		args = append(args, fmt.Sprintf("-devices=%d", s.Devices))
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = stderr
	if err := cmd.Run(); err != nil {
		return sample{}, err
	}
	files, err := filepath.Glob(filepath.Join(runs, "*", "events.*.momentum"))
	if err != nil || len(files) != 1 {
		return sample{}, fmt.Errorf("%s: %d event files, want 1", runs, len(files))
	}
	ends, err := stepEnds(files[0])
	if err != nil {
		return sample{}, err
	}
	if len(ends) != epochs+1 { // the last row belongs to the final evaluation
		return sample{}, fmt.Errorf("%s: %d rows, want %d", files[0], len(ends), epochs+1)
	}
	var got sample
	for i := 1; i < epochs; i++ {
		got.ImagesPerS = append(got.ImagesPerS, float64(o.images)/(ends[i]-ends[i-1]))
	}
	return got, nil
}

// stepEnds reads the times, in seconds, at which the rows of an event file were written.
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
