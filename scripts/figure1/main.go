// Figure1 makes the paper's Figure 1: full-batch gradient descent (GD) against gradient descent
// with momentum (GD+M) on CIFAR images, each at its own best learning rate, schedule and weight
// decay, and with -part=b the same for mini-batches.
//
//	go run ./scripts/figure1                          half an hour on 2 cores: embedded images
//	go run ./scripts/figure1 -dry-run -scale=paper    what the paper's own setting costs here
//	go run ./scripts/figure1 -scale=paper -gpus=0,1   and that setting, on two GPUs
package main

import (
	"flag"
	"fmt"
	"os"

	"momentum/internal/cli"
	"momentum/internal/study"
)

const manual = `figure1 makes the paper's Figure 1: test accuracy of GD and of GD+M, each at its best setting of an equal number of trials, and their curves.

  go run ./scripts/figure1                         half an hour on 2 cores: images that the program carries
  go run ./scripts/figure1 -part=b                 SGD and SGD+M on mini-batches
  go run ./scripts/figure1 -norm=batch             with batch normalization, which the paper says shrinks the gain
  go run ./scripts/figure1 -batches=8,16,32,64     the gain by batch size, as in the paper's later version: there -model=vgg19 -batches=128,512,2048,8192,50000
  go run ./scripts/figure1 -dry-run -scale=paper   what the paper's own setting costs on this machine
  go run ./scripts/figure1 -scale=paper -gpus=0,1  and that setting, a run on each of two GPUs
  go run ./scripts/figure1 -scale=paper -launcher=slurm -requeue -time=8h   and on a cluster

Trials on a grid are judged by training images that are held out; the best of each algorithm is trained on all images with other seeds. Two
controls stand beside it: GD at the effective rate of the best GD+M, and GD with 10 times the epochs. The same command again goes on where
it was stopped, and any number of times: runs that have ended are never repeated. It leaves report.md, table.md, .csv and .json, and pictures in -out.
`

// paper has the numbers of Figure 1 (a) and (b): test accuracy, %, of the plain rule and with
// momentum.
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

// own are the flags of this figure alone.
type own struct {
	part    string
	batches []int
}

func command() *study.Figure {
	var own own
	return &study.Figure{
		Name: "figure1", Manual: manual,
		Scales: []study.Scale{
			{Name: "quick", Says: "64 of the embedded CIFAR-10 images, ResNet-18 of width 8, 250 " +
				"epochs, 25 of them warm-up, one schedule, no weight decay: half an hour on 2 " +
				"cores; shows the procedure, not the paper's accuracies",
				Values: map[string]string{
					"data": "cifar10-mini", "model": "resnet18", "width": "8", "images": "64",
					"epochs": "250", "warmup": "25", "eval-every": "25", "holdout": "500",
					"rates": "0.0125,0.025,0.05,0.1,0.2,0.4", "schedules": "cosine",
					"weight-decays": "0", "seeds": "3", "grow": "1",
				}},
			{Name: "medium", Says: "512 images of CIFAR-10, ResNet-18 of width 16, 300 epochs, " +
				"30 of them warm-up, one schedule, two weight decays: a night on 2 cores",
				Values: map[string]string{
					"data": "cifar10", "model": "resnet18", "width": "16", "images": "512",
					"epochs": "300", "warmup": "30", "eval-every": "30", "holdout": "5000",
					"rates": "0.0125,0.025,0.05,0.1,0.2,0.4", "schedules": "cosine",
					"weight-decays": "0,0.0005", "seeds": "3", "grow": "1",
				}},
			{Name: "paper", Says: "CIFAR-10 and CIFAR-100 whole, ResNet-18 of width 64 and " +
				"WideResNet-16-4, 300 epochs: wants GPUs", Values: map[string]string{
				"data": "cifar10,cifar100", "model": "resnet18,wrn16-4", "width": "0",
				"images": "0", "epochs": "300", "holdout": "5000",
				"rates": "0.025,0.05,0.1,0.2,0.4,0.8", "schedules": "constant,cosine",
				"weight-decays": "0,0.0001,0.0005", "seeds": "3", "grow": "2",
			}},
		},
		Title: func(o *study.Options) string {
			if len(own.batches) > 0 {
				return "Figure 1 (a) and (b): test accuracy by batch size"
			}
			return map[string]string{
				"a": "Figure 1 (a), (c), (d): test accuracy with full batches",
				"b": "Figure 1 (b): test accuracy with mini-batches",
			}[own.part]
		},
		Flags: func(fs *flag.FlagSet, o *study.Options) cli.FlagGroup {
			own.part, own.batches = "a", nil
			fs.StringVar(&own.part, "part", "a",
				"a: full batch|b: mini-batches, of 128 images at the paper's scale")
			fs.Var(cli.Remembered(cli.Numbers(&own.batches)), "batches", "images per step, with "+
				"commas: a comparison for each; as many as all images or more: full batch")
			return cli.FlagGroup{Names: []string{"part", "batches"}}
		},
		Cells: func(o *study.Options) ([]study.Cell, error) {
			switch {
			case own.part != "a" && own.part != "b":
				return nil, fmt.Errorf("-part must be a or b, got %q", own.part)
			case len(own.batches) > 0 && own.part == "b":
				return nil, fmt.Errorf("-part=b and -batches contradict each other: leave one out")
			case len(own.batches) > 0:
				return o.Cells(own.batches)
			case own.part == "a":
				return o.Cells([]int{0})
			}
			cells, err := o.Cells([]int{map[string]int{"quick": 16, "medium": 64,
				"paper": 128}[o.Scale]})
			for i := range cells {
				cells[i].Paper.Batch = 128 // the smaller batches of smaller sets stand for it
			}
			return cells, err
		},
		Measures: func(o *study.Options) []study.Measure {
			return []study.Measure{{Column: "test_accuracy", Title: "test accuracy", Paper: paper}}
		},
	}
}

func main() { os.Exit(command().Main()) }
