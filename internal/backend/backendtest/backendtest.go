// Package backendtest opens a backend for tests.
package backendtest

import (
	"os"
	"testing"

	"momentum/internal/backend"
)

// Open opens the backend that MOMENTUM_BACKEND names. By default it opens XLA on the CPU, or the Go
// backend where XLA's plugin is neither in the cache nor available for download.
func Open(t testing.TB) *backend.Backend {
	t.Helper()
	spec := os.Getenv("MOMENTUM_BACKEND")
	if spec == "" {
		b, err := backend.Open(t.Context(), "xla:cpu", backend.Options{})
		if err == nil {
			return b
		}
		t.Logf("the Go backend is used: %v", err)
		spec = "go"
	}
	b, err := backend.Open(t.Context(), spec, backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
