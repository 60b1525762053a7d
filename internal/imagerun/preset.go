package imagerun

import (
	"fmt"
	"strings"
	"time"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
)

// auto is the preset that depends on the backend.
const auto = "auto"

// presets lists the values of -preset.
var presets = []string{auto, "tiny", "quick", "paper"}

// presetOf is the meaning of -preset=auto on a backend.
func presetOf(kind backend.Kind) string {
	switch kind {
	case backend.CUDA:
		return "paper"
	case backend.Go:
		return "tiny"
	}
	return "quick"
}

// Preset returns the configuration that a run of an algorithm starts from. Rates are undamped.
// Those of quick were chosen on held-out training images with the same number of trials for GD and
// for GD+M (results/figure1-wrn16); the others are starting points, and the paper gives none.
func Preset(name, opt string) Config {
	rates := map[string]float64{"gd": 0.05, "gdm": 0.005, "sgd": 0.05, "sgdm": 0.005}
	c := Config{
		Settings: Settings{
			Data: "cifar10", Model: "resnet18", Norm: "none", Init: "centered", BranchScale: -1,
			Opt: opt, Rate: rates[opt],
			Form: string(descent.Undamped), Schedule: "cosine", Epochs: 300, Precision: "f32",
			Seed: 1, SmallMarginFactor: 2, SmallMarginNoise: 0.005, SmallMarginShuffle: "image",
			SmallMarginSeed: 1,
		},
		Execution: Execution{Backend: "auto", CheckpointEvery: cli.Duration(time.Minute),
			Runs: "runs"},
	}
	batch := 128
	switch name {
	case "quick":
		c.Data, c.Model, c.Width, c.Images, batch = "cifar10-mini", "wrn16-1", 8, 512, 32
		c.Norm, c.Init, c.WeightDecay, c.Warmup = "weights", "pytorch", 0.002, 15
		if !IsMiniBatch(opt) {
			c.Clip = 1
			c.Rate = map[string]float64{"gd": 1, "gdm": 0.4}[opt]
		}
	case "tiny":
		c.Data, c.Width, c.Images, c.Epochs, batch = "cifar10-mini", 4, 40, 20, 16
	}
	if HasMomentum(opt) {
		c.Momentum = 0.9
	}
	if IsMiniBatch(opt) {
		c.Batch = batch
	}
	return c
}

// origin is the line that says where the settings are from: a preset, unless the file of -config
// has all of them.
func (cmd *Command) origin(preset string, kind backend.Kind) string {
	if whole(cmd.content.settings) {
		return "settings  of " + strings.TrimPrefix(cmd.content.place, "-config: ")
	}
	return "preset    " + explainPreset(preset, cmd.preset != auto, kind)
}

// base has the batch, warm-up and precision that a reader of [Command.origin] takes for granted:
// the preset's or, where a file is named in its place, the full batch, none and f32.
func (cmd *Command) base(preset, opt string) Settings {
	if whole(cmd.content.settings) {
		return Settings{Precision: "f32"}
	}
	return Preset(preset, opt).Settings
}

// explainPreset says which preset was picked, why, what it does not show, and how to ask for more.
func explainPreset(preset string, asked bool, kind backend.Kind) string {
	shows := map[string]string{
		"tiny": "40 embedded images, a network of width 4: shows that everything works, not what " +
			"momentum does; -preset=quick is the smallest real run",
		"quick": "512 embedded images, WideResNet-16-1 of width 8 with standardized weights, " +
			"‖∇L‖ bounded by 1: shows that GD and GD+M fit real images, not the paper's " +
			"accuracies; -preset=paper is the paper's setting and wants a GPU",
		"paper": "CIFAR-10 with all 50,000 images, ResNet-18 of width 64, 300 epochs; " +
			"-preset=quick takes minutes on a CPU",
	}
	reason := "asked for by -preset"
	if !asked {
		reason = fmt.Sprintf("picked for the backend %s", kind)
	}
	return fmt.Sprintf("%s, %s: %s", preset, reason, shows[preset])
}
