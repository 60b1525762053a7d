package cli

import (
	"bytes"
	"flag"
	"fmt"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		arg    string
		status int
		err    string
		stdout string
	}{
		{"-n=3", Done, "<nil>", ""},
		{"-h", Done, "flag: help requested", "Count counts.\n\n  -n number\n    \tthe number\n"},
		{"-m=3", BadUsage, "flag provided but not defined: -m; see -h", ""},
		{"-n=x", BadUsage, `invalid value "x" for flag -n: parse error; see -h`, ""},
		{"now", BadUsage, `unexpected argument "now"; see -h`, ""},
	} {
		fs := flag.NewFlagSet("count", flag.ContinueOnError)
		n := fs.Int("n", 0, "the `number`")
		var stdout bytes.Buffer
		err := Parse(fs, []string{c.arg}, &stdout, "Count counts.")
		if Status(err) != c.status || fmt.Sprint(err) != c.err || stdout.String() != c.stdout {
			t.Errorf("%s: status %d, %v, %q; want %d, %s, %q", c.arg, Status(err), err, &stdout,
				c.status, c.err, c.stdout)
		}
		if err == nil && *n != 3 {
			t.Errorf("%s: got %d", c.arg, *n)
		}
	}
}
