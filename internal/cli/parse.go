package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// Parse parses a command line that consists of flags only. For -h it prints the introduction and
// the flags, in the order of their names, to stdout and returns [flag.ErrHelp]. Any other error is
// a [UsageError] that refers to -h.
func Parse(fs *flag.FlagSet, args []string, stdout io.Writer, introduction string) error {
	fs.SetOutput(io.Discard) // errors are returned
	err := ParseOnce(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		PrintManual(stdout, fs, introduction)
		return err
	case err != nil:
		return Usagef("%w; see -h", err)
	case fs.NArg() > 0:
		return Usagef("unexpected argument %q; see -h", fs.Arg(0))
	}
	return nil
}

// PrintManual prints an introduction, and the flags in the order of their names.
func PrintManual(out io.Writer, fs *flag.FlagSet, introduction string) {
	group := FlagGroup{Title: "Flags"}
	fs.VisitAll(func(f *flag.Flag) {
		if _, ok := f.Value.(*alias); !ok {
			group.Names = append(group.Names, f.Name)
		}
	})
	fmt.Fprintln(out, introduction)
	PrintFlags(out, fs, group)
}

// Alias lets a flag have a second name, such as the paper's symbol. [ParseOnce] then sets the flag
// itself. The manual shows the second name beside the first.
func Alias(fs *flag.FlagSet, name, second string) {
	f := fs.Lookup(name)
	fs.Var(&alias{Value: f.Value, of: name}, second, f.Usage)
}

// alias is the value of a second name.
type alias struct {
	flag.Value
	of string
}

// ParseOnce is [flag.FlagSet.Parse], but a flag that is given twice with different values is an
// error, by whatever name: the last would win without a word.
func ParseOnce(fs *flag.FlagSet, args []string) error {
	values := map[string]flag.Value{}
	shared := map[string]*given{}
	fs.VisitAll(func(f *flag.Flag) {
		values[f.Name] = f.Value
		name, value := f.Name, f.Value
		if a, ok := value.(*alias); ok {
			name, value = a.of, a.Value
		}
		if shared[name] == nil {
			shared[name] = &given{}
		}
		f.Value = &once{Value: value, name: f.Name, given: shared[name]}
	})
	err := fs.Parse(args)
	fs.VisitAll(func(f *flag.Flag) { f.Value = values[f.Name] })
	var aliases []*flag.Flag
	fs.Visit(func(f *flag.Flag) {
		if _, ok := f.Value.(*alias); ok {
			aliases = append(aliases, f)
		}
	})
	for _, f := range aliases { // so that Visit knows the flag by its first name, too
		of := f.Value.(*alias).of
		if err == nil && shared[of].name != "" {
			err = fs.Set(of, shared[of].text)
		}
	}
	return err
}

// given is what a command line said of a flag, by any of its names.
type given struct{ name, text string }

// once is a flag's value that refuses a second text.
type once struct {
	flag.Value
	name  string
	given *given
}

// Set sets the value.
func (o *once) Set(text string) error {
	switch {
	case o.given.name == "" || text == o.given.text:
	case o.given.name == o.name:
		return fmt.Errorf("it was given before as %q: give it once", o.given.text)
	default:
		return fmt.Errorf("it is the same as -%s, which was given as %q: give one of them",
			o.given.name, o.given.text)
	}
	*o.given = given{o.name, text}
	err := o.Value.Set(text)
	if err == nil {
		return nil
	}
	// The flag package says only "parse error" and "value out of range".
	if g, ok := o.Value.(flag.Getter); ok {
		switch g.Get().(type) {
		case int, int64:
			return errors.New("want a whole number")
		case uint, uint64:
			return errors.New("want a whole number that is not negative")
		case float64:
			return errors.New("want a number")
		}
	}
	return err
}

// IsBoolFlag reports whether the flag may stand without a value.
func (o *once) IsBoolFlag() bool {
	b, ok := o.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}
