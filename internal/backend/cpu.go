package backend

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"momentum/internal/durable"
	"momentum/internal/fetch"
	"momentum/internal/lockfile"
)

// wheel is a file of the Python Package Index that contains a plugin.
type wheel struct {
	pkg, version string
	file, sha256 string
	member       string // path of the plugin in the wheel
	plugin       string // file name of the plugin in the cache folder
	pluginSHA256 string
}

// cpuWheel returns the wheel with XLA for this machine's CPU, or the zero wheel. The checksums were
// computed from the wheels.
func cpuWheel() wheel {
	w := wheel{pkg: "xla-cpu-pjrt", version: "0.0.1",
		member: "xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so"}
	var arch string
	switch runtime.GOOS + "/" + runtime.GOARCH {
	case "linux/amd64":
		arch = "x86_64"
		w.sha256 = "55837b6b7b47daa717f2d9a5a03563ea0ceaa338d06a81a1e2d3f060d960decc"
		w.pluginSHA256 = "88c3f28c5900f48ad4a82cab9e79bba9537809743395e341485f8794268820dc"
	case "linux/arm64":
		arch = "aarch64"
		w.sha256 = "8f613be6e891858f40d64f9799319502fff42689661944fc18a6ffd8210b30c9"
		w.pluginSHA256 = "fcf411f3e8ff635c2b2cf87215aa7016f460e66d236c3db08309e7486583532d"
	default:
		return wheel{}
	}
	w.file = "xla_cpu_pjrt-0.0.1-py3-none-manylinux_2_27_" + arch + ".whl"
	w.plugin = "xla_cpu_pjrt-0.0.1-" + arch + ".so"
	return w
}

// openCPU opens XLA on the CPU. It first installs the plugin if necessary.
func (m machine) openCPU(ctx context.Context, why string, o Options) (*Backend, error) {
	if m.cpu == (wheel{}) {
		return nil, fmt.Errorf("backend: xla:cpu: there is no plugin for %s on %s: use -backend=go",
			runtime.GOOS, runtime.GOARCH)
	}
	plugin, err := m.installCPU(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("backend: xla:cpu: %w", err)
	}
	return load(CPU, plugin, m.cpu.pluginSHA256, why, o)
}

// installCPU returns the path of the plugin for the CPU, which it installs if it is missing or
// damaged.
func (m machine) installCPU(ctx context.Context, o Options) (plugin string, err error) {
	plugin = filepath.Join(o.CacheDir, m.cpu.plugin)
	if sum, err := durable.SHA256(plugin); err == nil && sum == m.cpu.pluginSHA256 {
		return plugin, nil // without a lock, for cache folders that cannot be written
	}
	lock, err := lockCache(ctx, plugin, o)
	if err != nil {
		return "", err
	}
	defer lock.Release()

	sum, err := durable.SHA256(plugin)
	switch {
	case err == nil && sum == m.cpu.pluginSHA256:
		return plugin, nil // another process has just installed it
	case err == nil:
		fmt.Fprintf(o.Out, "%s is damaged and is installed again\n", plugin)
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	file := filepath.Join(o.CacheDir, m.cpu.file)
	if err := m.fetchCPU(ctx, file, o); err != nil {
		return "", err
	}
	if err := unpack(file, m.cpu.member, plugin, m.cpu.pluginSHA256); err != nil {
		return "", err
	}
	return plugin, os.Remove(file)
}

// lockCache creates the cache folder and takes the lock for installing path in it.
func lockCache(ctx context.Context, path string, o Options) (*lockfile.Lock, error) {
	if err := os.MkdirAll(o.CacheDir, 0o777); err != nil {
		return nil, fmt.Errorf("%w: XDG_CACHE_HOME names another folder for caches", err)
	}
	lock, err := lockfile.Wait(ctx, path+".lock", func(h lockfile.Holder) {
		fmt.Fprintf(o.Out, "waiting for %s, which is installing %s\n", h, filepath.Base(path))
	})
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: XDG_CACHE_HOME names another folder for caches", err)
	}
	return lock, err
}

// fetchCPU downloads the wheel to file, unless the file is already there.
func (m machine) fetchCPU(ctx context.Context, file string, o Options) error {
	if fetch.Verify(file, m.cpu.sha256, 0) == nil {
		return nil
	}
	remedy := fmt.Sprintf("run once with a network, or put %s into %s", m.cpu.file, o.CacheDir)
	if o.Offline {
		return fmt.Errorf("%w with -offline: %s", errUnavailable, remedy)
	}
	info, err := m.ask(ctx, m.cpu.pkg)
	if err != nil {
		return fmt.Errorf("%w: %s", err, remedy)
	}
	for _, r := range info.Releases[m.cpu.version] {
		if r.Digests["sha256"] == m.cpu.sha256 {
			return fetch.Get(ctx, fetch.File{URL: r.URL, Path: file, SHA256: m.cpu.sha256},
				fetch.Options{Out: o.Out, Label: "XLA for the CPU"})
		}
	}
	return fmt.Errorf("the package index has no file of %s %s with SHA-256 %s", m.cpu.pkg,
		m.cpu.version, m.cpu.sha256)
}

// unpack copies the member of a wheel to target, completely and with the given SHA-256 or not at
// all. The caller holds the lock for target.
func unpack(wheel, member, target, sum string) error {
	r, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("%s: %w", wheel, err)
	}
	defer r.Close()
	in, err := r.Open(member)
	if err != nil {
		return fmt.Errorf("%s: %w", wheel, err)
	}
	defer in.Close()
	tmp := target + ".tmp" // a fixed name, so that killed processes leave one file at most
	out, err := os.Create(tmp)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	defer out.Close()
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, hash), in); err != nil {
		return fmt.Errorf("%s: %s: %w", wheel, member, err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != sum {
		return fmt.Errorf("%s: %s: SHA-256 %s, want %s", wheel, member, got, sum)
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, target)
}
