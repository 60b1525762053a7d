package imagerun

import (
	"context"
	"errors"
	"fmt"

	"momentum/internal/cli"
)

// checkSeveral refuses a number of seeds that there are not, or that a single run has no use for.
func (cmd *Command) checkSeveral(c *Config) error {
	switch last := c.Seed + uint64(cmd.seeds) - 1; {
	case cmd.seeds < 1 || cmd.seeds > 1000:
		return cli.Usagef("-seeds must be in [1, 1000], got %d", cmd.seeds)
	case last < c.Seed:
		return cli.Usagef("-seeds=%d from -seed=%d on: the largest seed is %d: use a smaller -seed",
			cmd.seeds, c.Seed, ^uint64(0))
	case cmd.seeds > 1 && cmd.task >= 0:
		return cli.Usagef("-task is one run of a sweep, got -seeds=%d: leave one of them out",
			cmd.seeds)
	case cmd.seeds > 1 && cmd.dryRun:
		return cli.Usagef("-dry-run is about one run, of which -seeds=%d makes %[1]d: leave "+
			"-seeds out", cmd.seeds)
	}
	return nil
}

// several executes the runs of all seeds, one after the other, each in its own folder. They share
// the images on the devices and the compiled graphs. A run that diverges does not keep the others
// from their work.
func (cmd *Command) several(ctx context.Context, r *experiment) error {
	first := r.Seed
	var diverged error
	for i := range cmd.seeds {
		r.Seed, r.folder = first+uint64(i), ""
		if cmd.seeds > 1 {
			fmt.Fprintf(r.stdout, "\nseed      %d (%d of %d)\n", r.Seed, i+1, cmd.seeds)
		}
		err := r.run(ctx)
		if r.folder != "" {
			cmd.Folders = append(cmd.Folders, r.folder)
		}
		if as := (*cli.DivergedError)(nil); errors.As(err, &as) && cmd.seeds > 1 {
			fmt.Fprintf(r.stderr, "warning: %s\n", cli.Line(err))
			diverged = err
		} else if err != nil {
			return err
		}
	}
	return diverged
}
