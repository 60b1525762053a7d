package backend

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHasGPU(t *testing.T) {
	m := bare()
	if m.hasGPU() {
		t.Error("without GPU: found one")
	}
	m.gpus = []string{"/no/such/file*", gpuFile(t)}
	for visible, want := range map[string]bool{"0": true, "1,0": true, "": false, "-1": false} {
		t.Setenv("CUDA_VISIBLE_DEVICES", visible)
		if got := m.hasGPU(); got != want {
			t.Errorf("CUDA_VISIBLE_DEVICES=%q: %v, want %v", visible, got, want)
		}
	}
}

// A GPU whose plugin cannot be loaded costs one line of output. Here a second line follows, because
// there is no plugin for the CPU.
func TestAutoWithBrokenCUDA(t *testing.T) {
	m := bare()
	m.cpu = nil
	m.gpus = []string{gpuFile(t)}
	site := t.TempDir()
	plugin := filepath.Join(site, "jax_plugins/xla_cuda13/xla_cuda_plugin.so")
	write(t, plugin, "broken")
	m.plugins = []string{filepath.Join(site, jaxPlugin)}
	var out bytes.Buffer
	b, err := m.open(t.Context(), "auto", Options{CacheDir: t.TempDir(), Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	if b.Kind != Go || b.Why != "the GPU cannot be used and XLA's CPU plugin is unavailable" {
		t.Errorf("got %+v", b)
	}
	lines := strings.SplitAfter(out.String(), "\n")
	want := "the GPU is not used: backend: " + plugin + ": not a shared library: EOF\n"
	if len(lines) != 3 || lines[0] != want {
		t.Errorf("said %q, want %q and a line about the CPU's plugin", lines, want)
	}
	_, err = m.open(t.Context(), "xla:cuda", Options{CacheDir: t.TempDir()})
	checkError(t, "xla:cuda", err, "backend: "+plugin+": not a shared library: EOF")
	m.gpus = nil
	_, err = m.open(t.Context(), "xla:cuda", Options{CacheDir: t.TempDir()})
	checkError(t, "without GPU", err,
		"backend: xla:cuda: no NVIDIA GPU was found: use -backend=auto")
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777),
		os.WriteFile(file, []byte(content), 0o777)); err != nil {
		t.Fatal(err)
	}
}

func TestFindCUDA(t *testing.T) {
	m, o := bare(), Options{CacheDir: t.TempDir()}
	site, other, python := t.TempDir(), t.TempDir(), t.TempDir()
	m.plugins = []string{filepath.Join(site, jaxPlugin),
		filepath.Join(other, "pjrt_c_api_cuda_plugin.so")}
	m.python = filepath.Join(python, "python3")
	if got := m.findCUDA(t.Context(), o); got != "" {
		t.Errorf("found %s, want nothing", got)
	}
	// From the last place to the first.
	for _, file := range []string{
		filepath.Join(python, "packages/jax_plugins/xla_cuda12/xla_cuda_plugin.so"),
		filepath.Join(other, "pjrt_c_api_cuda_plugin.so"),
		filepath.Join(site, "jax_plugins/xla_cuda12/xla_cuda_plugin.so"),
		filepath.Join(site, "jax_plugins/xla_cuda13/xla_cuda_plugin.so"),
		filepath.Join(o.CacheDir, "jax-cuda13-0.1/jax_plugins/xla_cuda13/xla_cuda_plugin.so"),
	} {
		write(t, file, "")
		write(t, m.python, "#!/bin/sh\necho\necho /no/such/folder\necho "+python+"/packages\n")
		if got := m.findCUDA(t.Context(), o); got != file {
			t.Errorf("found %s, want %s", got, file)
		}
	}
}

