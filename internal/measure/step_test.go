package measure

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A step of 30 ms: four of them are the first that take 100 ms, and a loop of 3 has no more.
func TestPerStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []int
		run := func(k int) error {
			calls = append(calls, k)
			time.Sleep(time.Duration(k) * 30 * time.Millisecond)
			return nil
		}
		for _, steps := range []int{100, 3} {
			calls = nil
			got, err := PerStep(steps, 100*time.Millisecond, run)
			if err != nil || got != 30*time.Millisecond || !slices.Equal(calls, []int{1, 2, 4}) {
				t.Errorf("of %d steps: %v, %v after %v", steps, got, err, calls)
			}
		}
		if got, _ := PerStep(1, time.Second, run); got != 30*time.Millisecond {
			t.Errorf("of one step: %v", got)
		}
		broken := errors.New("broken")
		if _, err := PerStep(9, 0, func(int) error { return broken }); err != broken {
			t.Errorf("got %v", err)
		}
	})
}
