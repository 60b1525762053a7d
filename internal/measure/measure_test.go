package measure

import (
	"math"
	"strings"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/descent"
)

func TestRates(t *testing.T) {
	steps := []Step{{Seconds: 2}, {Seconds: 0.5}}
	rates := PerSecond(100, steps)
	if rates[0] != 50 || rates[1] != 200 {
		t.Errorf("100 in 2 s and 100 in ½ s: %v", rates)
	}
	if got := Mean(rates); got != 80 { // 200 in 2.5 s
		t.Errorf("mean %v, want 80", got)
	}
	values := []float64{3, 1, 2}
	if Median(values) != 2 || Median(values[:2]) != 2 || values[0] != 3 {
		t.Errorf("medians %v and %v of %v", Median(values), Median(values[:2]), values)
	}
}

func TestStepsAndMatmul(t *testing.T) {
	b, err := backend.Open(t.Context(), "go", backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := Images(t.Context(), b, 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	s := Setting{Model: "resnet18", Width: 1, Precision: descent.F32, Chunk: 3}
	trainer, err := s.Trainer(b, data)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Steps(t.Context(), trainer, 0.01, 2)
	if err != nil || len(steps) != 2 || !(steps[1].Loss < steps[0].Loss) ||
		!(steps[1].Seconds > 0) {
		t.Errorf("got %+v, %v", steps, err)
	}
	if steps, err := Steps(t.Context(), trainer, math.Inf(1), 1); err == nil || len(steps) != 0 ||
		!strings.HasPrefix(err.Error(), "update norm is ") {
		t.Errorf("got %+v, %v", steps, err)
	}

	rates, err := Matmul(b, descent.F32, 16, 3)
	if err != nil || len(rates) != 3 || !(rates[0] > 0) {
		t.Errorf("got %v, %v", rates, err)
	}
}

// Beyond the embedded images, the 1,001st image is the first again.
func TestImages(t *testing.T) {
	b, err := backend.Open(t.Context(), "go", backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if data, err := Images(t.Context(), b, 1001, 100); err != nil || data.N != 1001 {
		t.Errorf("got %+v, %v", data, err)
	}
}
