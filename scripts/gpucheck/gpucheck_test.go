package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/runtest"
)

// go test ./scripts/gpucheck -update rewrites testdata/expected.json, in float64 with XLA on this
// machine's CPU.
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
	n, err := compute(t.Context(), b, descent.F64)
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

// reportOf runs the command and returns its report and what it prints.
func reportOf(t *testing.T, args ...string) (r report, printed string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "gpucheck.json")
	var stdout bytes.Buffer
	if err := run(t.Context(), &stdout, t.Output(), append(args, "-out="+out)); err != nil {
		t.Fatalf("%v\n%s", err, &stdout)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r, stdout.String()
}

// The whole command, with little work, on the Go backend, whose numbers must agree with XLA's.
func TestQuick(t *testing.T) {
	r, printed := reportOf(t, "-quick", "-backend=go")
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
		!(p.Losses[1] < p.Losses[0]) || p.Chunk != best(o.Rates).Chunk {
		t.Errorf("paper's setting: %+v", p)
	}
	if !strings.Contains(printed, "data: embedded images") ||
		!strings.Contains(printed, "left out: TF32 exists on GPUs only") {
		t.Errorf("printed\n%s", printed)
	}
}

// The first command on a GPU, with little work, on XLA on the CPU, which rounds f32 as little as a
// GPU must, and gives equal bits in two processes.
func TestFirst(t *testing.T) {
	if b, err := backend.Open(t.Context(), "xla:cpu", backend.Options{}); err != nil {
		t.Skipf("XLA is not available: %v", err)
	} else {
		b.Close()
	}
	r, printed := reportOf(t, "-first", "-backend=xla:cpu", "-width=1", "-images=10", "-chunk=4",
		"-limit=1h")
	if len(r.Precisions) != 3 || r.Precisions[2].Skipped == "" {
		t.Fatalf("got %+v, want f32 and bf16, and tf32 left out", r.Precisions)
	}
	if c := r.Precisions[0].Check; c == nil || !(c.LossError < 1e-4) ||
		!(c.GradientError < 1e-3) {
		t.Errorf("f32: %+v, want errors below 1e-4 and 1e-3", c)
	}
	bf16 := r.Precisions[1]
	p, q := bf16.Paper, bf16.Again
	if bf16.Check != nil || p == nil || q == nil || p.Images != 10 || p.Width != 1 ||
		p.Chunk != 4 || len(p.Losses) != 3 || !(p.CompileSeconds > 0) ||
		len(p.WeightsSHA256) != 64 || p.WeightsSHA256 != q.WeightsSHA256 ||
		!slices.Equal(p.Losses, q.Losses) {
		t.Errorf("bf16: %+v and %+v, want the same steps twice", p, q)
	}
	for _, want := range []string{"10 images: 3 full-batch steps", "300 epochs in", "compiled in",
		"has the same bits"} {
		if !strings.Contains(printed, want) {
			t.Errorf("printed\n%s\nwant %q in it", printed, want)
		}
	}
}

// With -first f32 is compared with the CPU, and bf16 and tf32 take the steps of the paper, bf16
// twice.
func TestStepsOfFirst(t *testing.T) {
	o, err := parse([]string{"-first"}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range o.precisions {
		for _, s := range o.steps(p) {
			got = append(got, fmt.Sprintf("%s %s %d images of %d, width %d", p, s.Step, s.Chunk,
				s.Images, s.Width))
		}
	}
	want := []string{"f32 compare 2000 images of 50000, width 64",
		"bf16 paper 2000 images of 50000, width 64", "bf16 again 2000 images of 50000, width 64",
		"tf32 paper 2000 images of 50000, width 64"}
	if !slices.Equal(got, want) || o.limit != 3*time.Minute {
		t.Errorf("%v and %v, want %v and 3m", got, o.limit, want)
	}
}

// A step that is not done in time is an error in the report, which has the steps before it.
func TestLimit(t *testing.T) {
	out := filepath.Join(t.TempDir(), "gpucheck.json")
	err := run(t.Context(), t.Output(), t.Output(),
		[]string{"-first", "-backend=go", "-limit=1ms", "-precision=f32", "-out=" + out})
	const want = "f32: compare was not done in time: give more with -limit, or less to do"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if data, err := os.ReadFile(out); err != nil || !strings.Contains(string(data), want[5:]) {
		t.Errorf("the report is %s (%v), want the error in it", data, err)
	}
}

func TestGPUMemory(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("CUDA_VISIBLE_DEVICES", "3,1")
	if got := gpuMemory(t.Context()); got != 0 {
		t.Errorf("without nvidia-smi: %d MiB, want 0", got)
	}
	program := "#!/bin/sh\n[ $1 = --id=3 ] && echo 11234\n"
	if err := os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte(program), 0o777); err != nil {
		t.Fatal(err)
	}
	if got := gpuMemory(t.Context()); got != 11234 {
		t.Errorf("got %d MiB, want 11234 of GPU 3", got)
	}
}

// The error of the gradients is relative to the whole gradient, here (3, 4) with the norm 5.
func TestDeviation(t *testing.T) {
	want := numbers{Losses: []float64{2, 1}, Gradients: map[string]float64{"a": 3, "b": 4}}
	c := deviation(numbers{Losses: []float64{2.02, 1},
		Gradients: map[string]float64{"a": 3.03, "b": 3.96}}, want)
	if math.Abs(c.LossError-0.01) > 1e-12 || math.Abs(c.GradientError-0.01) > 1e-12 ||
		c.Worst != "b" {
		t.Errorf("got %+v, want 0.02/2 and √(0.03² + 0.04²)/5, most of it in b", c)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct{ arg, want string }{
		{"-fast", "flag provided but not defined: -fast; see -h"},
		{"now", `unexpected argument "now"; see -h`},
		{"-backend=tpu", `backend: unknown backend "tpu"`},
		{"-precision=f16",
			`invalid value "f16" for flag -precision: "f16" is not one of [f32 tf32 bf16]; see -h`},
		{"-first -compile", "-compile computes nothing: leave out -first or -compile"},
		{"-first -chunk=8,9",
			"-first takes one of -chunk, got 2: leave out -first or the others"},
		{"-width=-1", "-width and -images must be at least 1, got -1 and 0"},
		{"-chunk=8,0",
			`invalid value "8,0" for flag -chunk: "0" is not a whole number of at least 1; ` +
				`see -h`},
	} {
		err := run(t.Context(), t.Output(), t.Output(), strings.Fields(c.arg))
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
