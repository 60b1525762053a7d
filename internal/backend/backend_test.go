package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/google/go-cmp/cmp"

	"momentum/internal/durable"
)

func TestParse(t *testing.T) {
	const unknown, relative, kind = "unknown backend ",
		"the path of a plugin must be absolute, want ",
		"the name of a plugin file must contain either cpu or cuda, or its kind is unknown"
	var known []string
	for _, c := range cpuBuilds() {
		checkError(t, c.name, Parse("xla:cpu:"+c.name), "")
		known = append(known, c.name)
	}
	if known == nil {
		t.Skip("there is no CPU plugin for this system")
	}
	names := strings.Join(known, " or ")
	for spec, want := range map[string]string{
		"auto":                          "",
		"go":                            "",
		"xla:cpu":                       "",
		"xla:cuda":                      "",
		"xla:/opt/pjrt_cpu.so":          "",
		"xla:/opt/cpu/xla_cuda_pjrt.so": "", // only the file name tells the kind
		"": unknown +
			`"", want auto, go, xla:cuda, xla:cpu, xla:cpu:BUILD or xla:/absolute/plugin.so`,
		"cpu":                  unknown + `"cpu", want auto,`,
		"/opt/pjrt_cpu.so":     unknown + `"/opt/pjrt_cpu.so", want auto,`,
		"xla:":                 unknown + `"xla:", want auto,`,
		"xla:tpu":              unknown + `"xla:tpu", want auto,`,
		"xla:lib/pjrt_cpu.so":  "xla:lib/pjrt_cpu.so: " + relative,
		"xla:pjrt_cpu.so":      "xla:pjrt_cpu.so: " + relative,
		"xla:cpu:1999.1":       "xla:cpu: unknown build \"1999.1\", want " + names,
		"xla:cpu:":             "xla:cpu: unknown build \"\", want " + names,
		"xla:/opt/pjrt.so":     "/opt/pjrt.so: " + kind,
		"xla:/opt/cpu_cuda.so": "/opt/cpu_cuda.so: " + kind,
	} {
		if want != "" {
			want = "backend: " + want
		}
		checkError(t, spec, Parse(spec), want)
	}
}

// checkError checks that an error is one line with the prefix want, or nil if want is "".
func checkError(t *testing.T, name string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case want != "" && err == nil:
		t.Errorf("%s: no error, want %s", name, want)
	case want != "" && (!strings.HasPrefix(err.Error(), want) ||
		strings.Contains(err.Error(), "\n")):
		t.Errorf("%s:\n got %s\nwant %s", name, err, want)
	}
}

// bare is a machine without GPU, network and Python.
func bare() machine {
	return machine{
		cpu:      cpuBuilds(),
		cuda:     cudaWheels,
		index:    "http://127.0.0.1:1/", // where no server listens
		patience: 1e9,
	}
}

