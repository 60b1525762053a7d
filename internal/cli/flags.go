package cli

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
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

// PrintFlags explains the flags of a set, one group after the other, in lines of at most 100
// columns.
func PrintFlags(out io.Writer, fs *flag.FlagSet, groups ...FlagGroup) {
	width := 17
	for _, group := range groups {
		for _, name := range group.Names {
			width = max(width, len(name))
		}
	}
	for _, group := range groups {
		fmt.Fprintf(out, "\n%s:\n", group.Title)
		for _, name := range group.Names {
			_, text := flag.UnquoteUsage(fs.Lookup(name))
			lines := wrap(text, 100-len("  - ")-width)
			fmt.Fprintf(out, "  -%-*s %s\n", width, name, lines[0])
			for _, line := range lines[1:] {
				fmt.Fprintf(out, "   %*s %s\n", width, "", line)
			}
		}
	}
}

// wrap breaks a text between words into lines of at most a number of columns.
func wrap(text string, columns int) []string {
	lines := []string{""}
	for i, word := range strings.Fields(text) {
		line := &lines[len(lines)-1]
		switch {
		case i == 0:
			*line = word
		case utf8.RuneCountInString(*line)+1+utf8.RuneCountInString(word) <= columns:
			*line += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
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
