//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

func stopSignals() []os.Signal {
	return []os.Signal{os.Interrupt, syscall.SIGTERM,
		syscall.SIGUSR1}
}

// ignoreUSR1 is for what follows the first signal. Slurm's scancel sends TERM to a run and to the
// script that it runs in, which passes on what it gets, and must not kill the run by that: it
// passes on USR1.
func ignoreUSR1() { signal.Ignore(syscall.SIGUSR1) }
