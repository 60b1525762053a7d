package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/markdown"
	"momentum/internal/measure"
)

// For each measurement of ours the command starts its own binary, here that of the test.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-child" {
		os.Exit(cli.Main("bench", run))
	}
	os.Exit(m.Run())
}

func TestUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-fast", "flag provided but not defined: -fast; see -h"},
		{"now", `unexpected argument "now"; see -h`},
		{"-models=vgg",
			`invalid value "vgg" for flag -models: "vgg" is not one of [resnet18 wrn16-4]; see -h`},
		{"-precision=tf32",
			`invalid value "tf32" for flag -precision: "tf32" is not one of [f32 bf16]; see -h`},
		{"-steps=0", "-steps must be at least 1, got 0"},
		{"-images=16", "-chunks must be at most the 16 -images, got 32"},
		{"-backend=tpu", `backend: unknown backend "tpu"`},
		{"-program -memory", "-program, -memory and -synthetic exclude each other"},
		{"-synthetic -memory", "-program, -memory and -synthetic exclude each other"},
		{"-synthetic -images=64", "-synthetic has no use for -images: leave it out"},
		{"-synthetic -samples=0", "-samples must be at least 1, got 0"},
		{"-settings=1", "-settings needs -synthetic"},
		{"-program -images=1000",
			"-program trains on the embedded images: -images must be less than 1000, got 1000"},
		{"-program -venv=v", "-program has no use for -venv: leave it out"},
		{"-memory -chunks=8", "-memory has no use for -chunks: leave it out"},
	} {
		err := run(t.Context(), t.Output(), t.Output(), strings.Fields(c.args))
		if cli.Status(err) != cli.BadUsage || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.args, err, c.want)
		}
	}
	if err := run(t.Context(), t.Output(), t.Output(), []string{"-h"}); err != nil {
		t.Error(err)
	}
}

// python writes a program in place of Python with JAX. It imports anything, and takes one step at
// 50 and one at 100 images/s.
func python(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python")
	script := `#!/bin/sh
case "$1" in
-c) exit 0 ;;
*/bench_jax.py) echo '{"who": "jax", "version": "0.1", "device": "cpu",
	"images_per_s": [50, 100], "arguments": "'"$*"'"}' ;;
*) echo broken; exit 3 ;;
esac
`
	if err := os.WriteFile(path, []byte(script), 0o777); err != nil {
		t.Fatal(err)
	}
	return path
}

// The whole comparison, small, on the Go backend.
func TestSteppers(t *testing.T) {
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	args := []string{
		"-backend=go", "-models=resnet18", "-widths=1", "-chunks=2,4", "-images=4", "-steps=1",
		"-rounds=2", "-matmul=32", "-out=" + out,
		"-python-jax=" + python(t), "-python-torch=/no/python",
	}
	if err := run(t.Context(), &stdout, &stderr, args); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	for _, want := range []string{
		"PyTorch is left out: fork/exec /no/python: no such file or directory",
		"-venv=.venv installs it",
	} {
		if !strings.Contains(stdout.String(), want) || !strings.Contains(stderr.String(), want) {
			t.Errorf("no note %q", want)
		}
	}
	if !strings.Contains(stdout.String(), "| ours/JAX |") ||
		strings.Contains(stdout.String(), "ours/PyTorch") {
		t.Errorf("want columns for JAX and none for PyTorch:\n%s", &stdout)
	}
	text, err := os.ReadFile(filepath.Join(out, "bench.md"))
	if err != nil || !bytes.Equal(text, stdout.Bytes()) {
		t.Errorf("bench.md is not what was printed (%v)", err)
	}
	r := read(t, filepath.Join(out, "bench.json"))
	if len(r.Results) != 2 || r.Versions[jax].Version != "0.1" {
		t.Fatalf("got %+v", r)
	}
	for _, x := range r.Results {
		// One step of 1/50 s for each image and one of 1/100 s: 2 images in 0.03 s.
		if want := fmt.Sprint([]float64{2 / 0.03, 2 / 0.03}); fmt.Sprint(x.Rates[jax]) != want {
			t.Errorf("JAX's rates %v, want %v", x.Rates[jax], want)
		}
		if len(x.Rates[ours]) != 2 || !(x.Rates[ours][0] > 0) || len(x.Rates[matmul]) != 2 {
			t.Errorf("rates %v, want 2 of each", x.Rates)
		}
	}
}

