package main

import (
	"fmt"
	"io"

	"momentum/internal/backend"
	"momentum/internal/descent"
	"momentum/internal/measure"
)

// outcome holds the results for one precision.
type outcome struct {
	Precision    descent.Precision `json:"precision"`
	Backend      backend.Kind      `json:"backend,omitempty"`
	Device       string            `json:"device,omitempty"`
	XLA          string            `json:"xla,omitempty"` // the plugin's own description
	PluginSHA256 string            `json:"plugin_sha256,omitempty"`
	Flags        []string          `json:"xla_flags,omitempty"`
	// reason, if there is no such precision
	Skipped     string      `json:"skipped,omitempty"`
	Error       string      `json:"error,omitempty"` // the first failure
	Check       *comparison `json:"check,omitempty"`
	MatmulGFLOP []float64   `json:"matmul_gflop_per_s,omitempty"`
	Rates       []rate      `json:"rates,omitempty"`
	Paper       *paper      `json:"paper,omitempty"`
	Again       *paper      `json:"again,omitempty"`      // the same in a second process
	Autotuned   int         `json:"autotuned,omitempty"`  // kernels chosen by timing, so far
	HostBytes   int64       `json:"host_bytes,omitempty"` // largest memory of a process on the host
}

// print writes the outcome as text.
func (o *outcome) print(w io.Writer) {
	fmt.Fprintf(w, "%s on %s (%s)\n", o.Precision, o.Device, o.Backend)
	if o.Skipped != "" {
		fmt.Fprintf(w, "  left out: %s\n", o.Skipped)
	}
	if c := o.Check; c != nil {
		fmt.Fprintf(w, "  compared with float64 on a CPU: losses within %.1e (limit %g), "+
			"gradients within %.1e (limit %g; worst: %s)\n",
			c.LossError, c.Tolerance.Loss, c.GradientError, c.Tolerance.Gradient, c.Worst)
	}
	if len(o.MatmulGFLOP) > 0 {
		fmt.Fprintf(w, "  bare product: %.4g GFLOP/s\n", measure.Mean(o.MatmulGFLOP))
	}
	for _, r := range o.Rates {
		if r.Error != "" {
			fmt.Fprintf(w, "  %v: %s\n", r.Setting, r.Error)
			continue
		}
		fmt.Fprintf(w, "  %v: %.4g images/s, %.4g GFLOP/s\n", r.Setting, measure.Mean(r.ImagesPerS),
			r.GFLOPPerS)
	}
	if p := o.Paper; p != nil && len(p.Losses) > 1 {
		p.print(w)
	}
	if p, q := o.Paper, o.Again; p != nil && q != nil {
		same := "not the same bits: " + p.WeightsSHA256 + " and " + q.WeightsSHA256
		if p.WeightsSHA256 == q.WeightsSHA256 {
			same = "the same bits"
		}
		fmt.Fprintf(w, "  a second process, which compiled in %.3g s, has %s\n", q.CompileSeconds,
			same)
	}
	if o.Autotuned > 0 {
		fmt.Fprintf(w, "  %d choices of kernels are kept for later processes\n", o.Autotuned)
	}
	if o.Error != "" {
		fmt.Fprintf(w, "  ERROR: %s\n", o.Error)
	}
}

// print writes the results of two steps or more as text.
func (p *paper) print(w io.Writer) {
	const epochs = 300 // the paper's
	speed := measure.Mean(p.ImagesPerS[1:])
	fmt.Fprintf(w, "  %v, %d images: %d full-batch steps, loss %.4f to %.4f, %.4g images/s: "+
		"%d epochs in %.3g minutes\n", p.Setting, p.Images, len(p.Losses), p.Losses[0],
		p.Losses[len(p.Losses)-1], speed, epochs, epochs*float64(p.Images)/speed/60)
	fmt.Fprintf(w, "  compiled in %.3g s", p.CompileSeconds)
	if p.GPUMiB > 0 {
		fmt.Fprintf(w, "; %d MiB are in use on the GPU", p.GPUMiB)
	}
	fmt.Fprintln(w)
}
