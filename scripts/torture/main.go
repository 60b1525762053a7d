//go:build unix

// Torture kills commands at random and chosen moments, damages the files of their folders, starts
// several of them in one folder, has them download from bad servers and unpack hostile tarballs,
// and feeds their parsers nonsense, and counts what does not end as it should.
//
//	go run ./scripts/torture                                        some minutes on 2 cores
//	go run ./scripts/torture -kills=1000 -damages=1000 -fuzz=1m     an hour or two
//	go run ./scripts/torture -seed=5 -only=kill-17                  one case again
//	go run ./scripts/torture -kills=0 -damages=0 -crowds=0          the downloads alone
//
// A killed run is started again until it is done, and must then have the bytes of an undisturbed
// one. Victims are cifar on one device, on two, on CIFAR-100, and with VGG-19 on mini-batches;
// synthetic; and a study: its parent, a worker, or all of its processes. A damaged run must end
// with the same bytes, or be refused in one line. Of a crowd, 2 to 5 processes of a victim in one
// folder, some of which are killed, each must end well or say in one line that another one is at
// work, and then the same bytes must be there. The victims are tiny and use the Go backend.
//
// A download is that of scripts/download, of a small tarball in the form of CIFAR's. It must end
// with the right files, or be refused in one line that names the address or the file; which of both
// follows from what is wrong. It may leave nothing else, but for a part that the next one goes on
// with, and must end well from the right source.
//
// What is done in a case follows from the seed and its number alone; at which step the process then
// is depends on the machine. The folder of a case that goes wrong is kept.
//
// With -out=FOLDER the tables are written to README.md there. A signal ends the campaign, and the
// tables count what was done so far. The exit status is 1 if anything went wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"momentum/internal/cli"
	"momentum/internal/durable"
)

func main() {
	if command := os.Getenv(asVictim); command != "" {
		os.Exit(act(command))
	}
	os.Exit(cli.Main("torture", run))
}

// options are the flags.
type options struct {
	kills, damages, crowds, servers, archives int

	fuzz, patience time.Duration
	seed           uint64
	names          string // of the victims
	only, out      string
}

// cases are the kinds of cases that have a name such as kill-17.
var cases = []string{"kill", "damage", "crowd", "server", "archive"}

func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	var o options
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	flags.IntVar(&o.kills, "kills", 60, "the `number` of kills")
	flags.IntVar(&o.damages, "damages", 200, "the `number` of damaged folders: with 1400, every "+
		"kind of damage to every file")
	flags.IntVar(&o.crowds, "crowds", 10, "the `number` of crowds: processes at once in one folder")
	flags.IntVar(&o.servers, "servers", 36, "the `number` of downloads from bad servers: with 18, "+
		"each kind once")
	flags.IntVar(&o.archives, "archives", 28, "the `number` of hostile tarballs: with 14, each "+
		"kind once")
	flags.DurationVar(&o.fuzz, "fuzz", 0, "the `time` to fuzz each parser; run in the repository")
	flags.DurationVar(&o.patience, "patience", 5*time.Minute, "the `time` after which a command "+
		"hangs that has not ended: longer beside other work")
	flags.Uint64Var(&o.seed, "seed", 0, "the `seed` of the cases; 0: a new one")
	flags.StringVar(&o.names, "victims", allVictims, "the `commands` that are tortured")
	flags.StringVar(&o.only, "only", "", "one `case` alone: "+strings.Join(cases, "-N, ")+
		"-N; empty: all")
	flags.StringVar(&o.out, "out", "", "the `folder` of README.md with the tables; empty: none")
	if err := cli.Parse(flags, args, stdout, "torture kills commands, damages their folders, "+
		"serves them badly and fuzzes their parsers."); err != nil {
		return err
	}
	if min(o.kills, o.damages, o.crowds, o.servers, o.archives) < 0 || o.fuzz < 0 {
		return cli.Usagef("-kills, -damages, -crowds, -servers, -archives and -fuzz must be at "+
			"least 0, got %d, %d, %d, %d, %d and %v", o.kills, o.damages, o.crowds, o.servers,
			o.archives, o.fuzz)
	}
	if o.patience <= 0 {
		return cli.Usagef("-patience must be positive, got %v", o.patience)
	}
	kind, _, _ := strings.Cut(o.only, "-")
	if o.only != "" && (!slices.Contains(cases, kind) || o.seed == 0) {
		return cli.Usagef("-only must be a case such as kill-17 or server-3, with its -seed, got "+
			"%q and -seed=%d", o.only, o.seed)
	}
	for _, name := range strings.Split(o.names, ",") {
		if !slices.Contains(strings.Split(allVictims, ","), name) {
			return cli.Usagef("-victims must be some of %s, got %q", allVictims, name)
		}
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1e9) + 1
	}
	fmt.Fprintf(stdout, "seed      %d\n", o.seed)
	work, err := os.MkdirTemp("", "torture")
	if err != nil {
		return err
	}
	c := newCampaign(o, work, stdout)
	c.command = cli.CommandLine("go run ./scripts/torture", args...)
	if err := c.all(ctx); err != nil {
		return errors.Join(err, os.RemoveAll(work))
	}
	return c.end()
}