func TestAutoWithoutNetwork(t *testing.T) {
	m := bare()
	if m.cpu == nil {
		t.Skip("there is no CPU plugin for this system")
	}
	dir := t.TempDir()
	var out bytes.Buffer
	b, err := m.open(t.Context(), "auto", Options{CacheDir: dir, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	if b.Kind != Go || b.Plugin != "" || b.PluginSHA256 != "" || b.Device == "" ||
		b.Why != "no GPU was found and XLA's CPU plugin is unavailable" {
		t.Errorf("got %+v", b)
	}
	missing := func(c build) string {
		return "backend: xla:cpu: the package index cannot be reached: Get " +
			`"http://127.0.0.1:1/` + c.pkg + `/json": dial tcp 127.0.0.1:1: connect: connection ` +
			"refused: run once with a network, or put " + c.file + " into " + dir + "\n"
	}
	var want string
	for i, c := range m.cpu[1:] {
		want += fmt.Sprintf("build %s is tried instead of %s: %s", c.name, m.cpu[i].name,
			missing(m.cpu[i]))
	}
	want += "XLA is not used, which makes convolutions about 100 times slower: " +
		missing(m.cpu[len(m.cpu)-1])
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("notice (-want +got):\n%s", diff)
	}
	_, err = m.open(t.Context(), "xla:cpu", Options{CacheDir: dir})
	checkError(t, "xla:cpu", err, "backend: xla:cpu: the package index cannot be reached: "+
		`Get "http://127.0.0.1:1/`)
	if !errors.Is(err, errUnavailable) {
		t.Errorf("%v is not errUnavailable", err)
	}
}

func TestOffline(t *testing.T) {
	m := bare()
	x := index{}.serve(t)
	m.index = x.address
	m.gpus = []string{gpuFile(t)}
	for spec, want := range map[string]string{
		"xla:cpu": "backend: xla:cpu: the package index cannot be reached with -offline: run " +
			"once with a network, or put ",
		"xla:cuda": "backend: xla:cuda: the package index cannot be reached with -offline: run " +
			"once with a network, or put jax_cuda13_pjrt-0.12.0.1-py3-none-manylinux_2_27_",
		"auto": "",
	} {
		_, err := m.open(t.Context(), spec, Options{CacheDir: t.TempDir(), Offline: true})
		checkError(t, spec, err, want)
	}
	if n := x.asked.Load(); n > 0 {
		t.Errorf("asked the index %d times", n)
	}
}

// gpuFile creates a file in place of a GPU's device file.
func gpuFile(t *testing.T) string {
	if os.Getenv("CUDA_VISIBLE_DEVICES") != "" {
		t.Setenv("CUDA_VISIBLE_DEVICES", "0")
	}
	file := filepath.Join(t.TempDir(), "nvidia0")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCancelled(t *testing.T) {
	m := bare()
	m.index = silent(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b, err := m.open(ctx, "auto", Options{CacheDir: t.TempDir()})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", b, err)
	}
}

func TestGo(t *testing.T) {
	b, err := Open(t.Context(), "go", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Kind != Go || b.Why != "-backend=go asks for it" {
		t.Errorf("got %+v", b)
	}
	checkGraphs(t, b)
}

func TestCPU(t *testing.T) {
	b, err := Open(t.Context(), "xla:cpu", Options{Out: os.Stderr})
	if errors.Is(err, errUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if sum, err := durable.SHA256(b.Plugin); b.Kind != CPU || b.PluginSHA256 != sum || err != nil {
		t.Errorf("got %+v and %v, want SHA-256 %s", b, err, sum)
	}
	if len(b.Devices) != 1 || b.Devices[0].Client != b.Backend || b.Devices[0].Num != 0 {
		t.Errorf("devices %+v, want one", b.Devices)
	}
	checkGraphs(t, b)

	// The same plugin at a path with everything that misleads GoMLX.
	dir := filepath.Join(t.TempDir(), "cuda,nvidia")
	link := filepath.Join(dir, "cpu.so")
	if err := errors.Join(os.Mkdir(dir, 0o777), os.Symlink(b.Plugin, link)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NPROC", "3")
	linked, err := Open(t.Context(), "xla:"+link, Options{Devices: AllDevices, TF32: true})
	if err != nil {
		t.Fatal(err)
	}
	defer linked.Close()
	if linked.Kind != CPU || linked.Plugin != link || linked.PluginSHA256 != b.PluginSHA256 {
		t.Errorf("got %+v", linked)
	}
	if len(linked.Devices) != 3 || linked.Threads != 3 ||
		linked.Devices[2].Num != 2 || linked.Shares() != "3 cores" {
		t.Errorf("devices %+v, %s, want three cores", linked.Devices, linked.Shares())
	}
	if n := os.Getenv("NPROC"); n != "3" {
		t.Errorf("NPROC is %s after Open, want 3 as before", n)
	}
	checkGraphs(t, linked)
}

// checkGraphs checks a sum, a product and a convolution.
func checkGraphs(t *testing.T, b *Backend) {
	t.Helper()
	if err := Try("compute", func() {
		add := graph.MustNewExec(b.Backend, func(x, y *graph.Node) *graph.Node {
			return graph.Add(x, y)
		})
		if got := tensors.ToScalar[float32](add.MustCall1(float32(1), float32(2))); got != 3 {
			t.Errorf("1 + 2 = %v, want 3", got)
		}
		dot := graph.MustNewExec(b.Backend, func(x, y *graph.Node) *graph.Node {
			return graph.Dot(x, y).Product()
		})
		product := dot.MustCall1([][]float32{{1, 2}}, [][]float32{{3}, {4}})
		if got := product.Value(); !cmp.Equal(got, [][]float32{{11}}) {
			t.Errorf("(1 2)·(3 4) = %v, want 11", got)
		}
	}); err != nil {
		t.Errorf("%+v", err)
	}
	if err := convolves(b); err != nil {
		t.Error(err)
	}
}

func TestDevicesOfCPU(t *testing.T) {
	four := func(kind Kind) int { return map[Kind]int{Go: 4}[kind] }
	for _, c := range []struct {
		cores   string
		o       Options
		devices int
	}{
		{"5", Options{Devices: 3}, 3},
		{"5", Options{Devices: AllDevices}, 5},
		{"1", Options{Devices: AllDevices}, 1},
		{"5", Options{Devices: AllDevices, AtMost: four}, 4},
		{"2", Options{}, 1},
	} {
		t.Setenv("NPROC", c.cores)
		b, err := Open(t.Context(), "go", c.o)
		if err != nil || len(b.Devices) != c.devices || b.Backend != b.Devices[0].Client {
			t.Errorf("%s cores, %+v: %+v, %v; want %d devices", c.cores, c.o, b, err, c.devices)
		}
	}
	t.Setenv("NPROC", "5")
	for _, spec := range []string{"go", "xla:cpu", "auto"} { // and nothing else is tried
		var out bytes.Buffer
		_, err := bare().open(t.Context(), spec, Options{Devices: 6, CacheDir: t.TempDir(),
			Out: &out})
		checkError(t, spec, err,
			"backend: 6 devices, but this process may use 5: use at most as many devices as cores")
		if out.Len() > 0 {
			t.Errorf("%s: prints %q", spec, &out)
		}
	}
	m := bare()
	m.gpus = []string{gpuFile(t)}
	_, err := m.open(t.Context(), "auto", Options{Devices: 2, CacheDir: t.TempDir()})
	checkError(t, "2 GPUs", err,
		"backend: xla:cuda: 2 devices, but this process may use 1 GPU(s): use at most as many")
}

func TestLogIsDemoted(t *testing.T) {
	var out bytes.Buffer
	handler := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})
	slog.New(demoted{handler}).With("a", 1).WithGroup("g").Error("broken", "b", 2)
	if got := out.String(); !strings.Contains(got, `level=DEBUG msg=broken a=1 g.b=2`) {
		t.Errorf("got %s", got)
	}
	if slog.New(demoted{slog.NewTextHandler(io.Discard, nil)}).Enabled(t.Context(),
		slog.LevelError) {
		t.Error("an error is logged by a handler of level info, want it demoted to debug")
	}
}
