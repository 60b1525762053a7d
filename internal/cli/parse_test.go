package cli

import (
	"bytes"
	"flag"
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		err    string
		stdout string
	}{
		{"-n=3", Done, "<nil>", ""},
		{"-h", Done, "flag: help requested", "Count counts.\n\nFlags:\n" +
			"  -f, -ƒ             f (default 0.5)\n  -n                 the number (default 0)\n" +
			"  -u                 u (default 0)\n  -v                 verbose\n"},
		{"-m=3", BadUsage, "flag provided but not defined: -m; see -h", ""},
		{"-n=x", BadUsage, `invalid value "x" for flag -n: want a whole number; see -h`, ""},
		{"-u=-1", BadUsage, `invalid value "-1" for flag -u: want a whole number that is not ` +
			"negative; see -h", ""},
		{"-f=abc", BadUsage, `invalid value "abc" for flag -f: want a number; see -h`, ""},
		{"-n=2 -n=3", BadUsage, `invalid value "3" for flag -n: it was given before as ` +
			`"2": give it once; see -h`, ""},
		{"-n=3 -f=0.1 -ƒ=0.2", BadUsage, `invalid value "0.2" for flag -ƒ: it is the same as ` +
			`-f, which was given as "0.1": give one of them; see -h`, ""},
		{"-n=3 -f=0.1 -ƒ=0.1", Done, "<nil>", ""},
		{"-n=3 -v -n=3", Done, "<nil>", ""},
		{"-v -v=false", BadUsage, `invalid boolean value "false" for -v: it was given before as ` +
			`"true": give it once; see -h`, ""},
		{"now", BadUsage, `unexpected argument "now"; see -h`, ""},
	} {
		fs := flag.NewFlagSet("count", flag.ContinueOnError)
		n := fs.Int("n", 0, "the `number`")
		fs.Bool("v", false, "verbose")
		fs.Uint64("u", 0, "u")
		fs.Float64("f", 0.5, "f")
		Alias(fs, "f", "ƒ")
		var stdout bytes.Buffer
		err := Parse(fs, strings.Fields(c.args), &stdout, "Count counts.")
		if Status(err) != c.status || fmt.Sprint(err) != c.err || stdout.String() != c.stdout {
			t.Errorf("%s: status %d, %v, %q; want %d, %s, %q", c.args, Status(err), err, &stdout,
				c.status, c.err, c.stdout)
		}
		if err == nil && *n != 3 {
			t.Errorf("%s: got %d", c.args, *n)
		}
	}
}

// A second name sets the flag, which counts as given.
func TestAlias(t *testing.T) {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	rate := fs.Float64("lr", 1, "η")
	Alias(fs, "lr", "eta")
	if err := ParseOnce(fs, []string{"-eta=0.25"}); err != nil {
		t.Fatal(err)
	}
	given := ""
	fs.Visit(func(f *flag.Flag) { given += f.Name + "=" + f.Value.String() + " " })
	if *rate != 0.25 || given != "eta=0.25 lr=0.25 " {
		t.Errorf("rate %v, given %s", *rate, given)
	}
}
