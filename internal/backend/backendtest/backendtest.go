// Package backendtest opens backends for tests.
package backendtest

import (
	"os"
	"strconv"
	"testing"

	"momentum/internal/backend"
)

// CompileQuickly has XLA's CPU compiler leave out optimizations, for the rest of the process: the
// tests of one package take a quarter of the time. For a TestMain, since XLA reads its flags once.
// XLA_FLAGS in the environment, also an empty one, is left alone: an empty one tests the code that
// users run. So is another backend than the default, which may know other flags.
func CompileQuickly() {
	if _, set := os.LookupEnv("XLA_FLAGS"); !set && os.Getenv("MOMENTUM_BACKEND") == "" {
		os.Setenv("XLA_FLAGS", "--xla_backend_optimization_level=0 "+
			"--xla_cpu_use_fusion_emitters=false")
	}
}

// Open opens the backend that MOMENTUM_BACKEND names. By default it opens XLA on the CPU, or the Go
// backend where XLA's plugin is neither in the cache nor available for download.
func Open(t testing.TB) *backend.Backend { return open(t, 1) }

// Devices is [Open] with several devices, on a CPU with any number of cores.
func Devices(t testing.TB, devices int) *backend.Backend {
	t.Helper()
	t.Setenv("NPROC", strconv.Itoa(devices))
	return open(t, devices)
}

func open(t testing.TB, devices int) *backend.Backend {
	t.Helper()
	o := backend.Options{Devices: devices}
	spec := os.Getenv("MOMENTUM_BACKEND")
	if spec == "" {
		b, err := backend.Open(t.Context(), "xla:cpu", o)
		if err == nil {
			return b
		}
		t.Logf("the Go backend is used: %v", err)
		spec = "go"
	}
	b, err := backend.Open(t.Context(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
