package rundir

import (
	"bytes"
	"context"
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

	"momentum/internal/durable"
	"momentum/internal/lockfile"
)

const sumsFile = "SHA256SUMS" // in the format of sha256sum(1)

// DamagedError reports a file of a run folder that is not as the run left it.
type DamagedError struct {
	Path string // the file's
	Err  error  // what is wrong, with the path
}

func (e *DamagedError) Error() string { return e.Err.Error() }
func (e *DamagedError) Unwrap() error { return e.Err }

func damaged(path, format string, args ...any) error {
	return &DamagedError{path, fmt.Errorf("%s: "+format, append([]any{path}, args...)...)}
}

// damagedBy returns a [*DamagedError] for an error about the content of a file, or about what lies
// in its place. Another error of reading the file says nothing about it, and is returned as it is.
func damagedBy(path string, err error) error {
	if !aboutContent(err) {
		return err
	} else if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return damaged(path, "%w", e.Err) // without the name of the system call
	}
	return &DamagedError{path, err}
}

// aboutContent reports whether an error of reading files is about what they hold, or about what
// lies in their places, if anything. Others, such as EIO or EACCES, say nothing about that.
func aboutContent(err error) bool {
	e := (*fs.PathError)(nil)
	return !errors.As(err, &e) || durable.Misplaced(err) || errors.Is(err, fs.ErrNotExist)
}

const remedy = "restore it, or start over with -fresh of the run's command, which keeps it under " +
	"another name"

// withRemedy adds the remedy to the error of a damaged file, and leaves other errors as they are.
func withRemedy(err error) error {
	if errors.As(err, new(*DamagedError)) {
		return fmt.Errorf("%w; %s", err, remedy)
	}
	return err
}

// readError is the error of reading a file of a run folder, with the remedy if the file is damaged.
// That the file does not exist is no damage: the folder may be that of no run.
func readError(path string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		err = withRemedy(damagedBy(path, err))
	}
	return fmt.Errorf("rundir: %w", err)
}

// sum is a line of SHA256SUMS.
type sum struct{ name, sha256 string }

// writeSums flushes the files below a folder to disk and writes SHA256SUMS, in the order of the
// names: for each file its SHA-256 in hexadecimal, two spaces and its path relative to the folder.
// listed decides by that path whether a file counts. Temporary files and damaged checkpoints that
// were set aside do not. more are sums of files that are yet to be written.
func writeSums(folder string, listed func(name string) bool, more ...sum) error {
	sums := more
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != folder && e.IsDir() && uncounted(e.Name()):
			return fs.SkipDir
		case e.IsDir() || uncounted(e.Name()):
			return nil
		}
		name, err := filepath.Rel(folder, path)
		if name = filepath.ToSlash(name); err != nil || !listed(name) {
			return err
		}
		sha256, err := durable.SHA256(path)
		if err == nil {
			err = durable.SyncFile(path)
		}
		sums = append(sums, sum{name, sha256})
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(sums, func(a, b sum) int { return strings.Compare(a.name, b.name) })
	return durable.WriteFile(filepath.Join(folder, sumsFile), func(w io.Writer) error {
		for _, s := range sums {
			fmt.Fprintf(w, "%s  %s\n", s.sha256, s.name) // the buffer's Flush returns the error
		}
		return nil
	})
}

// uncounted reports whether a name is that of something temporary, or of a damaged checkpoint that
// was set aside: a folder, or what lay in its place.
func uncounted(name string) bool {
	return durable.IsTemporary(name) || filepath.Ext(name) == damagedSuffix
}

// readSums reads the SHA256SUMS of a folder, which must exist and list at least the required files.
func readSums(folder string, required ...string) (sums []sum, err error) {
	path := filepath.Join(folder, sumsFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged(path, "is missing")
	} else if err != nil {
		return nil, damagedBy(path, err)
	}
	if len(text) == 0 || text[len(text)-1] != '\n' {
		return nil, damaged(path, "ends in the middle of a line, want a line for each file")
	}
	for line := range bytes.Lines(text) {
		sha256, name, found := strings.Cut(strings.TrimSuffix(string(line), "\n"), "  ")
		if !found || !filepath.IsLocal(name) || name != filepath.ToSlash(filepath.Clean(name)) {
			return nil, damaged(path,
				"line %d is %.80q, want a checksum, two spaces and a file of the folder",
				len(sums)+1, line)
		}
		sums = append(sums, sum{name, sha256})
	}
	for _, r := range required {
		if !slices.ContainsFunc(sums, func(s sum) bool { return s.name == r }) {
			return nil, damaged(path, "does not list %s", r)
		}
	}
	return sums, nil
}

// check compares a file of a folder with its sum.
func (s sum) check(folder string) error {
	file := filepath.Join(folder, s.name)
	got, err := durable.SHA256(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return damaged(file, "is missing, but %s lists it", sumsFile)
	case err != nil:
		return damagedBy(file, err)
	case got != s.sha256:
		return damaged(file, "has SHA-256 %.12s…, want %.12s… as in %s", got, s.sha256, sumsFile)
	}
	return nil
}

