//go:build !linux

package sweep

import "syscall"

// childAttributes are those of a run's process. It is in a process group of its own, so that the
// Ctrl-C of a terminal reaches it only through the pool, as one SIGTERM. If the pool is killed it
// goes on to its end: only Linux tells a process that its parent has died.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
