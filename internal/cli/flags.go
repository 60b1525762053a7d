package cli

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// Duration is a time.Duration that flags, by [flag.FlagSet.TextVar], and JSON write as "1m0s".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// FlagGroup is a section of a manual: the names of its flags, in the order of their explanation.
type FlagGroup struct {
	Title string
	Names []string
}

// PrintFlags explains the flags of a set group by group, with one line per flag.
func PrintFlags(out io.Writer, fs *flag.FlagSet, groups ...FlagGroup) {
	for _, group := range groups {
		fmt.Fprintf(out, "\n%s:\n", group.Title)
		for _, name := range group.Names {
			_, text := flag.UnquoteUsage(fs.Lookup(name))
			fmt.Fprintf(out, "  -%-17s %s\n", name, text)
		}
	}
}

// Remembered returns a flag for [flag.FlagSet.Var] that calls set as a flag of [flag.FlagSet.Func]
// does, and whose String is the text that it was last set to.
func Remembered(set func(string) error) flag.Value { return &remembered{set: set} }

type remembered struct {
	text string
	set  func(string) error
}

func (r *remembered) String() string { return r.text }

func (r *remembered) Set(text string) error {
	r.text = text
	return r.set(text)
}

// Quote quotes a string as one word of the shell.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
