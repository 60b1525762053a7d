package study

import (
	"flag"
	"io"
	"strings"
	"testing"

	"momentum/internal/cli"
)

// A warm-up of the scale that is too long for -epochs is told from one that was given.
func TestWarmup(t *testing.T) {
	for args, want := range map[string]string{
		"-epochs=1":           "the scale's -warmup=2 is more than -epochs=1: give -warmup",
		"-epochs=1 -warmup=3": "-warmup must be in [0, 1] epochs, got 3",
	} {
		f := tiny()
		f.Scales[0].Values["warmup"] = "2"
		err := f.Run(t.Context(), io.Discard, io.Discard, strings.Fields(args))
		if cli.Status(err) != cli.BadUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

// Every flag says its default in the manual.
func TestDefaults(t *testing.T) {
	f := tiny()
	f.MiniBatches, f.SmallMargin = &MiniBatches{}, true
	fs, _ := f.flags(&options{})
	ofScale := f.Scales[0].Values
	fs.VisitAll(func(g *flag.Flag) {
		if g.DefValue == "" && ofScale[g.Name] == "" && !strings.Contains(g.Usage, "empty: ") {
			t.Errorf("-%s does not say what it is without a value: %s", g.Name, g.Usage)
		}
	})
	if usage := fs.Lookup("epochs").Usage; !strings.Contains(usage, "With -schedules=constant") {
		t.Errorf("-epochs names another flag for schedules: %s", usage)
	}
}
