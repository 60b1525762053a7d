package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"momentum/datasets"
	"momentum/internal/runtest"
)

// The program of docs/weights.md loads the weights of a run into PyTorch, and finds the loss and
// the accuracy that the run measured on its held-out images.
func TestPyTorch(t *testing.T) {
	python := runtest.Python(t, "torch, numpy and safetensors",
		"import torch, numpy, safetensors.torch")
	found := regexp.MustCompile("(?s)```python\n(.*?)```").FindStringSubmatch(
		runtest.Read(t, "../../docs/weights.md"))
	if found == nil {
		t.Fatal("docs/weights.md has no program")
	}
	folder := train(t, "-model=resnet18", "-width=2", "-norm=weights", "-images=20", "-lr=0.3",
		"-epochs=4")
	all, _, err := datasets.Load(t.Context(), "cifar10-mini", datasets.Options{Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	images := runtest.File(t, "images.bin", records(all.Slice(all.N()-10, all.N())))
	command := exec.CommandContext(t.Context(), python,
		runtest.File(t, "accuracy.py", found[1]), folder+"/weights.safetensors", images)
	command.Dir = "../.."
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	rows := runtest.Metrics(t, folder)
	loss, _ := rows[4].Get("held_out_loss")
	accuracy, _ := rows[4].Get("held_out_accuracy")
	before, _ := rows[0].Get("held_out_loss")
	want := fmt.Sprintf("loss %.4f, accuracy %.2f%%\n", loss, 100*accuracy)
	if string(out) != want || fmt.Sprintf("%.2f", loss) == fmt.Sprintf("%.2f", before) {
		t.Errorf("PyTorch has %swant %s(at the start the loss is %.4f)", out, want, before)
	}
}

// records are images in the format of CIFAR-10's files: the label, and the red, green and blue
// values.
func records(set *datasets.Images) string {
	var b strings.Builder
	for i, label := range set.Labels {
		b.WriteByte(label)
		pixels := set.Select([]int{i}).Pixels
		for channel := range datasets.Channels {
			for k := channel; k < len(pixels); k += datasets.Channels {
				b.WriteByte(pixels[k])
			}
		}
	}
	return b.String()
}
