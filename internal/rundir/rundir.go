// Package rundir keeps everything a run leaves behind in one folder:
//
//	config.json     the settings that make the result, what follows from them, and how it was executed
//	state           one word: running, done, failed, diverged or preempted
//	metrics.jsonl   one JSON object a step, only ever appended to or cut
//	metrics.csv     the same as a table
//	SHA256SUMS      checksums of a run that has ended: done or diverged
//	...             whatever else the run writes
//
// The package knows nothing of what is run. The folder's name ends in a hash of the settings, so
// the same command finds its folder again and another one gets its own. While it is open it is
// locked by the file NAME.lock beside it.
//
// A process killed at any moment leaves a folder that Open brings back: files are written aside and
// renamed, rows are appended in one write, and a last row without its newline does not count.
package rundir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"momentum/internal/lockfile"
)

// Spec says which folder to open.
type Spec struct {
	Root string // where run folders lie; made if missing
	// readable beginning of the folder's name, for example "cifar10-mini-resnet18w16-gdm-s1"
	Label string

	// Settings, Derived and Execution are stored in config.json. Settings must
	// become a JSON object; the two others may be nil.
	Settings  any // all that changes the result; hashed into the folder's name
	Derived   any // follows from Settings, for example the effective rate; not hashed
	Execution any // changes speed or memory only; may differ when the run is resumed

	Fresh bool // set an existing folder aside and start over
}

// State is how far a run has come.
type State string

// A folder that was just made has the state "".
const (
	Running   State = "running"
	Done      State = "done"
	Failed    State = "failed"
	Diverged  State = "diverged"
	Preempted State = "preempted"
)

// Dir is an open run folder. It is not safe for concurrent use.
type Dir struct {
	path     string
	lock     *lockfile.Lock
	state    State
	setAside string
	metrics  *os.File
	size     int64 // of metrics.jsonl, all of it whole rows
	last     int64 // step of its last row, -1 if there is none
}

// Name is the name of the run folder for settings: LABEL-HASH.
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

// Open makes or reopens the folder Root/Label-HASH and locks it, where HASH is
// the beginning of the SHA-256 of Settings as JSON with sorted keys. A
// *lockfile.HeldError is in the chain of the error if another process has it
// open. A folder without config.json, with a damaged one or with one that has
// other settings is an error and stays as it is, unless Fresh.
func Open(s Spec) (*Dir, error) {
	name, err := Name(s.Label, s.Settings)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: filepath.Join(s.Root, name), last: -1}
	if err := os.MkdirAll(s.Root, 0o777); err != nil {
		return nil, fmt.Errorf("rundir: %w", err)
	}
	// The lock is beside the folder, not in it, so that it stays in place when
	// the folder is set aside.
	d.lock, err = lockfile.Acquire(d.path + lockSuffix)
	if held := (*lockfile.HeldError)(nil); errors.As(err, &held) {
		return nil, fmt.Errorf("rundir: %s is in use, wait for it or stop it: %w", d.path, held)
	} else if err != nil {
		return nil, fmt.Errorf("rundir: %w", err)
	}
	if err := d.open(s); err != nil {
		return nil, errors.Join(fmt.Errorf("rundir: %w", err), d.Close())
	}
	return d, nil
}

func (d *Dir) open(s Spec) error {
	if s.Fresh {
		if err := d.moveAside(); err != nil {
			return err
		}
	}
	if err := os.Mkdir(d.path, 0o777); err == nil {
		if err := syncDir(s.Root); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.removeTemporary(); err != nil {
		return err
	}
	if err := d.readState(); err != nil {
		return err
	}
	if err := d.writeConfig(s); err != nil {
		return err
	}
	var err error
	if d.metrics, err = os.OpenFile(d.Path(metricsFile), os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return err
	}
	if err := d.cutRows(math.MaxInt64); err != nil { // only a torn last line
		return err
	}
	return syncDir(d.path)
}

// moveAside renames an existing folder to NAME.old-1, or the next free number.
// The rename is atomic, and nothing is deleted: a finished run may be days of
// work.
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
		return syncDir(filepath.Dir(d.path))
	}
}

// removeTemporary removes what writes that were killed have left.
func (d *Dir) removeTemporary() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if isTemporary(e.Name()) {
			if err := os.Remove(d.Path(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeConfig writes config.json, or checks that the existing one has the same
// settings.
func (d *Dir) writeConfig(s Spec) error {
	text, err := marshal(config{s.Settings, s.Derived, s.Execution})
	if err != nil {
		return err
	}
	old, err := os.ReadFile(d.Path(configFile))
	if errors.Is(err, fs.ErrNotExist) {
		// config.json is the first file of a folder: others without it are not ours.
		entries, err := os.ReadDir(d.path)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			return fmt.Errorf("%s: has %s but no %s, want a run folder; %s", d.path,
				entries[0].Name(), configFile, remedy)
		}
	} else if err != nil {
		return err
	} else {
		if err := checkSettings(d.Path(configFile), old, s.Settings); err != nil {
			return fmt.Errorf("%w; %s", err, remedy)
		}
		// A finished run keeps the record of how it was executed, and stays sealed.
		if d.state == Done || d.state == Diverged || bytes.Equal(old, text) {
			return nil
		}
	}
	return writeFile(d.Path(configFile), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

const remedy = "restore it, or start over with -fresh, which keeps it under another name"

func (d *Dir) readState() (err error) {
	d.state, err = readState(d.path)
	return err
}

// ReadState reads the state of a run folder that need not be open; "" in one without any.
func ReadState(path string) (State, error) {
	s, err := readState(path)
	if err != nil {
		err = fmt.Errorf("rundir: %w", err)
	}
	return s, err
}

func readState(path string) (State, error) {
	path = filepath.Join(path, stateFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	s := State(strings.TrimSpace(string(b)))
	if err := s.check(); err != nil {
		return "", fmt.Errorf("%s: %w; %s", path, err, remedy)
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

// State returns the state that was set last, by this process or by an earlier
// one: Running in a folder just opened means that the process was killed.
func (d *Dir) State() State { return d.state }

// SetState stores the state, so that it outlasts a power failure.
func (d *Dir) SetState(s State) error {
	if err := s.check(); err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	err := d.WriteFile(stateFile, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, s)
		return err
	})
	if err == nil {
		d.state = s
	}
	return err
}

// Path returns the path of something in the folder, or of the folder itself.
func (d *Dir) Path(name ...string) string {
	return filepath.Join(append([]string{d.path}, name...)...)
}

// Name is the folder's name, without the root.
func (d *Dir) Name() string { return filepath.Base(d.path) }

// SetAside is the path under which Fresh has kept the old folder, "" if there
// was none.
func (d *Dir) SetAside() string { return d.setAside }

// WriteFile writes a file of the folder as the function WriteFile does.
func (d *Dir) WriteFile(name string, write func(io.Writer) error) error {
	return WriteFile(d.Path(name), write)
}

// WriteJSON writes v as indented JSON.
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

// Close gives the folder free for other processes.
func (d *Dir) Close() error {
	var err error
	if d.metrics != nil {
		err = d.metrics.Close()
		d.metrics = nil
	}
	if err := errors.Join(err, d.lock.Release()); err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	return nil
}

// marshal is json.Marshal for people: indented, and with < > & as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
