// Package sweep executes a list of runs (internal/runlist): on this machine, several at a time, or
// with another [Launcher] such as that of internal/sweep/slurm. It knows nothing about what the
// runs do: a command executes one line of the list and leaves its result in the run's folder
// (internal/rundir).
//
// A sweep's folder holds
//
//	runs.jsonl     the list, to which runs may be added at its end
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
	"slices"

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

// Plan writes the list of a sweep into its folder, which it makes if it is missing. To a list that
// exists already it adds the runs that are missing, at the end: a task keeps its number. All runs
// of that list must be among the wanted ones. Runs must have different names.
func Plan(dir, root string, runs []runlist.Run) (*List, error) {
	path := listPath(dir)
	text, err := runlist.Encode(path, runs)
	if err != nil {
		return nil, err
	}
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(dir, 0o777); err == nil {
			err = durable.WriteBytes(path, text)
		}
	} else if err == nil && !bytes.Equal(old, text) {
		var all []byte
		if all, err = grown(path, old, text); err == nil && !bytes.Equal(old, all) {
			err = durable.WriteBytes(path, all)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return Read(dir, root)
}

// grown is the content of a list with those of the wanted runs at its end that it does not have. It
// is an error if the list has others.
func grown(path string, old, want []byte) ([]byte, error) {
	lines, wanted := slices.Collect(bytes.Lines(old)), slices.Collect(bytes.Lines(want))
	var added [][]byte
	isWanted, has := map[string]bool{}, map[string]bool{}
	for _, line := range wanted {
		isWanted[string(line)] = true
	}
	for _, line := range lines {
		has[string(line)] = true
	}
	for _, line := range wanted {
		if !has[string(line)] {
			added = append(added, line)
		}
	}
	for i, line := range lines {
		switch {
		case isWanted[string(line)]:
		case len(added) == 0:
			return nil, fmt.Errorf("%s: has %d runs, want %d of them: give the flags by which "+
				"they were added, too, or %s", path, len(lines), len(wanted), another)
		case i < len(wanted) && !has[string(wanted[i])]:
			return nil, difference(path, i, line, wanted[i])
		default:
			return nil, difference(path, i, line, added[0])
		}
	}
	return append(old, bytes.Join(added, nil)...), nil
}

// another is a remedy where two sweeps would share a folder.
const another = "name another folder for this sweep; runs in both lists are executed only once"

// difference is the error of a line of a list, by its number from 0, that differs from a wanted
// run.
func difference(path string, i int, line, want []byte) error {
	var got, wanted runlist.Run
	if !bytes.HasSuffix(line, []byte("\n")) || json.Unmarshal(line, &got) != nil ||
		json.Unmarshal(want, &wanted) != nil {
		return fmt.Errorf("%s:%d: damaged: remove the file, it is written again; runs that have "+
			"ended are not repeated", path, i+1)
	}
	if d := rundir.Difference(got.Settings, wanted.Settings); d != "" {
		return fmt.Errorf("%s:%d: a list with other settings: %s; %s", path, i+1, d, another)
	}
	return fmt.Errorf("%s:%d: a list with another execution: %s; %s", path, i+1,
		rundir.Difference(got.Execution, wanted.Execution), another)
}

// Read reads the list of a sweep that was planned before.
func Read(dir, root string) (*List, error) {
	runs, err := runlist.Read(listPath(dir))
	if err != nil {
		return nil, err
	}
	return &List{Dir: dir, Root: root, Runs: runs}, nil
}
