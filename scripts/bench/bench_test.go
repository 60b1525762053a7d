package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/measure"
	"momentum/internal/runtest"
)

var update = flag.Bool("update", false, "rewrite the golden file")

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
		{"-model=vgg",
			`invalid value "vgg" for flag -model: "vgg" is not one of [resnet18 wrn16-1 ` +
				`wrn16-4]; see -h`},
		{"-precision=tf32",
			`invalid value "tf32" for flag -precision: "tf32" is not one of [f32 bf16]; see -h`},
		{"-steps=0", "-steps must be at least 1, got 0"},
		{"-images=16", "-chunk must be at most the 16 -images, got 32"},
		{"-backend=tpu", `backend: unknown backend "tpu"`},
		{"-program -memory", "-program, -memory and -synthetic exclude each other"},
		{"-synthetic -memory", "-program, -memory and -synthetic exclude each other"},
		{"-synthetic -images=64", "-synthetic has no use for -images: leave it out"},
		{"-synthetic -samples=0", "-samples must be at least 1, got 0"},
		{"-settings=1", "-settings needs -synthetic"},
		{"-program -images=1000",
			"-program trains on the embedded images: -images must be less than 1000, got 1000"},
		{"-program -venv=v", "-program has no use for -venv: leave it out"},
		{"-memory -chunk=8", "-memory has no use for -chunk: leave it out"},
		{"-cores=0", `invalid value "0" for flag -cores: "0" is not a whole number of at least ` +
			"1 or all"},
		{"-cores=100000", "-cores: 100000 CPUs, want 1 to "},
		{"-devices=2,none", `invalid value "2,none" for flag -devices: "none" is not a whole ` +
			"number of at least 1 or auto"},
		{"-program -cores=1", "-program has no use for -cores: leave it out"},
		{"-venv=/nonexist/x", "-venv=/nonexist/x: there is no folder /nonexist to make it in"},
		{"-synthetic -devices=2", "-synthetic has no use for -devices: leave it out"},
	} {
		err := run(t.Context(), t.Output(), t.Output(), strings.Fields(c.args))
		if cli.Status(err) != cli.BadUsage || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.args, err, c.want)
		}
	}
	var help bytes.Buffer
	if err := run(t.Context(), &help, t.Output(), []string{"-h"}); err != nil {
		t.Error(err)
	}
	runtest.Manual(t, "bench", help.String(),
		"-rounds rounds, in each of which every contender runs once (default 5)",
		"-chunk list of the images per call of the compiled step (default 8,16,32)")
}

