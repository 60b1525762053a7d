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

	"momentum/internal/durable"
	"momentum/internal/fetch"
	"momentum/internal/lockfile"
)

const official = "https://www.cs.toronto.edu/~kriz"

// download puts the archive's files into their folder, unless they are there and undamaged, and
// returns the folder. The folder appears by a rename, and only one process at a time works on it.
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
		return "", fmt.Errorf("%w; name another folder with -data-dir", err)
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
	tarball, err := a.obtain(ctx, o, dir)
	if err != nil {
		return "", err
	}
	if err := a.install(ctx, o, tarball, folder, damage); err != nil {
		return "", err
	}
	if o.From == "" {
		os.Remove(tarball) // a failure only wastes space
	}
	// A download that was given up in favour of -from may have left its part.
	os.Remove(filepath.Join(dir, a.tarball+".part"))
	return folder, nil
}

// obtain returns the path of the verified tarball, and downloads it into dir if need be.
func (a archive) obtain(ctx context.Context, o Options, dir string) (string, error) {
	if o.Offline && o.From == "" {
		return "", fmt.Errorf("%s is not in %s, and -offline forbids to download it; run %s with "+
			"a network, add -from=%s to import the tarball, or use -data=%s",
			a.name, dir, a.command(o), a.tarball, miniName)
	}
	if o.From != "" {
		if err := fetch.Verify(o.From, a.sha256, a.size); err != nil {
			return "", fmt.Errorf("%w: not the official %s", err, a.tarball)
		}
		return o.From, nil
	}
	address, err := a.address(o.Mirror)
	if err != nil {
		return "", err
	}
	tarball := filepath.Join(dir, a.tarball)
	file := fetch.File{URL: address, Path: tarball, SHA256: a.sha256, Size: a.size}
	advice := fmt.Sprintf("%s takes another source with -mirror=URL or the tarball with -from=%s",
		a.command(o), a.tarball)
	get := o.Fetch
	get.Out, get.Label, get.Advice = o.Out, "", advice
	err = fetch.Get(ctx, file, get)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w; %s, and -data=%s needs none", err, advice, miniName)
	}
	return tarball, err
}

// install unpacks the tarball beside the folder and renames the result to it. An existing folder,
// which has some damage, is set aside.
func (a archive) install(ctx context.Context, o Options, tarball, folder string,
	damage error) error {
	fmt.Fprintf(o.Out, "%s: unpacking into %s\n", a.name, folder)
	partial := folder + ".partial"
	if err := os.RemoveAll(partial); err != nil { // left by a process that was killed
		return err
	}
	if err := a.unpackFile(ctx, tarball, partial); err != nil {
		os.RemoveAll(partial)
		return err
	}
	if exists(folder) {
		aside, err := setAside(folder)
		if err != nil {
			return err
		}
		fmt.Fprintf(o.Out, "%v: the folder is now %s\n", damage, aside)
	}
	if err := os.Rename(partial, folder); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(folder))
}

// address returns the address of the tarball.
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

// check returns an error that says what is wrong with the files in the folder. It compares their
// sizes, and their checksums if the folder has them.
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

// setAside renames a damaged folder, which may hold files of the user's, to an unused name.
func setAside(folder string) (string, error) {
	for n := 1; ; n++ {
		aside := fmt.Sprintf("%s.damaged-%d", folder, n)
		if !exists(aside) {
			return aside, os.Rename(folder, aside)
		}
	}
}

// unpackFile unpacks the tarball into a new folder and flushes it to disk.
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
		return fmt.Errorf("%w; make room for %d MB, or name another folder with -data-dir", err,
			a.unpackedBytes()/1e6)
	case errors.As(err, new(*fs.PathError)):
		return err // names the file that could not be written
	case err != nil:
		return fmt.Errorf("%s: %w", tarball, err)
	}
	return durable.SyncDir(folder)
}

// unpack writes the archive's files and their checksums, and nothing else, into the folder. Other
// entries of the tarball are skipped. An entry with the name of one of the files is an error unless
// it is a regular file of the known size.
func (a archive) unpack(ctx context.Context, r io.Reader, folder string) error {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("damaged archive: %w", err)
	}
	limit := a.unpackedBytes() + 1<<20 // 1 MiB for headers and small files
	bounded := &io.LimitedReader{R: gz, N: limit}
	explain := func(err error) error {
		switch {
		case bounded.N == 0:
			return fmt.Errorf("unpacks to more than %d bytes", limit)
		case errors.As(err, new(*fs.PathError)):
			return err // of the disk, not of the archive
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
		delete(wanted, name) // a second entry of this name is skipped
		sum := sha256.New()
		err = durable.Create(filepath.Join(folder, m.name), func(w io.Writer) error {
			_, err := io.Copy(w, io.TeeReader(entries, sum))
			return err
		})
		if err != nil {
			return explain(err)
		}
		fmt.Fprintf(&sums, "%x  %s\n", sum.Sum(nil), m.name)
	}
	// The checksum of gzip is at its end.
	if _, err := io.Copy(io.Discard, bounded); err != nil || bounded.N == 0 {
		return explain(err)
	}
	for _, m := range a.members() {
		name := a.folder + "/" + m.name
		if _, missing := wanted[name]; missing {
			return fmt.Errorf("%s is missing in the archive", name)
		}
	}
	return durable.Create(filepath.Join(folder, sumsName), func(w io.Writer) error {
		_, err := io.WriteString(w, sums.String())
		return err
	})
}
