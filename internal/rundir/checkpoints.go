package rundir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"momentum/internal/durable"
)

const (
	checkpointsDir  = "checkpoints"
	keptCheckpoints = 2 // the newest may be damaged, so the one before it is kept too
	damagedSuffix   = ".damaged"
)

// SaveCheckpoint creates the folder checkpoints/step-NNNNNNNN. write puts files into it under a
// temporary name; then SHA256SUMS is added, all files are flushed to disk, and only then the folder
// gets its name. The two newest checkpoints are kept.
func (d *Dir) SaveCheckpoint(step int64, write func(folder string) error) error {
	if err := d.saveCheckpoint(step, write); err != nil {
		return fmt.Errorf("rundir: cannot save the checkpoint of step %d: %w", step, err)
	}
	return nil
}

func (d *Dir) saveCheckpoint(step int64, write func(folder string) error) (err error) {
	root := d.Path(checkpointsDir)
	if err := os.MkdirAll(root, 0o777); err != nil {
		return err
	}
	temporary := durable.TemporaryName(filepath.Join(root, "checkpoint"))
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := os.Mkdir(temporary, 0o777); err != nil {
		return err
	}
	if err := write(temporary); err != nil {
		return err
	}
	if err := writeSums(temporary, func(string) bool { return true }); err != nil {
		return err
	}
	final := filepath.Join(root, fmt.Sprintf("step-%08d", step))
	// The run may have written this checkpoint before, and then gone back to an older one.
	if err := os.RemoveAll(final); err != nil {
		return err
	}
	if err := os.Rename(temporary, final); err != nil {
		return err
	}
	if err := durable.SyncDir(root); err != nil {
		return err
	}
	return d.removeOldCheckpoints()
}

// removeOldCheckpoints removes all but the newest ones. A process that was killed after it had
// saved one may have left more.
func (d *Dir) removeOldCheckpoints() error {
	names, err := d.checkpoints()
	if err != nil {
		return err
	}
	for _, old := range names[:max(0, len(names)-keptCheckpoints)] {
		if err := os.RemoveAll(d.Path(checkpointsDir, old)); err != nil {
			return err
		}
	}
	return nil
}

// LoadCheckpoint calls load with the folder of the newest checkpoint, and goes back to the one
// before it if the checksums do not match or load returns an error. Such a checkpoint is set aside
// as NAME.damaged and described in a warning. If none is left, found is false.
func (d *Dir) LoadCheckpoint(load func(folder string) error) (found bool, warnings []string,
	err error) {
	names, err := d.checkpoints()
	if err != nil {
		return false, nil, fmt.Errorf("rundir: %w", err)
	}
	for i, name := range slices.Backward(names) {
		folder := d.Path(checkpointsDir, name)
		damage := verify(folder)
		if damage == nil {
			damage = load(folder)
		}
		if damage == nil {
			return true, warnings, nil
		}
		next := "going back to the one before it"
		if i == 0 {
			next = "starting from the first step"
		}
		warnings = append(warnings, fmt.Sprintf("%s: the checkpoint cannot be used, %s: %v", folder,
			next, damage))
		aside := folder + damagedSuffix
		if err := errors.Join(os.RemoveAll(aside), os.Rename(folder, aside)); err != nil {
			return false, warnings, fmt.Errorf("rundir: %w", err)
		}
	}
	return false, warnings, nil
}

// CheckpointStep is the step of a checkpoint, by the name of its folder.
func CheckpointStep(folder string) (int64, error) {
	step, err := strconv.ParseInt(strings.TrimPrefix(filepath.Base(folder), "step-"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("rundir: %s: not the name of a checkpoint, such as step-00000012",
			folder)
	}
	return step, nil
}

// checkpoints lists the names of the checkpoints, oldest first, and removes the incomplete ones of
// killed processes.
func (d *Dir) checkpoints() ([]string, error) {
	entries, err := os.ReadDir(d.Path(checkpointsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%s: is a file, want a folder: remove it, and the same command "+
			"starts from the first step", d.Path(checkpointsDir))
	} else if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		switch name := e.Name(); {
		case durable.IsTemporary(name):
			if err := os.RemoveAll(d.Path(checkpointsDir, name)); err != nil {
				return nil, err
			}
		case strings.HasPrefix(name, "step-") && filepath.Ext(name) == "":
			names = append(names, name)
		}
	}
	// A step of more than 8 digits has a longer name.
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return names, nil
}
