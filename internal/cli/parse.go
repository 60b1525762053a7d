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
	err := fs.Parse(args)
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
