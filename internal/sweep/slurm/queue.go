package slurm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// ranges writes numbers in order, in the syntax of --array: 0-2,5.
func ranges(numbers []int) string {
	sorted := slices.Sorted(slices.Values(numbers))
	var parts []string
	for i := 0; i < len(sorted); {
		j := i + 1
		for j < len(sorted) && sorted[j] == sorted[j-1]+1 {
			j++
		}
		if j == i+1 {
			parts = append(parts, strconv.Itoa(sorted[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", sorted[i], sorted[j-1]))
		}
		i = j
	}
	return strings.Join(parts, ",")
}

// task is one task of an array in the queue.
type task struct {
	array  string
	index  int
	state  string
	reason string // why it does not run yet
}

// jobName is the name of all arrays of a sweep, by which the queue finds them: also an array whose
// process was killed before it could note the array's number.
func jobName(dir string) string {
	hash := sha256.Sum256([]byte(dir))
	return "sweep-" + hex.EncodeToString(hash[:])[:12]
}

// squeue lists the tasks of a sweep that have not ended, in any array.
func squeue(dir string) ([]task, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("squeue", "--noheader", "--array", "--name="+jobName(dir),
		"--format=%F %K %T %r")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, clientError("squeue", err, stderr.String())
	}
	return parseQueue(stdout.String())
}

// parseQueue reads the output of squeue: a line for each task, with the array, the index, the state
// and the reason, which may have blanks.
func parseQueue(text string) ([]task, error) {
	var tasks []task
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		index := -1
		if len(words) >= 3 {
			if n, err := strconv.Atoi(words[1]); err == nil {
				index = n
			}
		}
		if index < 0 {
			return nil, fmt.Errorf(
				"slurm: squeue: %.80q, want a line such as \"12 3 PENDING Resources\"", line)
		}
		tasks = append(tasks, task{array: words[0], index: index, state: words[2],
			reason: strings.Join(words[3:], " ")})
	}
	return tasks, nil
}

// scancel cancels all tasks of a sweep.
func scancel(dir string) error {
	var stderr bytes.Buffer
	cmd := exec.Command("scancel", "--name="+jobName(dir))
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return clientError("scancel", err, stderr.String())
	}
	return nil
}

// arrays names the arrays of tasks in the syntax of scancel.
func arrays(tasks map[int]task) string {
	all := map[string]bool{}
	for _, t := range tasks {
		all[t.array] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(all)), " ")
}

// clientError is the error of one of Slurm's programs, on one line.
func clientError(name string, err error, stderr string) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("slurm: %s is not installed here: start this where jobs are submitted "+
			"from, such as a cluster's login node: %w", name, err)
	}
	var lines []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(line), name+": "), "error: ")
		if line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return fmt.Errorf("slurm: %s: %w", name, err)
	}
	return fmt.Errorf("slurm: %s: %s", name, strings.Join(lines, "; "))
}
