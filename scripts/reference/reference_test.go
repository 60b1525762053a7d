package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"

	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/runtest"
)

func TestManual(t *testing.T) {
	var help bytes.Buffer
	if err := run(t.Context(), &help, t.Output(), []string{"-h"}); cli.Status(err) != cli.Done {
		t.Error(err)
	}
	runtest.Manual(t, "reference", help.String(),
		"-out folder of the results (default scripts/reference/testdata)")
}

// The first losses of GD and of GD+M in both forms agree with those of an independent
// implementation: to 1e-6 in float64, where only the normalization of pixels is rounded
// differently, and to 1e-4 in float32 on the default backend.
func TestTrajectories(t *testing.T) {
	exact, err := backend.Open(t.Context(), "go", backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		want := stored(t, c)
		gd, damped, undamped := c.rules()
		check(t, exact, c, undamped, want.Undamped, descent.F64, 1e-6)
		if i < 2 { // the rules do not depend on the network
			check(t, exact, c, gd, want.GD, descent.F64, 1e-6)
			check(t, exact, c, damped, want.Damped, descent.F64, 1e-6)
		}
	}
	fast := backendtest.Open(t)
	c := cases[1]
	_, _, undamped := c.rules()
	check(t, fast, c, undamped, stored(t, c).Undamped, descent.F32, 1e-4)
}

// Products with the Hessian agree with PyTorch's, which differentiates twice: to 1e-6 in float64,
// and to 1e-3 in float32 on the default backend.
func TestHessianProducts(t *testing.T) {
	exact, err := backend.Open(t.Context(), "go", backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		checkProduct(t, exact, c, descent.F64, 1e-6)
	}
	checkProduct(t, backendtest.Open(t), cases[1], descent.F32, 1e-3)
}

// checkProduct compares a product at the initial weights, with a relative tolerance.
func checkProduct(t *testing.T, b *backend.Backend, c testCase, precision descent.Precision,
	tolerance float64) {
	t.Helper()
	net, images, err := c.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := descent.NewData(b, images, descent.Layout{Chunk: c.chunk()})
	if err != nil {
		t.Fatal(err)
	}
	trainer, err := descent.NewTrainer(b, net, descent.Rule{Form: descent.Undamped}, data,
		descent.Options{Precision: precision, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	var v []float64
	for _, p := range net.Params() {
		for i := range p.Size() {
			v = append(v, math.Sin(float64(i)))
		}
	}
	h, err := trainer.HessianProduct(t.Context(), data, v)
	if err != nil {
		t.Fatal(err)
	}
	want := stored(t, c).Curvature
	if got := floats.Norm(h, 2); want.Norm == 0 || math.Abs(got-want.Norm) > tolerance*want.Norm {
		t.Errorf("%s, %s: ‖Hv‖ = %v, PyTorch's %v", c.name, precision, got, want.Norm)
	}
	// vᵀHv is a sum with signs: it is compared with the largest that it could be.
	if got, largest := floats.Dot(v, h), floats.Norm(v, 2)*want.Norm; math.Abs(got-want.Product) >
		tolerance*largest {
		t.Errorf("%s, %s: vᵀHv = %v, PyTorch's %v", c.name, precision, got, want.Product)
	}
}

// chunk is the number of images of a call: two chunks, of which the second has fewer images. Batch
// normalization is over one chunk.
func (c testCase) chunk() int {
	if c.config.Norm == "batch" {
		return c.images
	}
	return c.images/2 + 2
}

// stored reads the losses that trajectory.py printed.
func stored(t *testing.T, c testCase) trajectory {
	t.Helper()
	path := filepath.Join("testdata", c.name+".json")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want trajectory
	if err := json.Unmarshal(content, &want); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return want
}

// check trains and compares the losses, with a relative tolerance.
func check(t *testing.T, b *backend.Backend, c testCase, rule descent.Rule, want []float64,
	precision descent.Precision, tolerance float64) {
	t.Helper()
	if len(want) != steps {
		t.Fatalf("%s: %d losses for %v, want %d", c.name, len(want), rule, steps)
	}
	if change := slices.Max(want)/slices.Min(want) - 1; change < 0.02 {
		t.Errorf("%s: %v: the losses change by %.1f%% only, too little to tell rules apart",
			c.name, rule, 100*change)
	}
	net, images, err := c.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := descent.NewData(b, images, descent.Layout{Chunk: c.chunk()})
	if err != nil {
		t.Fatal(err)
	}
	trainer, err := descent.NewTrainer(b, net, rule, data,
		descent.Options{Precision: precision, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	for step, loss := range want {
		s, err := trainer.Step(t.Context(), c.eta)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(s.Loss-loss) > tolerance*loss {
			t.Errorf("%s: %v, step %d: loss %v, PyTorch's %v", c.name, rule, step, s.Loss, loss)
		}
	}
}
