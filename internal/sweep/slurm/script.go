package slurm

import (
	"bytes"
	_ "embed" // task.sh.tmpl
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"momentum/internal/cli"
	"momentum/internal/durable"
	"momentum/internal/sweep"
)

// The files of an array in the sweep's folder.
const (
	scriptFile = "slurm.sh"
	arrayFile  = "slurm.json"
)

//go:embed task.sh.tmpl
var taskText string

// taskTemplate is the script of a task.
var taskTemplate = template.Must(template.New("task.sh.tmpl").Parse(taskText))

// exitFile is the file in which the script notes the exit status of a run's process.
func exitFile(l *sweep.List, index int) string {
	return strings.TrimSuffix(l.Log(index), ".log") + ".exit"
}

// broke reports whether the process of a run without a result ended by an error, as the script has
// noted: not because it, or the script with it, was stopped or killed, and not for a full disk.
func broke(l *sweep.List, index int) bool {
	text, err := os.ReadFile(exitFile(l, index))
	if err != nil {
		return false
	}
	status, err := strconv.Atoi(strings.TrimSpace(string(text)))
	line, lineErr := l.LastLine(index)
	return err == nil && lineErr == nil && status != 0 && status != cli.Stopped && status <= 128 &&
		!sweep.FullDisk(line)
}

// submit writes the script of the tasks and submits it. It returns the array's number. The folder
// of the list must be absolute.
func (s *Launcher) submit(l *sweep.List, indices []int) (array string, err error) {
	here, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("slurm: %w", err)
	}
	if err := os.MkdirAll(l.Logs(), 0o777); err != nil {
		return "", fmt.Errorf("slurm: %w", err)
	}
	path := filepath.Join(l.Dir, scriptFile)
	err = durable.WriteFile(path, func(w io.Writer) error { return s.writeScript(w, l, here) })
	if err != nil {
		return "", fmt.Errorf("slurm: %w", err)
	}
	args := append(s.flags(l.Dir, indices), path)
	var stdout, stderr bytes.Buffer
	sbatch := exec.Command("sbatch", args...)
	sbatch.Stdout, sbatch.Stderr = &stdout, &stderr
	if err := sbatch.Run(); err != nil {
		err = clientError("sbatch", err, stderr.String())
		if strings.Contains(stderr.String(), "Invalid job array specification") {
			err = fmt.Errorf("%w: the largest task is %d, and the cluster's MaxArraySize (see "+
				"scontrol show config) must be larger than that: let the cluster's administrator "+
				"raise it, or plan a smaller sweep", err, slices.Max(indices))
		}
		return "", err
	}
	array, _, _ = strings.Cut(strings.TrimSpace(stdout.String()), ";") // the cluster may follow
	if _, err := strconv.ParseUint(array, 10, 64); err != nil {
		return "", fmt.Errorf("slurm: sbatch --parsable has printed %q, want a number",
			stdout.String())
	}
	err = durable.WriteFile(filepath.Join(l.Dir, arrayFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"array": array, "tasks": ranges(indices),
			"sbatch": append([]string{"sbatch"}, args...)})
	})
	if err != nil {
		return "", fmt.Errorf("slurm: array %s is submitted: %w", array, err)
	}
	return array, nil
}

// flags are the flags of sbatch. The user's follow those that may differ and precede those that
// must not. The folder is the tasks' working folder until the script leaves it, so that --output,
// whose value has a syntax of its own, need not contain its path.
func (s *Launcher) flags(dir string, indices []int) []string {
	flags := []string{"--nodes=1", "--ntasks=1", fmt.Sprintf("--signal=B:USR1@%d", warning),
		"--no-requeue"}
	if s.Requeue {
		flags[len(flags)-1] = "--requeue"
	}
	if s.GPUs > 0 {
		// Not --gpus-per-task, which is for tasks that srun starts inside a job: a script without
		// srun sees the GPUs that the job has on its node.
		flags = append(flags, fmt.Sprintf("--gres=gpu:%d", s.GPUs))
	}
	if s.Time > 0 {
		d := s.Time.Round(time.Second)
		flags = append(flags, fmt.Sprintf("--time=%d:%02d:%02d", int(d.Hours()),
			int(d.Minutes())%60, int(d.Seconds())%60))
	}
	if s.Partition != "" {
		flags = append(flags, "--partition="+s.Partition)
	}
	array := ranges(indices)
	if s.Concurrent > 0 {
		array += fmt.Sprintf("%%%d", s.Concurrent)
	}
	return append(append(flags, s.Flags...), "--parsable", "--job-name="+jobName(dir),
		"--array="+array, "--chdir="+dir, "--output=logs/slurm.log", "--open-mode=append")
}

// writeScript writes the script of the tasks, which execute the command in the working folder.
func (s *Launcher) writeScript(out io.Writer, l *sweep.List, workingFolder string) error {
	var names, command []string
	for _, r := range l.Runs {
		names = append(names, cli.Quote(r.Name))
	}
	for _, word := range append(slices.Clone(s.Command), "-config="+l.Path()) {
		command = append(command, cli.Quote(word))
	}
	return taskTemplate.Execute(out, map[string]any{
		"Names": names, "WorkingFolder": cli.Quote(workingFolder), "Logs": cli.Quote(l.Logs()),
		"Command": strings.Join(command, " "), "Warning": warning, "Stopped": cli.Stopped,
		"Requeue": s.Requeue,
	})
}
