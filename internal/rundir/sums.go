package rundir

import (
	"bytes"
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

	"momentum/internal/lockfile"
)

const sumsFile = "SHA256SUMS" // in the format of sha256sum(1)

// DamagedError is a file of a run folder that is not as the run has left it.
type DamagedError struct {
	Path string // of the file
	Err  error  // names it, too
}

func (e *DamagedError) Error() string { return e.Err.Error() }
func (e *DamagedError) Unwrap() error { return e.Err }

func damaged(path, format string, args ...any) error {
	return &DamagedError{path, fmt.Errorf("%s: "+format, append([]any{path}, args...)...)}
}

// unreadable is the error of a file whose content is wrong, and stays what it is if the file could
// not be read.
func unreadable(path string, err error) error {
	if errors.As(err, new(*fs.PathError)) {
		return err
	}
	return &DamagedError{path, err}
}

// writeSums flushes all files below a folder for which listed is true of their path in it to the
// disk, and writes SHA256SUMS: a line for each, with its SHA-256 in hex, two spaces and its path in
// the folder.
func writeSums(folder string, listed func(name string) bool) error {
	var names []string
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != folder && e.IsDir() && isTemporary(e.Name()):
			return fs.SkipDir
		case e.IsDir() || isTemporary(e.Name()):
			return nil
		}
		name, err := filepath.Rel(folder, path)
		if name = filepath.ToSlash(name); listed(name) {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(names)
	var lines strings.Builder
	for _, name := range names {
		path := filepath.Join(folder, name)
		sum, err := checksum(path)
		if err == nil {
			err = flush(path)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%s  %s\n", sum, name)
	}
	return writeFile(filepath.Join(folder, sumsFile), func(w io.Writer) error {
		_, err := io.WriteString(w, lines.String())
		return err
	})
}

// checksum is the SHA-256 of a file.
func checksum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// flush writes what the system holds of a file to the disk.
func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// verify checks a folder against its SHA256SUMS, which must be there and list the wanted files at
// least. Files that it does not list may be there: a run that is done is not damaged by a note
// beside it.
func verify(folder string, want ...string) error {
	path := filepath.Join(folder, sumsFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return damaged(path, "is missing")
	} else if err != nil {
		return err
	}
	if len(text) == 0 || text[len(text)-1] != '\n' {
		return damaged(path, "ends in the middle of a line, want a line for each file")
	}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		sum, name, found := strings.Cut(strings.TrimSuffix(string(line), "\n"), "  ")
		if !found || !filepath.IsLocal(name) || name != filepath.ToSlash(filepath.Clean(name)) {
			return damaged(path,
				"line %d is %.80q, want a checksum, two spaces and a file of the folder", n, line)
		}
		file := filepath.Join(folder, name)
		got, err := checksum(file)
		if errors.Is(err, fs.ErrNotExist) {
			return damaged(file, "is missing, but %s lists it", sumsFile)
		} else if err != nil {
			return err
		}
		if got != sum {
			return damaged(file, "has SHA-256 %.12s…, want %.12s… as in %s", got, sum, sumsFile)
		}
		want = slices.DeleteFunc(want, func(w string) bool { return w == name })
	}
	if len(want) > 0 {
		return damaged(path, "does not list %s", want[0])
	}
	return nil
}

// Seal writes SHA256SUMS over all files of the folder but state: what they are when the run ends.
// It comes before that state is set.
func (d *Dir) Seal() error {
	if err := writeSums(d.path, func(name string) bool {
		return name != stateFile && name !=
			sumsFile
	}); err != nil {
		return fmt.Errorf("rundir: cannot seal: %w", err)
	}
	return nil
}

// Check reads a run folder, changes nothing, and returns the run's state: "" if it has none yet.
// The error is a [*DamagedError] if a file is missing or is not what the run has left: a state that
// is no state, a config.json whose settings do not belong to the folder's name, rows that are none,
// and in the folder of a run that is done or has diverged any difference from SHA256SUMS. What a
// killed process may leave is not damage: a last row without its newline, temporary files, a
// checkpoint (the run itself goes back to the one before it).
func Check(path string) (State, error) {
	state, err := check(path)
	if err != nil {
		return state, fmt.Errorf("rundir: %w", err)
	}
	return state, nil
}

func check(path string) (State, error) {
	if info, err := os.Stat(path); err != nil {
		return "", err
	} else if !info.IsDir() {
		return "", damaged(path, "is a file, want a folder")
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return isTemporary(e.Name()) })
	if len(entries) == 0 {
		return "", nil // killed before its first file, config.json
	}
	state, err := readState(path)
	if err != nil {
		return "", unreadable(filepath.Join(path, stateFile), err)
	}
	if state == Done || state == Diverged {
		if err := verify(path, configFile, metricsFile); err != nil {
			return "", err
		}
	}

	file := filepath.Join(path, configFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", damaged(file, "is missing")
	} else if err != nil {
		return "", err
	}
	settings, _, _, err := parseConfig(file, text)
	if err != nil {
		return "", unreadable(file, err)
	}
	folder := filepath.Base(path)
	if name, err := Name("x", settings); err != nil || !strings.HasSuffix(folder, name[1:]) {
		return "", damaged(file, "has settings of another run, want those of %s", folder)
	}

	file = filepath.Join(path, metricsFile)
	if _, _, err := readMetrics(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", unreadable(file, err)
	}
	return state, nil
}

// Held says which living process has a run folder open, if any.
func Held(path string) (holder lockfile.Holder, held bool, err error) {
	holder, held, err = lockfile.Held(path + lockSuffix)
	if err != nil {
		err = fmt.Errorf("rundir: %w", err)
	}
	return holder, held, err
}

// SetAside renames a damaged folder as Fresh does and returns its new path: "" if [Check] finds
// nothing wrong with it, as when another process has set it aside before and made it anew. The
// error has a *lockfile.HeldError in its chain if a process has the folder open.
func SetAside(path string) (aside string, err error) {
	err = locked(path, func(d *Dir) error {
		if _, err := check(path); err == nil || !errors.As(err, new(*DamagedError)) {
			return err
		}
		err := d.moveAside()
		aside = d.setAside
		return err
	})
	return aside, err
}

// Fail sets the state of a run whose process has ended without setting one, if it came as far as a
// folder, to failed.
func Fail(path string) error {
	return locked(path, func(d *Dir) error {
		if _, err := os.Stat(d.Path(configFile)); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		if err := d.readState(); err != nil || d.state != "" && d.state != Running {
			return err
		}
		return d.SetState(Failed)
	})
}

// locked does something with a folder that no process has open.
func locked(path string, do func(*Dir) error) (err error) {
	d := &Dir{path: path}
	if d.lock, err = lockfile.Acquire(path + lockSuffix); err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	if err := do(d); err != nil {
		return errors.Join(fmt.Errorf("rundir: %w", err), d.Close())
	}
	return d.Close()
}
