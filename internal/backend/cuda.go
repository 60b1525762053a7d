package backend

import (
	"context"
	_ "embed" // cuda_wheels.txt
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gomlx/go-xla/installer"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// jaxVersion is the JAX release of the CUDA plugin that is installed.
const jaxVersion = "0.12.0.1"

// machine describes the environment of the program. Tests replace it.
type machine struct {
	// builds of XLA for the CPU, in the order in which they are tried
	cpu []build
	// wheels of a CUDA installation, for a version of CUDA
	cuda func(version string) ([]wheel, error)
	// address of the package index, to which a package's name is added
	index string
	// between a failed request to the index and its repetition
	pause time.Duration
	// limit for a request to the index and its repetition
	patience time.Duration
	// patterns of files, of which one exists if there is an NVIDIA GPU
	gpus []string
	// patterns of CUDA plugins that other programs have installed
	plugins []string
	// interpreter whose path may hold further plugins, or ""
	python string
}

func thisMachine() machine {
	m := machine{
		cpu:      cpuBuilds(),
		cuda:     cudaWheels,
		index:    pypi,
		pause:    time.Second,
		patience: 15 * time.Second,
		gpus:     []string{"/dev/nvidia[0-9]*", "/proc/driver/nvidia/gpus/*"},
		python:   "python3",
	}
	home, _ := os.UserHomeDir()
	for _, root := range []string{os.Getenv("VIRTUAL_ENV"), os.Getenv("CONDA_PREFIX"),
		filepath.Join(home, ".local"), "/usr/local", "/usr"} {
		if filepath.IsAbs(root) {
			m.plugins = append(m.plugins, filepath.Join(root, "lib/python3*/*-packages", jaxPlugin),
				filepath.Join(root, "lib/go-xla/nvidia/pjrt_c_api_cuda_plugin.so"))
		}
	}
	return m
}

// jaxPlugin is the path of JAX's plugin for CUDA 12 or 13 in a folder of Python packages.
const jaxPlugin = "jax_plugins/xla_cuda1[23]/xla_cuda_plugin.so"

// hasGPU reports whether there is an NVIDIA GPU that this process may use.
func (m machine) hasGPU() bool {
	visible, set := os.LookupEnv("CUDA_VISIBLE_DEVICES")
	if set && (visible == "" || strings.HasPrefix(visible, "-1")) {
		return false
	}
	exists := func(pattern string) bool { return lastMatch(pattern) != "" }
	return slices.ContainsFunc(m.gpus, exists)
}

// numGPUs is the number of GPUs that this process may use, if it may use any.
func (m machine) numGPUs() int {
	if visible := os.Getenv("CUDA_VISIBLE_DEVICES"); visible != "" {
		return strings.Count(visible, ",") + 1
	}
	for _, pattern := range m.gpus {
		if files, _ := filepath.Glob(pattern); len(files) > 0 {
			return len(files)
		}
	}
	return 0
}

// openCUDA opens XLA on one or several GPUs. It uses the plugin in the cache folder, else a plugin
// that JAX or go-xla has installed, else it installs a plugin.
func (m machine) openCUDA(ctx context.Context, why string, o Options) (*Backend, error) {
	if !m.hasGPU() {
		return nil, errors.New("backend: xla:cuda: no NVIDIA GPU was found: use -backend=auto")
	}
	n := m.numGPUs()
	if most := o.atMost(CUDA, n); o.Devices == AllDevices && most < n {
		o.Devices = most
	}
	if o.Devices > n {
		return nil, fmt.Errorf("backend: xla:cuda: %d %w %d GPU(s): use at most as many, or "+
			"set CUDA_VISIBLE_DEVICES", o.Devices, errDevices, n)
	}
	plugin := m.findCUDA(ctx, o)
	if plugin == "" {
		var err error
		if plugin, err = m.installCUDA(ctx, o); err != nil {
			return nil, fmt.Errorf("backend: xla:cuda: %w", err)
		}
	}
	b, err := loadFile(CUDA, plugin, why, o)
	if err != nil {
		return nil, err
	}
	return tried(b)
}

// tried returns b if it computes a convolution, and closes it otherwise.
func tried(b *Backend) (*Backend, error) {
	if err := convolves(b); err != nil {
		b.Close()
		return nil, fmt.Errorf("backend: %s: %w", b.Plugin, err)
	}
	return b, nil
}

// convolves computes a convolution: a plugin can be opened without the libraries that it needs
// later.
func convolves(b *Backend) error {
	const want = 2 * 6 * 6 * 16 * (3 * 3 * 16) // the number of outputs times the terms of each
	var got float32
	err := Try("trial convolution", func() {
		sum := graph.MustNewExec(b.Backend, func(x, kernel *graph.Node) *graph.Node {
			return graph.ReduceAllSum(graph.Convolve(x, kernel).NoPadding().Done())
		})
		ones := func(dims ...int) *tensors.Tensor {
			return tensors.FromScalarAndDimensions(float32(1), dims...)
		}
		got = tensors.ToScalar[float32](sum.MustCall1(ones(2, 8, 8, 16), ones(3, 3, 16, 16)))
	})
	if err == nil && got != want {
		err = fmt.Errorf("trial convolution: %v, want %v", got, float32(want))
	}
	return err
}

// findCUDA returns the path of a CUDA plugin on this machine, or "".
func (m machine) findCUDA(ctx context.Context, o Options) string {
	for _, pattern := range append([]string{filepath.Join(o.CacheDir, "jax-*", jaxPlugin)},
		m.plugins...) {
		if plugin := lastMatch(pattern); plugin != "" {
			return plugin
		}
	}
	if m.python == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, m.patience)
	defer cancel()
	// Without Python there is no JAX.
	out, _ := exec.CommandContext(ctx, m.python, "-c",
		`import sys; print(*sys.path, sep="\n")`).Output()
	for folder := range strings.Lines(string(out)) {
		if folder = strings.TrimSpace(folder); filepath.IsAbs(folder) {
			if plugin := lastMatch(filepath.Join(folder, jaxPlugin)); plugin != "" {
				return plugin
			}
		}
	}
	return ""
}

