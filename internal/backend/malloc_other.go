//go:build !linux

package backend

// keepFreedMemory is for glibc.
func keepFreedMemory() {}
