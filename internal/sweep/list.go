// Package sweep runs a list of runs: on this machine, several at a time, or as an array of a Slurm
// cluster's jobs. It knows nothing of what is run; a run is a JSON object of settings and the name
// of its run folder (internal/rundir), and a command that can make it.
//
// A sweep's folder holds
//
//	runs.jsonl     the list, one run a line, written once and never changed
//	logs/NAME.log  what each run's processes have printed
//	sweep.lock     while a process works on it
//	slurm.sh       the last array of jobs that was submitted, and slurm.json its number
//
// The run folders themselves lie elsewhere, shared by all sweeps. What has become of a run is read
// from its folder alone, so any process may be killed at any time: the next one goes on with what
// is missing.
package sweep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"momentum/internal/rundir"
)

// listFile is the name of a sweep's list in its folder.
const listFile = "runs.jsonl"

// Run is a line of the list.
type Run struct {
	Name      string          `json:"name"`      // of its run folder
	Settings  json.RawMessage `json:"settings"`  // all that may change the result
	Execution json.RawMessage `json:"execution"` // what changes speed, memory and places only
}

// List is a sweep.
type List struct {
	Dir  string // the sweep's folder
	Root string // where the run folders lie
	Runs []Run
}

// Plan writes the list of a sweep into its folder, which is made if it is missing. A list that is
// there already must be the same one: it is never changed. Runs must have different names.
func Plan(dir, root string, runs []Run) (*List, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	for _, r := range runs {
		if err := encoder.Encode(r); err != nil {
			return nil, fmt.Errorf("sweep: %s: %w", r.Name, err)
		}
	}
	path := filepath.Join(dir, listFile)
	if _, err := parseRuns(path, text.Bytes()); err != nil {
		return nil, err
	}
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return nil, fmt.Errorf("sweep: %w", err)
		}
		err = rundir.WriteFile(path, func(w io.Writer) error {
			_,
				err := w.Write(text.Bytes())
			return err
		})
	} else if err == nil && !bytes.Equal(old, text.Bytes()) {
		err = different(path, old, text.Bytes())
	}
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return &List{Dir: dir, Root: root, Runs: runs}, nil
}

// different says how the list in a folder is another one than that which is wanted.
func different(path string, old, want []byte) error {
	const remedy = "name another folder for this sweep; runs that both want are made only once"
	a, b := strings.SplitAfter(string(old), "\n"), strings.SplitAfter(string(want), "\n")
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a) || a[i] == "":
			return fmt.Errorf("%s: ends after %d runs, want %d: %s", path, i,
				bytes.Count(want, []byte("\n")), remedy)
		case i >= len(b) || b[i] == "":
			return fmt.Errorf("%s: has %d runs, want %d: %s", path, bytes.Count(old, []byte("\n")),
				i, remedy)
		case a[i] != b[i]:
			var r, s Run
			if json.Unmarshal([]byte(a[i]), &r) != nil || json.Unmarshal([]byte(b[i]), &s) != nil {
				return fmt.Errorf("%s:%d: damaged: remove the file, it is written again", path, i+1)
			}
			if d := rundir.Difference(r.Settings, s.Settings); d != "" {
				return fmt.Errorf("%s:%d: a list with other settings: %s; %s", path, i+1, d, remedy)
			}
			return fmt.Errorf("%s:%d: a list with another way to run: %s; %s", path, i+1,
				rundir.Difference(r.Execution, s.Execution), remedy)
		}
	}
	return nil
}

// Read reads the list of a sweep that was planned before.
func Read(dir, root string) (*List, error) {
	runs, err := ReadRuns(filepath.Join(dir, listFile))
	if err != nil {
		return nil, err
	}
	return &List{Dir: dir, Root: root, Runs: runs}, nil
}

// ReadRuns reads a list.
func ReadRuns(path string) ([]Run, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return parseRuns(path, text)
}

// parseRuns is [ReadRuns] of bytes. Errors name the file and the line.
func parseRuns(path string, text []byte) ([]Run, error) {
	var runs []Run
	seen := map[string]int{}
	for i, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		var r Run
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&r)
		if err == nil {
			if _, e := decoder.Token(); e != io.EOF {
				err = errors.New("more follows the JSON object")
			}
		}
		if err == nil && (r.Name == "" || r.Name[0] == '.' ||
			strings.ContainsAny(r.Name, "/\\\x00")) {
			err = fmt.Errorf("name is %q, want that of a run folder", r.Name)
		}
		for _, part := range []json.RawMessage{r.Settings, r.Execution} {
			if err == nil && !bytes.HasPrefix(part, []byte("{")) {
				err = fmt.Errorf("settings or execution is %.20q, want an object", part)
			}
		}
		if before, again := seen[r.Name]; err == nil && again {
			err = fmt.Errorf("the run %s stands on line %d too", r.Name, before)
		}
		if err != nil {
			return nil, fmt.Errorf("sweep: %s:%d: %w; want a run as {\"name\": …, \"settings\": "+
				"{…}, \"execution\": {…}}", path, i+1, err)
		}
		seen[r.Name] = i + 1
		runs = append(runs, r)
	}
	return runs, nil
}

// arrays are the variables in which engines tell a task its number, from 0.
var arrays = []string{"SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX"}

// TaskIndex is the number of a task, from 0: value itself or, if that is auto, what Slurm, a
// Kubernetes Indexed Job or AWS Batch says in the environment.
func TaskIndex(value string, getenv func(string) string) (int, error) {
	from := "the task"
	if value == "auto" {
		value = ""
		for _, name := range arrays {
			if v := getenv(name); v != "" {
				from, value = name, v
				break
			}
		}
		if value == "" {
			return -1, fmt.Errorf("auto needs one of %s in the environment, got none: give the "+
				"number itself", strings.Join(arrays, ", "))
		}
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return -1, fmt.Errorf("%s must be a whole number of at least 0, or auto, got %q", from,
			value)
	}
	return n, nil
}
