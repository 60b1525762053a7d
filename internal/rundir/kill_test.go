package rundir

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"momentum/internal/lockfile"
)

// again runs this test in another process, which finds dir in the environment variable
// RUNDIR_TestName.
func again(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "RUNDIR_"+t.Name()+"="+dir)
	return cmd
}

func TestInUse(t *testing.T) {
	if root := os.Getenv("RUNDIR_TestInUse"); root != "" {
		open(t, spec(root))
		fmt.Println("ready")
		io.Copy(io.Discard, os.Stdin) // until the parent closes it
		return
	}
	root := t.TempDir()
	cmd := again(t, root)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "ready" {
	}

	s := spec(root)
	s.Fresh = true // does not move an open folder away
	_, err = Open(s)
	var held *lockfile.HeldError
	if !errors.As(err, &held) || held.Holder.PID != cmd.Process.Pid {
		t.Errorf("got error %v, want a HeldError of process %d", err, cmd.Process.Pid)
	} else if want := "rundir: " + filepath.Join(root, name) +
		" is in use, wait for it or stop it: "; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got error %v, want %s...", err, want)
	}
	stdin.Close()
	io.Copy(io.Discard, stdout)
	must(t, cmd.Wait())
	open(t, spec(root))
}

// writeForever resumes a run and prints each step once its row is appended.
func writeForever(t *testing.T, root string) {
	d := open(t, spec(root))
	must(t, d.SetState(Running))
	rows, err := d.Metrics(t.Context())
	must(t, err)
	must(t, d.CutRows(int64(len(rows)-3))) // as if the checkpoint were two steps old
	fmt.Println("ready")
	for step := max(0, int64(len(rows)-2)); ; step++ {
		must(t, d.AppendRow(row(step, 1/float64(step+1))))
		fmt.Println(step)
		must(t, d.WriteFile("weights", func(w io.Writer) error {
			_, err := w.Write(bytes.Repeat([]byte{byte(step)}, 100_000))
			return err
		}))
		must(t, d.WriteCSV(t.Context()))
	}
}

// A process that writes all the time is killed at random moments. Each time the folder opens again,
// its files are whole, and every appended row is there once.
func TestKill(t *testing.T) {
	if root := os.Getenv("RUNDIR_TestKill"); root != "" {
		writeForever(t, root)
	}
	root := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 0))
	rowsSeen := 0
	for i := range 24 {
		cmd := again(t, root)
		stdout, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		kill := func() {
			time.AfterFunc(time.Duration(rng.IntN(60))*time.Millisecond,
				func() { cmd.Process.Kill() })
		}
		if i%3 == 0 { // mostly while it opens the folder
			kill()
		}
		last := int64(-1)
		lines := bufio.NewScanner(stdout)
		for line := 0; lines.Scan(); line++ {
			// After "ready" or, since a busy machine may append no row in 60 ms, after five rows.
			if i%3 == 1 && line == 0 || i%3 == 2 && line == 5 {
				kill()
			}
			fmt.Sscan(lines.Text(), &last)
		}
		cmd.Wait()

		d, err := Open(spec(root))
		must(t, err)
		rows, err := d.Metrics(t.Context())
		must(t, err)
		if int64(len(rows)) <= last {
			t.Fatalf("%d rows, but step %d was appended", len(rows), last)
		}
		for i, r := range rows {
			if diff := cmp.Diff(row(int64(i), 1/float64(i+1)), r); diff != "" {
				t.Fatal(diff)
			}
		}
		if b, err := os.ReadFile(d.Path("weights")); err == nil &&
			!bytes.Equal(b, bytes.Repeat(b[:1], 100_000)) {
			t.Fatalf("weights is torn: %d bytes", len(b))
		}
		entries, err := os.ReadDir(d.Path())
		must(t, err)
		for _, e := range entries {
			if strings.Contains(e.Name(), "tmp") {
				t.Errorf("%s was left behind", e.Name())
			}
		}
		must(t, d.Close())
		rowsSeen = max(rowsSeen, len(rows))
	}
	t.Logf("%d rows", rowsSeen)
	if rowsSeen < 3 {
		t.Errorf("only %d rows were written, too few to test anything", rowsSeen)
	}
}
