//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

func stopSignals() []os.Signal {
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1}
}

// ignoreUSR1 is called after the first signal. Slurm's scancel sends TERM both to a run and to its
// batch script. The script forwards the signal to the run as USR1, which then must not kill it.
func ignoreUSR1() { signal.Ignore(syscall.SIGUSR1) }
