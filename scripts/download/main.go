// Download fetches CIFAR-10 or CIFAR-100 and puts it where the other commands look for it.
//
//	go run ./scripts/download -data=cifar10
//	go run ./scripts/download -data=cifar100 -dir=/data
//	go run ./scripts/download -data=cifar10 -mirror=http://mirror.example/cifar
//	go run ./scripts/download -data=cifar10 -from=cifar-10-binary.tar.gz
//
// It downloads the official binary tarball (about 170 MB from https://www.cs.toronto.edu/~kriz, a
// slow host), checks its SHA-256, unpacks it and removes it. On a terminal it shows a bar, in a
// pipe a line every five seconds:
//
//	cifar-10-binary.tar.gz: 170.1 MB
//	cifar-10-binary.tar.gz: 43.1 MB of 170.1 MB (25%), 8.6 MB/s, 15s left
//	...
//	cifar-10-binary.tar.gz: 170.1 MB in 20s, 8.5 MB/s
//	cifar10: unpacking into /home/me/.cache/momentum/data/cifar-10-batches-bin
//	/home/me/.cache/momentum/data/cifar-10-batches-bin
//
// The last line, the folder, is all that goes to the standard output. If the command is stopped or
// the connection breaks for good, the same command goes on from where it was. If the data is there,
// its checksums are compared; a damaged folder is renamed and the data fetched anew. Any number of
// these commands may run at once: one works, the others wait.
//
// The flags:
//
//	-data    cifar10 or cifar100
//	-dir     folder that gets cifar-10-batches-bin or cifar-100-binary (default momentum/data in the user's cache folder)
//	-mirror  another source: an address that has the tarball below it, or the tarball's whole address
//	-from    the official tarball, already on disk; it is left where it is
//
// Whatever the source, only a tarball with the official checksum is taken.
//
// The exit status is 0 if the data is ready, 1 after an error, 2 if the command line is wrong and
// 75 if a signal stopped it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"momentum/datasets"
	"momentum/internal/cli"
)

func main() { os.Exit(cli.Main("download", run)) }

func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	flags := flag.NewFlagSet("download", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are returned; -h prints below
	var o datasets.Options
	data := flags.String("data", "", "`set`: cifar10 or cifar100")
	flags.StringVar(&o.Dir, "dir", "",
		"`folder` that gets the data (default momentum/data in the user's cache folder)")
	flags.StringVar(&o.Mirror, "mirror", "",
		"another source: an `address` that has the tarball below it, or the tarball's own")
	flags.StringVar(&o.From, "from", "", "the official tarball, a `file` already on disk")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, "Download fetches CIFAR-10 or CIFAR-100, checks it and unpacks "+
			"it:\n\n\tgo run ./scripts/download -data=cifar10\n\n")
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return err
	case err != nil:
		return cli.Usagef("%w; see -h", err)
	case flags.NArg() > 0:
		return cli.Usagef("unexpected argument %q; see -h", flags.Arg(0))
	case *data != "cifar10" && *data != "cifar100":
		return cli.Usagef("-data must be cifar10 or cifar100, got %q; see -h", *data)
	case o.Mirror != "" && o.From != "":
		return cli.Usagef("-mirror and -from exclude each other; see -h")
	}
	o.Out = stderr
	folder, err := datasets.Download(ctx, *data, o)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, folder)
	return nil
}
