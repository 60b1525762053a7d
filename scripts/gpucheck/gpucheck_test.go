package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/runtest"
)

// go test ./scripts/gpucheck -update rewrites testdata/expected.json, with XLA on this machine's
// CPU.
var update = flag.Bool("update", false, "write testdata/expected.json")

// The command starts its own binary for each precision, here that of the test.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-child" {
		os.Exit(cli.Main("gpucheck", run))
	}
	os.Exit(m.Run())
}

func TestUpdate(t *testing.T) {
	if !*update {
		t.Skip("writes testdata/expected.json with -update only")
	}
	b, err := backend.Open(t.Context(), "xla:cpu", backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := compute(t.Context(), b, descent.F32)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.MarshalIndent(n, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/expected.json", append(data, '\n'), 0o666); err != nil {
		t.Fatal(err)
	}
}

// The whole command, with little work, on the Go backend, whose numbers must agree with XLA's.
func TestQuick(t *testing.T) {
	out := filepath.Join(t.TempDir(), "gpucheck.json")
	var stdout bytes.Buffer
	if err := run(t.Context(), &stdout, t.Output(),
		[]string{"-quick", "-backend=go", "-out=" + out}); err != nil {
		t.Fatalf("%v\n%s", err, &stdout)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Precisions) != 3 || r.Precisions[1].Skipped == "" || r.Precisions[2].Skipped == "" {
		t.Fatalf("got %+v, want f32, and tf32 and bf16 left out", r.Precisions)
	}
	o := r.Precisions[0]
	if o.Backend != backend.Go || o.Check == nil || !(o.Check.LossError < 1e-4) ||
		!(o.Check.GradientError < 1e-3) || len(o.Check.Losses) != 3 {
		t.Errorf("check: %+v", o.Check)
	}
	if len(o.Rates) != 2 || o.Rates[1].Chunk != 8 || o.Rates[1].Error != "" ||
		!(o.Rates[1].GFLOPPerS > 0) || len(o.MatmulGFLOP) != 1 {
		t.Errorf("rates: %+v, product %v", o.Rates, o.MatmulGFLOP)
	}
	if p := o.Paper; p == nil || p.Images != 20 || len(p.Losses) != 2 ||
		!(p.Losses[1] < p.Losses[0]) {
		t.Errorf("paper's setting: %+v", p)
	}
	if !strings.Contains(stdout.String(), "data: embedded images") ||
		!strings.Contains(stdout.String(), "left out: TF32 exists on GPUs only") {
		t.Errorf("printed\n%s", &stdout)
	}
}

func TestCompare(t *testing.T) {
	want := numbers{Losses: []float64{2, 1}, Gradients: map[string]float64{"a": 4, "b": 10}}
	c := compare(numbers{Losses: []float64{2.02, 1},
		Gradients: map[string]float64{"a": 3, "b": 10.1}}, want)
	if math.Abs(c.LossError-0.01) > 1e-12 || c.GradientError != 0.25 || c.Worst != "a" {
		t.Errorf("got %+v, want 0.02/2 and 1/4 for a", c)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct{ arg, want string }{
		{"-fast", "flag provided but not defined: -fast; see -h"},
		{"now", `unexpected argument "now"; see -h`},
		{"-backend=tpu", `backend: unknown backend "tpu"`},
		{"-precision=f16",
			`invalid value "f16" for flag -precision: "f16" is not one of [f32 tf32 bf16]; see -h`},
		{"-chunk=8,0",
			`invalid value "8,0" for flag -chunk: "0" is not a whole number of at least 1; ` +
				`see -h`},
	} {
		err := run(t.Context(), t.Output(), t.Output(), []string{c.arg})
		if cli.Status(err) != cli.BadUsage || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.arg, err, c.want)
		}
	}
	var help bytes.Buffer
	if err := run(t.Context(), &help, t.Output(), []string{"-h"}); err != nil {
		t.Error(err)
	}
	runtest.Manual(t, "gpucheck", help.String(), "-out file of the results (default gpucheck.json)")
	err := run(t.Context(), t.Output(), t.Output(), []string{"-backend=go",
		"-data-dir=" + t.TempDir()})
	if cli.Status(err) != cli.Failed || !strings.Contains(err.Error(), "datasets: ") {
		t.Errorf("folder without CIFAR: %v", err)
	}
}
