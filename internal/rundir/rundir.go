// Package rundir keeps everything that a run leaves behind in one folder:
//
//	config.json     the settings, what follows from them, and how the run was executed
//	state           one word: running, done, failed, diverged or preempted
//	metrics.jsonl   one JSON object per step; rows are appended, or cut off at the end
//	metrics.csv     the same as a table
//	events.out.*    the same for TensorBoard
//	checkpoints/    the two newest checkpoints
//	SHA256SUMS      checksums of a run that has a result: done or diverged
//	.checked        when these were last checked: see [Verify]
//	...             whatever else the run writes
//
// The package knows nothing about what a run computes. The folder's name ends in a hash of the
// settings, so the same command finds its folder again, and other settings get another folder.
// While a process has the folder open, it holds the lock NAME.lock beside it.
//
// A process may be killed at any moment. Open brings its folder back, because
//
//   - a file is written under a temporary name, flushed to disk and renamed, so it is whole or
//     absent; Open removes temporary files;
//   - a row is appended in one write and flushed; a last row without its newline does not count,
//     and Open cuts it off;
//   - a checkpoint is a folder that gets its name once it is complete and holds checksums of its
//     files; a damaged one is set aside, and the run goes back to the one before it;
//   - the state "running" in a folder without a lock means that the process was killed.
package rundir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"momentum/internal/durable"
	"momentum/internal/lockfile"
)

// Spec describes the folder to open.
type Spec struct {
	Root  string // the folder of all run folders; created if missing
	Label string // begins the folder's name, such as "cifar10-mini-resnet18w16-gdm-s1"

	// Settings, Derived and Execution are stored in config.json. Settings must encode as a JSON
	// object; the other two may be nil.
	Settings  any // everything that changes the result; hashed into the folder's name
	Derived   any // follows from Settings, such as the effective rate; not hashed
	Execution any // changes only speed or memory; may differ when the run is resumed

	Fresh bool // set an existing folder aside and start over
}

// State is how far a run has come. A new folder has the state "".
type State string

// The states of a run. Done and Diverged are results: the run's files no longer change.
const (
	Running   State = "running"
	Done      State = "done"
	Failed    State = "failed"
	Diverged  State = "diverged"
	Preempted State = "preempted"
)

// Ended reports whether the run has a result.
func (s State) Ended() bool { return s == Done || s == Diverged }

// Dir is an open run folder. It is not safe for concurrent use.
type Dir struct {
	path     string
	lock     *lockfile.Lock // nil for a run that has ended on a read-only disk
	state    State
	setAside string    // where Fresh moved the old folder
	metrics  *os.File  // metrics.jsonl, unless the run has ended
	size     int64     // bytes of metrics.jsonl, all in whole rows
	hash     hash.Hash // SHA-256 of these
	last     int64     // step of its last row, -1 if it has none
	flushed  time.Time // when metrics.jsonl was flushed to disk
}

// Name returns the name of the run folder for settings: LABEL-HASH, where HASH is the beginning of
// the SHA-256 of the settings as JSON with sorted keys.
func Name(label string, settings any) (string, error) {
	if label == "" || label[0] == '.' || strings.ContainsAny(label, "/\\\x00") {
		return "", fmt.Errorf("rundir: label %q, want a file name that does not begin with a dot",
			label)
	}
	text, err := canonical(settings)
	if err != nil {
		return "", fmt.Errorf("rundir: settings: %w", err)
	}
	hash := sha256.Sum256(text)
	return label + "-" + hex.EncodeToString(hash[:])[:10], nil
}

var endsInHash = regexp.MustCompile(`-[0-9a-f]{10}$`)

// IsName reports whether a name is like that of a run folder.
func IsName(name string) bool { return endsInHash.MatchString(name) }

// Open creates or reopens the folder Root/[Name] and locks it. If another process has it open, the
// error wraps a [*lockfile.HeldError]. A folder whose config.json is missing, is damaged or has
// other settings is an error and stays as it is, unless Fresh is set. The folder of a run that has
// ended may be on a read-only disk. Its files are to be checked with [Dir.Verify].
func Open(s Spec) (*Dir, error) {
	name, err := Name(s.Label, s.Settings)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: filepath.Join(s.Root, name), last: -1}
	if err := os.MkdirAll(s.Root, 0o777); err != nil {
		return nil, fmt.Errorf("rundir: %w", err)
	}
	// The lock lies beside the folder, not in it, so that it stays in place when the folder is set
	// aside.
	d.lock, err = lockfile.Acquire(d.path + lockSuffix)
	if d.showable(s, err) {
		err = nil
	}
	if held := (*lockfile.HeldError)(nil); errors.As(err, &held) {
		return nil, fmt.Errorf("rundir: %s is in use, wait for it or stop it: %w", d.path, held)
	} else if err != nil {
		return nil, fmt.Errorf("rundir: %w", err)
	}
	if err := d.open(s); err != nil {
		return nil, errors.Join(fmt.Errorf("rundir: %w", withRemedy(err)), d.Close())
	}
	return d, nil
}

// showable reports whether the folder holds a result that needs no lock, since it cannot be
// changed: err, of taking the lock, is that of a read-only disk.
func (d *Dir) showable(s Spec, err error) bool {
	if s.Fresh || !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) {
		return false
	}
	return d.readState() == nil && d.ended()
}

// ended reports whether the run has a result: its files no longer change.
func (d *Dir) ended() bool { return d.state.Ended() }

