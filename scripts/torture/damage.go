//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"momentum/internal/cli"
	"momentum/internal/durable"
)

// kind is a kind of damage to a file or a folder. It returns false if that cannot have it.
type kind struct {
	name string
	do   func(path string, random *rand.Rand) (bool, error)
}

// kinds are all of them. Those to a content and to its permissions are for files alone.
func kinds() []kind {
	replace := func(by func(path string) error) func(string, *rand.Rand) (bool, error) {
		return func(path string, _ *rand.Rand) (bool, error) {
			return true, errors.Join(os.RemoveAll(path), by(path))
		}
	}
	file := func(do func(string, *rand.Rand) (bool, error)) func(string, *rand.Rand) (bool,
		error) {
		return func(path string, random *rand.Rand) (bool, error) {
			if info, err := os.Stat(path); err != nil || info.IsDir() {
				return false, err
			}
			return do(path, random)
		}
	}
	return []kind{
		{"flipped bit", file(func(path string, random *rand.Rand) (bool, error) {
			content, err := os.ReadFile(path)
			if err != nil || len(content) == 0 {
				return false, err
			}
			content[random.IntN(len(content))] ^= 1 << random.IntN(8)
			return true, os.WriteFile(path, content, 0o666)
		})},
		{"cut short", file(func(path string, random *rand.Rand) (bool, error) {
			info, err := os.Stat(path)
			if err != nil || info.Size() == 0 {
				return false, err
			}
			return true, os.Truncate(path, random.Int64N(info.Size()))
		})},
		{"emptied", file(func(path string, _ *rand.Rand) (bool, error) {
			return true, os.Truncate(path, 0)
		})},
		{"deleted", replace(func(string) error { return nil })},
		{"a folder", replace(func(path string) error { return os.Mkdir(path, 0o777) })},
		{"another file", replace(func(path string) error {
			return os.WriteFile(path, []byte("another\n"), 0o666)
		})},
		{"a dangling link", replace(func(path string) error {
			return os.Symlink("nowhere", path)
		})},
		{"read-only", file(func(path string, _ *rand.Rand) (bool, error) {
			return true, os.Chmod(path, 0o444)
		})},
	}
}

// The outcomes of a start with a damaged folder, and of a download.
const (
	recovered = "recovered" // ends with the bytes of an undisturbed run, or those of the files
	refused   = "refused"   // in one line that names a file of the folder, or the source
	wrong     = "wrong"     // anything else
)

// patient is the folder of a run that has ended or was interrupted, with its files and folders.
type patient struct {
	*victim
	state  string
	folder string
	files  []string
}

// patients are the folders of the victims with one run, of cifar on one device.
func (c *campaign) patients(ctx context.Context) (all []patient, err error) {
	for _, v := range c.victims {
		if v.study || v.name == "cifar-2" {
			continue
		}
		interrupted := filepath.Join(c.work, "interrupted-"+v.name)
		if err := v.interrupt(ctx, interrupted); err != nil {
			return nil, err
		}
		all = append(all, patient{v, "finished", v.calm, nil},
			patient{v, "interrupted", interrupted, nil})
	}
	for i := range all {
		root := os.DirFS(all[i].folder)
		err := fs.WalkDir(root, "runs", func(path string, e fs.DirEntry, err error) error {
			if err == nil && durable.IsTemporary(e.Name()) && e.IsDir() {
				return fs.SkipDir
			}
			if err == nil && path != "runs" && !durable.IsTemporary(e.Name()) {
				all[i].files = append(all[i].files, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// interrupt starts a victim in a folder and kills it when it has two checkpoints and is not done.
func (v *victim) interrupt(ctx context.Context, folder string) error {
	for range 10 {
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
		p, err := v.start(ctx, folder)
		if err != nil {
			return err
		}
		for found := 0; found < 2; {
			names, _ := filepath.Glob(filepath.Join(folder, "runs/*/checkpoints/step-????????"))
			found = len(names)
			select {
			case <-p.ended:
				found = 2
			case <-time.After(200 * time.Microsecond):
			}
		}
		if err := p.killGroup(); err != nil && ctx.Err() != nil {
			return err
		}
		if status, _ := p.end(); status == -1 {
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s: is done before it can be interrupted", v.name)
}

// damageAll damages files and folders of finished and interrupted runs, one at a time: all kinds of
// damage to all of them in a random order, and then once more at other places of the files.
func (c *campaign) damageAll(ctx context.Context) error {
	first, last := c.numbers("damage", c.damages)
	if first == last {
		return nil
	}
	patients, err := c.patients(ctx)
	if err != nil {
		return err
	}
	type pair struct {
		patient
		kind
		file string
	}
	var pairs []pair
	for _, p := range patients {
		for _, k := range kinds() {
			for _, file := range p.files {
				pairs = append(pairs, pair{p, k, file})
			}
		}
	}
	order := c.random("order", 0).Perm(len(pairs))
	fmt.Fprintf(c.stdout, "damages   %d kinds of damage to %d folders make %d cases\n",
		len(kinds()), len(patients), len(pairs))
	for number := first; number < last && ctx.Err() == nil; number++ {
		p := pairs[order[number%len(pairs)]]
		if err := c.damage(ctx, number, p.patient, p.kind, p.file); err != nil {
			return err
		}
	}
	return nil
}

// damage damages a file or a folder in a copy of a patient, and starts the victim there.
func (c *campaign) damage(ctx context.Context, number int, p patient, k kind, file string) error {
	name := fmt.Sprintf("damage-%d", number)
	root := filepath.Join(c.work, name)
	if err := os.CopyFS(root, os.DirFS(p.folder)); err != nil {
		return err
	}
	done, err := k.do(filepath.Join(root, file), c.random("damage", number))
	if err != nil || !done {
		return errors.Join(err, os.RemoveAll(root))
	}
	child, err := p.start(ctx, root)
	if err != nil {
		return err
	}
	status, stderr := child.end()
	if ctx.Err() != nil {
		return nil
	}
	outcome, reason := c.judge(p.victim, root, status, stderr)
	c.damaged.add(p.name+", "+p.state+": "+k.name, outcome)
	if outcome == wrong {
		c.fail(name, root, "%s, %s, of a run that is %s: %s", filepath.Base(file), k.name, p.state,
			reason)
		return nil
	}
	return os.RemoveAll(root)
}

// judge is the outcome of a start with a damaged folder, and what is wrong if it is wrong.
func (c *campaign) judge(v *victim, root string, status int, stderr string) (outcome,
	reason string) {
	lines := slices.DeleteFunc(slices.Collect(strings.Lines(stderr)), func(line string) bool {
		return strings.HasPrefix(line, "warning: ")
	})
	switch {
	case status == cli.Done && len(lines) == 0:
		if bad := c.bad(v, root); bad != "" {
			return wrong, "status 0, and yet " + bad
		}
		return recovered, ""
	case status == cli.Failed && len(lines) == 1 && strings.HasPrefix(lines[0], v.command+": ") &&
		strings.Contains(lines[0], "runs"+string(filepath.Separator)):
		return refused, ""
	}
	return wrong, fmt.Sprintf("status %d, %.300q", status, stderr)
}
