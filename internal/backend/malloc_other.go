//go:build !linux

package backend

// keepFreedMemory does nothing: it is for glibc.
func keepFreedMemory() {}
