package study

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"momentum/internal/cli"
	"momentum/internal/imagerun"
)

// Figure is a command that executes a study: a figure of the paper, as data.
type Figure struct {
	Name     string // of the command and of its files
	Title    string
	Manual   string // what -h prints above the flags
	Scales   []Scale
	Measures []Measure

	// MiniBatches, if not nil, adds the flags -part and -batches.
	MiniBatches *MiniBatches
	// SmallMargin adds the flags of small-margin images, and examples of them to the report.
	SmallMargin bool
}

// MiniBatches describes the parts of a figure that do not use the full batch.
type MiniBatches struct {
	Title       string         // of -part=b
	TitleBySize string         // of -batches
	Size        map[string]int // of -part=b, by scale
	PaperSize   int            // whose numbers of the paper stand beside each of these sizes
}

// verbs are the first words of a command line.
var verbs = []struct{ name, description string }{
	{"run", "execute the study: all runs that are missing, stage by stage (the default)"},
	{"plan", "print the settings, write the list of the next stage, and estimate the cost of a " +
		"study that begins"},
	{"status", "count the runs of each stage by their states, and print those that have failed " +
		"or are damaged"},
	{"retry", "execute the runs that failed or were stopped once more, and no others"},
	{"collect", "draw tables and pictures from the run folders alone"},
}

// worker is the first word with which a study starts itself to execute one run. It takes the flags
// of cifar.
const worker = "worker"

// Main is the command.
func (f *Figure) Main() int { return cli.Main(f.Name, f.Run) }

// Run is the command with its arguments.
func (f *Figure) Run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	if len(args) > 0 && args[0] == worker {
		command, err := imagerun.ParseCommand(args[1:])
		if err != nil {
			return err
		}
		return command.Run(ctx, stdout, stderr)
	}
	verb, o, err := f.parse(args)
	if errors.Is(err, flag.ErrHelp) {
		f.printManual(stdout)
		return nil
	} else if err != nil {
		return err
	}
	i := &invocation{Figure: f, options: o, stdout: stdout, stderr: stderr}
	if verb != "status" && verb != "collect" { // these two start no process
		if err := o.checkGPUs(); err != nil {
			return err
		}
	}
	if verb != "run" && verb != "retry" {
		return i.execute(ctx, verb)
	}
	lock, err := i.lock()
	if err != nil {
		return err
	}
	return errors.Join(i.execute(ctx, verb), lock.Release())
}

func (f *Figure) printManual(w io.Writer) {
	words := cli.Section{Title: "What to do, as the first word"}
	for _, verb := range verbs {
		words.Entries = append(words.Entries, cli.Entry{Name: verb.name, Text: verb.description})
	}
	scales := cli.Section{Title: "Scales"}
	for _, s := range f.Scales {
		scales.Entries = append(scales.Entries, cli.Entry{Name: s.Name, Text: s.Description})
	}
	fs, groups := f.flags(&options{})
	cli.DefaultsOf(fs, f.scaleNames(), func(name string) *flag.FlagSet {
		of, _ := f.flags(&options{})
		for _, s := range f.Scales {
			for option, value := range s.Values {
				if s.Name == name {
					_ = of.Set(option, value)
				}
			}
		}
		return of
	})
	fmt.Fprint(w, f.Manual)
	sections := append([]cli.Section{words, scales}, cli.FlagSections(fs, groups...)...)
	cli.PrintSections(w, sections...)
}