// lastMatch returns the last matching file in alphabetical order, which is the newest of numbered
// files, or "".
func lastMatch(pattern string) string {
	found, _ := filepath.Glob(pattern)
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// installCUDA installs JAX's CUDA plugin and the NVIDIA libraries that it needs (2.5 GB of wheels
// for CUDA 13, 3.2 GB for CUDA 12) in the cache folder. It uses pip's layout, since the libraries
// find each other by relative paths. go-xla's installer.CudaInstall is not used: it takes the
// latest version of everything, can be neither resumed nor interrupted, and writes escape codes to
// the standard output.
func (m machine) installCUDA(ctx context.Context, o Options) (plugin string, err error) {
	cuda := "cuda13"
	if driver := driverVersion(); driver != 0 && driver < 580 {
		cuda = "cuda12" // CUDA 13 needs driver 580
	}
	wheels, err := m.cuda(cuda)
	if err != nil {
		return "", err
	}
	return m.install(ctx, wheels, filepath.Join(o.CacheDir, "jax-"+cuda+"-"+jaxVersion), o)
}

// compilerPackages are those of the wheels of a CUDA 13 installation that suffice to compile for a
// GPU that is not there.
var compilerPackages = []string{"jax-cuda13-pjrt", "nvidia-cuda-runtime", "nvidia-nvjitlink",
	"nvidia-nvvm"}

// installCompiler installs the wheels of compilerPackages (259 MB) in the cache folder, where
// findCUDA does not look: this installation computes nothing.
func (m machine) installCompiler(ctx context.Context, o Options) (plugin string, err error) {
	wheels, err := m.cuda("cuda13")
	if err != nil {
		return "", err
	}
	wheels = slices.DeleteFunc(wheels, func(w wheel) bool {
		return !slices.Contains(compilerPackages, w.pkg)
	})
	return m.install(ctx, wheels, filepath.Join(o.CacheDir, "compiler-cuda13-"+jaxVersion), o)
}

// install unpacks wheels in the folder home, completely or not at all.
func (m machine) install(ctx context.Context, wheels []wheel, home string, o Options) (
	plugin string, err error) {
	lock, err := lockCache(ctx, home, o)
	if err != nil {
		return "", err
	}
	defer lock.Release()
	if plugin := lastMatch(filepath.Join(home, jaxPlugin)); plugin != "" {
		return plugin, nil // another process has just installed it
	}

	fmt.Fprintf(o.Out, "installing XLA for CUDA in %s\n", home)
	downloads, tmp := home+".wheels", home+".tmp" // after a failure, the downloads are kept
	defer os.RemoveAll(tmp)
	if err := os.RemoveAll(tmp); err != nil {
		return "", err
	}
	for i, w := range wheels {
		label := fmt.Sprintf("CUDA %d/%d", i+1, len(wheels))
		file, err := m.fetchWheel(ctx, w, downloads, label, o)
		if errors.Is(err, errUnavailable) {
			err = fmt.Errorf("%w, with %d others (docs/gpu.md), or install JAX for CUDA", err,
				len(wheels)-1)
		}
		if err != nil {
			return "", err
		}
		for _, folder := range []string{"jax_plugins", "nvidia"} {
			err := installer.ExtractDirFromZip(file, folder, filepath.Join(tmp, folder))
			if err != nil {
				return "", fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	if lastMatch(filepath.Join(tmp, jaxPlugin)) == "" {
		return "", fmt.Errorf("%s: there is no %s in it", wheels[0].file, jaxPlugin)
	}
	// In this order a kill leaves no wheels that nobody removes. It may cost their download.
	if err := os.RemoveAll(downloads); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, home); err != nil {
		return "", err
	}
	return lastMatch(filepath.Join(home, jaxPlugin)), nil
}

//go:embed cuda_wheels.txt
var cudaTable string

// cudaWheels returns the wheels of a CUDA installation on this kind of machine, the plugin first.
func cudaWheels(cuda string) (wheels []wheel, err error) {
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	for line := range strings.Lines(cudaTable) {
		f := strings.Fields(line)
		if f[0] == cuda && f[1] == arch {
			wheels = append(wheels, wheel{pkg: f[2], version: f[3], sha256: f[4], file: f[5]})
		}
	}
	if len(wheels) == 0 {
		return nil, fmt.Errorf("there is no plugin for %s on %s", cuda, runtime.GOARCH)
	}
	return wheels, nil
}

// driverVersion is the major version of the NVIDIA driver, 0 if it is unknown.
func driverVersion() int {
	text, _ := os.ReadFile("/proc/driver/nvidia/version")
	match := regexp.MustCompile(`Kernel Module.*?\s(\d+)\.\d`).FindSubmatch(text)
	if match == nil {
		return 0
	}
	version, _ := strconv.Atoi(string(match[1]))
	return version
}

// gpuModel is the model of the first GPU.
func gpuModel() string {
	files, _ := filepath.Glob("/proc/driver/nvidia/gpus/*/information")
	for _, file := range files {
		if model := field(file, "Model", ":"); model != "" {
			return model
		}
	}
	return "NVIDIA GPU"
}

// setCUDAEnvironment tells XLA and NVIDIA's libraries where CUDA's compiler is, whether they may
// round to TF32, and whether they must avoid operations whose result varies. They read their
// environment when they are loaded. go-xla's option tf32 is not enough: it applies to matrix
// products only, and convolutions would always use TF32. A flag that the user has set stays.
func setCUDAEnvironment(plugin string, tf32, deterministic bool) {
	if tf32 {
		os.Unsetenv("NVIDIA_TF32_OVERRIDE")
	} else {
		os.Setenv("NVIDIA_TF32_OVERRIDE", "0")
	}
	if deterministic {
		addXLAFlag("--xla_gpu_exclude_nondeterministic_ops", "true")
		// XLA turns products into Triton's fusions, which it then refuses as not deterministic.
		addXLAFlag("--xla_gpu_enable_triton_gemm", "false")
	}
	folder := filepath.Dir(plugin)
	// The layouts of JAX and of go-xla.
	for _, nvidia := range []string{filepath.Join(folder, "../../nvidia"),
		filepath.Join(folder, "../nvidia")} {
		for _, compiler := range []string{"cu13", "cuda_nvcc"} {
			home := filepath.Join(nvidia, compiler)
			if _, err := os.Stat(home); err == nil {
				addXLAFlag("--xla_gpu_cuda_data_dir", home)
				return
			}
		}
	}
}

// addXLAFlag adds a flag to the variable XLA_FLAGS, unless it is there.
func addXLAFlag(name, value string) {
	flags := os.Getenv("XLA_FLAGS")
	if !strings.Contains(flags, name) {
		os.Setenv("XLA_FLAGS", strings.TrimSpace(flags+" "+name+"="+value))
	}
}

// xlaFlag is the value of a flag in the variable XLA_FLAGS, or "".
func xlaFlag(name string) (value string) {
	for _, flag := range strings.Fields(os.Getenv("XLA_FLAGS")) {
		if v, found := strings.CutPrefix(flag, name+"="); found {
			value = v
		}
	}
	return value
}

// xlaFlags are the flags in XLA_FLAGS, with only the last part of paths.
func xlaFlags() (flags []string) {
	for _, flag := range strings.Fields(os.Getenv("XLA_FLAGS")) {
		name, value, found := strings.Cut(flag, "=")
		if found && filepath.IsAbs(value) {
			flag = name + "=" + filepath.Base(value)
		}
		flags = append(flags, flag)
	}
	return flags
}

// memory are the options of go-xla for a GPU's memory.
func (o Options) memory() string {
	s := fmt.Sprintf(",preallocate=%t", o.Preallocate)
	if o.MemoryFraction > 0 {
		s += fmt.Sprintf(",memory_fraction=%g", o.MemoryFraction)
	}
	return s
}

// HasGPU reports whether there is an NVIDIA GPU that this process may use.
func HasGPU() bool { return thisMachine().hasGPU() }

// CUDACompiler returns the path of a CUDA plugin that compiles for a GPU that is not there: in the
// default folder of plugins or installed by another program, or else with the wheels that this
// takes.
func CUDACompiler(ctx context.Context, o Options) (plugin string, err error) {
	return thisMachine().cudaCompiler(ctx, o)
}

func (m machine) cudaCompiler(ctx context.Context, o Options) (plugin string, err error) {
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.CacheDir, err = cacheDir(o.CacheDir); err != nil {
		return "", err
	}
	if plugin = m.findCUDA(ctx, o); plugin != "" {
		return plugin, nil
	}
	return m.installCompiler(ctx, o)
}