// verify checks a folder against its SHA256SUMS, which must list at least the required files. Other
// files may be there: a note that someone adds does not damage a run.
func verify(folder string, required ...string) error {
	sums, err := readSums(folder, required...)
	if err != nil {
		return err
	}
	for _, s := range sums {
		if err := s.check(folder); err != nil {
			return err
		}
	}
	return nil
}

// VerifyCheckpoint checks the folder of a checkpoint against its SHA256SUMS. A folder without that
// file, which another program has written, passes. The error wraps a [*DamagedError].
func VerifyCheckpoint(folder string) error {
	if _, err := os.Stat(filepath.Join(folder, sumsFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return verify(folder)
}

// Seal records that the run has a result, Done or Diverged: it removes checkpoints that are too
// many, writes SHA256SUMS over all files of the folder and over the state to come, and then sets
// the state. A state that someone changes later does not match.
func (d *Dir) Seal(result State) error {
	sha256 := sha256.Sum256(result.content())
	listed := func(name string) bool {
		return name != stateFile && name != sumsFile && name != checkedFile
	}
	err := d.removeOldCheckpoints()
	if err == nil {
		err = writeSums(d.path, listed, sum{stateFile, hex.EncodeToString(sha256[:])})
	}
	if err != nil {
		return fmt.Errorf("rundir: cannot seal: %w", err)
	}
	return d.SetState(result)
}

// Check reads a run folder without changing its run and returns the run's state: "" if it has none
// yet. The error wraps a [*DamagedError] if a file is missing or is not as the run left it: an
// unknown state, a config.json whose settings do not match the folder's name, a line of
// metrics.jsonl that is not a row, or, in a run that is done or has diverged, any difference from
// SHA256SUMS.
//
// What a killed process may leave is not damage: a last row without its newline, temporary files,
// or a checkpoint with wrong checksums, since the run itself then goes back to the one before it.
func Check(path string) (State, error) {
	state, err := check(path)
	if err != nil {
		return state, fmt.Errorf("rundir: %w", err)
	}
	return state, nil
}

func check(path string) (State, error) {
	if err := checkFolder(path); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	entries = slices.DeleteFunc(entries,
		func(e fs.DirEntry) bool { return durable.IsTemporary(e.Name()) })
	if len(entries) == 0 {
		return "", nil // killed before its first file, config.json
	}
	state, err := readState(path)
	if err != nil {
		return "", err
	}
	if state.Ended() {
		if err := verifyOnce(path); err != nil {
			return "", err
		}
	}

	file := filepath.Join(path, configFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", damaged(file, "is missing")
	} else if err != nil {
		return "", damagedBy(file, err)
	}
	settings, _, _, err := parseConfig(file, text)
	if err != nil {
		return "", damagedBy(file, err)
	}
	folder := filepath.Base(path)
	if name, err := Name("x", settings); err != nil || !strings.HasSuffix(folder, name[1:]) {
		return "", damaged(file, "has settings of another run, want those of %s", folder)
	}

	file = filepath.Join(path, metricsFile)
	_, _, err = readMetrics(context.Background(), file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", damagedBy(file, err)
	}
	return state, nil
}

// checkFolder returns an error unless a path is that of a folder.
func checkFolder(path string) error {
	if info, err := os.Stat(path); err != nil {
		return err
	} else if !info.IsDir() {
		return damaged(path, "is a file, want a folder")
	}
	return nil
}

// Held returns the living process that has a run folder open, and whether there is one.
func Held(path string) (holder lockfile.Holder, held bool, err error) {
	holder, held, err = lockfile.Held(path + lockSuffix)
	if err != nil {
		err = fmt.Errorf("rundir: %w", err)
	}
	return holder, held, err
}

// SetAside renames a damaged folder, as Fresh does, and returns its new path: "" if [Check] finds
// nothing wrong with it, for example because another process has already set it aside and started
// over. If a process has the folder open, the error wraps a [*lockfile.HeldError].
func SetAside(path string) (aside string, err error) {
	err = withLock(path, func(d *Dir) error {
		if _, err := check(path); err == nil || !errors.As(err, new(*DamagedError)) {
			return err
		}
		err := d.moveAside()
		aside = d.setAside
		return err
	})
	return aside, err
}

// Fail sets the state to Failed if a run's process ended without setting one. A folder that the
// process did not create, or left without config.json, stays as it is.
func Fail(path string) error {
	return withLock(path, func(d *Dir) error {
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

// withLock calls do while it holds the lock of a folder, which no process may have open.
func withLock(path string, do func(*Dir) error) (err error) {
	d := &Dir{path: path}
	if d.lock, err = lockfile.Acquire(path + lockSuffix); err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	if err := do(d); err != nil {
		return errors.Join(fmt.Errorf("rundir: %w", err), d.Close())
	}
	return d.Close()
}
