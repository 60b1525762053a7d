// Package backend opens the backend that computes graphs: XLA on a CUDA GPU, XLA on the CPU, or
// GoMLX's pure-Go backend. It finds or fetches the PJRT plugin that contains XLA, checks it, and
// turns the panics of graph functions into errors ([Try]).
//
// XLA is not part of the program. A plugin is a shared library of a few hundred megabytes, which is
// loaded at run time. For the CPU there is a table of known builds. Each is a wheel of the Python
// Package Index with fixed version and SHA-256, which is unpacked once.
package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"k8s.io/klog/v2"
)

// Kind is a kind of backend.
type Kind string

// The kinds, from the fastest to the slowest.
const (
	CUDA Kind = "xla:cuda"
	CPU  Kind = "xla:cpu"
	Go   Kind = "go"
)

// Options of [Open]. None of them changes the numbers, except TF32 and Deterministic on a GPU.
type Options struct {
	Offline  bool   // never use the network
	CacheDir string // folder of plugins; by default momentum/plugins in os.UserCacheDir

	// Devices is the number of devices to open: GPUs, or cores of the CPU, each a device that
	// computes in one thread. 0 means one GPU, or the whole CPU as one device; [AllDevices] means
	// all visible GPUs, or all cores, of which the variable NPROC may give the number. A device
	// of one core computes alike beside any number of others.
	Devices int
	// AtMost returns the largest number that AllDevices may open on a kind of backend. If it is nil
	// there is no limit.
	AtMost func(Kind) int

	// Out receives the progress of downloads, and a line for each fallback or repair that the user
	// should know of. With nil, Open is silent.
	Out io.Writer

	// TF32 lets a GPU round the factors of matrix products and convolutions to 10 bits of mantissa.
	TF32 bool
	// Deterministic keeps a GPU from operations whose result may vary from call to call. On a CPU
	// there are none.
	Deterministic bool

	// MemoryFraction is the share of each GPU's memory that this process may take, in (0, 1]; 0 is
	// XLA's own, 0.75. It is taken as it is needed, or at once with Preallocate.
	MemoryFraction float64
	Preallocate    bool
}

// AllDevices is the value of [Options].Devices for all devices.
const AllDevices = -1

// Device is one device of a backend. It computes beside the others if another goroutine drives it.
// With XLA all devices belong to one client, and its compiled graphs run on all of them.
type Device struct {
	Client compute.Backend
	Num    compute.DeviceNum
}

// Backend is an open backend.
type Backend struct {
	Backend      compute.Backend // GoMLX's, the client of the first device
	Devices      []Device
	Kind         Kind
	Plugin       string   // absolute path of the PJRT plugin, "" for [Go]
	PluginSHA256 string   // in hex, "" for [Go]
	Flags        []string // XLA's, set by the user or by Open, with only the last part of paths
	Threads      int      // of XLA on the CPU: these divide some sums among them; 0 elsewhere
	cores        bool     // whether each device is a core of the CPU
	Device       string   // description, such as "AMD EPYC, 2 cores"
	Why          string   // reason for this backend, such as "no GPU was found"
	Build        string   // name of the CPU plugin if it is a known one, such as "2026.6", or ""

	autotuned *autotuned // kernels, with CUDA if they can be kept; else nil
}

// Name is the kind and the build, such as "xla:cpu:2026.6".
func (b *Backend) Name() string {
	if b.Build == "" {
		return string(b.Kind)
	}
	return string(b.Kind) + ":" + b.Build
}

// String says which backend works on which device, and why.
func (b *Backend) String() string {
	return fmt.Sprintf("%s on %s: %s", b.Name(), b.Device, b.Why)
}

// Flag describes the values of a -backend flag.
const Flag = "auto|go|xla:cuda|xla:cpu|xla:cpu:BUILD|xla:/abs/plugin.so (docs/backends.md)"

// Parse checks the value of a -backend flag before any work starts: auto, go, xla:cuda, xla:cpu,
// xla:cpu:BUILD or xla:/absolute/plugin.so.
func Parse(spec string) error {
	_, err := parse(spec, cpuBuilds())
	return err
}

