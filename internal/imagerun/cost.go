package imagerun

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/durable"
)

// Cost is what a run takes on a device, as -cost writes it.
type Cost struct {
	FLOP         float64 `json:"flop"`    // of training and evaluation
	Seconds      float64 `json:"seconds"` // by the time of a chunk, without compilation
	Compile      float64 `json:"compile_seconds"`
	ImagesPerSec float64 `json:"images_per_sec"` // of training
	FLOPPerSec   float64 `json:"flop_per_sec"`
	Memory       float64 `json:"memory_bytes"` // beside the program
	Disk         float64 `json:"disk_bytes"`   // of the run folder, at most
	Kept         float64 `json:"kept_bytes"`   // of the run folder, once the run has ended
	Backend      string  `json:"backend"`      // on which device, and why
	Random       bool    `json:"random"`       // on random pixels
}

// cost measures chunks on every device.
func (r *experiment) cost(ctx context.Context) (Cost, error) {
	began := time.Now()
	trainer, err := r.startTrainer(nil)
	if err != nil {
		return Cost{}, err
	}
	images, err := trainer.Rehearse(ctx)
	if err != nil {
		return Cost{}, err
	}
	compiled := time.Since(began)
	took, err := typical(func() error {
		_, err := trainer.Rehearse(ctx)
		return err
	})
	if err != nil {
		return Cost{}, err
	}
	trained := float64(r.train.N) * float64(r.Epochs)
	evaluations := math.Ceil(float64(r.Epochs)/float64(r.every)) + 1
	evaluated := float64(r.eval.N)*evaluations + float64(r.train.N)
	flop := trained*r.stepFLOP + evaluated*r.forwardFLOP + r.diagnosisFLOP()
	rate := float64(images) * r.stepFLOP / took.Seconds()

	params := 4 * float64(r.net.NumParams())
	saved := 1 // copies of the weights in a checkpoint
	if r.Rule().HasMomentum() {
		saved++
	}
	if r.tracksGroups() { // the parts of the momentum
		saved += 2
	}
	rowBytes := 600 // in metrics.jsonl, metrics.csv and the events
	if r.SmallMargin > 0 {
		rowBytes *= 2
	}
	rest := float64(rowBytes*r.Epochs) + 1<<19
	weights := float64(2+r.savedEpochs()) * params // initial, final, along the run
	checkpoint := float64(saved) * params
	kept := weights + 2*checkpoint + rest
	if r.Slim {
		weights, kept = 0, rest
	}
	return Cost{
		FLOP: flop, Seconds: flop / rate, Compile: compiled.Seconds(),
		ImagesPerSec: float64(images) / took.Seconds(), FLOPPerSec: rate,
		Memory:  r.memory(params),
		Disk:    weights + 3*checkpoint + rest, // two checkpoints and the next one
		Kept:    kept,
		Backend: r.backend.String(), Random: r.random,
	}, nil
}

// typical is the median time of three calls, so that one which waits for another program does not
// decide. They follow a call that makes room in memory.
func typical(call func() error) (time.Duration, error) {
	var times [4]time.Duration
	for i := range times {
		start := time.Now()
		if err := call(); err != nil {
			return 0, err
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times[1:])
	return times[2], nil
}

// memory estimates the memory of all devices together, beside the program, for weights of the given
// size.
func (r *experiment) memory(weights float64) float64 {
	// Each device has its weights and, for a moment, their new values; likewise the momentum.
	copies := 2.0
	if r.Rule().HasMomentum() {
		copies += 2
	}
	// It has zeros, the sums of a part, their new values, and one sum for each level of the tree.
	copies += 3 + math.Ceil(math.Log2(float64(descent.Parts(r.trainImages, r.chunk))))
	// The gradient keeps the activations of one chunk. The factor is from what XLA's compiler
	// reports for ResNet-18 on a GPU.
	perValue := map[bool]float64{false: 4, true: 2}[r.Precision == "bf16"]
	activations := 1.7 * perValue * float64(r.chunk) * float64(r.net.ActivationValues())
	return float64(len(r.backend.Devices))*(copies*weights+activations) +
		3072*float64(r.trainImages+r.evalImages)
}

// checkMemory refuses a run whose devices need more memory than the CPU has left.
func (r *experiment) checkMemory() error {
	need := r.memory(4 * float64(r.net.NumParams()))
	free, known := backend.FreeMemory()
	if r.backend.Kind == backend.CUDA || !known || need <= free {
		return nil
	}
	return cli.Usagef("a run on %s takes about %.2g GB for the weights, sums and activations of "+
		"each, but %.2g GB is free: use a smaller -devices or -chunk", r.backend.Shares(), need/1e9,
		free/1e9)
}

// savedText says what the weights along the run take, if it keeps them.
func (r *experiment) savedText() string {
	n := r.savedEpochs()
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", of it %.2g GB for the weights of %d epochs",
		float64(n)*4*float64(r.net.NumParams())/1e9, n)
}

// dryRun prints the whole configuration, before it opens the data, and then the cost. It leaves
// nothing behind but the file of -cost.
func (r *experiment) dryRun(ctx context.Context, file string) error {
	config, err := json.MarshalIndent(map[string]any{"settings": r.Settings,
		"execution": r.Execution}, "", "  ")
	if err != nil {
		return err
	}
	fmt.Fprintf(r.stdout, "%s\n", config)
	if err := r.open(ctx); err != nil {
		return err
	}
	c, err := r.cost(ctx)
	if err != nil {
		return cli.StoppedMeasuring(err)
	}
	fmt.Fprintf(r.stdout, "cost      %.3g FLOP in all, with evaluations every %d epoch(s); chunks "+
		"of %d images on %s: %.0f images/s, %.3g GFLOP/s\n", c.FLOP, r.every, r.chunk,
		r.backend.Shares(), c.ImagesPerSec, c.FLOPPerSec/1e9)
	if share := r.diagnosisFLOP() / c.FLOP; share > 0 {
		fmt.Fprintf(r.stdout, "          of it, up to %.0f%% for -diagnose\n", 100*share)
	}
	fmt.Fprintf(r.stdout, "memory    about %.2g GB beside the program; disk at most %.2g GB%s\n",
		c.Memory/1e9, c.Disk/1e9, r.savedText())
	fmt.Fprintf(r.stdout, "time      about %s on this device\n",
		(time.Duration(c.Seconds * float64(time.Second))).Round(time.Second))
	if file == "" {
		return nil
	}
	return durable.WriteFile(file, func(w io.Writer) error { return json.NewEncoder(w).Encode(c) })
}
