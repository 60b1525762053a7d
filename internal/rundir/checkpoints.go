package rundir

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"momentum/internal/durable"
)

const (
	checkpointsDir  = "checkpoints"
	keptCheckpoints = 2 // the newest may be damaged, so the one before it is kept too
	damagedSuffix   = ".damaged"

	// historyFile is a file of a checkpoint, with the checksum of the metrics up to it.
	historyFile = "metrics.json"
)

// history is the beginning of metrics.jsonl: its rows before a step.
type history struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// SaveCheckpoint creates the folder checkpoints/step-NNNNNNNN of the state before a step. write
// puts files into it under a temporary name; then the checksum of the rows before the step and
// SHA256SUMS are added, all files are flushed to disk, and only then the folder gets its name. The
// two newest checkpoints are kept.
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
	if err := d.writeHistory(temporary, step); err != nil {
		return err
	}
	if err := d.flushRows(); err != nil { // the checksum is of rows that stay
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

// writeHistory writes the checksum of the rows before a step into the folder of its checkpoint.
func (d *Dir) writeHistory(folder string, step int64) (err error) {
	size, sum := d.size, d.hash
	if d.last >= step {
		if size, _, err = d.rowsUpTo(step - 1); err != nil {
			return err
		}
		if sum, err = d.hashRows(size); err != nil {
			return err
		}
	}
	text, err := json.Marshal(history{size, hex.EncodeToString(sum.Sum(nil))})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, historyFile), append(text, '\n'), 0o666)
}

// checkHistory compares the rows before the step of a checkpoint with their checksum in it. There
// is none, nor in SHA256SUMS, where an earlier version of this program saved it.
func (d *Dir) checkHistory(folder string) error {
	path := filepath.Join(folder, historyFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var want history
	if err := json.Unmarshal(text, &want); err != nil || want.Bytes < 0 {
		return fmt.Errorf("%s: %.80q, want a size and a checksum of the metrics", path, text)
	}
	sum, err := d.hashRows(want.Bytes)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want.SHA256 {
		return fmt.Errorf("%s: the first %d bytes have SHA-256 %.12s…, want %.12s…",
			d.Path(metricsFile), want.Bytes, got, want.SHA256)
	}
	return nil
}

// LoadCheckpoint calls load with the folder of the newest checkpoint, and goes back to the one
// before it if its checksums or that of the rows before its step do not match, or load cannot use
// what it holds. Such a checkpoint is set aside as NAME.damaged and described in a warning. If none
// is left, found is false. One that cannot be read is an error, and stays.
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
			damage = d.checkHistory(folder)
		}
		if damage == nil {
			damage = load(folder)
		}
		if damage == nil {
			return true, warnings, nil
		}
		if !aboutContent(damage) {
			return false, warnings, fmt.Errorf("rundir: cannot read the checkpoint %s, which "+
				"stays as it is: %w; once it can be read, the same command resumes the run",
				folder, damage)
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

// checkpoints lists the names of the checkpoints, oldest first, and removes the incomplete ones of
// killed processes.
func (d *Dir) checkpoints() ([]string, error) {
	root := d.Path(checkpointsDir)
	if _, err := os.Lstat(root); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	entries, err := os.ReadDir(root)
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: is a file or a link to nothing, want a folder: remove it, and "+
			"the same command starts from the first step", root)
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
