//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"momentum/internal/cli"
	"momentum/internal/durable"
	"momentum/internal/rundir"
)

// moment is a moment to kill a process: soon after something can be seen in its folder.
type moment struct {
	name string
	seen func(root string, before int64) bool // nil: at any time
	soon time.Duration                        // how much later, at most
}

// moments are all of them. before is the number of bytes of metrics when the process started.
func moments() []moment {
	some := func(patterns ...string) func(string, int64) bool {
		return func(root string, _ int64) bool {
			for _, p := range patterns {
				if found, _ := filepath.Glob(filepath.Join(root, p)); len(found) > 0 {
					return true
				}
			}
			return false
		}
	}
	return []moment{
		{name: "any time"},
		{"a checkpoint", some("runs/*/checkpoints/.*.tmp-*"), 2 * time.Millisecond},
		{"a file", some("runs/*/.*.tmp-*", "out/.*.tmp-*", "out/*/.*.tmp-*"), time.Millisecond},
		{"a row", func(root string, before int64) bool { return written(root) > before },
			20 * time.Millisecond},
		{"the end", some("runs/*/metrics.csv", "runs/*/SHA256SUMS", "out/*.svg"),
			50 * time.Millisecond},
	}
}

// written is the number of bytes of metrics in a folder.
func written(root string) (bytes int64) {
	found, _ := filepath.Glob(filepath.Join(root, "runs/*/metrics.jsonl"))
	for _, path := range found {
		if info, err := os.Stat(path); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// killAll kills victims until there were enough kills.
func (c *campaign) killAll(ctx context.Context) error {
	began, kills := time.Now(), 0
	first, last := c.numbers("kill", math.MaxInt)
	for number := first; number < last && kills < c.kills && ctx.Err() == nil; number++ {
		n, err := c.killedRun(ctx, number)
		if err != nil {
			return err
		}
		if kills += n; number%20 == 19 {
			fmt.Fprintf(c.stdout, "kills     %d in %d runs, %v\n", kills, c.runs,
				time.Since(began).Round(time.Second))
		}
	}
	return nil
}

// killedRun starts a victim, which is killed up to six times, until it is done, and compares its
// result with that of an undisturbed one. It returns the number of kills.
func (c *campaign) killedRun(ctx context.Context, number int) (int, error) {
	name, random := fmt.Sprintf("kill-%d", number), c.random("kill", number)
	v := c.victims[random.IntN(len(c.victims))]
	root := filepath.Join(c.work, name)
	kills := 0
	for left := 1 + random.IntN(6); ; left-- {
		before := written(root)
		if err := age(root); err != nil {
			return kills, err
		}
		p, err := v.start(ctx, root)
		if err != nil {
			return kills, err
		}
		all := moments()
		m, whom := all[random.IntN(len(all))], targets[0]
		if v.study {
			whom = targets[random.IntN(len(targets))]
		}
		fraction := random.Float64()
		if left > 0 {
			c.kill(p, v, root, m, whom, before, fraction)
		}
		status, stderr := p.end()
		text := strings.TrimSpace(stderr)
		switch {
		case ctx.Err() != nil:
			return kills, nil
		case p.killed && (status == -1 || whom == "worker" && status == cli.Failed &&
			strings.Contains(text, "the same command goes on with them")):
			kills++
			c.killed.add(v.name, m.name)
			continue
		case status == -1:
			c.fail(name, root, "%s after %d kill(s): does not end; see the stacks in %s.stderr",
				v.name, kills, filepath.Base(root))
		case status != cli.Done:
			c.fail(name, root, "%s after %d kill(s): status %d, %s", v.name, kills, status, text)
		default:
			if bad := c.bad(v, root); bad != "" {
				c.fail(name, root, "%s after %d kill(s): %s", v.name, kills, bad)
			} else {
				c.runs++
				return kills, os.RemoveAll(root)
			}
		}
		return kills, nil
	}
}

// age makes the temporary files of killed processes two minutes older: younger ones may be another
// machine's, and stay.
func age(root string) error {
	old := time.Now().Add(-2 * time.Minute)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && durable.IsTemporary(e.Name()) {
			err = os.Chtimes(path, old, old)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// bad says what is wrong with the folder of a victim that is done, "" if nothing is.
func (c *campaign) bad(v *victim, root string) string {
	got, err := result(root)
	if err != nil {
		return err.Error()
	}
	bad := differences(got, v.want)
	found, _ := filepath.Glob(filepath.Join(root, "runs/*/checkpoints"))
	for _, path := range found {
		entries, err := os.ReadDir(path)
		kept := 0
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".damaged") {
				kept++
			}
		}
		if err != nil || kept > 2 {
			bad = append(bad, fmt.Sprintf("%d checkpoints are left, want at most 2", kept))
		}
	}
	for path := range v.want {
		if filepath.Base(path) != "config.json" {
			continue
		}
		if _, err := rundir.Check(filepath.Join(root, filepath.Dir(path))); err != nil {
			bad = append(bad, err.Error())
		}
	}
	return strings.Join(bad, ", ")
}

// targets are the processes of a study that can be killed: all at once, the one that was started,
// or one that executes a run.
var targets = [...]string{"all", "parent", "worker"}

// kill waits for a moment and kills a process, or one of its workers. It kills nothing if the
// process ends first.
func (c *campaign) kill(p *process, v *victim, root string, m moment, whom string, before int64,
	fraction float64) {
	wait := time.Duration(fraction * 1.2 * float64(v.took))
	if m.seen != nil {
		for !m.seen(root, before) {
			select {
			case <-p.ended:
				return
			case <-time.After(200 * time.Microsecond):
			}
		}
		wait = time.Duration(fraction * float64(m.soon))
	}
	select {
	case <-p.ended:
		return
	case <-time.After(wait):
	}
	switch whom {
	case "all":
		p.killed = p.killGroup() == nil
	case "parent":
		p.killed = p.Process.Kill() == nil
	default:
		found, _ := filepath.Glob(filepath.Join(root, "runs/*/config.json"))
		for _, path := range found {
			// A worker is in the group of the process, so no other process is hit.
			holder, held, err := rundir.Held(filepath.Dir(path))
			if err != nil || !held {
				continue
			}
			if group, err := syscall.Getpgid(holder.PID); err == nil && group == p.Process.Pid {
				p.killed = syscall.Kill(holder.PID, syscall.SIGKILL) == nil
				return
			}
		}
	}
}
