// Package sweep executes a list of runs (internal/runlist): on this machine, several at a time, or
// with another [Launcher] such as that of internal/sweep/slurm. It knows nothing about what the
// runs do: a command executes one line of the list and leaves its result in the run's folder
// (internal/rundir).
//
// A sweep's folder holds
//
//	runs.jsonl     the list, written once and never changed
//	logs/NAME.log  the output of each run's processes
//	sweep.lock     while a process works on it
//
// and the files of the launcher. The run folders lie elsewhere, shared by all sweeps. The state of
// a run is read from its folder alone, so any process may be killed at any time: the next one goes
// on with the runs that are missing.
package sweep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"momentum/internal/durable"
	"momentum/internal/rundir"
	"momentum/internal/runlist"
)

// List is a sweep.
type List struct {
	Dir  string // the sweep's folder
	Root string // the folder of the run folders
	Runs []runlist.Run
}

// listPath is the list of a sweep in its folder.
func listPath(dir string) string { return filepath.Join(dir, "runs.jsonl") }

// Path is the file of the list.
func (l *List) Path() string { return listPath(l.Dir) }

// Folder is the path of a run's folder.
func (l *List) Folder(index int) string { return filepath.Join(l.Root, l.Runs[index].Name) }

// Logs is the folder of the runs' logs.
func (l *List) Logs() string { return filepath.Join(l.Dir, "logs") }

// Log is the file of the output of a run's processes.
func (l *List) Log(index int) string { return filepath.Join(l.Logs(), l.Runs[index].Name+".log") }

// Plan writes the list of a sweep into its folder, which it makes if it is missing. A list that
// exists already must be the same: it is never changed. Runs must have different names.
func Plan(dir, root string, runs []runlist.Run) (*List, error) {
	path := listPath(dir)
	text, err := runlist.Encode(path, runs)
	if err != nil {
		return nil, err
	}
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return nil, fmt.Errorf("sweep: %w", err)
		}
		err = durable.WriteBytes(path, text)
	} else if err == nil && !bytes.Equal(old, text) {
		err = difference(path, old, text)
	} else {
		err = durable.WithRemedy(err, misplaced)
	}
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return &List{Dir: dir, Root: root, Runs: runs}, nil
}

// difference is the error of a list in a folder that differs from the wanted one.
func difference(path string, old, want []byte) error {
	const remedy = "name another folder for this sweep; runs in both lists are executed only once"
	a, b := strings.SplitAfter(string(old), "\n"), strings.SplitAfter(string(want), "\n")
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a) || a[i] == "":
			return fmt.Errorf("%s: ends after %d runs, want %d: remove the file, it is written "+
				"again; runs that have ended are not repeated", path, i,
				bytes.Count(want, []byte("\n")))
		case i >= len(b) || b[i] == "":
			return fmt.Errorf("%s: has %d runs, want %d: %s", path,
				bytes.Count(old, []byte("\n")), i, remedy)
		case a[i] != b[i]:
			var got, wanted runlist.Run
			if json.Unmarshal([]byte(a[i]), &got) != nil ||
				json.Unmarshal([]byte(b[i]), &wanted) != nil {
				return fmt.Errorf("%s:%d: damaged: remove the file, it is written again", path, i+1)
			}
			if d := rundir.Difference(got.Settings, wanted.Settings); d != "" {
				return fmt.Errorf("%s:%d: a list with other settings: %s; %s", path, i+1, d, remedy)
			}
			return fmt.Errorf("%s:%d: a list with another execution: %s; %s", path, i+1,
				rundir.Difference(got.Execution, wanted.Execution), remedy)
		}
	}
	return nil
}

// Read reads the list of a sweep that was planned before.
func Read(dir, root string) (*List, error) {
	runs, err := runlist.Read(listPath(dir))
	if err != nil {
		return nil, durable.WithRemedy(err, misplaced)
	}
	return &List{Dir: dir, Root: root, Runs: runs}, nil
}

const misplaced = "move it away, the list is written again"
