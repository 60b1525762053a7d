package imagerun

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/rundir"
	"momentum/internal/safetensors"
)

// Saved are weights in a run folder: the final ones, or those of a checkpoint.
type Saved struct {
	Config                // the run's
	Facts  datasets.Facts // about the data that it was trained on
	Folder string         // the run's
	Path   string         // of weights.safetensors, or of the folder of a checkpoint

	isCheckpoint bool
	state        rundir.State
	step         int64 // of a checkpoint, once the network is open, or of weights along the run
	along        bool  // the weights are those of a step along the run, of which the metrics know
}

// The values of a split of the images.
const (
	TrainSplit   = "train"
	TestSplit    = "test"
	HeldOutSplit = "held-out"
)

// FindSaved reads the configuration of a run and finds its final weights or a checkpoint, which is
// the path of a folder or its name in the run's checkpoints. It checks the folder's SHA256SUMS.
func FindSaved(folder, checkpoint string) (*Saved, error) {
	s, err := openSaved(folder)
	if err != nil {
		return nil, err
	}
	if s.isCheckpoint = checkpoint != ""; s.isCheckpoint {
		s.Path, err = s.checkpoint(checkpoint)
	} else {
		s.Path, err = s.final()
	}
	return s, err
}

// openSaved reads the configuration of a run.
func openSaved(folder string) (*Saved, error) {
	s := &Saved{Folder: folder}
	path := filepath.Join(folder, "config.json")
	settings, _, execution, err := rundir.ReadConfig(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Usagef("%s is no run folder: it has no config.json", folder)
	} else if err != nil {
		return nil, err
	}
	var names map[string]any
	if err := json.Unmarshal(settings, &names); err != nil || names["opt"] == nil {
		return nil, cli.Usagef("%s is no run on images: its settings have no opt", folder)
	}
	file := settingsFile{place: path, settings: settings, execution: execution}
	if err := file.decode(&s.Config); err != nil {
		return nil, fmt.Errorf("%w: another version of the program wrote it", err)
	}
	if s.Facts, err = datasets.Describe(s.Data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.state, err = rundir.ReadState(folder)
	return s, err
}

// final finds the final weights.
func (s *Saved) final() (string, error) {
	path := filepath.Join(s.Folder, finalWeights)
	if err := s.verify(); err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	if s.state == rundir.Done {
		return "", fmt.Errorf("%s is not there: the run kept no weights (-slim). To train it "+
			"again: go run ./cifar -config=%s -slim=false -fresh", path,
			filepath.Join(s.Folder, "config.json"))
	}
	return "", fmt.Errorf("%s is not there: the run is not done. %s", path, s.checkpoints())
}

// verify checks the files of a run that has ended.
func (s *Saved) verify() error {
	if s.state.Ended() {
		return rundir.Verify(s.Folder, derivedFiles())
	}
	return nil
}

// checkpoint finds a checkpoint by its path or its name.
func (s *Saved) checkpoint(name string) (string, error) {
	for _, path := range []string{name, filepath.Join(s.Folder, "checkpoints", name)} {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path, rundir.VerifyCheckpoint(path)
		}
	}
	return "", cli.Usagef("-checkpoint: no folder %s. %s", name, s.checkpoints())
}

// checkpoints says which checkpoints the run has.
func (s *Saved) checkpoints() string {
	paths, _ := filepath.Glob(filepath.Join(s.Folder, "checkpoints", "step-????????"))
	if len(paths) == 0 {
		return "The run has no checkpoints"
	}
	for i := range paths {
		paths[i] = "-checkpoint=" + filepath.Base(paths[i])
	}
	return "The run has " + strings.Join(paths, " and ")
}

// Evaluated is the split that the run evaluates itself.
func (s *Saved) Evaluated() string {
	if s.Holdout > 0 {
		return HeldOutSplit
	}
	return TestSplit
}

