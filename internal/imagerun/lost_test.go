package imagerun

import (
	"bytes"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// runOnTwo executes the command on two devices, of which one disappears after some calls, and
// returns how many calls were left.
func runOnTwo(t *testing.T, args []string, device int, after int64) (status int, stderr string,
	left int64) {
	t.Helper()
	b, err := backend.Open(t.Context(), "go", backend.Options{Devices: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	lost := backendtest.Losing(b, device)
	lost.After(after)
	command, err := ParseCommand(args)
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	status = cli.Report(&errs, "cifar", command.runOn(t.Context(), b, t.Output(), &errs))
	return status, errs.String(), lost.Left()
}

// One of two devices disappears in the middle of a run, or at its end. One line says which, what
// failed and what to do; no goroutine goes on; and the same command, on the device that is left,
// ends with the bytes of an undisturbed run.
func TestLostDevice(t *testing.T) {
	t.Setenv("NPROC", "2")
	args := func(root, devices string) []string {
		return testArgs(root, "-images=10", "-epochs=5", "-checkpoint-every=0s",
			"-devices="+devices)
	}
	const many = 1 << 30
	line := regexp.MustCompile(`^cifar: (?:cannot save the checkpoint of step \d: )?device (\d) ` +
		`of 2: (executing the graph [a-z]+|reading from the device): UNAVAILABLE: [a-z ]+: no ` +
		`such device; start the same command again: it goes on from its last checkpoint, before ` +
		`step \d\n$`)
	for device := range 2 {
		calm := t.TempDir()
		status, stderr, left := runOnTwo(t, args(calm, "2"), device, many)
		if status != cli.Done || stderr != "" {
			t.Fatalf("an undisturbed run: status %d, %s", status, stderr)
		}
		goroutines := runtime.NumGoroutine()
		calls := many - left
		for _, after := range []int64{calls / 2, 3 * calls / 4, calls - 1} {
			root := t.TempDir()
			status, stderr, _ := runOnTwo(t, args(root, "2"), device, after)
			m := line.FindStringSubmatch(stderr)
			if status != cli.Failed || m == nil || m[1] != []string{"1", "2"}[device] {
				t.Fatalf("device %d, lost after %d of %d calls: status %d, %q", device+1, after,
					calls, status, stderr)
			}
			if got := runtest.Read(t, folder(t, root), "state"); got != "failed\n" {
				t.Errorf("state %q", got)
			}
			for range 100 { // those that have ended may still be counted
				if runtime.NumGoroutine() <= goroutines {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if n := runtime.NumGoroutine(); n > goroutines {
				t.Errorf("%d goroutines more than before", n-goroutines)
			}
			status, stdout, stderr := cifar(t, t.Context(), args(root, "1")...)
			if status != cli.Done || !strings.Contains(stdout, "resumed before step ") ||
				!strings.HasPrefix(stderr, "warning: the run goes on with another number of "+
					"devices, 1 instead of 2: ") || strings.Count(stderr, "\n") != 1 {
				t.Errorf("the same command: status %d, %s%s", status, stdout, stderr)
			}
			sameResult(t, folder(t, root), folder(t, calm))
		}
	}
}

// Without a checkpoint the line says so. A device that fails in the first step gets no advice to
// try again.
func TestLostDeviceEarly(t *testing.T) {
	t.Setenv("NPROC", "2")
	args := func() []string {
		return testArgs(t.TempDir(), "-images=10", "-devices=2", "-checkpoint-every=1h")
	}
	_, _, left := runOnTwo(t, args(), 1, 1<<30)
	_, stderr, _ := runOnTwo(t, args(), 1, (1<<30-left)/2)
	want := "; start the same command again: it begins anew, since no checkpoint was saved yet " +
		"(-checkpoint-every)\n"
	if !strings.HasSuffix(stderr, want) {
		t.Errorf("%q, want …%q", stderr, want)
	}
	for _, after := range []int64{0, 5} {
		status, stderr, _ := runOnTwo(t, args(), 1, after)
		if status != cli.Failed || strings.Count(stderr, "\n") != 1 ||
			!strings.HasSuffix(stderr, ": no such device\n") {
			t.Errorf("lost after %d calls: status %d, %q", after, status, stderr)
		}
	}
}
