package imagerun

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"momentum/datasets"
	"momentum/internal/durable"
	"momentum/internal/safetensors"
)

// The files of weights.
const (
	initialWeights = "initial.safetensors"
	finalWeights   = "weights.safetensors"
	epochsFolder   = "weights" // with -save-weights-every, those along the run
)

// epochWeights is the file of the weights before the first step of an epoch, or of the final ones.
func epochWeights(epoch int) string {
	return filepath.Join(epochsFolder, fmt.Sprintf("epoch-%06d.safetensors", epoch))
}

// savesEpoch reports whether the run keeps the weights before an epoch.
func (x *Execution) savesEpoch(epoch int) bool {
	return x.SaveWeightsEvery > 0 && epoch%x.SaveWeightsEvery == 0
}

// savedEpochs is the most copies of the weights that a run keeps in the folder of epochs.
func (c *Config) savedEpochs() int {
	if c.SaveWeightsEvery == 0 {
		return 0
	}
	return (c.Epochs+c.SaveWeightsEvery-1)/c.SaveWeightsEvery + 1 // with the final ones
}

// writeEpoch writes the present weights into the folder of epochs.
func (t *training) writeEpoch(epoch int) error {
	folder := t.dir.Path(epochsFolder)
	if err := os.Mkdir(folder, 0o777); err == nil {
		if err := durable.SyncDir(t.dir.Path()); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return t.writeWeights(epochWeights(epoch))
}

// missingWeights is a warning about weights of earlier epochs that should be there: an earlier
// process may have run without -save-weights-every, or with another one.
func (t *training) missingWeights() string {
	n, first := 0, 0
	for epoch := 0; epoch*t.stepsPerEpoch < t.position.step; epoch++ {
		if !t.savesEpoch(epoch) {
			continue
		}
		if _, err := os.Stat(t.dir.Path(epochWeights(epoch))); err != nil {
			if n++; n == 1 {
				first = epoch
			}
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s is not there, in all %d files of earlier epochs: they were trained "+
		"without -save-weights-every=%d, or someone has removed the files; -fresh starts over",
		t.dir.Path(epochWeights(first)), n, t.SaveWeightsEvery)
}

// writeWeights writes the weights as safetensors: convolutions [height, width, in, out], dense
// layers [in, out]. A slim run keeps none. The metadata follow from the settings, so that a run
// that was stopped ends with the same bytes.
func (t *training) writeWeights(name string) error {
	if t.Slim {
		return nil
	}
	weights, err := t.trainer.Weights()
	if err != nil {
		return err
	}
	return t.dir.WriteFile(name, func(w io.Writer) error {
		return safetensors.Write(w, weights, t.metadata)
	})
}

// writeInitial writes the initial weights, unless they are there. The warning is about a file that
// an earlier process wrote and that is damaged or missing.
func (t *training) writeInitial() (warning string, err error) {
	if t.Slim {
		return "", nil
	}
	weights, err := t.trainer.Weights()
	if err != nil {
		return "", err
	}
	want := sha256.New()
	if err := safetensors.Write(want, weights, t.metadata); err != nil {
		return "", err
	}
	path := t.dir.Path(initialWeights)
	if got, err := durable.SHA256(path); err == nil && got == hex.EncodeToString(want.Sum(nil)) {
		return "", nil
	} else if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		if err := os.RemoveAll(path); err != nil { // a folder cannot be replaced by a file
			return "", err
		}
	}
	return path + ": did not hold the initial weights of these settings, and is written again",
		t.writeWeights(initialWeights)
}

// weightsMetadata says what a user of the weights needs to know: the network, its classes, and what
// it sees of an image's pixels. Lists are JSON.
func (c *Config) weightsMetadata(set *datasets.Images) (map[string]string, error) {
	names, err1 := json.Marshal(set.ClassNames)
	mean, err2 := json.Marshal(set.Mean)
	std, err3 := json.Marshal(set.Std)
	return map[string]string{
		"layout": "convolutions HWIO, dense [in, out], images NHWC",
		"model":  c.Model, "width": strconv.Itoa(c.Width), "norm": c.Norm, "init": c.Init,
		"classes": strconv.Itoa(set.Classes), "class_names": string(names),
		"pixels": "RGB, (value/255 - mean) / std", "mean": string(mean), "std": string(std),
	}, errors.Join(err1, err2, err3)
}
