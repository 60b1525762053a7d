// Figure4 executes the study of the paper's Figure 4: GD against GD+M on CIFAR-10 of which a tenth
// of the images has a small margin, with the accuracy on those and on all test images.
//
//	go run ./scripts/figure4                          an hour or two on 2 cores: embedded images
//	go run ./scripts/figure4 -dry-run -scale=paper    the cost of the paper's own setting here
package main

import (
	"os"

	"momentum/internal/study"
)

const manual = `figure4 executes the study of the paper's Figure 4: GD and GD+M on images of which
a tenth has a small margin, by a lower resolution, noise and shuffled channels; accuracy on those
and on all test images.

  go run ./scripts/figure4                          an hour or two on 2 cores: embedded images
  go run ./scripts/figure4 -small-margin-shuffle=fixed
                                                    one shuffle of the channels for all images
  go run ./scripts/figure4 -dry-run -scale=paper    the cost of the paper's own setting here
  go run ./scripts/figure4 -scale=paper -gpus=0,1   that setting, one run on each of two GPUs

The procedure is that of figure1: go run ./scripts/figure1 -h.
`

// The paper's Figure 4: accuracy, %, of GD and of GD+M on small-margin test images, on all of them,
// and the first over the second.
var (
	cifar10    = study.Setting{Data: "cifar10", Model: "resnet18"}
	paperSmall = map[study.Setting][2]float64{cifar10: {65.14, 80.36}}
	paperAll   = map[study.Setting][2]float64{cifar10: {73.69, 83.32}}
	paperRatio = map[study.Setting][2]float64{cifar10: {100 * 65.14 / 73.69, 100 * 80.36 / 83.32}}
)

func figure4() *study.Figure {
	return &study.Figure{
		Name: "figure4", Manual: manual, Title: "Figure 4: small-margin images", SmallMargin: true,
		Scales: study.Scales(
			study.Scale{Name: "quick", Values: map[string]string{"small-margin": "0.1"}},
			study.Scale{Name: "medium", Values: map[string]string{"small-margin": "0.1"}},
			study.Scale{Name: "paper", Description: "CIFAR-10 whole, ResNet-18 of width 64, " +
				"three parameterizations, 300 epochs: wants GPUs",
				Values: map[string]string{"small-margin": "0.1", "seeds": "5"}},
		),
		Measures: []study.Measure{
			{Column: "test_accuracy", Title: "all test images", Paper: paperAll},
			{Column: "test_accuracy_small_margin", Title: "small-margin test images",
				Paper: paperSmall},
			{Column: "test_accuracy_large_margin", Title: "large-margin test images"},
			{Column: "test_accuracy_small_margin", Over: "test_accuracy",
				Title: "small-margin over all, %", Paper: paperRatio},
		},
	}
}

func main() { os.Exit(figure4().Main()) }