// request is the meaning of a -backend flag.
type request struct {
	kind   Kind    // "" for auto
	plugin string  // path of a plugin, or ""
	builds []build // of XLA for the CPU, in the order in which they are tried
}

// parse interprets spec. builds are all builds of XLA for the CPU.
func parse(spec string, builds []build) (r request, err error) {
	const want = "want auto, go, xla:cuda, xla:cpu, xla:cpu:BUILD or xla:/absolute/plugin.so"
	switch spec {
	case "auto":
		return request{builds: builds}, nil
	case string(CUDA), string(CPU), string(Go):
		return request{kind: Kind(spec), builds: builds}, nil
	}
	if name, found := strings.CutPrefix(spec, string(CPU)+":"); found {
		c, err := findBuild(builds, name)
		return request{kind: CPU, builds: []build{c}}, err
	}
	path, found := strings.CutPrefix(spec, "xla:")
	isFile := strings.ContainsRune(path, filepath.Separator) || strings.HasSuffix(path, ".so")
	switch {
	case !found || !isFile:
		return r, fmt.Errorf("backend: unknown backend %q, %s", spec, want)
	case !filepath.IsAbs(path):
		return r, fmt.Errorf("backend: %s: the path of a plugin must be absolute, %s", spec, want)
	}
	r.plugin = path
	r.kind, err = kindOf(path)
	return r, err
}

// kindOf tells the kind of a plugin from its file name, as GoMLX does.
func kindOf(plugin string) (Kind, error) {
	cpu, cuda := words(filepath.Base(plugin))
	switch {
	case cpu && !cuda:
		return CPU, nil
	case cuda && !cpu:
		return CUDA, nil
	}
	return "", fmt.Errorf("backend: %s: the name of a plugin file must contain either cpu or "+
		"cuda, or its kind is unknown: make a link to it that does", plugin)
}

// words reports which kinds GoMLX reads in a plugin's path.
func words(path string) (cpu, cuda bool) {
	path = strings.ToLower(path)
	cuda = strings.Contains(path, "cuda") || strings.Contains(path, "nvidia")
	return strings.Contains(path, "cpu"), cuda
}

// Open opens the backend that spec names; see [Parse]. With "auto" it opens a CUDA GPU if one
// works, else XLA on the CPU, else the Go backend, and writes a line to o.Out for each backend that
// should have worked and did not. With "xla:cpu" it opens the first known build that can be had and
// works. With any other spec a failure is an error. Open downloads missing plugins unless o.Offline
// is set.
//
// Open sets environment variables for a GPU and redirects GoMLX's log to slog at level debug. Both
// affect the whole process, so call Open before other goroutines use them. XLA reads the
// environment once, so TF32 cannot change from one Open to the next. On one kind of CPU, equal
// graphs give equal bytes in every process, with one build of XLA on one number of threads, and
// with Go; on a GPU this is not known.
func Open(ctx context.Context, spec string, o Options) (*Backend, error) {
	return thisMachine().open(ctx, spec, o)
}

