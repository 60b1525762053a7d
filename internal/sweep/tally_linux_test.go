package sweep

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"

	"momentum/internal/rundir"
	"momentum/internal/runlist"
)

// terminal returns a terminal, and a function that closes it and returns what was written to it.
func terminal(t *testing.T) (tty *os.File, written func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal on this machine: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := make(chan string)
	go func() {
		all, _ := io.ReadAll(master) // the end is an error here
		text <- string(all)
	}()
	return tty, func() string { tty.Close(); return <-text }
}

// On a terminal the bar moves while the second of two runs is under way, which takes four seconds,
// and is full only when that has ended, although it is said to be done after three.
func TestBarWithinRuns(t *testing.T) {
	t.Setenv("TERM", "xterm")
	tty, written := terminal(t)
	l := list(t, t.TempDir(), execution{Sleep: 20}, descent{Steps: 1}, descent{Steps: 200})
	share := func(r runlist.Run, folder string) float64 {
		row, ok, err := rundir.LastRow(folder)
		if err != nil {
			t.Error(err)
		}
		if !ok || r.Name != l.Runs[1].Name {
			return 0
		}
		return float64(row.Step+1) / 150
	}
	err := l.Run(t.Context(), pool(t, 1), Options{Stdout: tty, Stderr: tty, Share: share})
	text := written()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, want := range []string{`runs 1\.[1-8]/2, \d+s left`, `99% \|█+ *\|  runs 1\.9/2`,
		`100% \|█+\|  runs 2/2, ` + l.Runs[1].Name + ` done after`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no %s in %q", want, text)
		}
	}
}
