package main

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/durable"
	"momentum/internal/markdown"
	"momentum/internal/measure"
	"momentum/models"
)

// described holds a PJRT plugin in C that compiles for a described GPU, and the description.
//
//go:embed described
var described embed.FS

// compileTask is the work of one child process of -compile: a process has one set of XLA's flags.
type compileTask struct {
	Plugin        string            `json:"plugin"` // described.c, compiled
	Log           string            `json:"log"`    // that it writes
	Precision     descent.Precision `json:"precision"`
	Deterministic bool              `json:"deterministic"`
	Network       models.Config     `json:"network"`
	Chunk         int               `json:"chunk"`
}

// compiled describes one executable. Sizes are in bytes.
type compiled struct {
	Network       string            `json:"network"`
	Precision     descent.Precision `json:"precision"`
	Deterministic bool              `json:"deterministic"`
	Executable    string            `json:"executable"`
	Seconds       float64           `json:"seconds"` // to compile
	Arguments     int64             `json:"arguments"`
	Outputs       int64             `json:"outputs"`
	Aliased       int64             `json:"aliased"` // outputs in the memory of arguments
	Temporary     int64             `json:"temporary"`
	Code          int64             `json:"code"`
	Error         string            `json:"error,omitempty"`
}

// compileReport is the JSON of -compile.
type compileReport struct {
	Started      time.Time         `json:"started"`
	Seconds      float64           `json:"seconds"`
	Device       string            `json:"device"` // that does the work
	Modules      map[string]string `json:"modules"`
	PluginSHA256 string            `json:"plugin_sha256"`
	Sizes        argumentSizes     `json:"sizes_of_arguments"`
	Chunk        int               `json:"chunk"`
	Executables  []compiled        `json:"executables"`
}

// networks are those that -compile compiles, as in the paper and as in the studies.
func networks() (all []models.Config) {
	for _, n := range []models.Config{{Model: "resnet18", Norm: "none"},
		{Model: "resnet18", Norm: "weights"}, {Model: "wrn16-4", Norm: "none"},
		{Model: "vgg19", Norm: "none"}} {
		n.Width, n.Classes = models.DefaultWidth(n.Model), 10
		all = append(all, n)
	}
	return all
}

// named are the networks with these names, or all if there are none.
func named(names []string) (some []models.Config) {
	for _, n := range networks() {
		if len(names) == 0 || slices.Contains(names, nameOf(n)) {
			some = append(some, n)
		}
	}
	return some
}

// nameOf is the name of a network in -model and in the table.
func nameOf(n models.Config) string {
	if n.Norm == "none" {
		return n.Model
	}
	return n.Model + "-" + n.Norm
}

// compileTasks are the tasks of -compile: each network in each precision, without and with
// determinism.
func (o options) compileTasks() (all []compileTask) {
	for _, n := range o.networks {
		for _, p := range o.precisions {
			for _, deterministic := range []bool{false, true} {
				all = append(all, compileTask{Network: n, Precision: p,
					Deterministic: deterministic, Chunk: o.Chunks[0]})
			}
		}
	}
	return all
}

func (t compileTask) String() string {
	s := nameOf(t.Network) + " " + string(t.Precision)
	if t.Deterministic {
		s += " deterministic"
	}
	return s
}

// result is an executable of the task, of which nothing is known yet.
func (t *compileTask) result() compiled {
	return compiled{Network: nameOf(t.Network), Precision: t.Precision,
		Deterministic: t.Deterministic}
}

// failed is the result of a task that compiles nothing.
func (t *compileTask) failed(err error) compiled {
	c := t.result()
	c.Error = err.Error()
	return c
}

// compile compiles the graphs of a step for a described GPU, a child process for each task, and
// prints a table.
func compile(ctx context.Context, stdout, stderr io.Writer, o options) error {
	for _, tool := range []string{"cc", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			fmt.Fprintf(stdout, "skipped: %s\n", err)
			return nil
		}
	}
	header, err := headerFolder(ctx)
	if err != nil {
		return err
	}
	plugin, why := o.cudaPlugin(ctx, stderr)
	if why != "" {
		fmt.Fprintf(stdout, "skipped: %s\n", why)
		return nil
	}
	dir, err := os.MkdirTemp("", "gpucheck")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	pretended, sizes, err := build(ctx, dir, header, plugin)
	if err != nil {
		return err
	}
	r := compileReport{Started: time.Now().UTC().Truncate(time.Second), Chunk: o.Chunks[0],
		Device: backend.Processor(), Modules: backend.Modules(), Sizes: sizes}
	if r.PluginSHA256, err = durable.SHA256(plugin); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "The plugin has PJRT %s and go-xla's header %s. The arguments of %d "+
		"functions have the sizes that the plugin wants.\n\n", sizes.Plugin, sizes.Header,
		sizes.Enough)
	problem := sizes.problem()
	for _, t := range o.compileTasks() {
		t.Plugin, t.Log = pretended, filepath.Join(dir, "log")
		var got []compiled
		if _, err := measure.Self(ctx, stderr, task{Compile: &t}, &got); err != nil {
			got = []compiled{t.failed(err)} // such as a crash
		}
		fmt.Fprintln(stderr, t)
		for _, c := range got {
			if c.Error != "" && problem == nil {
				problem = fmt.Errorf("%s: %s", t, c.Error)
			}
		}
		r.Executables = append(r.Executables, got...)
		r.Seconds = time.Since(r.Started).Seconds()
		if err := errors.Join(writeJSON(o.out, r), ctx.Err()); err != nil {
			return err
		}
	}
	fmt.Fprint(stdout, r.table())
	return problem
}

