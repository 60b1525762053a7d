// Download fetches CIFAR-10 or CIFAR-100 into the folder in which the other commands look for it.
//
//	go run ./scripts/download -data=cifar10
//	go run ./scripts/download -data=cifar100 -data-dir=/data
//	go run ./scripts/download -data=cifar10 -mirror=http://mirror.example/cifar
//	go run ./scripts/download -data=cifar10 -from=cifar-10-binary.tar.gz
//
// It downloads the official binary tarball (about 170 MB from https://www.cs.toronto.edu/~kriz, a
// slow host), checks its SHA-256, unpacks it and removes it. It shows a progress bar on a terminal
// and a line every five seconds otherwise:
//
//	cifar-10-binary.tar.gz: 170.1 MB
//	cifar-10-binary.tar.gz: 43.1 MB of 170.1 MB (25%), 8.6 MB/s, 15s left
//	...
//	cifar-10-binary.tar.gz: 170.1 MB in 20s, 8.5 MB/s
//	cifar10: unpacking into /home/me/.cache/momentum/data/cifar-10-batches-bin
//	/home/me/.cache/momentum/data/cifar-10-batches-bin
//
// Only the last line, the folder, goes to the standard output. If the command is stopped or the
// connection breaks, the same command resumes the download. If the data is already there, the
// command compares its checksums; it renames a damaged folder and fetches the data again. Any
// number of these commands may run at once: one works and the others wait.
//
// The flags:
//
//	-data      cifar10 or cifar100; it must be given
//	-data-dir  folder for cifar-10-batches-bin or cifar-100-binary (default momentum/data in the
//	           user's cache folder)
//	-mirror    another source: the address of the tarball, or of a folder that contains it
//	-from      the official tarball, already on disk; it is not removed
//
// From any source, only a tarball with the official checksum is accepted.
//
// The exit status is 0 if the data is ready, 1 after an error, 2 for a wrong command line and 75
// after a signal.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"

	"momentum/datasets"
	"momentum/internal/cli"
)

func main() { os.Exit(cli.Main("download", run)) }

func run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	flags := flag.NewFlagSet("download", flag.ContinueOnError)
	var o datasets.Options
	data := flags.String("data", "", "cifar10|cifar100; it must be given")
	flags.StringVar(&o.Dir, "data-dir", "",
		"`folder` of CIFAR; empty: momentum/data in the user's cache folder")
	flags.StringVar(&o.Mirror, "mirror", "",
		"`URL` of the tarball, or of a folder that contains it; empty: the official host")
	flags.StringVar(&o.From, "from", "", "the official tarball, a `file` already on disk; empty: "+
		"download it")
	if err := cli.Parse(flags, args, stdout, "download fetches CIFAR-10 or CIFAR-100, checks it "+
		"and unpacks it.\n\n  go run ./scripts/download -data=cifar10"); err != nil {
		return err
	}
	switch _, err := os.Stat(o.From); {
	case o.From != "" && errors.Is(err, fs.ErrNotExist):
		return cli.Usagef("-from=%s: there is no such file", o.From)
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