// campaign is one invocation of the command.
type campaign struct {
	options
	command string
	work    string // the folder of everything below
	stdout  io.Writer
	began   time.Time
	victims []*victim

	killed    tally // by victim and moment
	runs      int   // that were killed and have ended as they should
	damaged   tally // by victim with its state and kind, and by outcome
	crowded   tally // by victim, and by how its processes have ended
	dispersed int   // crowds after which everything was right
	served    tally // by kind and outcome
	unpacked  tally // by kind and outcome
	fuzzed    []fuzzing
	wrong     []string // what went wrong, with the case
}

func newCampaign(o options, work string, stdout io.Writer) *campaign {
	return &campaign{options: o, work: work, stdout: stdout, began: time.Now(), killed: tally{},
		damaged: tally{}, crowded: tally{}, served: tally{}, unpacked: tally{}}
}

// tally counts cases by what was done and by what came of it.
type tally map[string]map[string]int

func (t tally) add(row, column string) {
	if t[row] == nil {
		t[row] = map[string]int{}
	}
	t[row][column]++
}

// all executes the parts of the campaign until ctx ends.
func (c *campaign) all(ctx context.Context) error {
	runs := map[string]int{"kill": c.kills, "damage": c.damages, "crowd": c.crowds}
	for kind, n := range runs {
		if first, last := c.numbers(kind, n); first < last {
			if err := c.prepare(ctx); err != nil {
				return err
			}
			break
		}
	}
	for _, part := range []func(context.Context) error{c.killAll, c.damageAll, c.crowdAll,
		c.serveAll, c.unpackAll, c.fuzzAll} {
		if err := part(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// numbers are those of the cases of a kind, from first up to, but not including, last: all below n,
// or the one that -only names.
func (c *campaign) numbers(kind string, n int) (first, last int) {
	if c.only == "" {
		return 0, n
	}
	if _, err := fmt.Sscanf(c.only, kind+"-%d", &first); err != nil {
		return 0, 0
	}
	return first, first + 1
}

// random is the generator of a case, which follows from the seed and the case's name.
func (c *campaign) random(kind string, number int) *rand.Rand {
	return rand.New(rand.NewPCG(c.seed, uint64(kind[0])<<32+uint64(number)))
}

// fail records that a case went wrong. Its folder is kept.
func (c *campaign) fail(name, root, format string, args ...any) {
	text := fmt.Sprintf("%s: %s", name, fmt.Sprintf(format, args...))
	fmt.Fprintf(c.stdout, "wrong     %s; see %s; -seed=%d -only=%s repeats it\n", text, root,
		c.seed, name)
	c.wrong = append(c.wrong, strings.ReplaceAll(text, c.work+string(os.PathSeparator), ""))
}

// end prints and writes the tables, and returns an error if anything went wrong.
func (c *campaign) end() error {
	text := c.report()
	fmt.Fprint(c.stdout, "\n"+text)
	if c.out != "" {
		if err := os.MkdirAll(c.out, 0o777); err != nil {
			return fmt.Errorf("-out: %w", err)
		}
		if err := durable.WriteBytes(filepath.Join(c.out, "README.md"), []byte(text)); err != nil {
			return fmt.Errorf("-out: %w", err)
		}
	}
	if len(c.wrong) > 0 {
		return fmt.Errorf("%d case(s) went wrong, the first is %s", len(c.wrong), c.wrong[0])
	}
	return os.RemoveAll(c.work)
}
