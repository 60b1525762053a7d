package backend

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomlx/go-xla/installer"
)

// index is a package index whose files are served over HTTP: index[package][version][file name] is
// the content of a file.
type index map[string]map[string]map[string][]byte

// serve returns a function that queries the index, and the number of downloads so far.
func (x index) serve(t *testing.T) (ask func(pkg string) (*installer.PipPackageInfo, error),
	downloads *atomic.Int32) {
	files := map[string][]byte{}
	downloads = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		downloads.Add(1)
		http.ServeContent(w, r, r.URL.Path, time.Time{}, bytes.NewReader(files[r.URL.Path]))
	}))
	t.Cleanup(server.Close)
	packages := map[string]*installer.PipPackageInfo{}
	for pkg, versions := range x {
		info := &installer.PipPackageInfo{Releases: map[string][]installer.PipReleaseInfo{}}
		for version, contents := range versions {
			for name, content := range contents {
				files["/"+name] = content
				info.Releases[version] = append(info.Releases[version], installer.PipReleaseInfo{
					PackageType: "bdist_wheel", Filename: name, URL: server.URL + "/" + name,
					Digests: map[string]string{"sha256": sum(content)},
				})
			}
		}
		packages[pkg] = info
	}
	return func(pkg string) (*installer.PipPackageInfo, error) {
		if info := packages[pkg]; info != nil {
			return info, nil
		}
		return nil, errors.New("no package " + pkg)
	}, downloads
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}

