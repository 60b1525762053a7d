package study

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"momentum/internal/backend"
	"momentum/internal/lockfile"
	"momentum/internal/sweep"
)

// lock keeps other processes off the study.
func (i *invocation) lock() (*lockfile.Lock, error) {
	if err := os.MkdirAll(i.out, 0o777); err != nil {
		return nil, err
	}
	lock, err := lockfile.Acquire(filepath.Join(i.out, "study.lock"))
	if held := (*lockfile.HeldError)(nil); errors.As(err, &held) {
		return nil, fmt.Errorf("%s is worked on already, wait for it or stop it: %w", i.out, held)
	}
	return lock, err
}

// newLauncher returns the Launcher, whose runs are this program itself as a worker.
func (i *invocation) newLauncher() (sweep.Launcher, error) {
	if i.program == "" {
		var err error
		if i.program, err = i.copyProgram(); err != nil {
			return nil, err
		}
	}
	command := []string{i.program, worker}
	if i.launcher == "slurm" {
		l := i.slurm
		l.Command, l.Flags, l.Stdout = command, strings.Fields(i.sbatch), i.stdout
		return &l, nil
	}
	jobs, gpus := i.slots()
	return &sweep.Pool{Command: command, Jobs: jobs, GPUs: gpus, Stdout: i.stdout}, nil
}

// slots are the numbers of runs at a time and the GPUs.
func (i *invocation) slots() (jobs int, gpus []string) {
	if i.pool.gpus != "" {
		gpus = strings.Split(i.pool.gpus, ",")
	}
	switch {
	case i.pool.jobs > 0:
		return i.pool.jobs, gpus
	case len(gpus) > 0:
		return len(gpus), gpus
	case backend.HasGPU():
		return 1, nil
	}
	return min(2, runtime.GOMAXPROCS(0)), nil
}

// copyProgram copies this program's executable into the study's folder, where the nodes of a
// cluster find it, and where it outlives a later build and the temporary folder of go run. It
// returns the absolute path of the copy.
func (i *invocation) copyProgram() (path string, err error) {
	executable, err := os.Executable()
	if err != nil {
		return "", err
	}
	if path, err = filepath.Abs(filepath.Join(i.out, i.Figure.Name)); err != nil {
		return "", err
	}
	if err := os.MkdirAll(i.out, 0o777); err != nil {
		return "", err
	}
	// Aside and renamed: tasks of a cluster may be executing the old one.
	aside := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	defer os.Remove(aside)
	if err := copyFile(aside, executable); err != nil {
		return "", fmt.Errorf("study: copying the program: %w", err)
	}
	return path, os.Rename(aside, path)
}

// copyFile copies an executable file.
func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o777)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
