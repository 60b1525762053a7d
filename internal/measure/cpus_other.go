//go:build !linux

package measure

import (
	"fmt"
	"runtime"
)

// OnCPUs calls f. On this system it cannot restrict the CPUs, so n must be their number.
func OnCPUs(n int, f func() error) error {
	if n != runtime.NumCPU() {
		return fmt.Errorf("%d of %d CPUs: %s cannot restrict a process, Linux can", n,
			runtime.NumCPU(), runtime.GOOS)
	}
	return f()
}
