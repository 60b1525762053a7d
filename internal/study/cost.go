package study

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"momentum/internal/cli"
	"momentum/internal/imagerun"
	"momentum/internal/sweep"
)

// counts are the numbers of runs of a cell. The settings are those without and with momentum.
type counts struct {
	settings               [2]int
	trials, finals, longer int
}

// size is the number of runs of a cell, at most, and that of trials which the growth of its grid
// can add.
func (s *Study) size() (n counts, growth int, err error) {
	trials, err := s.trials(0, s.Rates)
	if err != nil {
		return n, 0, err
	}
	for _, t := range trials {
		if t.momentum {
			n.settings[1]++
		} else {
			n.settings[0]++
		}
	}
	n.trials = len(trials) * s.TrialSeeds
	n.finals = (2 + len(s.Protocols)) * s.Seeds // GD+M by each protocol, GD and the control
	if s.Longer > 0 {
		n.longer = s.Seeds
	}
	if s.TrialsOf != "" {
		n.trials = 0
	} else if len(s.Rates) > 1 { // two rates on both sides, for GD and for GD+M by each protocol
		growth = s.Grow * 2 * 2 * (1 + len(s.Protocols)) * len(s.Schedules) *
			len(s.WeightDecays) * s.TrialSeeds
	}
	return n, growth, nil
}

// printCost prints the cost of the whole study, of which l is the first list: in floating-point
// operations and, unless a cluster executes the runs, in time on this machine, by measuring a step
// of each cell. Runs that end at -until-loss cost less.
func (i *invocation) printCost(ctx context.Context, l *sweep.List) error {
	s := &i.study
	n, growth, err := s.size()
	if err != nil {
		return err
	}
	fmt.Fprintf(i.stdout, "study     %d comparison(s), in each at most ", len(s.Cells))
	if n.trials > 0 {
		fmt.Fprintf(i.stdout, "%d trials (settings of GD: %d, of GD+M: %d; seeds: %d), at most ",
			n.trials, n.settings[0], n.settings[1], s.TrialSeeds)
	}
	fmt.Fprintf(i.stdout, "%d final runs (%d seeds of GD, GD+M by each protocol and GD at the "+
		"effective rate of GD+M)", n.finals, s.Seeds)
	if n.longer > 0 {
		fmt.Fprintf(i.stdout, " and %d of %d times the epochs", n.longer, s.Longer)
	}
	if growth > 0 {
		fmt.Fprintf(i.stdout, "; at most %d more trials where a best rate lies at the edge of "+
			"the grid", growth)
	}
	fmt.Fprintln(i.stdout)

	units := float64(n.trials + n.finals + n.longer*s.Longer) // of a cell, each as long as a trial
	flop := 0.0
	for _, cell := range s.Cells {
		net, err := cell.Base.Network(cell.Classes)
		if err != nil {
			return err
		}
		_, step := net.FLOPs()
		flop += units * step * float64(cell.Images) * float64(cell.Base.Epochs)
	}
	const gpu = 1e13 // FLOP/s
	fmt.Fprintf(i.stdout, "cost      at most %.3g FLOP for training: %s of a GPU that does 10 "+
		"TFLOP/s\n", flop, duration(flop/gpu))
	if i.launcher == "slurm" {
		return nil
	}

	jobs, _ := i.slots()
	seconds, disk := 0.0, 0.0
	var random []string // sets that are not on this machine
	for _, cell := range s.Cells {
		fmt.Fprintf(i.stdout, "          measuring a step of %s …\n", cell.Title)
		c, err := i.measure(ctx, l, cell)
		if e := (*exec.ExitError)(nil); errors.As(err, &e) && !e.Exited() {
			fmt.Fprintf(i.stdout, "          the process that measures was killed (%s), so there "+
				"is no estimate of the time\n", e.ProcessState)
			return nil
		} else if err != nil {
			return err
		}
		runs := float64(n.trials + n.finals + n.longer)
		seconds += units*c.Seconds + runs*executables*c.Compile
		disk += float64(n.finals+n.longer+jobs)*c.Disk + float64(n.trials)*c.Kept
		fmt.Fprintf(i.stdout, "          %.0f images/s a run, %d run(s) at a time, by %s\n",
			c.ImagesPerSec, jobs, c.Backend)
		if data := cell.Base.Data; c.Random && !slices.Contains(random, data) {
			random = append(random, data)
			fmt.Fprintf(i.stdout, "          %s\n", imagerun.RandomText(data))
		}
	}
	fmt.Fprintf(i.stdout, "          at most about %s on this machine, and at most %.2g GB of "+
		"disk\n", duration(seconds/float64(jobs)), disk/1e9)
	return nil
}

