package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"momentum/internal/backend"
	"momentum/internal/descent"
	"momentum/internal/measure"
)

// step is a part of the work for one precision.
type step string

const (
	openStep    step = "open"    // opens the backend, and fetches its plugin if there is none
	compareStep step = "compare" // losses and gradients with those in float64
	productStep step = "product" // times a bare matrix product
	rateStep    step = "rate"    // times steps with one chunk size
	paperStep   step = "paper"   // takes steps in the paper's setting
	againStep   step = "again"   // does so a second time, to compare the bits
)

// stepLimit is the time after which a step is ended.
const stepLimit = 10 * time.Minute

// task is the work of one child process: a step.
type task struct {
	Backend string `json:"backend"`
	Data    string `json:"data,omitempty"` // folder of CIFAR, or ""
	size
	Step    step         `json:"step"`
	Chunk   int          `json:"chunk"`             // 0: the fastest so far
	Before  *outcome     `json:"before"`            // results of the steps before
	Compile *compileTask `json:"compile,omitempty"` // instead of all else
}

// steps are the tasks of a precision.
func (o options) steps(p descent.Precision) (all []task) {
	add := func(s step, chunk int) {
		t := o.task
		t.Step, t.Chunk = s, chunk
		all = append(all, t)
	}
	switch {
	case o.first && p == descent.F32:
		add(compareStep, o.Chunks[0])
	case o.first:
		add(paperStep, o.Chunks[0])
		if p == descent.BF16 {
			add(againStep, o.Chunks[0])
		}
	default:
		add(compareStep, o.Chunks[0])
		add(productStep, o.Chunks[0])
		for _, chunk := range o.Chunks {
			add(rateStep, chunk)
		}
		add(paperStep, 0)
	}
	return all
}

// open opens the backend in a process of its own: nothing else is worth trying without it.
func (o options) open(ctx context.Context, stderr io.Writer) (opened outcome, err error) {
	t := o.task
	t.Step, t.Before = openStep, &outcome{Precision: descent.F32}
	if _, err = measure.Self(ctx, stderr, t, &opened); err == nil && opened.Error != "" {
		err = errors.New(opened.Error)
	}
	return opened, err
}

// measure takes the steps of a precision, each in a process of its own, and calls save after each.
// A step that fails does not prevent the others.
func (o options) measure(ctx context.Context, stderr io.Writer, got *outcome,
	save func() error) error {
	for _, t := range o.steps(got.Precision) {
		if fastest := best(got.Rates); t.Chunk == 0 && fastest == nil {
			got.fail(fmt.Errorf("no chunk can be computed: %s", got.Rates[0].Error))
			return save()
		} else if t.Chunk == 0 {
			t.Chunk = fastest.Chunk
		}
		t.Before = got
		limited, cancel := context.WithTimeout(ctx, stepLimit)
		peak, err := measure.Self(limited, stderr, t, got)
		if err != nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("%s was not done in time: give more with -limit, or less to do",
				t.Step)
		}
		cancel()
		got.HostBytes = max(got.HostBytes, peak)
		switch {
		case err == nil:
		case t.Step == rateStep: // such as a crash for lack of memory
			got.Rates = append(got.Rates, rate{Setting: t.setting(), Error: err.Error()})
		default:
			got.fail(err)
		}
		if err := save(); err != nil || got.Skipped != "" {
			return err
		}
	}
	return nil
}

// do takes the step and returns the results so far.
func (t task) do(ctx context.Context, stderr io.Writer) *outcome {
	o := t.Before
	b, err := backend.Open(ctx, t.Backend, backend.Options{Offline: t.Step != openStep, Out: stderr,
		TF32: o.Precision == descent.TF32})
	if err != nil {
		o.fail(err)
		return o
	}
	defer func() {
		o.Autotuned = b.Autotuned()
		b.LeaveAutotuned()
	}()
	o.Backend, o.Device, o.Flags = b.Kind, b.Device, b.Flags
	o.XLA, o.PluginSHA256 = b.Backend.Description(), b.PluginSHA256
	switch {
	case o.Precision == descent.TF32 && b.Kind != backend.CUDA:
		o.Skipped = "TF32 exists on GPUs only"
		return o
	case o.Precision == descent.BF16 && b.Kind == backend.Go:
		o.Skipped = "the Go backend has no bfloat16 convolution"
		return o
	}
	switch t.Step {
	case compareStep:
		err = t.compare(ctx, b, o)
	case productStep:
		o.MatmulGFLOP, err = measure.Matmul(b, o.Precision, t.Matmul, t.Timed)
	case rateStep:
		o.Rates = append(o.Rates, t.rate(ctx, b))
	case paperStep:
		o.Paper, err = t.paper(ctx, b)
	case againStep:
		o.Again, err = t.paper(ctx, b)
	}
	o.fail(err)
	return o
}

// fail records an error, if it is one and the first.
func (o *outcome) fail(err error) {
	if err != nil {
		o.Error = cmp.Or(o.Error, err.Error())
	}
}
