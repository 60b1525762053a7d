package imagerun

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"momentum/datasets"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/rundir"
	"momentum/internal/safetensors"
)

// This file is about the weights along a run: initial, of epochs, final.

// FindEpoch finds the weights of a run before an epoch, which are the initial ones before epoch 0
// and the final ones after the last. Of a run with -save-weights-every there are others, too.
func FindEpoch(folder string, epoch int) (*Saved, error) {
	s, err := openSaved(folder)
	if err == nil {
		err = s.verify()
	}
	if err != nil {
		return nil, err
	}
	files, err := s.epochFiles()
	if err != nil {
		return nil, err
	}
	f, found := files[epoch]
	if !found {
		return nil, cli.Usagef("%s has no weights of epoch %d, but those of %s; "+
			"-save-weights-every of cifar keeps more", folder, epoch,
			listed(slices.Sorted(maps.Keys(files))))
	}
	s.Path, s.step, s.along = filepath.Join(folder, f.name), f.step, true
	return s, nil
}

// listed are numbers as a text.
func listed(numbers []int) string {
	if len(numbers) == 0 {
		return "no epoch"
	}
	var texts []string
	for _, n := range numbers {
		texts = append(texts, fmt.Sprint(n))
	}
	return "the epochs " + strings.Join(texts, ", ")
}

// epochFile is a file of weights, with the step before which they were the run's.
type epochFile struct {
	name string
	step int64
}

// epochFiles are the files of weights along the run, by epoch.
func (s *Saved) epochFiles() (map[int]epochFile, error) {
	rows, err := rundir.ReadMetrics(context.Background(), filepath.Join(s.Folder, "metrics.jsonl"))
	if err != nil {
		return nil, err
	}
	files := map[int]epochFile{}
	for i, row := range rows {
		x, _ := row.Get(epochColumn)
		epoch := int(x)
		names := []string{epochWeights(epoch)}
		if epoch == 0 {
			names = append(names, initialWeights)
		}
		if i == len(rows)-1 && s.state == rundir.Done {
			names = append(names, finalWeights)
		}
		for _, name := range names {
			if _, err := os.Stat(filepath.Join(s.Folder, name)); err == nil {
				files[epoch] = epochFile{name, row.Step}
				break
			}
		}
	}
	return files, nil
}

// Epochs are the epochs of which the run has weights, in ascending order.
func (s *Saved) Epochs() ([]int, error) {
	files, err := s.epochFiles()
	return slices.Sorted(maps.Keys(files)), err
}

// Values are the values of all parameters, in the order of the network's Params. They cannot be
// those of a checkpoint.
func (s *Saved) Values() ([]float64, error) {
	net, err := s.Network(s.Facts.Classes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Folder, err)
	}
	weights, err := safetensors.ReadFile(s.Path)
	if err != nil {
		return nil, err
	}
	values, err := descent.Ordered(net.Params(), weights)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Path, err)
	}
	return values, nil
}

// Comparable refuses two runs whose weights belong to networks, or whose losses to images, that
// differ.
func (s *Saved) Comparable(other *Saved) error {
	for _, x := range []struct {
		flag string
		a, b any
	}{
		{"model", s.Model, other.Model}, {"width", s.Width, other.Width},
		{"norm", s.Norm, other.Norm}, {"chunk", s.GhostBatch, other.GhostBatch},
		{"precision", s.Precision, other.Precision}, {"data", s.Data, other.Data},
		{"images", s.Config.Images, other.Config.Images}, {"holdout", s.Holdout, other.Holdout},
		{"small-margin", s.SmallMarginImages(), other.SmallMarginImages()},
	} {
		if x.a != x.b {
			return cli.Usagef("%s and %s differ in -%s: %v and %v, want the same network and the "+
				"same images", s.Folder, other.Folder, x.flag, x.a, x.b)
		}
	}
	a, err1 := s.Network(s.Facts.Classes)
	b, err2 := other.Network(other.Facts.Classes)
	if err1 != nil || err2 != nil || a.NumParams() != b.NumParams() {
		return cli.Usagef("%s and %s have networks with other parameters, -init=%s and -init=%s: "+
			"want the same network", s.Folder, other.Folder, s.Init, other.Init)
	}
	return nil
}

// SetValues replaces the weights by those of [Saved.Values].
func (c *Classifier) SetValues(values []float64) error { return c.trainer.SetValues(values) }

// Prepare copies images to the devices.
func (c *Classifier) Prepare(set *datasets.Images) (*descent.Data, error) { return c.data(set) }

// Score is the loss and the number of correct images of a set at the present weights, as the run
// evaluates it.
func (c *Classifier) Score(ctx context.Context, d *descent.Data) (descent.Score, error) {
	return c.trainer.Evaluate(ctx, d)
}