// executables that a run compiles, each in about the time of the one that is measured: gradient,
// update and evaluation, some for two sizes of a chunk.
const executables = 3

// measure is the mean cost of a run of a cell, by as many workers at once as the study executes,
// each with the threads and the GPU that it has then: two that share a core or its memory are
// slower than one alone.
func (i *invocation) measure(ctx context.Context, l *sweep.List, cell Cell) (imagerun.Cost,
	error) {
	index := -1
	for k, r := range l.Runs {
		c, err := imagerun.ConfigOf(r)
		if err != nil {
			return imagerun.Cost{}, err
		}
		// One with momentum, which takes a little more memory and time.
		if comparable(c) == comparable(cell.Base) && imagerun.HasMomentum(c.Opt) {
			index = k
			break
		}
	}
	if index < 0 {
		return imagerun.Cost{}, fmt.Errorf("%s: no run of %s with momentum: remove the file, it "+
			"is written again", l.Path(), cell.Title)
	}
	program, err := i.program()
	if err != nil {
		return imagerun.Cost{}, err
	}
	dir, err := os.MkdirTemp("", "momentum-cost")
	if err != nil {
		return imagerun.Cost{}, err
	}
	defer os.RemoveAll(dir)

	jobs, gpus := i.slots()
	pool := &sweep.Pool{Jobs: jobs, GPUs: gpus}
	costs := make([]imagerun.Cost, jobs)
	g, ctx := errgroup.WithContext(ctx)
	for slot := range jobs {
		g.Go(func() error {
			file := filepath.Join(dir, strconv.Itoa(slot))
			cmd := exec.CommandContext(ctx, program, append(append([]string{worker}, i.share()...),
				"-config="+l.Path(), "-task="+strconv.Itoa(index), "-dry-run", "-cost="+file)...)
			cmd.Env = pool.Env(slot)
			if out, err := cmd.CombinedOutput(); ctx.Err() != nil {
				return ctx.Err()
			} else if err != nil {
				lines := strings.Split(strings.TrimSpace(string(out)), "\n")
				return fmt.Errorf("measuring a step: %w: %s", err, lines[len(lines)-1])
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			return json.Unmarshal(text, &costs[slot])
		})
	}
	if err := g.Wait(); err != nil {
		return imagerun.Cost{}, cli.StoppedMeasuring(err)
	}
	mean := costs[0]
	for _, c := range costs[1:] {
		mean.Seconds += c.Seconds
		mean.Compile += c.Compile
		mean.ImagesPerSec += c.ImagesPerSec
	}
	mean.Seconds /= float64(jobs)
	mean.Compile /= float64(jobs)
	mean.ImagesPerSec /= float64(jobs)
	return mean, nil
}

// duration is for example "26 min", "9.5 h" or "12 days".
func duration(seconds float64) string {
	switch {
	case seconds < 5400:
		return fmt.Sprintf("%.0f min", math.Ceil(seconds/60))
	case seconds < 48*3600:
		return fmt.Sprintf("%.1f h", seconds/3600)
	}
	return fmt.Sprintf("%.0f days", seconds/86400)
}
