package study

import (
	"cmp"
	"maps"
	"slices"
)

// Scale is the size of a study: the values of the flags that are not given.
type Scale struct {
	Name        string
	Description string // what it is and what it takes, for the manual and the note below the tables
	Values      map[string]string
}

// Scales returns the scales of a figure: those of all figures, each changed by the given scale of
// the same name, which has only what differs.
func Scales(differences ...Scale) []Scale {
	scales := []Scale{
		{Name: "quick", Description: "512 of the embedded CIFAR-10 images, ResNet-18 of width 8 " +
			"with standardized weights, at most 300 epochs, one schedule, one weight decay: " +
			"one to two hours on 2 cores", Values: map[string]string{
			"data": "cifar10-mini", "model": "resnet18", "width": "8",
			"parameterizations": "weights", "images": "512", "holdout": "488",
			"epochs": "300", "warmup": "15", "until-loss": "0.01", "eval-every": "10",
			"rates": "0.1,0.2,0.5", "trial-seeds": "2", "schedules": "cosine",
			"weight-decays": "0.002", "grow": "1", "seeds": "5", "longer": "10",
		}},
		{Name: "medium", Description: "2,048 images of CIFAR-10, ResNet-18 of width 8 with " +
			"standardized weights, ‖∇L‖ bounded by 1, at most 300 epochs, one schedule, one " +
			"weight decay: 5 to 8 hours on 2 cores", Values: map[string]string{
			"data": "cifar10", "model": "resnet18", "width": "8",
			"parameterizations": "weights", "images": "2048", "holdout": "5000",
			"epochs": "300", "warmup": "15", "until-loss": "0.01", "eval-every": "50",
			"clip":  "1", // without it neither algorithm fits in every seed: docs/trainability.md
			"rates": "0.25,0.5,1", "trial-seeds": "2", "schedules": "cosine",
			"weight-decays": "0.002", "grow": "1", "seeds": "5", "longer": "10",
		}},
		{Name: "paper", Values: map[string]string{
			"data": "cifar10", "model": "resnet18", "width": "0",
			"parameterizations": "weights,centered,pytorch", "images": "0", "holdout": "5000",
			"epochs": "300", "rates": "0.025,0.05,0.1,0.2,0.4,0.8",
			"trial-seeds": "1", // two cost twice as much
			"schedules":   "constant,cosine", "weight-decays": "0,0.0001,0.0005", "grow": "2",
			"seeds": "3", "longer": "10",
		}},
	}
	for _, d := range differences {
		i := slices.IndexFunc(scales, func(s Scale) bool { return s.Name == d.Name })
		scales[i].Description = cmp.Or(d.Description, scales[i].Description)
		maps.Copy(scales[i].Values, d.Values)
	}
	return scales
}
