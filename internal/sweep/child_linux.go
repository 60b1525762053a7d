package sweep

import "syscall"

// childAttributes are those of a run's process. It is in a process group of its own, so that the
// Ctrl-C of a terminal reaches it only through the pool, as one SIGTERM; and when the pool is
// killed, it gets that SIGTERM from the system: it saves and ends, too.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
