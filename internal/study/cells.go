package study

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"momentum/datasets"
	"momentum/internal/imagerun"
	"momentum/models"
)

// parameterizations are the values of -parameterizations: ways to keep the activations of a network
// in range, each with what it adds to the network's name.
var parameterizations = []struct{ name, title string }{
	{"weights", " with standardized weights"},
	{"centered", " with centered weights"},
	{"he", " with He's initialization"},
	{"pytorch", " with PyTorch's initialization"},
	{"fixup", " with Fixup"},
	{"skipinit", " with SkipInit"},
	{"batch", " with batch normalization"},
}

// parameterizationNames are their names.
func parameterizationNames() []string {
	var names []string
	for _, p := range parameterizations {
		names = append(names, p.name)
	}
	return names
}

// parameterize gives a configuration a parameterization.
func parameterize(c *imagerun.Config, name string) {
	switch name {
	case "weights": // PyTorch's weights are the smaller ones: their directions turn faster
		c.Norm, c.Init = name, "pytorch"
	case "batch":
		c.Norm, c.Init = name, "centered"
	default:
		c.Norm, c.Init = "none", name
	}
}

// cells are the comparisons that the options ask for: each combination of a set of images, a
// network, a parameterization, a number of images and a batch size.
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
	axes := [][]int{} // indices of all combinations
	for d := range o.data {
		for m := range o.models {
			for p := range o.parameterizations {
				for i := range o.images {
					for b := range batches {
						axes = append(axes, []int{d, m, p, i, b})
					}
				}
			}
		}
	}
	var cells []Cell
	for _, at := range axes {
		c, err := o.cell(o.data[at[0]], o.models[at[1]], o.parameterizations[at[2]],
			o.images[at[3]], batches[at[4]])
		if err != nil {
			return nil, err
		}
		if o.part == "b" && c.Base.Batch == 0 {
			return nil, fmt.Errorf("-part=b at this scale has mini-batches of %d images, as many "+
				"as the %d of %s or more: ask for more -images", batches[0], c.Images, c.Title)
		}
		c.Paper.Batch = cmp.Or(paperBatch, c.Paper.Batch)
		cells = append(cells, c)
	}
	return cells, nil
}

// cell is a comparison on a number of images, 0 for all, and at a batch size; 0, and all images or
// more, is the full batch.
func (o *options) cell(data, model, parameterization string, images, batch int) (Cell, error) {
	c := o.base
	c.Data, c.Model, c.Images, c.Opt, c.Batch = data, model, images, "gd", 0
	parameterize(&c, parameterization)
	facts, err := datasets.Describe(data)
	if err != nil {
		return Cell{}, err
	}
	all := cmp.Or(c.Images, facts.Train)
	smallest := all // number of images that a run trains on
	if c.Images == 0 {
		smallest -= o.study.Holdout // of a trial, if the final runs use all images
	}
	if err := imagerun.CheckImages(data, images, o.study.Holdout); err != nil {
		return Cell{}, err
	}
	if batch > smallest && batch < all {
		return Cell{}, fmt.Errorf("batches must be of at most the %d images that a trial trains "+
			"on, or of all %d, got %d", smallest, all, batch)
	}
	key := "full"
	if batch > 0 && batch < all {
		// The training loss of an epoch of mini-batches is not that of one point.
		c.Opt, c.Batch, c.UntilLoss = "sgd", batch, 0
		key = strconv.Itoa(batch)
	}
	if c.Norm == "batch" && c.Chunk == 0 {
		c.Chunk = min(128, cmp.Or(c.Batch, all), all)
	}
	c.Rate = o.study.Rates[0]
	c.Normalize()
	if err := c.Validate(); err != nil {
		return Cell{}, err
	}
	network := fmt.Sprintf("%s of width %d%s", models.Title(c.Model), c.Width,
		parameterizations[slices.Index(parameterizationNames(), parameterization)].title)
	names := [4]string{facts.Title, fmt.Sprintf("%d images", all), network, batchTitle(c.Batch)}
	return Cell{
		Key:  fmt.Sprintf("%s-%s-%s-%d-%s", data, model, parameterization, all, key),
		Base: c, Images: all, Classes: facts.Classes, Parameterization: parameterization,
		Paper: Setting{Data: strings.TrimSuffix(data, "-mini"),
			Model: strings.Split(model, "-")[0], Batch: c.Batch},
		Names: names, Title: strings.Join(names[:], ", "),
	}, nil
}

// batchTitle is the usual name of a batch size.
func batchTitle(batch int) string {
	if batch == 0 {
		return "full batch"
	}
	return fmt.Sprintf("batch %d", batch)
}

// distinguish splits the titles of a study's cells: into what all have in common, and, by title,
// into what tells each from the others. Of a single cell all is common.
func distinguish(cells []Cell) (common string, own map[string]string) {
	var shared []string
	differing := map[string][]string{}
	for i, name := range cells[0].Names {
		if !slices.ContainsFunc(cells, func(c Cell) bool { return c.Names[i] != name }) {
			shared = append(shared, name)
			continue
		}
		for _, c := range cells {
			differing[c.Title] = append(differing[c.Title], c.Names[i])
		}
	}
	own = map[string]string{}
	for title, names := range differing {
		own[title] = strings.Join(names, ", ")
	}
	return strings.Join(shared, ", "), own
}