// Each table has the plugin's release first, and every wheel has its own version and checksum.
func TestCUDAWheels(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("there is no CUDA plugin for " + runtime.GOARCH)
	}
	for cuda, want := range map[string]int{"cuda13": 14, "cuda12": 13} {
		wheels, err := cudaWheels(cuda)
		if err != nil {
			t.Fatal(err)
		}
		if len(wheels) != want || wheels[0].pkg != "jax-"+cuda+"-pjrt" ||
			wheels[0].version != jaxVersion {
			t.Errorf("%s: %d wheels, the first %+v; want %d, the plugin %s first", cuda,
				len(wheels), wheels[0], want, jaxVersion)
		}
		seen := map[string]bool{}
		for _, w := range wheels {
			start := strings.ReplaceAll(w.pkg, "-", "_") + "-" + w.version + "-"
			if seen[w.sha256] || len(w.sha256) != 64 || !strings.HasPrefix(w.file, start) {
				t.Errorf("%s: %+v", cuda, w)
			}
			seen[w.sha256] = true
		}
	}
	if _, err := cudaWheels("cuda11"); err == nil {
		t.Error("there are wheels for CUDA 11")
	}
}

// cudaMachine returns a machine and its index, whose CUDA plugin needs two libraries. The index
// also has newer files, which are not those of the table.
func cudaMachine(t *testing.T) (machine, *served) {
	plugin := zipped(t, "jax_plugins/xla_cuda13/xla_cuda_plugin.so", "plugin")
	lib := zipped(t, "nvidia/cu/lib/libcu.so", "13.0", "nvidia/cu/bin/ptxas", "#!",
		"lib.dist-info/RECORD", "")
	other := zipped(t, "nvidia/other/lib/libother.so", "other", "nvidia/../../escaped", "")
	x := index{
		"jax-cuda13-pjrt": {"1.0": {"pjrt.whl": plugin}, "2.0": {"pjrt-2.0.whl": nil}},
		"nvidia-nvvm":     {"13.0": {"lib.whl": lib, "lib-win.whl": nil}, "13.1": {"n.whl": nil}},
		"nvidia-other":    {"1.0": {"other.whl": other}},
	}.serve(t)
	m := bare()
	m.index = x.address
	m.cuda = func(string) ([]wheel, error) {
		return []wheel{{"jax-cuda13-pjrt", "1.0", "pjrt.whl", sum(plugin)},
			{"nvidia-nvvm", "13.0", "lib.whl", sum(lib)},
			{"nvidia-other", "1.0", "other.whl", sum(other)}}, nil
	}
	return m, x
}

func TestInstallCUDA(t *testing.T) {
	m, x := cudaMachine(t)
	dir := t.TempDir()
	var out bytes.Buffer
	for range 2 { // the second time it is installed already
		plugin, err := m.installCUDA(t.Context(), Options{CacheDir: dir, Out: &out})
		if err != nil {
			t.Fatal(err)
		}
		home := checkInstalled(t, dir, plugin)
		if content, _ := os.ReadFile(home + "/nvidia/cu/lib/libcu.so"); string(content) != "13.0" {
			t.Errorf("nvidia-nvvm %s, want 13.0", content)
		}
		info, err := os.Stat(home + "/nvidia/cu/bin/ptxas")
		if err == nil && info.Mode()&0o100 == 0 {
			t.Errorf("ptxas has mode %v, want an executable", info.Mode())
		}
		if n := x.downloads.Load(); n != 3 {
			t.Errorf("%d downloads, want 3", n)
		}
	}
}

// checkInstalled checks that a folder holds the installation of cudaMachine and nothing else, and
// returns the installation's folder.
func checkInstalled(t *testing.T, dir, plugin string) (home string) {
	t.Helper()
	var got []string
	filepath.WalkDir(dir, func(path string, e os.DirEntry, _ error) error {
		if !e.IsDir() {
			got = append(got, path)
		}
		return nil
	})
	home = strings.TrimSuffix(filepath.Dir(plugin),
		"/jax_plugins/"+filepath.Base(filepath.Dir(plugin)))
	want := []string{plugin, home + "/nvidia/cu/bin/ptxas", home + "/nvidia/cu/lib/libcu.so",
		home + "/nvidia/other/lib/libother.so"}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	return home
}