// zipped returns a wheel with files given as name, content, name, content...
func zipped(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const pluginContent = "as if it were a plugin"

// wheelMachine returns a machine whose index has the wheel, and the number of downloads so far.
func wheelMachine(t *testing.T, content []byte) (m machine, downloads *atomic.Int32) {
	m = bare()
	m.cpu = []build{{
		name: "new", pkg: "xla", version: "1.0", file: "xla.whl", sha256: sum(content),
		member: "lib/xla_cpu.so", plugin: "xla_cpu-1.0.so",
		pluginSHA256: sum([]byte(pluginContent)),
	}}
	m.index, downloads = index{"xla": {"1.0": {"xla.whl": content},
		"1.1": {"newer.whl": nil}}}.serve(t)
	return m, downloads
}

func TestInstallCPU(t *testing.T) {
	m, downloads := wheelMachine(t, zipped(t, "README", "text", "lib/xla_cpu.so", pluginContent))
	dir := filepath.Join(t.TempDir(), "new", "folder")
	plugin := filepath.Join(dir, "xla_cpu-1.0.so")
	var out bytes.Buffer
	install := func(wantDownloads int32, wantNotice string) {
		t.Helper()
		got, err := m.installCPU(t.Context(), m.cpu[0], Options{CacheDir: dir, Out: &out})
		if err != nil || got != plugin {
			t.Fatalf("got %s, %v", got, err)
		}
		if content, err := os.ReadFile(plugin); string(content) != pluginContent {
			t.Errorf("the plugin is %q, %v", content, err)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 {
			t.Errorf("left %q, want the plugin only", files)
		}
		if n := downloads.Load(); n != wantDownloads {
			t.Errorf("%d downloads, want %d", n, wantDownloads)
		}
		if !strings.Contains(out.String(), wantNotice) {
			t.Errorf("said %q, want %q", out.String(), wantNotice)
		}
		out.Reset()
	}
	install(1, "XLA for the CPU")
	install(1, "")

	// A plugin that is truncated, as by a full disk, or changed is replaced.
	for i, damaged := range []string{pluginContent[:10], strings.ToUpper(pluginContent)} {
		if err := os.WriteFile(plugin, []byte(damaged), 0o666); err != nil {
			t.Fatal(err)
		}
		install(int32(2+i), plugin+" is damaged and is installed again\n")
	}
}

func TestInstallCPUFromWheelOnDisk(t *testing.T) {
	content := zipped(t, "lib/xla_cpu.so", pluginContent)
	m, downloads := wheelMachine(t, content)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "xla.whl"), content, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := m.installCPU(t.Context(), m.cpu[0], Options{CacheDir: dir, Offline: true})
	if err != nil || downloads.Load() != 0 {
		t.Errorf("%v, %d downloads", err, downloads.Load())
	}
}

func TestInstallCPUAtOnce(t *testing.T) {
	m, downloads := wheelMachine(t, zipped(t, "lib/xla_cpu.so", pluginContent))
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 4 { // the lock is on a file, so that one process is enough
		all.Go(func() {
			o := Options{CacheDir: dir, Out: new(bytes.Buffer)}
			if _, err := m.installCPU(t.Context(), m.cpu[0], o); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := downloads.Load(); n != 1 {
		t.Errorf("%d downloads, want 1", n)
	}
}

func TestInstallCPUFaults(t *testing.T) {
	whole := zipped(t, "lib/xla_cpu.so", pluginContent)
	notAFolder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notAFolder, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		wheel      []byte
		change     func(m *machine, o *Options)
	}{
		{"other content than the index promises", "fetch: http://127.0.0.1", whole,
			func(m *machine, _ *Options) {
				other, _ := index{"xla": {"1.0": {"xla.whl": []byte("other")}}}.serve(t)
				ask := m.index
				m.index = func(pkg string) (*installer.PipPackageInfo, error) {
					info, err := ask(pkg)
					wrong, _ := other(pkg)
					info.Releases["1.0"][0].URL = wrong.Releases["1.0"][0].URL
					return info, err
				}
			}},
		{"other file than the fixed one",
			"the package index has no file of xla 1.0 with SHA-256 00", whole,
			func(m *machine, _ *Options) { m.cpu[0].sha256 = "00" }},
		{"truncated wheel", "DIR/xla.whl: zip: not a valid zip file", whole[:len(whole)-30], nil},
		{"not a wheel", "DIR/xla.whl: zip: not a valid zip file", []byte("no zip"), nil},
		{"wheel without plugin", "DIR/xla.whl: open lib/xla_cpu.so: file does not exist",
			zipped(t, "lib/xla_gpu.so", pluginContent), nil},
		{"other plugin in the wheel", "DIR/xla.whl: lib/xla_cpu.so: SHA-256 " +
			sum([]byte("other")) + ", want " + sum([]byte(pluginContent)),
			zipped(t, "lib/xla_cpu.so", "other"), nil},
		{"index without the package", "the package index cannot be reached: no package ylb: run " +
			"once with a network", whole, func(m *machine, _ *Options) { m.cpu[0].pkg = "ylb" }},
		{"silent index", "the package index cannot be reached: no answer within 1ms: run once " +
			"with a network", whole, func(m *machine, _ *Options) {
			m.patience = time.Millisecond
			m.index = func(string) (*installer.PipPackageInfo, error) { select {} }
		}},
		{"offline", "the package index cannot be reached with -offline: run once with a network, " +
			"or put xla.whl into DIR", whole, func(_ *machine, o *Options) { o.Offline = true }},
		{"unwritable", "mkdir " + notAFolder + ": not a directory: XDG_CACHE_HOME names another " +
			"folder for caches", whole, func(_ *machine, o *Options) {
			o.CacheDir = filepath.Join(notAFolder, "plugins")
		}},
	} {
		m, _ := wheelMachine(t, c.wheel)
		dir := t.TempDir()
		o := Options{CacheDir: dir, Out: new(bytes.Buffer)}
		if c.change != nil {
			c.change(&m, &o)
		}
		_, err := m.installCPU(t.Context(), m.cpu[0], o)
		checkError(t, c.name, err, strings.ReplaceAll(c.want, "DIR", dir))
		if _, err := os.Stat(filepath.Join(dir, m.cpu[0].plugin)); err == nil {
			t.Errorf("%s: a plugin was installed", c.name)
		}
	}
}

// A failed request is repeated.
func TestAskAgain(t *testing.T) {
	m, _ := wheelMachine(t, zipped(t, "lib/xla_cpu.so", pluginContent))
	ask, asked := m.index, 0
	m.index = func(pkg string) (*installer.PipPackageInfo, error) {
		if asked++; asked == 1 {
			return nil, errors.New("503")
		}
		return ask(pkg)
	}
	o := Options{CacheDir: t.TempDir(), Out: new(bytes.Buffer)}
	if _, err := m.installCPU(t.Context(), m.cpu[0], o); err != nil || asked != 2 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

func FuzzUnpack(f *testing.F) {
	whole := zipped(f, "lib/xla_cpu.so", pluginContent)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		file, plugin := filepath.Join(dir, "x.whl"), filepath.Join(dir, "x.so")
		if err := os.WriteFile(file, content, 0o666); err != nil {
			t.Fatal(err)
		}
		err := unpack(file, "lib/xla_cpu.so", plugin, sum([]byte(pluginContent)))
		got, _ := os.ReadFile(plugin)
		if (err == nil) != (string(got) == pluginContent) || err != nil && got != nil {
			t.Errorf("plugin %q, error %v", got, err)
		}
	})
}
