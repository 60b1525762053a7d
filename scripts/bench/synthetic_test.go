package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"momentum/internal/backend"
	"momentum/internal/measure"
)

// fakeJAX writes a program that stands in for Python with JAX: it reports 100 steps per second and
// the given losses.
func fakeJAX(t *testing.T, losses []float64) string {
	t.Helper()
	text, err := json.Marshal(losses)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "python")
	script := fmt.Sprintf("#!/bin/sh\ntest \"$1\" = -c || echo '{\"version\": \"0.1\", "+
		"\"device\": \"cpu\", \"steps_per_s\": [100], \"losses\": %s}'\n", text)
	if err := os.WriteFile(path, []byte(script), 0o777); err != nil {
		t.Fatal(err)
	}
	return path
}

// The whole comparison at a small size on the Go backend. The C program really computes the steps,
// so this tests the step too.
func TestSynthetic(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	b, err := backend.Open(t.Context(), "go", backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// More samples than a block of the C program has, and not a multiple of it.
	s := synthetic{Samples: 150, Settings: 2, Steps: 10}
	_, losses, err := s.do(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	// With η = 0.1 and 0.2 the second setting is ahead. Both are below log 2, the loss at weights
	// near 0.
	if len(losses) != 2 || !(losses[1] < losses[0]) || !(losses[0] < math.Ln2) {
		t.Errorf("losses %v", losses)
	}

	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	args := []string{"-synthetic", "-backend=go", "-samples=150", "-settings=2", "-steps=20",
		"-rounds=2", "-matmul=32", "-out=" + out}
	if err := run(t.Context(), &stdout, &stderr,
		append(args, "-python-jax="+fakeJAX(t, losses))); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	r := read(t, filepath.Join(out, "synthetic.json"))
	if len(r.Synthetic) != 1 || r.Synthetic[0].synthetic != s {
		t.Fatalf("got %+v, want one result of %+v", r.Synthetic, s)
	}
	want := []string{ours, jax, jaxByHand, matmul}
	if _, err := exec.LookPath("cc"); err != nil {
		t.Log("without a C compiler (cc) the C program is not compared")
	} else {
		want = append(want, plainC)
	}
	for _, name := range want {
		if rates := r.Synthetic[0].Rates[name]; len(rates) != 2 || !(rates[0] > 0) {
			t.Errorf("rates %v of %s, want 2", rates, name)
		}
	}
	if got := r.Synthetic[0].Rates[jax]; len(got) == 2 && got[0] != 100 {
		t.Errorf("JAX's rate %v, want 100", got)
	}

	// A contender with other losses is an error.
	losses[1] *= 1.002
	err = run(t.Context(), &stdout, &stderr, append(args, "-python-jax="+fakeJAX(t, losses)))
	if err == nil || !strings.HasPrefix(err.Error(),
		"JAX: synthetic N = 150, S = 2: loss of setting 2 is ") {
		t.Errorf("losses that are 0.2%% off: %v", err)
	}
}

// Both variants of the JAX script take the same steps as the Go backend, also with a short last
// block.
func TestSyntheticJAX(t *testing.T) {
	python := filepath.Join("..", "..", ".venv", "bin", "python")
	if out, err := exec.Command(python, "-c", "import jax").CombinedOutput(); err != nil {
		t.Skipf("no JAX in .venv (%v %s); go run ./scripts/bench -venv=.venv installs it", err,
			lastLine(out))
	}
	b, err := backend.Open(t.Context(), "go", backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := synthetic{Samples: 40, Settings: 5, Steps: 10}
	_, want, err := s.do(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data.f32")
	if err := s.write(data); err != nil {
		t.Fatal(err)
	}
	// Blocks of 19, 19 and 2 samples, of which the first has the one with a small margin.
	for _, options := range [][]string{nil, {"--blocks=76"}} {
		var got sample
		arguments := append(append([]string{"synthetic_jax.py"}, options...),
			s.arguments(data)...)
		_, err := measure.Run(t.Context(), t.Output(), &got, python, arguments...)
		if err != nil {
			t.Fatal(err)
		}
		if err := agree(got.Losses, want); err != nil {
			t.Errorf("%v %v: %v", s, options, err)
		}
	}
}

func TestSyntheticTable(t *testing.T) {
	r := report{
		columns: ourColumns(jax, plainC),
		Synthetic: []syntheticResult{ // 1000 steps/s = 60 GFLOP/s
			{synthetic{Samples: 20000, Settings: 1}, 0.06,
				map[string][]float64{ours: {900, 1000, 1100}, jax: {250}, matmul: {150, 90}}},
			{synthetic{Samples: 20000, Settings: 16}, 0.06,
				map[string][]float64{ours: {1500}, jax: {500}, matmul: {120}}},
		},
	}
	want := "The step on D with N = 20000, P = 5, d = 30, m = 5, float32, full batch, S settings " +
		"at once. steps/s are steps × settings per second.\n" + `
| S | ours, steps/s | JAX, steps/s | ours, GFLOP/s | matmul, GFLOP/s | ours/JAX | ours/matmul |
|---|---|---|---|---|---|---|
| 1 | 1000 (900–1100) | 250 (250–250) | 60.0 (54.0–66.0) | 120 (90.0–150) | 4.000 | 0.500 |
| 16 | 1500 (1500–1500) | 500 (500–500) | 90.0 (90.0–90.0) | 120 (120–120) | 3.000 | 0.750 |
`
	if diff := cmp.Diff(want, r.synthetics()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	// 20,000 samples of 5 patches with 5 neurons in 30 dimensions are 15 million multiply-adds, in
	// each of 2 products.
	if got := (synthetic{Samples: 20000}).gflop(); got != 0.06 {
		t.Errorf("%v GFLOP, want 0.06", got)
	}
}
