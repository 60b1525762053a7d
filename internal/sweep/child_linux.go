package sweep

import "syscall"

// childAttributes are the attributes of a run's process. It has a process group of its own: the
// Ctrl-C of a terminal reaches it only through the pool, as one SIGTERM. When the pool is
// killed, the system sends that SIGTERM, and the run saves and ends.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
