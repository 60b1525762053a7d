package measure

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// OnCPUs calls f and lets processes that f starts in its goroutine use n CPUs only: the first n of
// those that this process may use. XLA, JAX, PyTorch and Go start as many threads.
func OnCPUs(n int, f func() error) error {
	if n == runtime.NumCPU() {
		return f()
	}
	var all, few unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("CPUs of this process: %w", err)
	}
	if n < 1 || n > all.Count() {
		return fmt.Errorf("%d CPUs, want 1 to %d", n, all.Count())
	}
	for cpu := 0; few.Count() < n; cpu++ {
		if all.IsSet(cpu) {
			few.Set(cpu)
		}
	}
	// A new process inherits the CPUs of the thread that starts it.
	runtime.LockOSThread()
	defer func() {
		if unix.SchedSetaffinity(0, &all) == nil {
			runtime.UnlockOSThread() // else the thread ends together with this goroutine
		}
	}()
	if err := unix.SchedSetaffinity(0, &few); err != nil {
		return fmt.Errorf("%d CPUs: %w", n, err)
	}
	return f()
}
