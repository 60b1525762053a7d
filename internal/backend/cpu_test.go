package backend

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// index is a package index: index[package][version][file name] is the content of a file.
type index map[string]map[string]map[string][]byte

// served is an index as a server on this machine. It redirects a question to another place, and the
// addresses in its answers are relative to that.
type served struct {
	address          string
	files            map[string][]byte // content by name
	asked, downloads atomic.Int32
	half             atomic.Value // the name of a file of which the server sends half, and no more
	rest             atomic.Value // the part of a file that was last asked for
}

func (x index) serve(t *testing.T) *served {
	s := &served{files: map[string][]byte{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /pypi/{pkg}/json", func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		http.Redirect(w, r, "/mirror/index/"+r.PathValue("pkg"), http.StatusFound)
	})
	mux.HandleFunc("GET /mirror/files/{name}", func(w http.ResponseWriter, r *http.Request) {
		s.downloads.Add(1)
		if rest := r.Header.Get("Range"); rest != "" {
			s.rest.Store(rest)
		}
		content := s.files[r.PathValue("name")]
		if r.PathValue("name") == s.half.Load() {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			w.Write(content[:len(content)/2])
			w.(http.Flusher).Flush()
			<-r.Context().Done() // the client is gone
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
	for pkg, versions := range x {
		releases := map[string][]any{}
		for version, contents := range versions {
			for name, content := range contents {
				s.files[name] = content
				releases[version] = append(releases[version], map[string]any{
					"url": "../files/" + name, "digests": map[string]string{"sha256": sum(content)},
				})
			}
		}
		answer, err := json.Marshal(map[string]any{"releases": releases})
		if err != nil {
			t.Fatal(err)
		}
		mux.HandleFunc("GET /mirror/index/"+pkg, func(w http.ResponseWriter, _ *http.Request) {
			w.Write(answer)
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.address = server.URL + "/pypi/"
	return s
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

// wheelMachine returns a machine and its index, which has the wheel.
func wheelMachine(t *testing.T, content []byte) (machine, *served) {
	m := bare()
	m.cpu = []build{{
		name:   "new",
		wheel:  wheel{pkg: "xla", version: "1.0", file: "xla.whl", sha256: sum(content)},
		member: "lib/xla_cpu.so", plugin: "xla_cpu-1.0.so",
		pluginSHA256: sum([]byte(pluginContent)),
	}}
	x := index{"xla": {"1.0": {"xla.whl": content}, "1.1": {"newer.whl": nil}}}.serve(t)
	m.index = x.address
	return m, x
}

func TestInstallCPU(t *testing.T) {
	m, x := wheelMachine(t, zipped(t, "README", "text", "lib/xla_cpu.so", pluginContent))
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
		if n := x.downloads.Load(); n != wantDownloads {
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
	m, x := wheelMachine(t, content)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "xla.whl"), content, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := m.installCPU(t.Context(), m.cpu[0], Options{CacheDir: dir, Offline: true})
	if err != nil || x.downloads.Load() != 0 {
		t.Errorf("%v, %d downloads", err, x.downloads.Load())
	}
}

func TestInstallCPUAtOnce(t *testing.T) {
	m, x := wheelMachine(t, zipped(t, "lib/xla_cpu.so", pluginContent))
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
	if n := x.downloads.Load(); n != 1 {
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
		change     func(m *machine, x *served, o *Options)
	}{
		{"other content than the index promises", "fetch: http://127.0.0.1", whole,
			func(_ *machine, x *served, _ *Options) { x.files["xla.whl"] = []byte("other") }},
		{"other file than the fixed one",
			"the package index has no file of xla 1.0 with SHA-256 00", whole,
			func(m *machine, _ *served, _ *Options) { m.cpu[0].sha256 = "00" }},
		{"truncated wheel", "DIR/xla.whl: zip: not a valid zip file", whole[:len(whole)-30], nil},
		{"not a wheel", "DIR/xla.whl: zip: not a valid zip file", []byte("no zip"), nil},
		{"wheel without plugin", "DIR/xla.whl: open lib/xla_cpu.so: file does not exist",
			zipped(t, "lib/xla_gpu.so", pluginContent), nil},
		{"other plugin in the wheel", "DIR/xla.whl: lib/xla_cpu.so: SHA-256 " +
			sum([]byte("other")) + ", want " + sum([]byte(pluginContent)),
			zipped(t, "lib/xla_cpu.so", "other"), nil},
		{"index without the package", "the package index cannot be reached: http://127.0.0.1",
			whole,
			func(m *machine, _ *served, _ *Options) { m.cpu[0].pkg = "ylb" }},
		{"silent index", "the package index cannot be reached: no answer within 1ms: run once " +
			"with a network", whole, func(m *machine, _ *served, _ *Options) {
			m.patience = time.Millisecond
			m.index = silent(t)
		}},
		{"offline", "the package index cannot be reached with -offline: run once with a network, " +
			"or put xla.whl into DIR", whole, func(_ *machine, _ *served,
			o *Options) {
			o.Offline = true
		}},
		{"unwritable", "mkdir " + notAFolder + ": not a directory: XDG_CACHE_HOME names another " +
			"folder for caches", whole, func(_ *machine, _ *served, o *Options) {
			o.CacheDir = filepath.Join(notAFolder, "plugins")
		}},
	} {
		m, x := wheelMachine(t, c.wheel)
		dir := t.TempDir()
		o := Options{CacheDir: dir, Out: new(bytes.Buffer)}
		if c.change != nil {
			c.change(&m, x, &o)
		}
		_, err := m.installCPU(t.Context(), m.cpu[0], o)
		checkError(t, c.name, err, strings.ReplaceAll(c.want, "DIR", dir))
		if _, err := os.Stat(filepath.Join(dir, m.cpu[0].plugin)); err == nil {
			t.Errorf("%s: a plugin was installed", c.name)
		}
	}
}

// silent returns the address of an index that never answers.
func silent(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	return server.URL + "/"
}

// A failed request is repeated.
func TestAskAgain(t *testing.T) {
	m, x := wheelMachine(t, zipped(t, "lib/xla_cpu.so", pluginContent))
	busy := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if busy {
			busy = false
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		http.Redirect(w, r, strings.TrimSuffix(x.address, "/pypi/")+r.URL.Path, http.StatusFound)
	}))
	t.Cleanup(server.Close)
	m.index = server.URL + "/pypi/"
	o := Options{CacheDir: t.TempDir(), Out: new(bytes.Buffer)}
	if _, err := m.installCPU(t.Context(), m.cpu[0], o); err != nil || x.asked.Load() != 1 {
		t.Errorf("asked %d times: %v", x.asked.Load(), err)
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
