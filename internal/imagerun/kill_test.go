package imagerun

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// devices is the number of devices in the manifest of a run.
func devices(t *testing.T, folder string) int {
	t.Helper()
	var m Manifest
	if err := json.Unmarshal([]byte(runtest.Read(t, folder, "manifest.json")), &m); err != nil {
		t.Fatal(err)
	}
	return m.Devices
}

// A run that is stopped on two devices ends on one with the bytes of a run that had two all along.
func TestStoppedOnTwoDevicesEndsOnOne(t *testing.T) {
	be := backendtest.Open(t)
	if be.Kind == backend.CUDA {
		t.Skip("is about the cores of a CPU")
	}
	t.Setenv("NPROC", "2")
	args := func(root, devices string) []string {
		return testArgs(root, "-backend="+string(be.Kind), "-images=10", "-epochs=6",
			"-devices="+devices)
	}
	calm, root := t.TempDir(), t.TempDir()
	succeed(t, args(calm, "2")...)
	ctx := &runtest.Countdown{Context: t.Context(), Calls: 20} // an epoch asks 6 times or more
	status, _, stderr := cifar(t, ctx, args(root, "2")...)
	if got := devices(t, folder(t, root)); status != cli.Stopped || got != 2 {
		t.Fatalf("status %d on %d devices, %s; want %d on 2", status, got, stderr, cli.Stopped)
	}
	stdout := succeed(t, args(root, "1")...)
	if got := devices(t, folder(t, root)); got != 1 || !strings.Contains(stdout, "resumed before") {
		t.Errorf("went on with %d devices, want 1:\n%s", got, stdout)
	}
	sameResult(t, folder(t, root), folder(t, calm))
}

// A run that is killed at any moment, and started again until it is done, ends with the bytes of a
// run that was not killed: by default on XLA, on two devices. Of four kills, one comes at a random
// moment of the start (opening the backend, reading the checkpoint, compiling), one in one of the
// epochs that follow, one while a checkpoint is written, and one while the result is written. Many
// more kills, on the Go backend, are in scripts/torture. It is long because a run is killed in four
// moments.
func TestKilledRunEndsTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the command 6 times, which takes a minute")
	}
	const kills, epochs = 3, 60
	be := backendtest.Open(t)
	t.Setenv("NPROC", "2")
	args := func(root string) []string {
		// Two chunks make two parts, one for each device.
		return testArgs(root, "-backend="+string(be.Kind), "-images=10", "-chunk=5", "-epochs=60",
			"-checkpoint-every=0s")
	}

	calm := t.TempDir()
	began := time.Now()
	p := start(t, args(calm)...)
	p.until("epoch ", 1)
	startUp := time.Since(began)
	p.until("epoch ", epochs-1)
	epoch := (time.Since(began) - startUp) / (epochs - 1)
	if status, _, stderr := p.end(); status != cli.Done {
		t.Fatalf("status %d, %s", status, stderr)
	}
	want := folder(t, calm)
	if got := devices(t, want); got != 2 && be.Kind != backend.CUDA {
		t.Errorf("the run had %d devices, want 2", got)
	}

	random := rand.New(rand.NewPCG(1, 0))
	upTo := func(d time.Duration) { time.Sleep(time.Duration(random.Int64N(int64(d)))) }
	killed, writing, runs := 0, 0, 0
	for ; killed < kills && runs < 5; runs++ { // on a quiet machine one run outlasts all kills
		root := t.TempDir()
		for last := 2; ; { // kills in the last epoch or after it
			p := start(t, args(root)...)
			switch {
			case killed >= kills:
				last--
				p.until("epoch 59/60", 1)
				upTo(20 * epoch)
			case killed%3 == 0:
				upTo(startUp)
			case killed%3 == 1:
				// In the second or third epoch from here: this process leaves a checkpoint at
				// least.
				p.until("epoch ", 2+random.IntN(2))
				upTo(epoch)
			default:
				p.until("epoch ", 2)
				for range 10000 { // polls for a checkpoint that is being written
					if len(runtest.HalfWritten(root)) > 0 {
						break
					}
					time.Sleep(100 * time.Microsecond)
				}
				upTo(2 * time.Millisecond)
			}
			if last > 0 {
				p.Process.Kill()
			}
			status, _, stderr := p.end()
			if status == cli.Done {
				break
			}
			if status != -1 {
				t.Fatalf("status %d, %s", status, stderr)
			}
			killed++
			if len(runtest.HalfWritten(root)) > 0 {
				writing++
			}
		}
		got := folder(t, root)
		sameResult(t, got, want)
		for i, step := range steps(runtest.Metrics(t, got)) {
			if step != int64(i) {
				t.Fatalf("row %d is of step %d", i, step)
			}
		}
		if left := runtest.HalfWritten(root); len(left) > 0 {
			t.Errorf("the killed processes have left %q", left)
		}
	}
	t.Logf("%s: %d run(s) killed %d times, %d of them while a checkpoint was being written; "+
		"starting takes %v, an epoch %v", be.Kind, runs, killed, writing,
		startUp.Round(time.Millisecond), epoch.Round(time.Millisecond))
	if killed < kills {
		t.Errorf("killed %d times only", killed)
	}
}
