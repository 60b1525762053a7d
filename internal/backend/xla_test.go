package backend

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestPluginFaults(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("plugins are checked on Linux only")
	}
	libraries, _ := filepath.Glob("/lib*/*-linux-gnu/libc.so.6")
	if len(libraries) == 0 {
		libraries, _ = filepath.Glob("/lib*/libc.so.6")
	}
	if len(libraries) == 0 {
		t.Skip("no C library was found to use in place of a plugin")
	}
	library, err := os.ReadFile(libraries[0])
	if err != nil {
		t.Fatal(err)
	}
	otherMachine := append([]byte{}, library...)
	copy(otherMachine[18:], []byte{8, 0}) // e_machine: MIPS

	dir := t.TempDir()
	for _, c := range []struct {
		name, want string
		content    []byte
	}{
		{"missing", "backend: plugin: open FILE: no such file or directory", nil},
		{"empty", "backend: FILE: not a shared library: EOF", []byte{}},
		{"text", "backend: FILE: not a shared library: bad magic number",
			[]byte("<html>not found</html>")},
		{"cut", "backend: FILE: not a shared library: ", library[:len(library)/2]},
		{"foreign", "backend: FILE: a shared library, but not a PJRT plugin: it has no function " +
			"GetPjrtApi", library},
		{"other machine", "backend: FILE: a library for EM_MIPS, want EM_", otherMachine},
	} {
		file := filepath.Join(dir, c.name+"_cpu.so")
		if c.content != nil {
			if err := os.WriteFile(file, c.content, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Open(t.Context(), "xla:"+file, Options{})
		checkError(t, c.name, err, strings.ReplaceAll(c.want, "FILE", file))
	}
	_, err = Open(t.Context(), "xla:"+dir+"/cpu.so/", Options{})
	checkError(t, "slash", err, "backend: plugin: open "+dir+"/cpu.so/: no such file or directory")
	if err := os.Mkdir(filepath.Join(dir, "cpu.so"), 0o777); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), "xla:"+dir+"/cpu.so", Options{})
	checkError(t, "folder", err, "backend: plugin: read "+dir+"/cpu.so: is a directory")
}

func TestPlainPath(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		kind   Kind
		plugin string
		plain  bool
	}{
		{CPU, "/opt/xla_cpu.so", true},
		{CPU, dir + "/cuda/xla_cpu.so", false},
		{CPU, dir + "/NVIDIA/xla_cpu.so", false},
		{CPU, dir + "/a,b/xla_cpu.so", false},
		{CUDA, "/opt/nvidia/xla_cuda.so", true},
		{CUDA, dir + "/cpu/xla_cuda.so", false},
	} {
		if !c.plain {
			if err := os.MkdirAll(filepath.Dir(c.plugin), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.plugin, []byte(c.plugin), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		path, err := plainPath(c.kind, c.plugin)
		if err != nil || (path == c.plugin) != c.plain {
			t.Errorf("%s: got %s, %v", c.plugin, path, err)
			continue
		}
		cpu, cuda := words(path)
		if cpu != (c.kind == CPU) || cuda != (c.kind == CUDA) || strings.Contains(path, ",") {
			t.Errorf("%s: %s misleads", c.plugin, path)
		}
		if runtime.GOOS == "linux" && !c.plain {
			runtime.GC() // does not close the folder
			if content, err := os.ReadFile(path); string(content) != c.plugin {
				t.Errorf("%s: %s has %q, %v", c.plugin, path, content, err)
			}
		}
	}
}
