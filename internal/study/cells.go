package study

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"momentum/datasets"
	"momentum/internal/imagerun"
)

// cells are the comparisons that the options ask for: on every set of images, with every network
// and at every batch size.
func (f *Figure) cells(o *options) ([]Cell, error) {
	batches, paperBatch := o.batches, 0
	switch {
	case f.SmallMargin && o.base.SmallMargin == 0:
		return nil, fmt.Errorf(
			"-small-margin must be positive, got 0: without small-margin images " +
				"this is figure1")
	case o.part == "b" && len(o.batches) > 0:
		return nil, fmt.Errorf("-part=b and -batches contradict each other: leave one out")
	case o.part == "b":
		batches, paperBatch = []int{f.MiniBatches.Size[o.scale]}, f.MiniBatches.PaperSize
	case len(o.batches) == 0:
		batches = []int{0}
	}
	var cells []Cell
	for _, data := range o.data {
		for _, model := range o.models {
			for _, batch := range batches {
				c, err := o.cell(data, model, batch)
				if err != nil {
					return nil, err
				}
				c.Paper.Batch = cmp.Or(paperBatch, c.Paper.Batch)
				cells = append(cells, c)
			}
		}
	}
	return cells, nil
}

// cell is a comparison at a batch size; 0, and all images or more, is the full batch.
func (o *options) cell(data, model string, batch int) (Cell, error) {
	c := o.base
	c.Data, c.Model, c.Opt, c.Batch = data, model, "gd", 0
	facts, err := datasets.Describe(data)
	if err != nil {
		return Cell{}, err
	}
	all := cmp.Or(c.Images, facts.Train)
	smallest := all // number of images that a run trains on
	if c.Images == 0 {
		smallest -= o.study.Holdout // of a trial, if the final runs use all images
	}
	if all+o.study.Holdout > facts.Train && c.Images > 0 || smallest < 1 {
		return Cell{}, fmt.Errorf("-images + -holdout must be at most the %d training images of "+
			"%s, got %d + %d", facts.Train, data, c.Images, o.study.Holdout)
	}
	if batch > smallest && batch < all {
		return Cell{}, fmt.Errorf("batches must be of at most the %d images that a trial trains "+
			"on, or of all %d, got %d", smallest, all, batch)
	}
	key, title := "full", "full batch"
	if batch > 0 && batch < all {
		c.Opt, c.Batch = "sgd", batch
		key, title = strconv.Itoa(batch), fmt.Sprintf("batch %d", batch)
	}
	if c.Norm == "batch" && c.Chunk == 0 {
		c.Chunk = min(128, cmp.Or(c.Batch, all), all)
	}
	c.Rate = o.study.Rates[0]
	c.Normalize()
	if err := c.Validate(); err != nil {
		return Cell{}, err
	}
	return Cell{
		Key: fmt.Sprintf("%s-%s-%s", data, model, key), Base: c, Images: all,
		Classes: facts.Classes,
		Paper: Setting{Data: strings.TrimSuffix(data, "-mini"),
			Model: strings.Split(model, "-")[0], Batch: c.Batch},
		Title: fmt.Sprintf("%s (%d images), %s of width %d, %s", facts.Title, all,
			networkTitle(c), c.Width, title),
	}, nil
}

// networkTitle is the usual name of a network.
func networkTitle(c imagerun.Config) string {
	title := map[string]string{"resnet18": "ResNet-18", "vgg19": "VGG-19"}[c.Model]
	if title == "" {
		title = "WideResNet-" + strings.TrimPrefix(c.Model, "wrn")
	}
	if c.Norm == "batch" {
		title += " with batch normalization"
	}
	return title
}