// Images loads a split of a set of images with the classes of the run. Of the run's own set, train
// are the images that it was trained on. The images get small margins as those of the run did.
func (s *Saved) Images(ctx context.Context, data, split string, e Execution,
	stderr io.Writer) (*datasets.Images, error) {
	c := s.Config
	c.Mirror, c.Offline = e.Mirror, e.Offline
	if _, err := os.Stat(c.DataDir); e.DataDir != "" || err != nil {
		c.DataDir = e.DataDir // the run's may be a folder of another machine
	}
	if data != c.Data {
		facts, err := datasets.Describe(data)
		if err != nil {
			return nil, cli.Usagef("-data: %w", err)
		}
		if !slices.Equal(facts.ClassNames, s.Facts.ClassNames) {
			return nil, cli.Usagef("-data=%s has other classes than %s, on which the run was "+
				"trained: want the same classes", data, c.Data)
		}
		c.Data, c.Images, c.Holdout = data, 0, 0
	}
	switch {
	case split == TestSplit:
		c.Holdout = 0
	case split == HeldOutSplit && c.Holdout == 0:
		return nil, cli.Usagef("-split=held-out: the run held out no images of %s: use train or "+
			"test", data)
	}
	if err := CheckImages(c.Data, c.Images, c.Holdout); err != nil {
		return nil, &cli.UsageError{Err: fmt.Errorf("%s: %w", s.Folder, err)}
	}
	train, eval, err := load(ctx, c, false, stderr)
	if split == TrainSplit {
		return train, err
	}
	return eval, err
}

// Classifier is a run's network with saved weights, on a backend.
type Classifier struct {
	Backend *backend.Backend
	trainer *descent.Trainer
	layout  descent.Layout
}

// Open opens a backend with as many devices as have work for a number of images, and puts the
// network with the weights on it.
func (s *Saved) Open(ctx context.Context, spec string, offline bool, images int,
	stderr io.Writer) (*Classifier, error) {
	be, err := backend.Open(ctx, spec, backend.Options{Offline: offline, Out: stderr,
		Devices: backend.AllDevices, TF32: s.Precision == "tf32",
		AtMost: func(kind backend.Kind) int { return descent.Parts(images, s.chunkOn(kind)) }})
	if err != nil {
		return nil, err
	}
	net, err := s.Network(s.Facts.Classes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Folder, err)
	}
	c := &Classifier{Backend: be,
		layout: descent.Layout{Chunk: s.chunkOn(be.Kind), Ragged: s.Norm == "batch"}}
	// The trainer takes no step. Of its training images it needs how their pixels are normalized.
	blank, err := c.data(&datasets.Images{Pixels: make([]uint8, datasets.Side*datasets.Side*
		datasets.Channels), Labels: []uint8{0}, Mean: s.Facts.Mean, Std: s.Facts.Std})
	if err != nil {
		return nil, err
	}
	c.trainer, err = descent.NewTrainer(be, net, descent.Rule{Form: descent.Undamped}, blank,
		descent.Options{Precision: descent.Precision(s.Precision), Lazy: true})
	if err != nil {
		return nil, err
	}
	if s.isCheckpoint {
		step, _, err := c.trainer.Load(s.Path)
		s.step, s.along = int64(step), true
		return c, err
	}
	return c, c.read(s.Path)
}

// chunkOn is the number of images per call as in the run, on a kind of backend.
func (s *Saved) chunkOn(kind backend.Kind) int {
	return s.chunk(kind, s.trainedOn(s.Facts.Train))
}

// read reads a file of weights.
func (c *Classifier) read(path string) error {
	weights, err := safetensors.ReadFile(path)
	if err != nil {
		return err
	}
	if err := c.trainer.SetWeights(weights); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// data copies images to the devices.
func (c *Classifier) data(set *datasets.Images) (*descent.Data, error) {
	return descent.NewData(c.Backend, set, c.layout)
}

// Logits are the logits [N][classes] of images.
func (c *Classifier) Logits(ctx context.Context, set *datasets.Images) ([][]float64, error) {
	d, err := c.data(set)
	if err != nil {
		return nil, err
	}
	return c.trainer.Logits(ctx, d)
}

// Recorded are the loss and the accuracy that the run itself measured at the weights, on a split of
// its own images, if it did. Call it after [Saved.Open].
func (s *Saved) Recorded(split string) (loss, accuracy float64, found bool, err error) {
	rows, err := rundir.ReadMetrics(context.Background(), filepath.Join(s.Folder, "metrics.jsonl"))
	if err != nil || len(rows) == 0 {
		return 0, 0, false, err
	}
	row := rows[len(rows)-1] // at the final weights
	if s.along {
		i := slices.IndexFunc(rows, func(r rundir.Row) bool { return r.Step == s.step })
		// Sums over mini-batches are not at one point, except in the final row.
		if i < 0 || split == TrainSplit && s.Batch > 0 && i < len(rows)-1 {
			return 0, 0, false, nil
		}
		row = rows[i]
	}
	names := [2]string{lossColumn, accuracyColumn}
	if split != TrainSplit {
		names = [2]string{s.evalColumn(testLoss), s.evalColumn(testAccuracy)}
	}
	loss, _ = row.Get(names[0])
	accuracy, found = row.Get(names[1])
	return loss, accuracy, found && (split == TrainSplit || split == s.Evaluated()), nil
}