// python writes a program in place of Python with JAX. It imports anything, and takes one step at
// 50 and one at 100 images/s. It says how many CPUs it may use.
func python(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python")
	script := `#!/bin/sh
case "$1" in
-c) exit 0 ;;
*/bench_jax.py) echo '{"who": "jax", "version": "0.1", "device": "cpu",
	"images_per_s": [50, 100], "threads": '"$(nproc)"'}' ;;
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
		"-backend=go", "-model=resnet18", "-width=1", "-chunk=2,4", "-images=4", "-steps=1",
		"-rounds=2", "-matmul=32", "-cores=all,1", "-out=" + out,
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
	if !strings.Contains(stderr.String(), "the first round took ") {
		t.Errorf("no word on how long all rounds will take:\n%s", &stderr)
	}
	r := read(t, filepath.Join(out, "bench.json"))
	cores := 2 // settings
	if runtime.NumCPU() == 1 {
		cores = 1
	}
	// Ours and JAX with 2 chunks, and the product, which has no chunks.
	if len(r.Results) != 5*cores || r.Versions[jax].Version != "0.1" || r.Rounds != 2 {
		t.Fatalf("got %+v", r)
	}
	for _, x := range r.Results {
		if len(x.Rates) != 2 || !(x.Rates[0] > 0) {
			t.Errorf("%s: %v: rates %v, want 2", x.Contender, x.setting, x.Rates)
		}
		// One step of 1/50 s for each image and one of 1/100 s: 2 images in 0.03 s.
		if x.Contender == jax && fmt.Sprint(x.Rates[0]) != fmt.Sprint(2/0.03) {
			t.Errorf("JAX's rates %v, want %v", x.Rates, 2/0.03)
		}
	}
}

// If a contender fails, the measurements before the failure are kept.
func TestFailure(t *testing.T) {
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	fake := python(t)
	args := []string{
		"-backend=go", "-model=resnet18", "-width=1", "-chunk=2", "-images=2", "-steps=1",
		"-matmul=32", "-cores=1", "-python-jax=" + fake, "-python-torch=" + fake, "-out=" + out,
	}
	err := run(t.Context(), &stdout, &stderr, args)
	if err == nil || err.Error() !=
		"PyTorch: resnet18 width 1 f32 chunk 2 cores 1: python: exit status 3" {
		t.Errorf("got %v", err)
	}
	if r := read(t, filepath.Join(out, "bench.json")); len(r.Results) != 2 {
		t.Errorf("got %+v, want the results of ours and JAX", r.Results)
	}
	if text := stdout.String(); !strings.Contains(text, "| ours/JAX |") ||
		strings.Contains(text, "PyTorch |") {
		t.Errorf("want tables of ours and JAX:\n%s", text)
	}
}

// A process that does not keep to its CPUs is an error, and so is a number that the machine lacks.
func TestOnCores(t *testing.T) {
	c := contender[setting]{"c", func(context.Context, setting) (sample, error) {
		return sample{Threads: 64}, nil
	}}
	if _, err := onCores(t.Context(), c, setting{Cores: 1}); err == nil ||
		err.Error() != "64 threads, want 1" {
		t.Errorf("64 threads on one core: %v", err)
	}
	if _, err := onCores(t.Context(), c, setting{Cores: 100_000}); err == nil {
		t.Error("100,000 cores")
	}
}

func TestSettings(t *testing.T) {
	o, err := parse(strings.Fields("-model=resnet18 -chunk=8 -backend=xla:cuda "+
		"-devices=auto,2 -precision=f32,bf16 -width=8"), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{runtime.NumCPU()}; !slices.Equal(o.cores, want) { // of a GPU machine
		t.Errorf("cores %v, want %v", o.cores, want)
	}
	o.cores = []int{3, 1, 3}
	want := []string{
		"resnet18 width 8 f32 chunk 8 cores 3", "resnet18 width 8 f32 chunk 8 cores 3 devices 2",
		"resnet18 width 8 f32 chunk 8 cores 1 devices 1",
		"resnet18 width 8 bf16 chunk 8 cores 3", "resnet18 width 8 bf16 chunk 8 cores 3 devices 2",
		"resnet18 width 8 bf16 chunk 8 cores 1 devices 1",
	}
	var got []string
	for _, s := range o.settings() {
		got = append(got, s.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}

	for model, want := range map[string][]int{"resnet18": {8, 16, 64}, "wrn16-1": {8, 16}} {
		o, err := parse([]string{"-model=" + model, "-cores=1", "-chunk=8"}, t.Output())
		if err != nil {
			t.Fatal(err)
		}
		var widths []int
		for _, s := range o.settings() {
			widths = append(widths, s.Width)
		}
		if !slices.Equal(widths, want) {
			t.Errorf("%s: widths %v, want %v", model, widths, want)
		}
	}
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
	args := []string{"-program", "-backend=go", "-model=resnet18", "-width=1", "-chunk=4",
		"-images=4", "-steps=2", "-rounds=1", "-out=" + out}
	if err := run(t.Context(), &stdout, &stderr, args); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	if r := read(t, filepath.Join(out, "program.json")); len(r.Results) != 2 ||
		r.Results[1].Contender != cifar ||
		!(r.Results[1].Rates[0] > 0) ||
		!strings.Contains(stdout.String(), "| cifar/bare step |") {
		t.Errorf("got %+v\n%s", r.Results, &stdout)
	}
}

func TestMemory(t *testing.T) {
	r := newReport("", t.Output())
	o := options{backend: "go"}
	tiny := measure.Setting{Model: "resnet18", Width: 1, Precision: descent.F32, Chunk: 2}
	tasks := []task{{setting: setting{Setting: tiny}, Images: 2}}
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

// One network at two chunks, with 1 and 2 cores, 2 devices and bfloat16; some measurements are
// missing, as after an error. go test -update rewrites the golden file.
func TestTables(t *testing.T) {
	r := report{columns: ourColumns(jax, torch, torchBF16), Rounds: 3}
	add := func(contender string, s setting, rates ...float64) {
		x := &result{Contender: contender, setting: s.of(contender), GFLOPPerImage: 0.5,
			Rates: rates}
		r.Results = append(r.Results, x)
	}
	s := setting{Setting: measure.Setting{Model: "resnet18", Width: 16, Precision: descent.F32,
		Chunk: 8}, Cores: 2}
	add(ours, s, 100, 300, 200) // 200 images/s = 100 GFLOP/s
	add(jax, s, 100)
	add(torch, s, 250)
	add(torchBF16, s, 400)
	add(matmul, s, 400, 200)
	s.Chunk = 16
	add(ours, s, 150)
	add(jax, s, 160)
	add(torch, s, 200)
	s.Chunk, s.Devices = 8, 2
	add(ours, s, 220)
	s.Devices, s.Precision = 0, descent.BF16
	add(ours, s, 50) // JAX did not come to its turn
	s.Precision, s.Cores, s.Devices = descent.F32, 1, 1
	add(ours, s, 125)
	add(matmul, s, 100)

	golden(t, "steps.md", r.steps())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestVectors(t *testing.T) {
	for _, c := range []struct{ cpuinfo, want string }{
		{"processor\t: 0\nflags\t\t: sse2 fma avx f16c avx2\nflags\t\t: avx512f\n", "FMA, AVX2"},
		{"flags\t\t: avx2 avx512f avx512dq avx512_bf16 avx_vnni\n",
			"AVX2, AVX-VNNI, AVX-512 (F, DQ, BF16)"},
		{"BogoMIPS\t: 2\nFeatures\t: fp asimd sve sve2\n", "NEON, SVE, SVE2"},
		{"", ""},
	} {
		if got := vectorsIn(c.cpuinfo); got != c.want {
			t.Errorf("%q: %q, want %q", c.cpuinfo, got, c.want)
		}
	}
}
