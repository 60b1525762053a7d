// Figure1 executes the study of the paper's Figure 1: full-batch gradient descent (GD) against
// gradient descent with momentum (GD+M) on CIFAR images, each at its own best learning rate,
// schedule and weight decay, and with -part=b the same on mini-batches.
//
//	go run ./scripts/figure1                          an hour or two on 2 cores: embedded images
//	go run ./scripts/figure1 -dry-run -scale=paper    the cost of the paper's own setting here
//	go run ./scripts/figure1 -scale=paper -gpus=0,1   that setting, on two GPUs
package main

import (
	"os"

	"momentum/internal/study"
)

const manual = `figure1 executes the study of the paper's Figure 1: test accuracy of GD and of
GD+M, each at its best setting of an equal number of trials, and their curves.

  go run ./scripts/figure1                         an hour or two on 2 cores: embedded images
  go run ./scripts/figure1 -part=b                 SGD and SGD+M on mini-batches
  go run ./scripts/figure1 -parameterizations=weights,centered,pytorch,batch
                                                   other initializations, and batch normalization,
                                                   which by the paper shrinks the gain
  go run ./scripts/figure1 -scale=medium -images=512,1000,2048
                                                   the gain by number of images
  go run ./scripts/figure1 -batches=32,128,512     the gain by batch size, as in the paper's later
                                                   version: -model=vgg19
                                                   -batches=128,512,2048,8192,50000
  go run ./scripts/figure1 -dry-run -scale=paper   the cost of the paper's own setting here
  go run ./scripts/figure1 -scale=paper -gpus=0,1  that setting, one run on each of two GPUs
  go run ./scripts/figure1 -scale=paper -launcher=slurm -requeue -time=8h   the same on a cluster

Held-out training images judge the trials on a grid: the same grid of effective rates for both
algorithms, and the same grid of η, as a user of PyTorch searches (-protocol). Settings that may
still be chosen are tried with more seeds (-trial-seeds). The best setting of each algorithm is
trained on all images with other seeds. At the scales quick and medium a full-batch run ends when it
has fitted all training images (-until-loss). Two controls stand beside the two: GD at the effective
rate of the best GD+M, and GD with 10 times the epochs. The same command again goes on where the
study was stopped, any number of times: runs that have ended are never repeated. It leaves
report.md and .html, table.md, .csv and .json, and pictures in -out.
`

// paper has the numbers of Figure 1 (a) and (b): test accuracy, %, without and with momentum.
var paper = map[study.Setting][2]float64{
	{Data: "cifar10", Model: "resnet18"}:              {75.83, 84.68},
	{Data: "cifar100", Model: "resnet18"}:             {43.32, 51.99},
	{Data: "cifar10", Model: "wrn16"}:                 {75.02, 84.48},
	{Data: "cifar100", Model: "wrn16"}:                {42.95, 51.33},
	{Data: "cifar10", Model: "resnet18", Batch: 128}:  {86.15, 85.91},
	{Data: "cifar100", Model: "resnet18", Batch: 128}: {53.81, 58.01},
	{Data: "cifar10", Model: "wrn16", Batch: 128}:     {84.83, 87.85},
	{Data: "cifar100", Model: "wrn16", Batch: 128}:    {55.09, 60.83},
}

func figure1() *study.Figure {
	return &study.Figure{
		Name: "figure1", Manual: manual,
		Title: "Figure 1 (a), (c), (d): test accuracy with full batches",
		Scales: study.Scales(
			study.Scale{Name: "paper", Description: "CIFAR-10 and CIFAR-100 whole, ResNet-18 of " +
				"width 64 and WideResNet-16-4, three parameterizations, 300 epochs: wants GPUs",
				Values: map[string]string{"data": "cifar10,cifar100", "model": "resnet18,wrn16-4"}},
		),
		Measures: []study.Measure{{Column: "test_accuracy", Title: "test accuracy", Paper: paper}},
		MiniBatches: &study.MiniBatches{
			Title:       "Figure 1 (b): test accuracy with mini-batches",
			TitleBySize: "Figure 1 (a) and (b): test accuracy by batch size",
			Size:        map[string]int{"quick": 32, "medium": 128, "paper": 128},
			PaperSize:   128,
		},
	}
}

func main() { os.Exit(figure1().Main()) }
