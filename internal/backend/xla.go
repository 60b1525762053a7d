package backend

import (
	"cmp"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"

	"momentum/internal/durable"
)

// loadFile opens XLA with a plugin that another program has installed.
func loadFile(kind Kind, plugin, why string, o Options) (*Backend, error) {
	sum, err := durable.SHA256(plugin)
	if err != nil {
		return nil, fmt.Errorf("backend: plugin: %w", err)
	}
	if err := checkPlugin(plugin); err != nil {
		return nil, fmt.Errorf("backend: %s: %w", plugin, err)
	}
	b, err := load(kind, plugin, sum, why, o)
	if err != nil {
		return nil, err
	}
	b.Build = buildOf(sum)
	return b, nil
}

// checkPlugin refuses files that are not PJRT plugins for this machine. It executes none of their
// code.
func checkPlugin(plugin string) error {
	if runtime.GOOS != "linux" {
		return nil // not in ELF
	}
	f, err := elf.Open(plugin)
	if err != nil {
		return fmt.Errorf("not a shared library: %w", err)
	}
	defer f.Close()
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64,
		"arm64": elf.EM_AARCH64}[runtime.GOARCH]
	if machine != 0 && f.Machine != machine {
		return fmt.Errorf("a library for %v, want %v", f.Machine, machine)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return fmt.Errorf("not a shared library: %w", err)
	}
	isEntry := func(s elf.Symbol) bool { return s.Name == pjrt.GetPJRTApiFunctionName }
	if !slices.ContainsFunc(symbols, isEntry) {
		return fmt.Errorf("a shared library, but not a PJRT plugin: it has no function %s",
			pjrt.GetPJRTApiFunctionName)
	}
	return nil
}

// load opens XLA with the plugin at an absolute path. sum is its SHA-256.
func load(kind Kind, plugin, sum, why string, o Options) (*Backend, error) {
	path, err := plainPath(kind, plugin)
	if err != nil {
		return nil, fmt.Errorf("backend: plugin: %w", err)
	}
	tf32 := kind == CUDA && o.TF32 // on a CPU XLA refuses to compile products in TF32
	path += ",tf32=" + strconv.FormatBool(tf32)
	b := &Backend{Kind: kind, Plugin: plugin, PluginSHA256: sum, Why: why}
	options, devices := pjrt.NamedValuesMap{}, 0
	if kind == CUDA {
		setCUDAEnvironment(plugin, tf32, o.Deterministic)
		if b.autotuned, err = keepAutotuning(sum, o); err != nil {
			fmt.Fprintf(o.Out, "the choices of kernels are not kept: %v\n", err)
		}
		path += o.memory()
		b.Device = gpuModel()
		if o.Devices != AllDevices {
			visible := make([]int64, max(o.Devices, 1))
			for i := range visible {
				visible[i] = int64(i)
			}
			options["visible_devices"] = visible // the others stay free for other processes
		}
	} else {
		keepFreedMemory()
		b.Device, b.cores = Processor(), o.Devices != 0
		n, err := o.cpuDevices(CPU)
		if err != nil {
			return nil, err
		}
		devices, b.Threads = n, cores()
		options["cpu_device_count"] = int64(n)
		if b.cores {
			// XLA takes as many threads as it has devices. One thread adds up in another order than
			// two or more, so a single device is the first of two.
			b.Threads = max(n, 2)
			options["cpu_device_count"] = int64(b.Threads)
			defer setTemporarily("NPROC", "1")()
		}
	}
	b.Flags = xlaFlags()
	client, err := xla.NewWithOptions(path, options)
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("backend: %s: %s", plugin, reason(err))
	}
	b.add(client, cmp.Or(devices, int(client.NumDevices())))
	return b, nil
}

// setTemporarily sets an environment variable and returns a function that undoes it.
func setTemporarily(name, value string) (undo func()) {
	old, found := os.LookupEnv(name)
	os.Setenv(name, value)
	return func() {
		if found {
			os.Setenv(name, old)
		} else {
			os.Unsetenv(name)
		}
	}
}

// plainPath returns a path to the plugin that go-xla interprets correctly. go-xla takes a plugin
// for CUDA's if "cuda" or "nvidia" is anywhere in the path and for the CPU's if "cpu" is, and it
// cuts the path at a comma. A misleading folder is replaced by its open descriptor in /proc. The
// descriptor stays open as long as the process, because CUDA's libraries are found relative to the
// plugin and only when they are needed.
func plainPath(kind Kind, plugin string) (string, error) {
	cpu, cuda := words(plugin)
	if cpu == (kind == CPU) && cuda == (kind == CUDA) && !strings.Contains(plugin, ",") {
		return plugin, nil
	}
	// Not os.Open, whose file is closed by the garbage collector.
	folder, err := syscall.Open(filepath.Dir(plugin), syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: filepath.Dir(plugin), Err: err}
	}
	return fmt.Sprintf("/proc/%d/fd/%d/%s", os.Getpid(), folder, filepath.Base(plugin)), nil
}
