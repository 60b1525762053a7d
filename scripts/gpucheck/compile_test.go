package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/backend"
)

// A machine that lacks what -compile needs is no failure, and the reason is given.
func TestCompileSkipped(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var stdout bytes.Buffer
	if err := run(t.Context(), &stdout, t.Output(), []string{"-compile"}); err != nil {
		t.Fatal(err)
	}
	const want = "skipped: exec: \"cc\": executable file not found in $PATH\n"
	if stdout.String() != want {
		t.Errorf("printed %q, want %q", &stdout, want)
	}
}

// A file that is no plugin is refused.
func TestCompileWithoutPlugin(t *testing.T) {
	plugin := filepath.Join(t.TempDir(), "xla_cuda.so")
	if err := os.WriteFile(plugin, []byte("no library"), 0o666); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), t.Output(), t.Output(), []string{"-compile", "-backend=xla:" + plugin})
	if err == nil || !strings.Contains(err.Error(), plugin) {
		t.Errorf("got %v, want an error about %s", err, plugin)
	}
}

// Outside the repository, where go-xla's header is not found, -compile says where to run it. A path
// without a plugin is named first.
func TestCompileElsewhere(t *testing.T) {
	for _, tool := range []string{"cc", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	t.Chdir(t.TempDir())
	for backend, want := range map[string]string{
		"xla:cuda":       "-compile needs go-xla's header: run it in the repository: ",
		"xla:/x/cuda.so": "-backend: stat /x/cuda.so: no such file or directory",
	} {
		err := run(t.Context(), t.Output(), t.Output(), []string{"-compile", "-backend=" + backend})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", backend, err, want)
		}
	}
}

// The smallest network, where a CUDA plugin is installed; it takes a minute.
func TestCompile(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles for a minute")
	}
	if _, err := backend.CUDACompiler(t.Context(), backend.Options{Offline: true}); err != nil {
		t.Skipf("there is no CUDA plugin on this machine: %v", err)
	}
	out := filepath.Join(t.TempDir(), "compile.json")
	var stdout bytes.Buffer
	if err := run(t.Context(), &stdout, t.Output(),
		[]string{"-compile", "-quick", "-precision=f32", "-out=" + out}); err != nil {
		t.Fatalf("%v\n%s", err, &stdout)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var r compileReport
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	// accumulate, add, evaluate and update, without and with determinism
	if len(r.Executables) != 8 || r.Sizes.Enough < 100 ||
		strings.Contains(stdout.String(), "failed") {
		t.Errorf("%d executables, %d sizes, want 8 and more than 100\n%s", len(r.Executables),
			r.Sizes.Enough, &stdout)
	}
}

func TestParseSizes(t *testing.T) {
	s := parseSizes("0.116\t0.104\n" +
		"A\t24\tUnexpected A_Args size: expected 24, got 0. Check installed software versions.\n" +
		"B\t144\tUnexpected B_Args size: expected at least 112, got 0. It may\nbe out of date.\n" +
		"C\t16\tUnexpected C_Args size: expected 24, got 0.\n" +
		"D\t16\tcrash\n")
	if s.Plugin != "0.116" || s.Header != "0.104" || s.Enough != 2 || len(s.Unknown) != 1 ||
		s.Unknown[0] != "D" {
		t.Errorf("got %+v, want A and B large enough, and D unknown", s)
	}
	const want = "the plugin wants larger arguments: C: header 16, plugin 24"
	if err := s.problem(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestCompileTable(t *testing.T) {
	r := compileReport{Executables: []compiled{
		{Network: "vgg19", Precision: "f32", Executable: "accumulate", Seconds: 2.04,
			Arguments: 3e6, Outputs: 2e6, Aliased: 1e6, Temporary: 4e6},
		{Network: "vgg19", Precision: "f32", Executable: "update", Seconds: 1, Outputs: 5e6},
		{Network: "vgg19", Precision: "f32", Deterministic: true, Error: "out of memory"},
	}}
	const want = "| network | precision | deterministic | accumulate s | MB | evaluate s | MB " +
		`| update s | MB |
|---|---|---|---|---|---|---|---|---|
| vgg19 | f32 | no | 2.0 | 8 | failed |  | 1.0 | 5 |
| vgg19 | f32 | yes | failed |  | failed |  | failed |  |
`
	if got := r.table(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
