// Figure4 makes the paper's Figure 4: GD against GD+M on CIFAR-10 of which a tenth of the images
// has been degraded, so that they have a small margin, with the accuracy on those and on all test
// images.
//
//	go run ./scripts/figure4                          half an hour on 2 cores: embedded images
//	go run ./scripts/figure4 -dry-run -scale=paper    what the paper's own setting costs here
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"momentum/datasets"
	"momentum/internal/cli"
	"momentum/internal/rundir"
	"momentum/internal/study"
)

const manual = `figure4 makes the paper's Figure 4: GD and GD+M on images of which a tenth has a small margin, made by lowering the resolution, adding noise and
shuffling the channels; accuracy on those and on all test images.

  go run ./scripts/figure4                          half an hour on 2 cores: images that the program carries
  go run ./scripts/figure4 -small-margin-shuffle=fixed     with one shuffle of the channels for all images
  go run ./scripts/figure4 -dry-run -scale=paper    what the paper's own setting costs on this machine
  go run ./scripts/figure4 -scale=paper -gpus=0,1   and that setting, a run on each of two GPUs

The procedure is that of figure1: go run ./scripts/figure1 -h.
`

// paper is Figure 4: accuracy, %, of GD and of GD+M on small-margin test images, on all of them,
// and the first over the second.
var (
	cifar10    = study.Setting{Data: "cifar10", Model: "resnet18"}
	paperSmall = map[study.Setting][2]float64{cifar10: {65.14, 80.36}}
	paperAll   = map[study.Setting][2]float64{cifar10: {73.69, 83.32}}
	paperRatio = map[study.Setting][2]float64{cifar10: {100 * 65.14 / 73.69, 100 * 80.36 / 83.32}}
)

func command() *study.Figure {
	return &study.Figure{
		Name: "figure4", Manual: manual,
		Scales: []study.Scale{
			{Name: "quick", Says: "64 of the embedded CIFAR-10 images, ResNet-18 of width 8, 250 " +
				"epochs, 25 of them warm-up, one schedule, no weight decay: half an hour on 2 " +
				"cores; shows the procedure, not the paper's accuracies",
				Values: map[string]string{
					"data": "cifar10-mini", "model": "resnet18", "width": "8", "images": "64",
					"epochs": "250", "warmup": "25", "eval-every": "25", "holdout": "500",
					"small-margin": "0.1",
					"rates":        "0.0125,0.025,0.05,0.1,0.2,0.4", "schedules": "cosine",
					"weight-decays": "0", "seeds": "3", "grow": "1",
				}},
			{Name: "medium", Says: "512 images of CIFAR-10, ResNet-18 of width 16, 300 epochs, " +
				"30 of them warm-up, one schedule, no weight decay: a night on 2 cores",
				Values: map[string]string{
					"data": "cifar10", "model": "resnet18", "width": "16", "images": "512",
					"epochs": "300", "warmup": "30", "eval-every": "30", "holdout": "5000",
					"small-margin": "0.1",
					"rates":        "0.0125,0.025,0.05,0.1,0.2,0.4", "schedules": "cosine",
					"weight-decays": "0", "seeds": "5", "grow": "1",
				}},
			{Name: "paper", Says: "CIFAR-10 whole, ResNet-18 of width 64, 300 epochs: wants GPUs",
				Values: map[string]string{
					"data": "cifar10", "model": "resnet18", "width": "0", "images": "0",
					"epochs": "300", "holdout": "5000", "small-margin": "0.1",
					"rates": "0.025,0.05,0.1,0.2,0.4,0.8", "schedules": "constant,cosine",
					"weight-decays": "0,0.0001,0.0005", "seeds": "5", "grow": "2",
				}},
		},
		Title: func(*study.Options) string { return "Figure 4: small-margin images" },
		Flags: func(fs *flag.FlagSet, o *study.Options) cli.FlagGroup {
			return cli.FlagGroup{Names: o.Base.SmallMarginFlags(fs)}
		},
		Cells: func(o *study.Options) ([]study.Cell, error) {
			if o.Base.SmallMargin == 0 {
				return nil, fmt.Errorf("-small-margin must be positive, got 0: without degraded " +
					"images this is figure1")
			}
			return o.Cells([]int{0})
		},
		Measures: func(*study.Options) []study.Measure {
			return []study.Measure{
				{Column: "test_accuracy", Title: "all test images", Paper: paperAll},
				{Column: "test_accuracy_small_margin", Title: "small-margin test images",
					Paper: paperSmall},
				{Column: "test_accuracy_large_margin", Title: "large-margin test images"},
				{Column: "test_accuracy_small_margin", Over: "test_accuracy",
					Title: "small-margin over all, %", Paper: paperRatio},
			}
		},
		More: picture,
	}
}

// picture shows degraded test images of the first set below the originals.
func picture(ctx context.Context, o *study.Options, folder string) (string, error) {
	c := o.Cell(0).Base
	_, test, err := datasets.Load(ctx, c.Data, datasets.Options{Dir: c.DataDir, Offline: c.Offline,
		Mirror: c.Mirror})
	if err != nil {
		return "", err
	}
	degraded, err := c.SmallMarginImages().Apply(test, "test")
	if err != nil {
		return "", err
	}
	var indices []int
	for i := range degraded.SmallMargin {
		if degraded.SmallMargin[i] && len(indices) < 16 {
			indices = append(indices, i)
		}
	}
	const name = "small-margin.png"
	err = rundir.WriteFile(filepath.Join(folder, name),
		func(w io.Writer) error { return datasets.SideBySide(w, test, degraded, indices) })
	return fmt.Sprintf("The first %d degraded test images, below the originals:\n\n![test "+
		"images, and the same degraded](%s)", len(indices), name), err
}

func main() { os.Exit(command().Main()) }