// A process is killed in the middle of the second of three wheels. The next one takes the first
// wheel from the disk, asks for the rest of the second only, and starts again where wheels were
// being unpacked.
func TestKilledInstallCUDA(t *testing.T) {
	m, x := cudaMachine(t)
	dir := t.TempDir()
	if address := os.Getenv("BACKEND_INDEX"); address != "" { // in the process to be killed
		m.index = address
		_, err := m.installCUDA(t.Context(), Options{CacheDir: os.Getenv("BACKEND_CACHE"),
			Out: t.Output()})
		t.Fatalf("the process was not killed: %v", err)
	}
	x.half.Store("lib.whl")
	process := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	process.Env = append(os.Environ(), "BACKEND_INDEX="+x.address, "BACKEND_CACHE="+dir,
		"TMPDIR="+t.TempDir()) // it removes nothing
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	half := len(x.files["lib.whl"]) / 2
	var part string
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		part = lastMatch(filepath.Join(dir, "jax-*.wheels", "lib.whl.part"))
		if info, err := os.Stat(part); err == nil && info.Size() == int64(half) {
			break
		} else if time.Since(begin) > time.Minute {
			t.Fatal(errors.Join(errors.New("half of a wheel does not arrive"),
				process.Process.Kill()))
		}
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	process.Wait() // its error is that of the kill
	unpacked := strings.TrimSuffix(filepath.Dir(part), ".wheels") + ".tmp"
	write(t, filepath.Join(unpacked, "nvidia/cu/lib/libhalf.so"), "13")

	x.half.Store("")
	var out bytes.Buffer
	plugin, err := m.installCUDA(t.Context(), Options{CacheDir: dir, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	home := checkInstalled(t, dir, plugin)
	if content, _ := os.ReadFile(home + "/nvidia/cu/lib/libcu.so"); string(content) != "13.0" {
		t.Errorf("the library of two halves is %q, want 13.0", content)
	}
	want := fmt.Sprintf("bytes=%d-", half)
	if n, rest := x.downloads.Load(), x.rest.Load(); n != 4 || rest != want {
		t.Errorf("%d downloads, of %v, want two of the killed process and two of the other, of %s",
			n, rest, want)
	}
}

// To compile takes some of the wheels, in a folder where no GPU's plugin is looked for. A complete
// installation serves too.
func TestCUDACompiler(t *testing.T) {
	m, x := cudaMachine(t)
	o := Options{CacheDir: t.TempDir()}
	for range 2 { // the second time it is installed already
		plugin, err := m.cudaCompiler(t.Context(), o)
		if err != nil || !strings.HasPrefix(plugin, o.CacheDir+"/compiler-cuda13-") {
			t.Fatalf("got %s, %v, want a plugin in %s", plugin, err, o.CacheDir)
		}
	}
	if n := x.downloads.Load(); n != 2 {
		t.Errorf("%d downloads, want the plugin and one of two libraries", n)
	}
	if plugin := m.findCUDA(t.Context(), o); plugin != "" {
		t.Errorf("%s is taken for a GPU's plugin", plugin)
	}
	all := filepath.Join(o.CacheDir, "jax-1/jax_plugins/xla_cuda13/xla_cuda_plugin.so")
	write(t, all, "plugin")
	if plugin, err := m.cudaCompiler(t.Context(), o); plugin != all {
		t.Errorf("got %s, %v, want the complete installation %s", plugin, err, all)
	}
}

// Without a network the wheels may lie in the folder that an error names. A changed one is refused.
func TestInstallCUDAOffline(t *testing.T) {
	m, x := cudaMachine(t)
	dir := t.TempDir()
	o := Options{CacheDir: dir, Offline: true, Out: new(bytes.Buffer)}
	wheels, err := m.cuda("")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wheels {
		_, err := m.installCUDA(t.Context(), o)
		folder := filepath.Join(dir, "jax-cuda13-"+jaxVersion+".wheels")
		if driverVersion() != 0 && driverVersion() < 580 {
			folder = filepath.Join(dir, "jax-cuda12-"+jaxVersion+".wheels")
		}
		checkError(t, w.file, err, "the package index cannot be reached with -offline: run once "+
			"with a network, or put "+w.file+" into "+folder+", with 2 others (docs/gpu.md), or "+
			"install JAX for CUDA")
		write(t, filepath.Join(folder, w.file), string(x.files[w.file][1:]))
		if _, err = m.installCUDA(t.Context(), o); err == nil {
			t.Errorf("%s: a damaged wheel is taken", w.file)
		}
		write(t, filepath.Join(folder, w.file), string(x.files[w.file]))
	}
	if _, err := m.installCUDA(t.Context(), o); err != nil || x.asked.Load() > 0 {
		t.Errorf("asked the index %d times: %v", x.asked.Load(), err)
	}
}

func TestSetCUDAEnvironment(t *testing.T) {
	site := t.TempDir()
	if err := os.MkdirAll(filepath.Join(site, "nvidia/cu13"), 0o777); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(site, "nvidia/cu13")
	jax, goXLA := filepath.Join(site, "jax_plugins/xla_cuda13/xla_cuda_plugin.so"),
		filepath.Join(site, "nvidia/pjrt_c_api_cuda_plugin.so")
	for _, c := range []struct{ plugin, before, after string }{
		{jax, "", "--xla_gpu_cuda_data_dir=" + home},
		{goXLA, "", "--xla_gpu_cuda_data_dir=" + home},
		{jax, "--xla_x=1", "--xla_x=1 --xla_gpu_cuda_data_dir=" + home},
		{jax, "--xla_gpu_cuda_data_dir=/usr/local/cuda", "--xla_gpu_cuda_data_dir=/usr/local/cuda"},
		{"/elsewhere/xla_cuda_plugin.so", "", ""},
	} {
		t.Setenv("XLA_FLAGS", c.before)
		t.Setenv("NVIDIA_TF32_OVERRIDE", "")
		setCUDAEnvironment(c.plugin, false, false)
		if got := os.Getenv("XLA_FLAGS"); got != c.after {
			t.Errorf("%s, XLA_FLAGS=%s: got %q, want %q", c.plugin, c.before, got, c.after)
		}
		if got := os.Getenv("NVIDIA_TF32_OVERRIDE"); got != "0" {
			t.Errorf("without TF32: NVIDIA_TF32_OVERRIDE=%q, want 0", got)
		}
		setCUDAEnvironment(c.plugin, true, false)
		if got, set := os.LookupEnv("NVIDIA_TF32_OVERRIDE"); set {
			t.Errorf("with TF32: NVIDIA_TF32_OVERRIDE=%q, want none", got)
		}
	}
}

func TestXLAFlags(t *testing.T) {
	plugin := "/elsewhere/xla_cuda_plugin.so"
	t.Setenv("NVIDIA_TF32_OVERRIDE", "")
	t.Setenv("XLA_FLAGS", "--xla_gpu_enable_triton_gemm=true --xla_dump_to=/tmp/dump")
	t.Setenv("TMPDIR", t.TempDir())
	setCUDAEnvironment(plugin, false, true)
	o := Options{CacheDir: filepath.Join(t.TempDir(), "plugins")}
	const sum = "0123456789abcdef"
	name := chooser(sum)
	for range 2 { // a second Open adds nothing
		if _, err := keepAutotuning(sum, o); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"--xla_gpu_enable_triton_gemm=true", // the user's
		"--xla_dump_to=dump", "--xla_gpu_exclude_nondeterministic_ops=true",
		"--xla_gpu_per_fusion_autotune_cache_dir=" + name}
	if diff := cmp.Diff(want, xlaFlags()); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}

func TestMemory(t *testing.T) {
	for want, o := range map[string]Options{
		",preallocate=false":                      {},
		",preallocate=true":                       {Preallocate: true},
		",preallocate=false,memory_fraction=0.45": {MemoryFraction: 0.45},
	} {
		if got := o.memory(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