// open does the work of Open under the lock. config.json is written before any other file, so
// Open can tell a run folder from another one.
func (d *Dir) open(s Spec) error {
	if s.Fresh {
		if err := d.moveAside(); err != nil {
			return err
		}
	}
	if err := os.Mkdir(d.path, 0o777); err == nil {
		if err := durable.SyncDir(s.Root); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	} else if err := checkFolder(d.path); err != nil {
		return damagedBy(d.path, err)
	}
	if d.lock != nil {
		if err := d.removeTemporary(); err != nil {
			return err
		}
	}
	if err := d.readState(); err != nil {
		return err
	}
	if err := d.writeConfig(s); err != nil || d.ended() {
		return err
	}
	for _, name := range []string{csvFile, EventsFile, sumsFile} { // before hours of work
		if info, err := os.Lstat(d.Path(name)); err == nil && info.IsDir() {
			return damaged(d.Path(name), "%w", syscall.EISDIR)
		}
	}
	var err error
	d.metrics, err = durable.Open(d.Path(metricsFile))
	if err != nil {
		return damagedBy(d.Path(metricsFile), err)
	}
	if err := d.cutRows(math.MaxInt64); err != nil { // keeps all rows, cuts a torn last line
		return err
	}
	return durable.SyncDir(d.path)
}

// moveAside renames an existing folder to NAME.old-1, or to the next free number. The rename is
// atomic and deletes nothing: a finished run may be days of work.
func (d *Dir) moveAside() error {
	if _, err := os.Lstat(d.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for n := 1; ; n++ {
		old := fmt.Sprintf("%s.old-%d", d.path, n)
		if _, err := os.Lstat(old); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Rename(d.path, old); err != nil {
			return err
		}
		d.setAside = old
		return durable.SyncDir(filepath.Dir(d.path))
	}
}

// removeTemporary removes the temporary files and folders of writes that were killed.
func (d *Dir) removeTemporary() error {
	return filepath.WalkDir(d.path, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !durable.IsTemporary(e.Name()) {
			return err
		}
		if err := os.RemoveAll(path); err != nil || !e.IsDir() {
			return err
		}
		return fs.SkipDir
	})
}

// writeConfig writes config.json, or checks that the existing one has the same settings.
func (d *Dir) writeConfig(s Spec) error {
	text, err := marshal(config{s.Settings, s.Derived, s.Execution})
	if err != nil {
		return err
	}
	old, err := os.ReadFile(d.Path(configFile))
	if errors.Is(err, fs.ErrNotExist) {
		// config.json is the first file of a run folder: a folder with other files is not one.
		entries, err := os.ReadDir(d.path)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			return damaged(d.path, "has %s but no %s, want a run folder", entries[0].Name(),
				configFile)
		}
	} else if err != nil {
		return damagedBy(d.Path(configFile), err)
	} else {
		if err := checkSettings(d.Path(configFile), old, s.Settings); err != nil {
			return damagedBy(d.Path(configFile), err)
		}
		// A run with a result keeps the record of how it was executed, and stays sealed.
		if d.ended() || bytes.Equal(old, text) {
			return nil
		}
	}
	return durable.WriteBytes(d.Path(configFile), text)
}

func (d *Dir) readState() (err error) {
	d.state, err = readState(d.path)
	return err
}

// ReadState reads the state of a run folder, which need not be open: "" if it has none.
func ReadState(path string) (State, error) {
	s, err := readState(path)
	if err != nil {
		err = fmt.Errorf("rundir: %w", withRemedy(err))
	}
	return s, err
}

func readState(path string) (State, error) {
	path = filepath.Join(path, stateFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", damagedBy(path, err)
	}
	s := State(strings.TrimSpace(string(b)))
	if err := s.check(); err != nil {
		return "", damaged(path, "%w", err)
	}
	return s, nil
}

func (s State) check() error {
	switch s {
	case Running, Done, Failed, Diverged, Preempted:
		return nil
	}
	return fmt.Errorf("state %.40q, want running, done, failed, diverged or preempted", string(s))
}

const (
	stateFile  = "state"
	lockSuffix = ".lock" // of the file beside the folder
)

// State returns the state that this or an earlier process set last. In a folder that was just
// opened, Running means that the earlier process was killed.
func (d *Dir) State() State { return d.state }

// SetState stores the state on disk.
func (d *Dir) SetState(s State) error {
	if err := s.check(); err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	if err := durable.WriteBytes(d.Path(stateFile), s.content()); err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	d.state = s
	return nil
}

// content is what the file state holds.
func (s State) content() []byte { return []byte(s + "\n") }

// Path returns the path of a file in the folder, or of the folder itself.
func (d *Dir) Path(name ...string) string {
	return filepath.Join(append([]string{d.path}, name...)...)
}

// Name returns the folder's name, without the root.
func (d *Dir) Name() string { return filepath.Base(d.path) }

// SetAside returns the path to which Fresh moved the old folder: "" if there was none.
func (d *Dir) SetAside() string { return d.setAside }

// WriteFile replaces a file of the folder atomically; see [durable.WriteFile].
func (d *Dir) WriteFile(name string, write func(io.Writer) error) error {
	if err := durable.WriteFile(d.Path(name), write); err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	return nil
}

// WriteJSON writes v as indented JSON to a file of the folder.
func (d *Dir) WriteJSON(name string, v any) error {
	return d.WriteFile(name, func(w io.Writer) error {
		text, err := marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
}

// Close releases the folder for other processes.
func (d *Dir) Close() error {
	var err error
	if d.metrics != nil {
		err = errors.Join(d.flushRows(), d.metrics.Close())
		d.metrics = nil
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Release())
	}
	if err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	return nil
}

// marshal is json.Marshal for people: indented, and without escapes for <, > and &.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
