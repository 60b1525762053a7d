package rundir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// WriteFile writes a file so that at any moment, also after a power failure,
// either the old or the new content is there, never a part: write fills a
// temporary file in the same folder, which is flushed to the disk and renamed.
// After an error the old file is still in place.
func WriteFile(path string, write func(io.Writer) error) error {
	if err := writeFile(path, write); err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	return nil
}

func writeFile(path string, write func(io.Writer) error) (err error) {
	temporary := temporaryName(path)
	defer func() {
		if err == nil {
			return
		}
		os.Remove(temporary)
		// The reader of the error does not know the temporary file.
		if e := (*fs.PathError)(nil); errors.As(err, &e) && e.Path == temporary {
			err = e.Err
		}
		err = fmt.Errorf("cannot write %s: %w", path, err)
	}()

	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	defer f.Close() // after a panic or an error; the second Close does nothing
	b := bufio.NewWriter(f)
	if err := write(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// temporaryName is unlike that of any other process, so that two may draw the
// curves of one run at the same time.
func temporaryName(path string) string {
	dir, name := filepath.Split(path)
	return filepath.Join(dir, fmt.Sprintf(".%s.tmp-%d", name, os.Getpid()))
}

func isTemporary(name string) bool {
	return strings.HasPrefix(name, ".") && strings.Contains(name, ".tmp-")
}

// syncDir flushes a folder, which makes renames and new files in it last.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// Some network file systems cannot do it and need not.
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) &&
		!errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
