package imagerun

import (
	"math/rand/v2"
	"testing"
	"time"

	"momentum/internal/backend/backendtest"
	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// A run that is killed at any moment, and started again until it is done, ends with the bytes of a
// run that was not killed: by default on XLA. Of four kills, one comes at a random moment of the
// start (opening the backend, reading the checkpoint, compiling), one in one of the epochs that
// follow, one while a checkpoint is written, and one while the result is written. Many more kills,
// on the Go backend, are in scripts/torture. It is long because a run is killed in four moments.
func TestKilledRunEndsTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the command 6 times, which takes a minute")
	}
	const kills, epochs = 3, 60
	be := backendtest.Open(t)
	args := func(root string) []string {
		return testArgs(root, "-backend="+string(be.Kind), "-images=10", "-chunk=10", "-epochs=60",
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
