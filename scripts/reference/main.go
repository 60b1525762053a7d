// Reference recomputes the losses that this project's tests compare with. It uses an independent
// implementation in PyTorch (trajectory.py).
//
//	python3 -m venv .venv && .venv/bin/pip install torch==2.15.0 numpy==2.4.6 safetensors==0.8.0
//	go run ./scripts/reference -python=.venv/bin/python
//
// It writes testdata/NAME.json for each of [cases]: the first 10 full-batch losses of GD and of
// GD+M in both forms, from this project's initial weights and embedded images. The test of this
// package trains the same networks and compares the losses, with a relative tolerance of 1e-4 in
// float32.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"momentum/datasets"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/safetensors"
	"momentum/models"
)

// testCase is one network on a few images.
type testCase struct {
	name        string
	config      models.Config
	images      int
	eta         float64 // η, the same for GD and both forms of GD+M
	gamma       float64 // γ
	weightDecay float64 // λ
	clip        float64 // the largest norm of ∇L; 0: any
}

const (
	steps = 10
	seed  = 1
)

// network is a network for 10 classes.
func network(model string, width int, norm, initialization string) models.Config {
	return models.Config{Model: model, Width: width, Norm: norm, Initialization: initialization,
		Classes: 10}
}

// cases cover all networks, strides, shortcuts and parameterizations, weight decay and clipping. At
// their rates the losses change by 2% or more.
var cases = []testCase{
	{name: "resnet18", config: network("resnet18", 4, "none", ""), images: 16, eta: 0.02,
		gamma: 0.8, weightDecay: 0.001},
	{name: "wrn16-2", config: network("wrn16-2", 4, "none", ""), images: 10, eta: 0.05, gamma: 0.5},
	{name: "vgg19", config: network("vgg19", 2, "none", ""), images: 10, eta: 0.01, gamma: 0.8},
	{name: "resnet18-weights", config: network("resnet18", 2, "weights", ""), images: 10,
		eta: 0.05, gamma: 0.8, weightDecay: 0.01, clip: 1},
	{name: "wrn16-2-weights", config: network("wrn16-2", 2, "weights", "pytorch"), images: 10,
		eta: 0.1, gamma: 0.5},
	{name: "vgg19-weights", config: network("vgg19", 2, "weights", ""), images: 10, eta: 0.01,
		gamma: 0.5},
	{name: "resnet18-he", config: network("resnet18", 2, "none", "he"), images: 10, eta: 0.005,
		gamma: 0.5},
	{name: "resnet18-skipinit", config: network("resnet18", 2, "none", "skipinit"), images: 10,
		eta: 0.05, gamma: 0.5},
	{name: "resnet18-fixup", config: network("resnet18", 2, "none", "fixup"), images: 10, eta: 0.1,
		gamma: 0.8},
	{name: "resnet18-pytorch", config: network("resnet18", 2, "none", "pytorch"), images: 10,
		eta: 1, gamma: 0.8},
	{name: "resnet18-batch", config: network("resnet18", 2, "batch", ""), images: 10, eta: 0.002,
		gamma: 0.5},
	{name: "wrn16-2-batch", config: network("wrn16-2", 2, "batch", ""), images: 10, eta: 0.02,
		gamma: 0.5},
}

// trajectory holds the losses at the weights before each step.
type trajectory struct {
	GD       []float64 `json:"gd"`
	Damped   []float64 `json:"gdm_damped"`
	Undamped []float64 `json:"gdm_undamped"`

	// Of the Hessian H at the initial weights. v is sin(0), sin(1), … for each parameter.
	Curvature struct {
		Product float64 `json:"vHv"`
		Norm    float64 `json:"norm"` // ‖Hv‖
	} `json:"curvature"`
}

func main() { os.Exit(cli.Main("reference", run)) }

func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	fs := flag.NewFlagSet("reference", flag.ContinueOnError)
	python := fs.String("python", "python3", "`program` with torch, numpy and safetensors")
	out := fs.String("out", "scripts/reference/testdata", "`folder` of the results")
	if err := cli.Parse(fs, args, stdout, "reference recomputes the losses of the tests with "+
		"PyTorch.\n\n  go run ./scripts/reference -python=.venv/bin/python"); err != nil {
		return err
	}
	for _, c := range cases {
		result, err := c.recompute(ctx, *python, stderr)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		path := filepath.Join(*out, c.name+".json")
		if err := os.WriteFile(path, result, 0o666); err != nil {
			return err
		}
		fmt.Fprintln(stdout, path)
	}
	return nil
}

// recompute executes trajectory.py on the case's initial weights and images.
func (c testCase) recompute(ctx context.Context, python string, stderr io.Writer) ([]byte, error) {
	dir, err := os.MkdirTemp("", "reference")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	net, images, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	var weights []safetensors.Tensor
	values := net.Init(seed)
	for i, p := range net.Params() {
		weights = append(weights, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: values[i]})
	}
	var file bytes.Buffer
	if err := safetensors.Write(&file, weights, nil); err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{"initial.safetensors": file.Bytes(),
		"images.bin": images.Pixels, "labels.bin": images.Labels} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, python, "scripts/reference/trajectory.py",
		"--weights", filepath.Join(dir, "initial.safetensors"),
		"--images", filepath.Join(dir, "images.bin"), "--labels", filepath.Join(dir, "labels.bin"),
		"--model", c.config.Model, "--norm", c.config.Norm, "--width", fmt.Sprint(c.config.Width),
		"--rate", fmt.Sprint(c.eta), "--momentum", fmt.Sprint(c.gamma),
		"--weight-decay", fmt.Sprint(c.weightDecay), "--clip", fmt.Sprint(c.clip),
		"--steps", fmt.Sprint(steps))
	cmd.Stderr = stderr
	result, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", python, err)
	}
	if !json.Valid(result) {
		return nil, fmt.Errorf("%s: want JSON, got %.60q", python, result)
	}
	return result, nil
}

// load returns the network and the first of the embedded training images.
func (c testCase) load(ctx context.Context) (*models.Network, *datasets.Images, error) {
	net, err := models.New(c.config)
	if err != nil {
		return nil, nil, err
	}
	train, _, err := datasets.Load(ctx, "cifar10-mini", datasets.Options{})
	if err != nil {
		return nil, nil, err
	}
	return net, train.Slice(0, c.images), nil
}

// rules returns the three rules of a trajectory.
func (c testCase) rules() (gd, damped, undamped descent.Rule) {
	gd = descent.Rule{Form: descent.Undamped, WeightDecay: c.weightDecay, Clip: c.clip}
	undamped = gd
	undamped.Gamma = c.gamma
	damped = undamped
	damped.Form = descent.Damped
	return gd, damped, undamped
}
