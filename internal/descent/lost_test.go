package descent

import (
	"regexp"
	"runtime"
	"testing"
	"time"

	"momentum/internal/backend/backendtest"
)

// One of two devices disappears at some call of a step, an evaluation and a checkpoint: in an
// execution, in a transfer to the device, or in one to the host. The error is a line that says
// which device, what failed and why, and no goroutine goes on.
func TestLostDevice(t *testing.T) {
	rule := Rule{Form: Damped, Gamma: 0.9}
	run := func(device int, after int64) (err error) {
		b := goDevices(t, 2)
		defer b.Close()
		lost := backendtest.Losing(b, device)
		d := uploaded(t, b, imageSet(11), Layout{Chunk: 2})
		tr := trainerIn(t, F32, b, d, tiny, rule)
		steps(t, tr, 1, 0.1)
		lost.After(after)
		if _, err = tr.Step(t.Context(), 0.1); err == nil {
			_, err = tr.Evaluate(t.Context(), d)
		}
		if err == nil {
			err = tr.Save(t.TempDir(), nil)
		}
		return err
	}
	line := regexp.MustCompile(`^descent: device (\d) of 2: (executing the graph [a-z]+|reading ` +
		`from the device): UNAVAILABLE: (execute|copy to device|copy to host): no such device$`)
	for device := range 2 {
		seen := map[string]bool{} // what failed
		goroutines := runtime.NumGoroutine()
		for after := int64(0); ; after += 1 + after/8 {
			err := run(device, after)
			if err == nil { // more calls than there are
				break
			}
			m := line.FindStringSubmatch(err.Error())
			if m == nil || m[1] != []string{"1", "2"}[device] {
				t.Fatalf("device %d, lost after %d calls: %v", device+1, after, err)
			}
			seen[m[3]] = true
		}
		for range 100 { // those of the errors have ended, but may still be counted
			if runtime.NumGoroutine() <= goroutines {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := runtime.NumGoroutine(); n > goroutines {
			t.Errorf("device %d: %d goroutines more than before", device+1, n-goroutines)
		}
		if len(seen) != 3 {
			t.Errorf("device %d: failed in %v, want an execution and both transfers", device+1,
				seen)
		}
	}
}
