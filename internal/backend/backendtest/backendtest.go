// Package backendtest opens backends for tests.
package backendtest

import (
	"os"
	"strconv"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"

	"momentum/internal/backend"
)

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

// OneClient opens XLA on the CPU with devices that belong to one client, as GPUs do. It skips the
// test on other backends.
func OneClient(t testing.TB, devices int) *backend.Backend {
	t.Helper()
	b := Open(t)
	if b.Kind != backend.CPU {
		t.Skipf("the backend is %s, not %s", b.Kind, backend.CPU)
	}
	client, err := xla.NewWithOptions(b.Plugin,
		pjrt.NamedValuesMap{"cpu_device_count": int64(devices)})
	if err != nil {
		t.Fatal(err)
	}
	many := *b
	many.Backend, many.Devices = client, nil
	for i := range devices {
		many.Devices = append(many.Devices, backend.Device{Client: client,
			Num: compute.DeviceNum(i)})
	}
	return &many
}
