package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// Parse parses a command line that consists of flags only. For -h it prints the introduction and
// the flags to stdout and returns [flag.ErrHelp]. Any other error is a [UsageError] that refers to
// -h.
func Parse(fs *flag.FlagSet, args []string, stdout io.Writer, introduction string) error {
	fs.SetOutput(io.Discard) // errors are returned
	err := ParseOnce(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(stdout, "%s\n\n", introduction)
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return err
	case err != nil:
		return Usagef("%w; see -h", err)
	case fs.NArg() > 0:
		return Usagef("unexpected argument %q; see -h", fs.Arg(0))
	}
	return nil
}

// ParseOnce is [flag.FlagSet.Parse], but a flag that is given twice with different values is an
// error: the last would win without a word.
func ParseOnce(fs *flag.FlagSet, args []string) error {
	fs.VisitAll(func(f *flag.Flag) { f.Value = &once{Value: f.Value} })
	defer fs.VisitAll(func(f *flag.Flag) { f.Value = f.Value.(*once).Value })
	return fs.Parse(args)
}

// once is a flag's value that refuses a second text.
type once struct {
	flag.Value
	given bool
	text  string
}

// Set sets the value.
func (o *once) Set(text string) error {
	if o.given && text != o.text {
		return fmt.Errorf("it was given before as %q: give it once", o.text)
	}
	o.given, o.text = true, text
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
