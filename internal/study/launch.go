package study

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/durable"
	"momentum/internal/lockfile"
	"momentum/internal/sweep"
)

// lock keeps other processes off the study, and tidies up after killed ones.
func (i *invocation) lock() (*lockfile.Lock, error) {
	if err := os.MkdirAll(i.out, 0o777); err != nil {
		return nil, err
	}
	lock, err := lockfile.Acquire(filepath.Join(i.out, "study.lock"))
	if held := (*lockfile.HeldError)(nil); errors.As(err, &held) {
		return nil, fmt.Errorf("%s is worked on already, wait for it or stop it: %w", i.out, held)
	} else if err != nil {
		return nil, err
	}
	if err := tidyUp(i.out); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return lock, nil
}

// tidyUp removes from the folder of a study, and from those of its stages, what killed processes
// have left.
func tidyUp(out string) error {
	entries, err := os.ReadDir(out)
	if err != nil {
		return err
	}
	err = durable.RemoveTemporary(out)
	for _, e := range entries {
		if e.IsDir() && !durable.IsTemporary(e.Name()) {
			err = errors.Join(err, sweep.Tidy(filepath.Join(out, e.Name())))
		}
	}
	return err
}

// newLauncher returns the Launcher, whose runs are this program itself as a worker.
func (i *invocation) newLauncher() (sweep.Launcher, error) {
	program, err := i.program()
	if err != nil {
		return nil, err
	}
	command := append([]string{program, worker}, i.share()...)
	if i.launcher == "slurm" {
		l := i.slurm
		l.Command, l.Flags = command, strings.Fields(i.sbatch)
		return &l, nil
	}
	jobs, gpus := i.slots()
	return &sweep.Pool{Command: command, Jobs: jobs, GPUs: gpus}, nil
}

// fetch downloads the images that are missing, so that a study which cannot have them ends before
// it measures and trains. The nodes of a cluster may have others than this machine.
func (i *invocation) fetch(ctx context.Context) error {
	if i.launcher == "slurm" {
		return nil
	}
	for _, data := range i.data {
		if _, _, err := datasets.Load(ctx, data, datasets.Options{Dir: i.base.DataDir,
			Offline: i.base.Offline, Mirror: i.base.Mirror, Out: i.stderr}); err != nil {
			return err
		}
	}
	return nil
}

// slots are the number of runs at a time, and the GPUs: several runs on one name it several times.
func (o *options) slots() (jobs int, gpus []string) {
	if o.pool.gpus != "" {
		gpus = slices.Repeat(strings.Split(o.pool.gpus, ","), o.pool.perGPU)
	}
	switch {
	case o.pool.jobs > 0:
		return o.pool.jobs, gpus
	case len(gpus) > 0:
		return len(gpus), gpus
	case backend.HasGPU():
		return o.pool.perGPU, nil
	}
	return min(2, runtime.GOMAXPROCS(0)), nil
}

// share are the flags of a worker that shares its GPU with others: an equal part of its memory, of
// which a tenth is left to the driver, unless the user says how much a run takes. It is no part of
// the lists, so that a study can move to other GPUs.
func (o *options) share() []string {
	jobs, gpus := o.slots()
	runs := map[string]int{} // at a time, by GPU
	for slot := range jobs {
		switch {
		case len(gpus) > 0:
			runs[gpus[slot%len(gpus)]]++
		case backend.HasGPU(): // all runs see the same GPUs
			runs[""]++
		}
	}
	most := slices.Max(append(slices.Collect(maps.Values(runs)), 1))
	if most == 1 || o.base.GPUMemory > 0 {
		return nil
	}
	return []string{fmt.Sprintf("-gpu-memory=%.3g", 0.9/float64(most))}
}

// checkGPUs refuses -gpus on a machine without a GPU, where each run would take all cores.
func (o *options) checkGPUs() error {
	if o.pool.gpus == "" || backend.HasGPU() {
		return nil
	}
	return cli.Usagef("-gpus=%s: no NVIDIA GPU was found on this machine: leave out -gpus",
		o.pool.gpus)
}

// notNumber reports whether a word is not the number of a GPU.
func notNumber(word string) bool {
	_, err := strconv.ParseUint(word, 10, 16)
	return err != nil
}

// program returns the absolute path of a copy of this program in the study's folder, where the
// nodes of a cluster find it, and where it outlives a later build and the temporary folder of go
// run. The first call copies it; tasks of a cluster that execute an older copy keep that one.
func (i *invocation) program() (path string, err error) {
	if i.copied != "" {
		return i.copied, nil
	}
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
	if err := durable.CopyFile(path, executable); err != nil {
		return "", fmt.Errorf("study: copying the program: %w", err)
	}
	i.copied = path
	return path, nil
}
