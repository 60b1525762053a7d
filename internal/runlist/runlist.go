// Package runlist holds lists of runs as files: runs.jsonl, with one run a line,
//
//	{"name": …, "settings": {…}, "execution": {…}}
//
// A sweep writes a list, and a worker reads the one line that it executes.
package runlist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Run is one line of a list.
type Run struct {
	Name      string          `json:"name"`      // of the run folder
	Settings  json.RawMessage `json:"settings"`  // all that may change the result
	Execution json.RawMessage `json:"execution"` // what changes speed, memory and places only
}

// Encode returns the content of a list's file. Runs must have different names. Errors name the path
// and the line.
func Encode(path string, runs []Run) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	for _, r := range runs {
		if err := encoder.Encode(r); err != nil {
			return nil, fmt.Errorf("runlist: %s: %s: %w", path, r.Name, err)
		}
	}
	if _, err := parse(path, text.Bytes()); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// Read reads a list. Errors name the file and the line.
func Read(path string) ([]Run, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("runlist: %w", err)
	}
	return parse(path, text)
}

// parse is [Read] of the content of a file.
func parse(path string, text []byte) ([]Run, error) {
	var runs []Run
	lines := map[string]int{}
	for i, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		r, err := parseRun(line)
		if first, again := lines[r.Name]; err == nil && again {
			err = fmt.Errorf("the run %s stands on line %d too", r.Name, first)
		}
		if err != nil {
			return nil, fmt.Errorf("runlist: %s:%d: %w; want a run as {\"name\": …, "+
				"\"settings\": {…}, \"execution\": {…}}", path, i+1, err)
		}
		lines[r.Name] = i + 1
		runs = append(runs, r)
	}
	return runs, nil
}

// parseRun reads one line.
func parseRun(line []byte) (Run, error) {
	var r Run
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return r, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return r, errors.New("more follows the JSON object")
	}
	if r.Name == "" || r.Name[0] == '.' || strings.ContainsAny(r.Name, "/\\\x00") {
		return r, fmt.Errorf("name is %q, want that of a run folder", r.Name)
	}
	for _, part := range []json.RawMessage{r.Settings, r.Execution} {
		if !bytes.HasPrefix(part, []byte("{")) {
			return r, fmt.Errorf("settings or execution is %.20q, want an object", part)
		}
	}
	return r, nil
}

// taskVariables are the environment variables in which schedulers tell a task its number, from 0.
var taskVariables = []string{
	"SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX",
}

// TaskIndex returns the number of a task, from 0: value itself or, for auto, the number that Slurm,
// a Kubernetes Indexed Job or AWS Batch has put into the environment.
func TaskIndex(value string, getenv func(string) string) (int, error) {
	source := "the task"
	if value == "auto" {
		value = ""
		for _, name := range taskVariables {
			if v := getenv(name); v != "" {
				source, value = name, v
				break
			}
		}
		if value == "" {
			return -1, fmt.Errorf("auto needs one of %s in the environment, got none: give the "+
				"number itself", strings.Join(taskVariables, ", "))
		}
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return -1, fmt.Errorf("%s must be a whole number of at least 0, or auto, got %q", source,
			value)
	}
	return n, nil
}
