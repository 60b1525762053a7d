package datasets

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"momentum/internal/fetch"
	"momentum/internal/lockfile"
)

const official = "https://www.cs.toronto.edu/~kriz"

// download puts the archive's files into their folder, unless they are there and whole, and returns
// the folder. The folder appears by a rename, and one process at a time works on it.
func (a archive) download(ctx context.Context, o Options) (string, error) {
	if o.Out == nil {
		o.Out = io.Discard
	}
	dir, err := o.dir()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(dir, a.folder)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", fmt.Errorf("%w; name another folder with -dir", err)
	}
	lock, err := lockfile.Wait(ctx, folder+".lock", func(h lockfile.Holder) {
		fmt.Fprintf(o.Out, "%s: waiting for %s, which is getting it\n", a.name, h)
	})
	if err != nil {
		return "", err
	}
	defer lock.Release()

	damage := a.check(folder)
	if damage == nil {
		return folder, nil
	}
	if o.Offline && o.From == "" {
		return "", fmt.Errorf("%s is not in %s, and -offline forbids to download it; run %s with "+
			"a network, add -from=%s to import the tarball, or use -data=%s",
			a.name, dir, a.command(o), a.tarball, miniName)
	}
	tarball := o.From
	if tarball != "" {
		if err := fetch.Verify(tarball, a.sha256, a.size); err != nil {
			return "", fmt.Errorf("%w: not the official %s", err, a.tarball)
		}
	} else {
		address, err := a.address(o.Mirror)
		if err != nil {
			return "", err
		}
		tarball = filepath.Join(dir, a.tarball)
		if err := fetch.Get(ctx, fetch.File{URL: address, Path: tarball, SHA256: a.sha256,
			Size: a.size}, fetch.Options{Out: o.Out}); err != nil {
			if ctx.Err() != nil {
				return "", err
			}
			return "", fmt.Errorf("%w; %s takes another source with -mirror=URL or the tarball "+
				"with -from=%s, and -data=%s needs none", err, a.command(o), a.tarball, miniName)
		}
	}

	fmt.Fprintf(o.Out, "%s: unpacking into %s\n", a.name, folder)
	partial := folder + ".partial"
	if err := os.RemoveAll(partial); err != nil { // of a process that was killed
		return "", err
	}
	if err := a.unpackFile(ctx, tarball, partial); err != nil {
		os.RemoveAll(partial)
		return "", err
	}
	if exists(folder) {
		aside, err := setAside(folder)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(o.Out, "%v: the folder is now %s\n", damage, aside)
	}
	if err := os.Rename(partial, folder); err != nil {
		return "", err
	}
	if err := syncFolder(dir); err != nil {
		return "", err
	}
	if o.From == "" {
		os.Remove(tarball) // only room is lost if that fails
	}
	os.Remove(filepath.Join(dir, a.tarball+".part")) // of a download that was given up for -from
	return folder, nil
}

// address is where the tarball is downloaded from.
func (a archive) address(mirror string) (string, error) {
	if mirror == "" {
		mirror = official
	}
	u, err := url.Parse(mirror)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", fmt.Errorf("-mirror=%s is not an http or https address", mirror)
	}
	if strings.HasSuffix(u.Path, ".tar.gz") {
		return mirror, nil
	}
	return u.JoinPath(a.tarball).String(), nil
}

// check says what is wrong with the files in the folder: sizes, and checksums if it has any.
func (a archive) check(folder string) error {
	sums, err := readSums(folder)
	if err != nil {
		return err
	}
	for _, m := range a.members() {
		path := filepath.Join(folder, m.name)
		if err := a.checkSize(path, m); err != nil {
			return err
		}
		if sum := sums[m.name]; sum != "" {
			if err := fetch.Verify(path, sum, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// setAside renames a damaged folder, which may hold files of the user's, to a name that is free.
func setAside(folder string) (string, error) {
	for k := 1; ; k++ {
		aside := fmt.Sprintf("%s.damaged-%d", folder, k)
		if !exists(aside) {
			return aside, os.Rename(folder, aside)
		}
	}
}

func (a archive) unpackFile(ctx context.Context, tarball, folder string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Mkdir(folder, 0o777); err != nil {
		return err
	}
	err = a.unpack(ctx, bufio.NewReaderSize(f, 1<<18), folder)
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w; make room for %d MB, or name another folder with -dir", err,
			a.unpackedBytes()/1e6)
	case errors.As(err, new(*fs.PathError)):
		return err // it names the file that could not be written
	case err != nil:
		return fmt.Errorf("%s: %w", tarball, err)
	}
	return syncFolder(folder)
}

// unpack writes the archive's files, under their own names and nothing else, into the folder, with
// their checksums. An entry that is none of these files is passed over; one that is, but is no
// regular file of the known size, is an error.
func (a archive) unpack(ctx context.Context, r io.Reader, folder string) error {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("damaged archive: %w", err)
	}
	limit := a.unpackedBytes() + 1<<20 // for headers and small files
	bounded := &io.LimitedReader{R: gz, N: limit}
	explain := func(err error) error {
		switch {
		case bounded.N == 0:
			return fmt.Errorf("unpacks to more than %d bytes", limit)
		case errors.As(err, new(*fs.PathError)):
			return err // not the archive's fault
		}
		return fmt.Errorf("damaged archive: %w", err)
	}
	wanted := map[string]member{}
	for _, m := range a.members() {
		wanted[a.folder+"/"+m.name] = m
	}
	var sums strings.Builder
	for entries := tar.NewReader(bounded); ; {
		h, err := entries.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return explain(err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		name := path.Clean(h.Name)
		m, ok := wanted[name]
		if !ok {
			continue
		}
		if h.Typeflag != tar.TypeReg || h.Size != a.fileBytes(m) {
			return fmt.Errorf("%s: entry of type %q with %d bytes, want a regular file with %d",
				name, h.Typeflag, h.Size, a.fileBytes(m))
		}
		delete(wanted, name) // a second entry of this name is passed over
		sum := sha256.New()
		err = writeFile(filepath.Join(folder, m.name), func(w io.Writer) error {
			_, err := io.Copy(w, io.TeeReader(entries, sum))
			return err
		})
		if err != nil {
			return explain(err)
		}
		fmt.Fprintf(&sums, "%x  %s\n", sum.Sum(nil), m.name)
	}
	// to the end, where gzip has its checksum
	if _, err := io.Copy(io.Discard, bounded); err != nil || bounded.N == 0 {
		return explain(err)
	}
	for _, m := range a.members() {
		name := a.folder + "/" + m.name
		if _, missing := wanted[name]; missing {
			return fmt.Errorf("%s is missing in the archive", name)
		}
	}
	return writeFile(filepath.Join(folder, sumsName), func(w io.Writer) error {
		_, err := io.WriteString(w, sums.String())
		return err
	})
}

// writeFile makes a new file and puts it on the disk.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolder makes a rename in the folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
