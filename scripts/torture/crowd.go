//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"momentum/internal/cli"
)

// How the processes of a crowd end, but for those that are [wrong].
const (
	done   = "done"   // with the result, its own or another one's
	locked = "locked" // in one line that says which process is at work in the folder
	killed = "killed" // by this program
)

// crowdAll starts crowds.
func (c *campaign) crowdAll(ctx context.Context) error {
	began := time.Now()
	first, last := c.numbers("crowd", c.crowds)
	for number := first; number < last && ctx.Err() == nil; number++ {
		if err := c.crowd(ctx, number); err != nil {
			return err
		}
		if number%10 == 9 {
			fmt.Fprintf(c.stdout, "crowds    %d, %v\n", number+1,
				time.Since(began).Round(time.Second))
		}
	}
	return nil
}

// crowd starts 2 to 5 processes of a victim in one folder, at once or within the time that one
// takes, kills some of them, and starts another one in the end. That must end with the bytes of an
// undisturbed one.
func (c *campaign) crowd(ctx context.Context, number int) error {
	name, random := fmt.Sprintf("crowd-%d", number), c.random("crowd", number)
	v := c.victims[random.IntN(len(c.victims))]
	root := filepath.Join(c.work, name)
	var wg sync.WaitGroup
	all := make([]*process, 2+random.IntN(4))
	errs := make([]error, len(all))
	late, anyTime := random.IntN(2) == 0, moments()[0]
	for i := range all {
		delay, doomed, fraction := time.Duration(0), random.IntN(2) == 0, random.Float64()
		if late {
			delay = time.Duration(random.Float64() * float64(v.took))
		}
		wg.Go(func() {
			time.Sleep(delay)
			all[i], errs[i] = v.startAs(ctx, root, fmt.Sprintf("%s.stderr-%d", root, i))
			if errs[i] != nil {
				return
			}
			if doomed {
				c.kill(all[i], v, root, anyTime, targets[0], 0, fraction)
			}
			<-all[i].ended
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	ends := map[string]int{}
	for i, p := range all {
		status, stderr := p.end()
		if ctx.Err() != nil {
			return nil
		}
		how := v.crowdEnd(p.killed, status, stderr)
		c.crowded.add(v.name, how)
		if ends[how]++; how == wrong {
			c.fail(name, root, "%s, process %d of %d at once: status %d, %.300q", v.name, i+1,
				len(all), status, stderr)
			return nil
		}
	}
	if ends[done] == 0 && ends[killed] == 0 {
		c.crowded.add(v.name, wrong)
		c.fail(name, root, "%s: each of %d processes says that another one is at work", v.name,
			len(all))
		return nil
	}
	return c.afterCrowd(ctx, v, name, root)
}

// crowdEnd is how a process of a crowd has ended.
func (v *victim) crowdEnd(doomed bool, status int, stderr string) string {
	switch {
	case doomed && status == -1:
		return killed
	case status == cli.Done && stderr == "":
		return done
	case status == cli.Failed && strings.HasPrefix(stderr, v.command+": ") &&
		strings.Count(stderr, "\n") == 1 &&
		strings.Contains(stderr, ", wait for it or stop it: ") &&
		strings.Contains(stderr, ": held by process "):
		return locked
	}
	return wrong
}

// afterCrowd starts a victim alone, where a crowd has been.
func (c *campaign) afterCrowd(ctx context.Context, v *victim, name, root string) error {
	if err := age(root); err != nil {
		return err
	}
	p, err := v.start(ctx, root)
	if err != nil {
		return err
	}
	status, stderr := p.end()
	if ctx.Err() != nil {
		return nil
	}
	bad := fmt.Sprintf("status %d, %.300q", status, stderr)
	if status == cli.Done {
		bad = c.bad(v, root)
	}
	if bad != "" {
		c.crowded.add(v.name, wrong)
		c.fail(name, root, "%s after a crowd: %s", v.name, bad)
		return nil
	}
	c.dispersed++
	return os.RemoveAll(root)
}