// If a contender fails, the measurements before the failure are kept.
func TestFailure(t *testing.T) {
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	fake := python(t)
	args := []string{
		"-backend=go", "-models=resnet18", "-widths=1", "-chunks=2", "-images=2", "-steps=1",
		"-matmul=32", "-python-jax=" + fake, "-python-torch=" + fake, "-out=" + out,
	}
	err := run(t.Context(), &stdout, &stderr, args)
	if err == nil || err.Error() != "PyTorch: resnet18 width 1 f32 chunk 2: python: exit status 3" {
		t.Errorf("got %v", err)
	}
	read(t, filepath.Join(out, "bench.json"))
}

func read(t *testing.T, path string) (r report) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return r
}

func TestProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("builds ./cifar, which takes seconds")
	}
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	args := []string{"-program", "-backend=go", "-models=resnet18", "-widths=1", "-chunks=4",
		"-images=4", "-steps=2", "-rounds=1", "-out=" + out}
	if err := run(t.Context(), &stdout, &stderr, args); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	if r := read(t, filepath.Join(out, "program.json")); len(r.Results) != 1 ||
		!(r.Results[0].Rates[cifar][0] > 0) ||
		!strings.Contains(stdout.String(), "| cifar/bare step |") {
		t.Errorf("got %+v\n%s", r.Results, &stdout)
	}
}

func TestMemory(t *testing.T) {
	r := newReport("", t.Output())
	o := options{backend: "go"}
	tiny := measure.Setting{Model: "resnet18", Width: 1, Precision: descent.F32, Chunk: 2}
	tasks := []task{{Setting: tiny, Images: 2}}
	if err := o.measurePeaks(t.Context(), r, tasks, t.Output()); err != nil {
		t.Fatal(err)
	}
	if p := r.Peaks[0]; p.Bytes < 1e6 || p.Bytes > 1e9 {
		t.Errorf("a peak of %d bytes", p.Bytes)
	}
	// 1000 additional images have 3,072,000 bytes: 1 MB + 3.072 MB = 4.072 MB are expected, and
	// twice as much is used.
	if got := growth(peak{Images: 10, Bytes: 1_000_000},
		peak{Images: 1010, Bytes: 2 * 4_072_000}); got != 2 {
		t.Errorf("growth %v, want 2", got)
	}
}

func TestTable(t *testing.T) {
	chunk8 := measure.Setting{Model: "resnet18", Width: 16, Precision: descent.F32, Chunk: 8}
	chunk16 := chunk8
	chunk16.Chunk = 16
	r := report{
		columns: ourColumns(jax, torch),
		Results: []result{
			// 200 images/s = 100 GFLOP/s
			{Setting: chunk8, GFLOPPerImage: 0.5, Rates: map[string][]float64{ours: {100, 300, 200},
				jax: {100}, matmul: {400, 200}}},
			{Setting: chunk16, GFLOPPerImage: 0.5, Rates: map[string][]float64{ours: {150},
				jax: {160}, matmul: {300}}},
		},
	}
	want := markdown.Table([]string{"model", "width", "precision", "chunk", "ours, images/s",
		"JAX, images/s", "ours, GFLOP/s", "matmul, GFLOP/s", "ours/JAX", "ours/matmul"},
		[][]string{
			{"resnet18", "16", "f32", "8", "200 (100–300)", "100 (100–100)",
				"100 (50.0–150)", "300 (200–400)", "2.000", "0.333"},
			{"resnet18", "16", "f32", "16", "150 (150–150)", "160 (160–160)",
				"75.0 (75.0–75.0)", "300 (300–300)", "0.938", "0.250"},
			{"resnet18", "16", "f32", "best", "200 (100–300) at 8", "160 (160–160) at 16",
				"100 (50.0–150) at 8", "300 (200–400)", "1.250", "0.333"},
		})
	if diff := cmp.Diff(want, r.rates()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
