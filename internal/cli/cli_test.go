package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"testing"
)

func TestReport(t *testing.T) {
	diverged := &DivergedError{errors.New("train loss is NaN at step 3")}
	for _, tt := range []struct {
		err    error
		status int
		line   string
	}{
		{nil, 0, ""},
		{flag.ErrHelp, 0, ""},
		{fs.ErrNotExist, 1, "cifar: file does not exist\n"},
		{errors.Join(fs.ErrNotExist, fs.ErrExist), 1,
			"cifar: file does not exist; file already exists\n"},
		{Usagef("-lr must be positive, got %d", -1), 2, "cifar: -lr must be positive, got -1\n"},
		{fmt.Errorf("runs/a: %w", diverged), 3, "cifar: runs/a: train loss is NaN at step 3\n"},
		{fmt.Errorf("%w before step 3", ErrStopped), 75,
			"cifar: stopped by a signal before step 3\n"},
		{errors.Join(errors.New("runs/a: rundir: lockfile: held"), errors.New("sweep: x")), 1,
			"cifar: runs/a: held; x\n"},
		{errors.New("sweep of rundir: none"), 1, "cifar: sweep of rundir: none\n"},
		{fmt.Errorf("datasets: %w", context.Canceled), 75, "cifar: stopped by a signal\n"},
		{errors.Join(context.Canceled, fmt.Errorf("device 2 of 2: %w", context.Canceled)), 75,
			"cifar: stopped by a signal\n"},
		{StoppedMeasuring(fmt.Errorf("device 2 of 2: %w", context.Canceled)), 75,
			"cifar: stopped by a signal; nothing was measured\n"},
		{StoppedMeasuring(fs.ErrExist), 1, "cifar: file already exists\n"},
	} {
		var line bytes.Buffer
		status := Report(&line, "cifar", tt.err)
		if status != tt.status || line.String() != tt.line {
			t.Errorf("%v: status %d, %q; want %d, %q", tt.err, status, line.String(), tt.status,
				tt.line)
		}
	}
}