// cudaPlugin returns the path of the CUDA plugin to compile with, or why there is none.
func (o options) cudaPlugin(ctx context.Context, stderr io.Writer) (plugin, why string) {
	if path, found := strings.CutPrefix(o.Backend, "xla:/"); found {
		return "/" + path, ""
	}
	plugin, err := backend.CUDACompiler(ctx, backend.Options{Out: stderr})
	if err != nil {
		return "", cli.Line(err)
	}
	return plugin, ""
}

// headerFolder is the folder of PJRT's header in go-xla. Only in the repository does Go know it.
func headerFolder(ctx context.Context) (string, error) {
	goXLA, err := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/gomlx/go-xla")
	if err != nil {
		return "", fmt.Errorf("-compile needs go-xla's header: run it in the repository: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(goXLA)), "pjrt"), nil
}

// build compiles described.c and returns its path, and compares the sizes of arguments. The folders
// are pip's, so that the libraries beside the plugin are found beside ours too.
func build(ctx context.Context, dir, header, plugin string) (pretended string,
	sizes argumentSizes, err error) {
	folder := filepath.Join(dir, "jax_plugins", "xla_cuda")
	pretended = filepath.Join(folder, "described_cuda.so")
	nvidia := filepath.Join(filepath.Dir(plugin), "../../nvidia")
	if err := errors.Join(os.CopyFS(dir, described), os.MkdirAll(folder, 0o777),
		os.Symlink(nvidia, filepath.Join(dir, "nvidia"))); err != nil {
		return "", sizes, err
	}
	source := filepath.Join(dir, "described")
	if sizes, err = compareSizes(ctx, source, header, plugin); err != nil {
		return "", sizes, err
	}
	for name, value := range map[string]string{"PLUGIN": plugin, "LOG": filepath.Join(dir, "log"),
		"TARGET": filepath.Join(source, "h100.txtpb")} {
		os.Setenv("DESCRIBED_"+name, value)
	}
	_, err = output(ctx, "cc", "-O1", "-shared", "-fPIC", "-I"+header, "-o", pretended,
		filepath.Join(source, "described.c"), "-ldl", "-lpthread")
	return pretended, sizes, err
}

// output runs a command. Its error has what the command says.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, err
}

// do compiles the graphs of a network. An error of one does not prevent the others.
func (t *compileTask) do(ctx context.Context, stderr io.Writer) []compiled {
	all, err := t.compile(ctx, stderr)
	if err != nil {
		all = append(all, t.failed(err))
	}
	return all
}

// compile compiles the graphs of a network: a new trainer does.
func (t *compileTask) compile(ctx context.Context, stderr io.Writer) (all []compiled, err error) {
	b, err := backend.Open(ctx, "xla:"+t.Plugin, backend.Options{Offline: true, Out: stderr,
		TF32: t.Precision == descent.TF32, Deterministic: t.Deterministic})
	if err != nil {
		return nil, err
	}
	defer b.LeaveAutotuned()
	if err := os.WriteFile(t.Log, nil, 0o666); err != nil {
		return nil, err
	}
	net, err := models.New(t.Network)
	if err != nil {
		return nil, err
	}
	// No images are copied to no devices.
	data, err := measure.Images(ctx, &backend.Backend{}, t.Chunk, t.Chunk)
	if err != nil {
		return nil, err
	}
	_, err = descent.NewTrainer(b, net, descent.Rule{Form: descent.Undamped, Gamma: 0.9}, data,
		descent.Options{Precision: t.Precision, Seed: 1})
	log, readErr := os.ReadFile(t.Log)
	for line := range bytes.Lines(log) {
		c := t.result()
		readErr = errors.Join(readErr, json.Unmarshal(line, &c))
		c.Executable, _, _ = strings.Cut(c.Executable, "_") // XLA numbers those of one name
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b compiled) int { return cmp.Compare(a.Executable, b.Executable) })
	return all, errors.Join(err, readErr)
}

// table is a row for each network, precision and kind of determinism, in Markdown.
func (r *compileReport) table() string {
	type key struct {
		network       string
		precision     descent.Precision
		deterministic bool
	}
	var order []key
	groups := map[key]map[string]compiled{}
	for _, c := range r.Executables {
		k := key{c.Network, c.Precision, c.Deterministic}
		if groups[k] == nil {
			groups[k] = map[string]compiled{}
			order = append(order, k)
		}
		groups[k][c.Executable] = c
	}
	var rows [][]string
	for _, k := range order {
		row := []string{k.network, string(k.precision), map[bool]string{true: "yes",
			false: "no"}[k.deterministic]}
		g := groups[k]
		for _, name := range executables {
			c, found := g[name]
			if !found {
				row = append(row, "failed", "")
				continue
			}
			row = append(row, fmt.Sprintf("%.1f", c.Seconds), fmt.Sprintf("%.0f",
				float64(c.Arguments+c.Outputs-c.Aliased+c.Temporary)/1e6))
		}
		rows = append(rows, row)
	}
	titles := []string{"network", "precision", "deterministic"}
	for _, name := range executables {
		titles = append(titles, name+" s", "MB")
	}
	return markdown.Table(titles, rows)
}

// executables are the graphs of a step that a trainer compiles at the start.
var executables = []string{"accumulate", "evaluate", "update"}
