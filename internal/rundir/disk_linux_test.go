package rundir

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"momentum/internal/lockfile"
	"momentum/internal/smalldisk"
)

// A small disk that fills up and then becomes read-only.
func TestDisk(t *testing.T) { smalldisk.Run(t, "256k", func(mount string) { testDisk(t, mount) }) }

func testDisk(t *testing.T, mount string) {
	s := spec(filepath.Join(mount, "runs"))
	d := open(t, s)
	must(t, d.SetState(Running))
	writeWeights := func(size int) error {
		return d.WriteFile("weights", func(w io.Writer) error {
			_, err := w.Write(make([]byte, size))
			return err
		})
	}
	must(t, writeWeights(100_000))

	err := writeWeights(200_000)
	wantError(t, err, "rundir: cannot write "+d.Path("weights")+": no space left on device")
	if n := len(content(t, d.Path("weights"))); n != 100_000 {
		t.Errorf("weights has %d bytes, want the old 100000", n)
	}

	// The first row takes a block of the disk. With the rest of the disk full, rows follow until
	// one does not fit into that block.
	must(t, d.AppendRow(row(0, 1)))
	ballast := filepath.Join(mount, "ballast")
	os.WriteFile(ballast, make([]byte, 1<<20), 0o666) // fails, and leaves what fits
	step := int64(1)                                  // to append next
	for err = d.AppendRow(row(step, 1)); err == nil; err = d.AppendRow(row(step, 1)) {
		step++
	}
	wantError(t, err, "rundir: write "+d.Path("metrics.jsonl")+": no space left on device")
	rows, err := d.Metrics(t.Context())
	must(t, err)
	if int64(len(rows)) != step {
		t.Errorf("%d rows, want %d", len(rows), step)
	}
	if err := d.SetState(Failed); !errors.Is(err, syscall.ENOSPC) || d.State() != Running {
		t.Errorf("got error %v, state %s", err, d.State())
	}
	if err := d.WriteCSV(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got error %v, want no space", err)
	}
	if size := len(content(t, d.Path("metrics.jsonl"))); step < 10 || size%4096 == 0 {
		t.Errorf("%d rows in %d bytes, want the last one to be torn by the end of a block", step,
			size)
	}
	must(t, os.Remove(ballast))
	must(t, d.AppendRow(row(step, 1)))
	must(t, d.Close())
	if d := open(t, s); d.State() != Running {
		t.Errorf("state %s, want running", d.State())
	} else {
		must(t, d.Close())
	}

	ended(t, Spec{Root: s.Root, Label: "ended", Settings: s.Settings}, Done)

	must(t, syscall.Mount("", mount, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	_, err = Open(s)
	if !errors.Is(err, syscall.EROFS) || errors.As(err, new(*lockfile.HeldError)) ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("got error %v, want one line: read-only file system", err)
	}
	shownReadOnly(t, Spec{Root: s.Root, Label: "ended", Settings: s.Settings})
}

// shownReadOnly checks that the result of a run that has ended can be read, but not replaced.
func shownReadOnly(t *testing.T, s Spec) {
	t.Helper()
	d := open(t, s)
	if _, err := d.Verify(nil); err != nil || d.State() != Done {
		t.Errorf("on a read-only disk: state %q, %v", d.State(), err)
	}
	must(t, d.Close())
	s.Fresh = true
	if _, err := Open(s); !errors.Is(err, syscall.EROFS) {
		t.Errorf("started over on a read-only disk: %v", err)
	}
}
