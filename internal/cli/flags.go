package cli

import (
	"cmp"
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
	if err != nil {
		return fmt.Errorf("want a time such as 30s or 1m, got %q", text)
	}
	*d = Duration(v)
	return nil
}

// FlagGroup is a part of a manual: flags by their names, in the order of their explanation.
type FlagGroup struct {
	Title string
	Names []string
}

// Section is a part of a manual: names, each with its explanation.
type Section struct {
	Title   string
	Entries []Entry
}

// Entry is a name and its explanation.
type Entry struct{ Name, Text string }

// FlagSections are the sections that explain the flags of a set, one for each group: a flag with
// its aliases, what it means, and its default unless that is empty or false.
func FlagSections(fs *flag.FlagSet, groups ...FlagGroup) []Section {
	aliases := map[string]string{}
	fs.VisitAll(func(f *flag.Flag) {
		if a, ok := f.Value.(*alias); ok {
			aliases[a.of] += ", -" + f.Name
		}
	})
	var sections []Section
	for _, group := range groups {
		s := Section{Title: group.Title}
		for _, name := range group.Names {
			f := fs.Lookup(name)
			_, text := flag.UnquoteUsage(f)
			if f.DefValue != "" && f.DefValue != "false" && !strings.Contains(text, "(default ") {
				text += " (default " + f.DefValue + ")"
			}
			s.Entries = append(s.Entries, Entry{"-" + name + aliases[name], text})
		}
		sections = append(sections, s)
	}
	return sections
}

// DefaultsOf writes into the flags of a set, for its manual, what several presets have as
// defaults: one value, or that of each preset beside its name. of is the set of a preset.
func DefaultsOf(fs *flag.FlagSet, presets []string, of func(preset string) *flag.FlagSet) {
	differ := map[string]bool{}
	texts := map[string][]string{}
	for _, preset := range presets {
		of(preset).VisitAll(func(f *flag.Flag) {
			value := f.Value.String()
			known := fs.Lookup(f.Name)
			if len(texts[f.Name]) == 0 {
				known.DefValue = value
			}
			differ[f.Name] = differ[f.Name] || value != known.DefValue
			texts[f.Name] = append(texts[f.Name], preset+" "+cmp.Or(value, "none"))
		})
	}
	for name, text := range texts {
		if differ[name] {
			fs.Lookup(name).DefValue = strings.Join(text, ", ")
		}
	}
}

// PrintFlags explains the flags of a set, one group after the other.
func PrintFlags(out io.Writer, fs *flag.FlagSet, groups ...FlagGroup) {
	PrintSections(out, FlagSections(fs, groups...)...)
}

// PrintSections prints sections of a manual in lines of at most 100 columns. The explanations of
// all sections start in one column.
func PrintSections(out io.Writer, sections ...Section) {
	width := 18
	for _, s := range sections {
		for _, e := range s.Entries {
			width = max(width, utf8.RuneCountInString(e.Name))
		}
	}
	for _, s := range sections {
		fmt.Fprintf(out, "\n%s:\n", s.Title)
		for _, e := range s.Entries {
			name := e.Name
			for _, line := range Wrap(e.Text, 100-len("   ")-width) {
				fmt.Fprintf(out, "  %-*s %s\n", width, name, line)
				name = ""
			}
		}
	}
}

// Wrap breaks a text between words into lines of at most a number of columns.
func Wrap(text string, columns int) []string {
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

// CommandLine is a command with its arguments as a line for the shell.
func CommandLine(command string, args ...string) string {
	for _, arg := range args {
		if arg == "" || strings.ContainsAny(arg, " \t\n'\"$`\\*?[]()&|;<>#~!{}") {
			arg = Quote(arg)
		}
		command += " " + arg
	}
	return command
}

// Quote quotes a string as one word of the shell.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
