package table1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"momentum/internal/backend"
	"momentum/internal/rundir"
)

// Lane is the outcome of one student network after the last epoch. Accuracies and errors are shares
// in [0, 1].
type Lane struct {
	Teacher       string  `json:"teacher"`
	Algorithm     string  `json:"algorithm"` // gd, gdm, sgd or sgdm
	Rate          float64 `json:"rate"`
	Seed          uint64  `json:"seed"`
	ValidAccuracy float64 `json:"valid_accuracy"`
	TestAccuracy  float64 `json:"test_accuracy"`
	TrainingError float64 `json:"training_error"`
	TrainingLoss  float64 `json:"training_loss"` // mean of log(1 + exp(−y f))
	// Diverged says that weights or loss are not finite; the numbers above are then 0.
	Diverged bool `json:"diverged"`
}

// Run trains every student on every teacher by every algorithm at every rate for every seed, and
// writes table1.md, .csv and .json into the folder.
//
// A student is done when STUDENT.json, its lanes, is there: a later call reads them and goes on
// with the next student. Run notices the end of its context between epochs. It tells onProgress, if
// not nil, how many epochs of lanes are done.
func Run(ctx context.Context, be *backend.Backend, s Settings, dir *rundir.Dir,
	onProgress func(done, total int)) error {
	if err := s.Validate(); err != nil {
		return err
	}
	e := &experiment{Settings: s, be: be, onProgress: onProgress}
	e.total = len(s.Students) * s.Networks() * s.Epochs
	students := map[string][]Lane{}
	for _, student := range s.Students {
		lanes, err := s.readLanes(dir.Path(student + ".json"))
		if errors.Is(err, fs.ErrNotExist) {
			if lanes, err = e.trainStudent(ctx, student); err == nil {
				err = dir.WriteJSON(student+".json", lanes)
			}
		} else if err == nil {
			e.progress(s.Networks() * s.Epochs)
		}
		if err != nil {
			return fmt.Errorf("table1: %s: %w", student, err)
		}
		students[student] = lanes
	}
	r := s.result(students)
	if err := dir.WriteJSON("table1.json", r); err != nil {
		return err
	}
	if err := dir.WriteFile("table1.csv", r.writeCSV); err != nil {
		return err
	}
	return dir.WriteFile("table1.md", r.writeMarkdown)
}

// readLanes reads the lanes of a student that is done.
func (s Settings) readLanes(path string) ([]Lane, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lanes []Lane
	if err := json.Unmarshal(text, &lanes); err != nil {
		return nil, fmt.Errorf("%s: %w: remove it and run again", path, err)
	}
	if len(lanes) != s.Networks() {
		return nil, fmt.Errorf("%s: %d lanes, want %d: remove it and run again", path, len(lanes),
			s.Networks())
	}
	return lanes, nil
}

// experiment is the state of a [Run]. Points are kept by seed: the seeds are the groups of
// models.Feedforward.Logits.
type experiment struct {
	Settings
	be                 *backend.Backend
	train, valid, test *pointSet // nil until a student needs them
	onProgress         func(done, total int)
	done, total        int
}

func (e *experiment) progress(epochs int) {
	e.done += epochs
	if e.onProgress != nil {
		e.onProgress(e.done, e.total)
	}
}
