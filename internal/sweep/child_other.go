//go:build !linux

package sweep

import "syscall"

// childAttributes are the attributes of a run's process. It has a process group of its own: the
// Ctrl-C of a terminal reaches it only through the pool, as one SIGTERM. If the pool is
// killed, the run goes on to its end: only Linux tells a process that its parent has died.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
