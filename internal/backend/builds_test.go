package backend

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/fetch"
)

// Each build that cannot be had or does not load is passed over, with one line that says why.
func TestFallback(t *testing.T) {
	real, last := "", build{}
	for _, c := range cpuBuilds() {
		if plugin, err := cached(c); err == nil {
			real, last = plugin, c
		}
	}
	if real == "" {
		t.Skip("no plugin for this CPU is in the cache")
	}
	whole := zipped(t, "lib/xla_cpu.so", pluginContent)
	for _, c := range []struct {
		name, want string
		change     func(m *machine, o *Options)
	}{
		{"package gone", "pypi/gone/json: 404 Not Found: run once with a",
			func(m *machine, _ *Options) { m.cpu[0].pkg = "gone" }},
		{"other wheel", "the package index has no file of xla 1.0 with SHA-256 00",
			func(m *machine, _ *Options) { m.cpu[0].sha256 = "00" }},
		{"other plugin", "DIR/xla.whl: lib/xla_cpu.so: SHA-256 ",
			func(m *machine, _ *Options) { m.cpu[0].pluginSHA256 = "00" }},
		{"not a library", "DIR/xla_cpu-1.0.so: not a shared library: ",
			func(*machine, *Options) {}},
		{"offline", "the package index cannot be reached with -offline: run once with a network",
			func(_ *machine, o *Options) { o.Offline = true }},
	} {
		m, _ := wheelMachine(t, whole)
		m.cpu = append(m.cpu, last)
		dir := t.TempDir()
		if err := os.Symlink(real, filepath.Join(dir, last.plugin)); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		o := Options{CacheDir: dir, Out: &out}
		c.change(&m, &o)
		b, err := m.open(t.Context(), "xla:cpu", o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		b.Close()
		if b.Build != last.name || b.Name() != "xla:cpu:"+last.name ||
			b.PluginSHA256 != last.pluginSHA256 {
			t.Errorf("%s: got %+v, want build %s", c.name, b, last.name)
		}
		var notices []string
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, "build ") {
				notices = append(notices, line)
			}
		}
		start := "build " + last.name + " is tried instead of new: backend: "
		want := strings.ReplaceAll(c.want, "DIR", dir)
		if len(notices) != 1 || !strings.HasPrefix(notices[0], start) ||
			!strings.Contains(notices[0], want) {
			t.Errorf("%s: said %q, want one line with %q", c.name, notices, want)
		}
		// A name asks for one build and no other.
		if _, err := m.open(t.Context(), "xla:cpu:new", o); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: xla:cpu:new: %v, want %s", c.name, err, want)
		}
	}
}

// A build that works is opened without a word on the others, and a name or a path overrides.
func TestChoice(t *testing.T) {
	for _, c := range cpuBuilds() {
		plugin, err := cached(c)
		if err != nil {
			t.Logf("%s is not tested: %v", c.name, err)
			continue
		}
		m := bare()
		m.cpu = append([]build{c}, cpuBuilds()...)
		for _, spec := range []string{"xla:cpu", "auto", "xla:cpu:" + c.name, "xla:" + plugin} {
			var out bytes.Buffer
			b, err := m.open(t.Context(), spec, Options{CacheDir: filepath.Dir(plugin),
				Offline: true, Out: &out})
			if err != nil {
				t.Errorf("%s: %v", spec, err)
				continue
			}
			b.Close()
			if b.Build != c.name || b.Plugin != plugin || out.Len() > 0 {
				t.Errorf("%s: got %+v and said %q", spec, b, out.String())
			}
		}
	}
}

// cached returns the path of a build's plugin in the default cache, with an error if it is not
// there.
func cached(c build) (plugin string, err error) {
	dir, err := cacheDir("")
	if err != nil {
		return "", err
	}
	plugin = filepath.Join(dir, c.plugin)
	return plugin, fetch.Verify(plugin, c.pluginSHA256, 0)
}
