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
		{Name: "quick", Description: "64 of the embedded CIFAR-10 images, ResNet-18 of width 8, " +
			"250 epochs, 25 of them warm-up, one schedule, no weight decay: half an hour on 2 " +
			"cores; shows the procedure, not the paper's accuracies", Values: map[string]string{
			"data": "cifar10-mini", "model": "resnet18", "width": "8", "images": "64",
			"holdout": "500", "epochs": "250", "warmup": "25", "eval-every": "25",
			"rates": "0.0125,0.025,0.05,0.1,0.2,0.4", "schedules": "cosine",
			"weight-decays": "0", "seeds": "3", "grow": "1",
		}},
		{Name: "medium", Values: map[string]string{
			"data": "cifar10", "model": "resnet18", "width": "16", "images": "512",
			"holdout": "5000", "epochs": "300", "warmup": "30", "eval-every": "30",
			"rates": "0.0125,0.025,0.05,0.1,0.2,0.4", "schedules": "cosine",
			"weight-decays": "0", "seeds": "3", "grow": "1",
		}},
		{Name: "paper", Values: map[string]string{
			"data": "cifar10", "model": "resnet18", "width": "0", "images": "0",
			"holdout": "5000", "epochs": "300",
			"rates": "0.025,0.05,0.1,0.2,0.4,0.8", "schedules": "constant,cosine",
			"weight-decays": "0,0.0001,0.0005", "seeds": "3", "grow": "2",
		}},
	}
	for _, d := range differences {
		i := slices.IndexFunc(scales, func(s Scale) bool { return s.Name == d.Name })
		scales[i].Description = cmp.Or(d.Description, scales[i].Description)
		maps.Copy(scales[i].Values, d.Values)
	}
	return scales
}
