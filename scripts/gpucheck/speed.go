package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/descent"
	"momentum/internal/measure"
)

// rate is the speed of the step at one chunk size.
type rate struct {
	measure.Setting
	ImagesPerS []float64 `json:"images_per_s,omitempty"` // of each step
	GFLOPPerS  float64   `json:"gflop_per_s,omitempty"`
	Error      string    `json:"error,omitempty"`
}

// paper holds the results of steps in the paper's setting.
type paper struct {
	measure.Setting
	Images         int       `json:"images"`
	Eta            float64   `json:"eta"`
	CompileSeconds float64   `json:"compile_seconds"` // for all graphs, before the first step
	Losses         []float64 `json:"losses"`
	Accuracy       []float64 `json:"train_accuracy"`
	GradNorms      []float64 `json:"gradient_norms"`
	ImagesPerS     []float64 `json:"images_per_s"` // of each step
	// memory in use on the GPU after the steps, of all processes; 0 if it is unknown
	GPUMiB        int    `json:"gpu_mib,omitempty"`
	WeightsSHA256 string `json:"weights_sha256"` // of the weights after the steps
}

func (t task) setting() measure.Setting {
	return measure.Setting{Model: "resnet18", Width: t.Width, Precision: t.Before.Precision,
		Chunk: t.Chunk}
}

// rate times the step with one chunk size. It records a failure in the rate.
func (t task) rate(ctx context.Context, b *backend.Backend) rate {
	r := rate{Setting: t.setting()}
	if err := r.measure(ctx, b, t.Timed); err != nil {
		r.Error = err.Error()
	}
	return r
}

// measure times steps over four chunks each.
func (r *rate) measure(ctx context.Context, b *backend.Backend, timed int) error {
	const eta = 0.002 // small enough for any width
	net, err := r.Network()
	if err != nil {
		return err
	}
	n := 4 * r.Chunk
	data, err := measure.Images(ctx, b, n, r.Chunk)
	if err != nil {
		return err
	}
	trainer, err := r.Trainer(b, data)
	if err != nil {
		return err
	}
	steps, err := measure.Steps(ctx, trainer, eta, 1+timed)
	if err != nil {
		return err
	}
	_, flop := net.FLOPs()
	r.ImagesPerS = measure.PerSecond(float64(n), steps[1:])
	r.GFLOPPerS = measure.Mean(r.ImagesPerS) * flop / 1e9
	return nil
}

// best returns the fastest rate, or nil.
func best(rates []rate) (top *rate) {
	for i, r := range rates {
		if r.Error == "" && (top == nil || r.GFLOPPerS > top.GFLOPPerS) {
			top = &rates[i]
		}
	}
	return top
}

// paper takes full-batch steps in the paper's setting.
func (t task) paper(ctx context.Context, b *backend.Backend) (*paper, error) {
	data, err := t.load(ctx, b)
	if err != nil {
		return nil, err
	}
	p := &paper{Setting: t.setting(), Images: data.N, Eta: 0.02}
	p.Chunk = data.Chunk
	start := time.Now()
	trainer, err := p.Trainer(b, data)
	if err != nil {
		return nil, err
	}
	p.CompileSeconds = time.Since(start).Seconds()
	steps, err := measure.Steps(ctx, trainer, p.Eta, t.Steps)
	for _, s := range steps {
		p.Losses = append(p.Losses, s.Loss)
		p.Accuracy = append(p.Accuracy, float64(s.Correct)/float64(data.N))
		p.GradNorms = append(p.GradNorms, s.GradNorm)
	}
	p.ImagesPerS = measure.PerSecond(float64(data.N), steps)
	if err != nil {
		return p, err
	}
	if b.Kind == backend.CUDA {
		p.GPUMiB = gpuMemory(ctx)
	}
	p.WeightsSHA256, err = weightsSHA256(trainer)
	return p, err
}

// load copies the images of the paper's setting to the device.
func (t task) load(ctx context.Context, b *backend.Backend) (*descent.Data, error) {
	chunk := min(t.Chunk, t.Images)
	if t.Data == "" {
		return measure.Images(ctx, b, t.Images, chunk)
	}
	train, _, err := datasets.Load(ctx, "cifar10", datasets.Options{Dir: t.Data, Offline: true})
	if err != nil {
		return nil, err
	}
	return descent.NewData(b, train.Slice(0, min(t.Images, train.N())),
		descent.Layout{Chunk: chunk})
}

// gpuMemory is the memory in MiB that is in use on the first visible GPU, or 0 if it is unknown.
func gpuMemory(ctx context.Context) int {
	gpu, _, _ := strings.Cut(os.Getenv("CUDA_VISIBLE_DEVICES"), ",")
	if gpu == "" {
		gpu = "0"
	}
	out, _ := output(ctx, "nvidia-smi", "--id="+gpu, "--query-gpu=memory.used",
		"--format=csv,noheader,nounits")
	mib, _ := strconv.Atoi(strings.TrimSpace(string(out)))
	return mib
}

// weightsSHA256 is the SHA-256 of the weights, in hex.
func weightsSHA256(t *descent.Trainer) (string, error) {
	weights, err := t.Weights()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, w := range weights {
		if err := binary.Write(h, binary.LittleEndian, w.Data); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
