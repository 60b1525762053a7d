package rundir

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	checkpointsDir = "checkpoints"
	sumsFile       = "SHA256SUMS" // in the format of sha256sum(1)
	checkpointKeep = 2
)

// SaveCheckpoint makes the folder checkpoints/step-NNNNNNNN: write fills it with
// files, then their checksums are added and all is flushed to the disk before the
// folder gets its name. The newest two checkpoints are kept.
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
	temporary := temporaryName(filepath.Join(root, "checkpoint"))
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
	sums, err := checksums(temporary)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(temporary, sumsFile), func(w io.Writer) error {
		_, err := io.WriteString(w, sums)
		return err
	}); err != nil {
		return err
	}
	final := filepath.Join(root, fmt.Sprintf("step-%08d", step))
	if err := os.RemoveAll(final); err != nil { // left by a run that was cut back
		return err
	}
	if err := os.Rename(temporary, final); err != nil {
		return err
	}
	if err := syncDir(root); err != nil {
		return err
	}
	names, err := d.checkpoints()
	if err != nil {
		return err
	}
	for _, old := range names[:max(0, len(names)-checkpointKeep)] {
		if err := os.RemoveAll(filepath.Join(root, old)); err != nil {
			return err
		}
	}
	return nil
}

// LoadCheckpoint calls load with the folder of the newest checkpoint whose
// checksums hold and that load accepts. Newer ones that failed are described in
// warnings and set aside as NAME.damaged. Without any, found is false.
func (d *Dir) LoadCheckpoint(load func(folder string) error) (found bool, warnings []string, err error) {
	names, err := d.checkpoints()
	if err != nil {
		return false, nil, fmt.Errorf("rundir: %w", err)
	}
	for _, name := range slices.Backward(names) {
		folder := d.Path(checkpointsDir, name)
		bad := verify(folder)
		if bad == nil {
			bad = load(folder)
		}
		if bad == nil {
			return true, warnings, nil
		}
		warnings = append(warnings, fmt.Sprintf("%s: damaged checkpoint, going back to the one before it: %v", folder, bad))
		aside := folder + ".damaged"
		if err := errors.Join(os.RemoveAll(aside), os.Rename(folder, aside)); err != nil {
			return false, warnings, fmt.Errorf("rundir: %w", err)
		}
	}
	return false, warnings, nil
}

// checkpoints lists the names of the checkpoints, oldest first, and removes what
// a killed process left half-written.
func (d *Dir) checkpoints() ([]string, error) {
	entries, err := os.ReadDir(d.Path(checkpointsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		switch name := e.Name(); {
		case isTemporary(name):
			if err := os.RemoveAll(d.Path(checkpointsDir, name)); err != nil {
				return nil, err
			}
		case strings.HasPrefix(name, "step-") && filepath.Ext(name) == "":
			names = append(names, name)
		}
	}
	// Past 8 digits the longer name is the larger number.
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return names, nil
}

// checksums flushes all files of a folder to the disk and returns a line for
// each: SHA-256 in hex, two spaces, name.
func checksums(folder string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	var lines strings.Builder
	for _, e := range entries {
		sum, err := checksum(filepath.Join(folder, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&lines, "%s  %s\n", sum, e.Name())
	}
	return lines.String(), nil
}

// checksum is the SHA-256 of a file, which is flushed to the disk.
func checksum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// verify checks the files of a checkpoint against its checksums.
func verify(folder string) error {
	f, err := os.Open(filepath.Join(folder, sumsFile))
	if err != nil {
		return err
	}
	defer f.Close()
	files := 0
	lines := bufio.NewScanner(f)
	for ; lines.Scan(); files++ {
		want, name, found := strings.Cut(lines.Text(), "  ")
		if !found || name == "" || name != filepath.Base(name) {
			return fmt.Errorf("%s:%d: got %q, want a checksum, two spaces and a file name", sumsFile, files+1, lines.Text())
		}
		got, err := checksum(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s: got SHA-256 %.12s…, want %.12s…", name, got, want)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if files == 0 {
		return fmt.Errorf("%s: is empty, want a line for each file", sumsFile)
	}
	return nil
}