func (m machine) open(ctx context.Context, spec string, o Options) (*Backend, error) {
	r, err := parse(spec, m.cpu)
	if err != nil {
		return nil, err
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	klog.SetSlogLogger(slog.New(demoted{slog.Default().Handler()}))

	why := fmt.Sprintf("-backend=%s asks for it", spec)
	switch {
	case r.plugin != "":
		return loadFile(r.kind, r.plugin, why, o)
	case r.kind == Go:
		return openGo(why, o)
	}
	if o.CacheDir, err = cacheDir(o.CacheDir); err != nil {
		return nil, err
	}
	switch r.kind {
	case CUDA:
		return m.openCUDA(ctx, why, o)
	case CPU:
		return m.openCPU(ctx, r.builds, why, o)
	}

	why = "no GPU was found"
	if m.hasGPU() {
		b, err := m.openCUDA(ctx, "a GPU was found", o)
		if err == nil || ctx.Err() != nil || errors.Is(err, errDevices) {
			return b, err
		}
		fmt.Fprintf(o.Out, "the GPU is not used: %v\n", err)
		why = "the GPU cannot be used"
	}
	b, err := m.openCPU(ctx, r.builds, why, o)
	if err == nil || ctx.Err() != nil || errors.Is(err, errDevices) {
		return b, err
	}
	fmt.Fprintf(o.Out, "XLA is not used, which makes convolutions about 100 times slower: %v\n",
		err)
	return openGo(why+" and XLA's CPU plugin is unavailable", o)
}

// openGo opens GoMLX's own backend. Operations run one after the other, because its default
// scheduler deadlocks on graphs with convolutions.
func openGo(why string, o Options) (*Backend, error) {
	b := &Backend{Kind: Go, Device: Processor(), cores: o.Devices != 0, Why: why}
	n, err := o.cpuDevices(Go)
	if err != nil {
		return nil, err
	}
	for range n {
		client, err := gobackend.New("ops_sequential")
		if err != nil {
			b.Close()
			return nil, fmt.Errorf("backend: go: %w", err)
		}
		b.add(client, 1)
	}
	return b, nil
}

// add adds the first devices of a client.
func (b *Backend) add(client compute.Backend, devices int) {
	if b.Backend == nil {
		b.Backend = client
	}
	for i := range devices {
		b.Devices = append(b.Devices, Device{Client: client, Num: compute.DeviceNum(i)})
	}
}

// Close frees the devices. What lies on them is lost.
func (b *Backend) Close() {
	b.LeaveAutotuned()
	for _, d := range b.Devices {
		if !d.Client.IsFinalized() {
			d.Client.Finalize()
		}
	}
}

// errDevices is the error of more devices than there are. No other backend is tried then.
var errDevices = errors.New("devices, but this process may use")

// atMost is the number of devices that AllDevices opens, of all on a kind of backend.
func (o Options) atMost(kind Kind, all int) int {
	if o.AtMost == nil {
		return all
	}
	return min(all, o.AtMost(kind))
}

// cpuDevices is the number of devices to open on a CPU.
func (o Options) cpuDevices(kind Kind) (int, error) {
	all := cores()
	switch {
	case o.Devices == AllDevices:
		return o.atMost(kind, all), nil
	case o.Devices > all:
		return 0, fmt.Errorf("backend: %d %w %d: use at most as many devices as cores", o.Devices,
			errDevices, all)
	}
	return max(o.Devices, 1), nil
}

// Shares says what the devices are, such as "2 cores of the CPU".
func (b *Backend) Shares() string {
	n, unit := len(b.Devices), "GPU"
	switch {
	case b.Kind != CUDA && !b.cores:
		return "the whole CPU"
	case b.Kind != CUDA:
		unit = "core"
	}
	if n > 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}

// cores is the number of threads that this process may use for computing: the value of NPROC, which
// XLA reads, or the number of its cores.
func cores() int {
	if n, err := strconv.Atoi(os.Getenv("NPROC")); err == nil && n > 0 {
		return n
	}
	return min(runtime.NumCPU(), runtime.GOMAXPROCS(0))
}

// cacheDir returns dir or the default as an absolute path, which XLA needs.
func cacheDir(dir string) (string, error) {
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("backend: no folder for plugins: %w", err)
		}
		dir = filepath.Join(base, "momentum", "plugins")
	}
	return filepath.Abs(dir)
}

// Processor describes the CPU: its model and the number of cores that this process may use.
func Processor() string {
	model := field("/proc/cpuinfo", "model name", ":") // absent on ARM and on other systems
	if model == "" {
		model = runtime.GOARCH
	}
	cores := "cores"
	if runtime.NumCPU() == 1 {
		cores = "core"
	}
	return fmt.Sprintf("%s, %d %s", model, runtime.NumCPU(), cores)
}

// demoted passes log records on at level debug. Whatever matters in GoMLX's log is returned as an
// error too.
type demoted struct{ slog.Handler }

func (d demoted) Enabled(ctx context.Context, _ slog.Level) bool {
	return d.Handler.Enabled(ctx, slog.LevelDebug)
}

func (d demoted) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return d.Handler.Handle(ctx, r)
}

func (d demoted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demoted{d.Handler.WithAttrs(attrs)}
}
func (d demoted) WithGroup(name string) slog.Handler { return demoted{d.Handler.WithGroup(name)} }
