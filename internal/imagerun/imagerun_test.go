package imagerun

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/model/checkpoint"

	"momentum/cifar/config"
	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
	"momentum/internal/safetensors"
	"momentum/internal/tbevents"
)

// cifar runs the command as main does, but in this process.
func cifar(t *testing.T, ctx context.Context, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = cli.Report(&errs, "cifar", run(ctx, &out, &errs, args))
	return status, out.String(), errs.String()
}

// succeed runs the command, which must end well and without a warning, and returns what it prints.
func succeed(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	status, stdout, stderr := cifar(t, t.Context(), args...)
	if status != cli.Done || stderr != "" {
		t.Fatalf("%q: status %d, %q", args, status, stderr)
	}
	return stdout
}

// small is a run of a second on the Go backend: 788 parameters, 13 images in chunks of 5, 5 and 3,
// evaluated on 10 others in each of 4 epochs.
func small(root string, more ...string) []string {
	return append([]string{"-preset=tiny", "-backend=go", "-offline", "-model=wrn16-1", "-width=1",
		"-images=13", "-holdout=10", "-epochs=4",
		"-eval-every=1", "-chunk=5", "-lr=0.1", "-runs=" + root}, more...)
}

// parsed resolves arguments that are right.
func parsed(t *testing.T, kind backend.Kind, args ...string) config.Config {
	t.Helper()
	c, _, err := config.Parse(args, kind)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return c
}

// folder returns the path of the only run folder in root.
func folder(t *testing.T, root string) string {
	t.Helper()
	configs, err := filepath.Glob(filepath.Join(root, "*-??????????", "config.json"))
	if err != nil || len(configs) != 1 {
		t.Fatalf("run folders in %s: %q, %v; want one", root, configs, err)
	}
	return filepath.Dir(configs[0])
}

func get(row rundir.Row, name string) float64 {
	x, ok := row.Get(name)
	if !ok {
		return math.NaN()
	}
	return x
}

// steps are those of the rows.
func steps(rows []rundir.Row) (steps []int64) {
	for _, r := range rows {
		steps = append(steps, r.Step)
	}
	return steps
}

func weights(t *testing.T, dir, name string) []safetensors.Tensor {
	t.Helper()
	content := runtest.Read(t, dir, name)
	all, _, err := safetensors.Read(strings.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sameResult compares the files of a run that follow from its settings alone.
func sameResult(t *testing.T, got, want string) {
	t.Helper()
	for _, name := range []string{"metrics.jsonl", "metrics.csv", "initial.safetensors",
		"weights.safetensors", "curves.svg", "curves.png", "state"} {
		if runtest.Read(t, got, name) != runtest.Read(t, want, name) {
			t.Errorf("%s differs from that of the other run", name)
		}
	}
}

func TestRun(t *testing.T) {
	root := t.TempDir()
	stdout := succeed(t, small(root)...)
	dir := folder(t, root)

	for i, want := range []string{
		`backend   go on .+: -backend=go asks for it`,
		`preset    tiny, asked for by -preset: .+; -preset=quick is the smallest real run`,
		`data      cifar10-mini: 13 training images, 10 held-out training images`,
		`model     wrn16-1, width 1, norm none: 788 parameters, .+ GFLOP per image and step`,
		`descent   GD\+M undamped, γ = 0.9, λ = 0; η = 0.1 cosine, η_eff = 1; 4 epochs of 1 step\(s\)`,
		`run       ` + regexp.QuoteMeta(dir),
		`epoch 0/4  loss \d\.\d{4}  train \d+\.\d\d%  held-out \d+\.\d\d%`,
	} {
		if line := strings.Split(stdout, "\n")[i]; !regexp.MustCompile("^" + want +
			"$").MatchString(line) {
			t.Errorf("line %d is %q, want %s", i+1, line, want)
		}
	}
	if i := strings.IndexFunc(stdout, func(r rune) bool { return r < ' ' && r != '\n' }); i >= 0 {
		t.Errorf("a control character is printed although stdout is no terminal: %q", stdout[i:])
	}

	// Everything that the manual promises is in the folder, and nothing else is beside it.
	all := runtest.Files(t, root)
	var names []string
	for name := range all {
		name, _ = strings.CutPrefix(name, filepath.Base(dir)+"/")
		names = append(names, name)
	}
	slices.Sort(names)
	pattern := `SHA256SUMS checkpoints/step-00000004/SHA256SUMS checkpoints/step-00000004/\S+\.bin checkpoints/step-00000004/\S+\.json ` +
		`config.json curves.png curves.svg events.out.tfevents\S+ initial.safetensors manifest.json metrics.csv metrics.jsonl state weights.safetensors`
	if got := strings.Join(names, " "); !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
		t.Errorf("files\n%s\nwant\n%s", got, pattern)
	}
	if got := runtest.Read(t, dir, "state"); got != "done\n" {
		t.Errorf("state %q", got)
	}
	if _, err := png.Decode(strings.NewReader(runtest.Read(t, dir, "curves.png"))); err != nil {
		t.Errorf("curves.png: %v", err)
	}

	// One row for each epoch, and one for the final weights, which no step was taken from.
	rows := runtest.Metrics(t, dir)
	if got := steps(rows); !slices.Equal(got, []int64{0, 1, 2, 3, 4}) {
		t.Fatalf("rows of the steps %d", got)
	}
	for i, row := range rows {
		for _, name := range []string{"loss", "train_accuracy", "test_loss", "test_accuracy",
			"grad_norm", "update_norm", "param_norm", "rate"} {
			if x, ok := row.Get(name); ok == (i == 4 && strings.Contains("grad_norm update_norm "+
				"param_norm rate", name)) || ok && math.IsNaN(x) {
				t.Errorf("step %d: %s is %v, %v", i, name, x, ok)
			}
		}
		if get(row, "epoch") != float64(i) {
			t.Errorf("step %d is of epoch %v", i, get(row, "epoch"))
		}
	}
	if get(rows[0], "rate") != 0.1 || get(rows[4], "loss") >= get(rows[0], "loss") {
		t.Errorf("rate %v, losses %v and %v: want 0.1 and less loss at the end",
			get(rows[0], "rate"), get(rows[0], "loss"), get(rows[4], "loss"))
	}
	if lines := strings.Count(runtest.Read(t, dir, "metrics.csv"), "\n"); lines != 6 {
		t.Errorf("metrics.csv has %d lines, want a header and 5 rows", lines)
	}

	events := tbevents.NewReader(strings.NewReader(runtest.Read(t, dir,
		"events.out.tfevents.0.momentum")))
	events.Next() // the version
	for _, row := range rows {
		if e, err := events.Next(); err != nil || e.Step != row.Step || len(e.Scalars) !=
			len(row.Values) {
			t.Errorf("event %+v, %v; want the row of step %d", e, err, row.Step)
		}
	}

	var manifest Manifest
	if err := json.Unmarshal([]byte(runtest.Read(t, dir, "manifest.json")), &manifest); err != nil {
		t.Error(err)
	}
	if m := manifest; m.Images != 4*13 || m.WallSeconds <= 0 || m.Backend != "go" || m.Revision ==
		"" || m.Started.IsZero() {
		t.Errorf("manifest %+v", m)
	}

	// GoMLX itself reads the checkpoint, and finds the final weights in it.
	store := model.NewStore()
	if _, err := checkpoint.Load(store).Dir(filepath.Join(dir, "checkpoints",
		"step-00000004")).Immediate().Done(); err != nil {
		t.Fatal(err)
	}
	initial := weights(t, dir, "initial.safetensors")
	for i, w := range weights(t, dir, "weights.safetensors") {
		v := store.GetVariable("/model/" + w.Name)
		if v == nil || !slices.Equal(tensors.MustCopyFlatData[float32](v.MustValue()), w.Data) {
			t.Errorf("%s: the checkpoint has other weights than weights.safetensors", w.Name)
		}
		if initial[i].Name != w.Name || slices.Equal(initial[i].Data, w.Data) &&
			!strings.HasSuffix(w.Name, "biases") {
			t.Errorf("%s is not trained", w.Name)
		}
	}

	// The same command prints the same result and touches nothing.
	again := succeed(t, small(root)...)
	if !strings.Contains(again, "is done; -fresh starts over") {
		t.Errorf("the second time: %s", again)
	}
	if _, result, _ := strings.Cut(stdout, "\n\n"); !strings.HasSuffix(again, result) ||
		!strings.Contains(result, "training images") {
		t.Errorf("the second time: %s\nwant the result %s", again, result)
	}
	if !maps.Equal(runtest.Files(t, root), all) {
		t.Error("the second time changed the folder")
	}
}

// One seed gives the same bytes, also when the run is asked for by the config.json of the first
// one, and another seed does not.
func TestSameSeedSameBytes(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	t.Chdir(first)
	succeed(t, small("runs")...)
	t.Chdir(second)
	succeed(t, "-config="+filepath.Join(folder(t, filepath.Join(first, "runs")), "config.json"))
	one, two := folder(t, filepath.Join(first, "runs")), folder(t, filepath.Join(second, "runs"))
	if filepath.Base(one) != filepath.Base(two) {
		t.Errorf("folders %s and %s", one, two)
	}
	sameResult(t, two, one)
	if runtest.Read(t, one, "config.json") != runtest.Read(t, two, "config.json") {
		t.Error("config.json differs")
	}
	succeed(t, small("other", "-seed=2")...)
	if other := folder(t, "other"); runtest.Read(t, other, "initial.safetensors") ==
		runtest.Read(t, one, "initial.safetensors") {
		t.Error("another seed starts from the same weights")
	}
}

func TestAlgorithmsStartFromTheSameWeights(t *testing.T) {
	dirs := map[string]string{}
	for _, opt := range []string{"gd", "gdm", "sgd", "sgdm"} {
		root := t.TempDir()
		args := small(root, "-opt="+opt, "-epochs=2")
		if config.IsMiniBatch(opt) {
			args = append(args, "-batch=5")
		}
		succeed(t, args...)
		dirs[opt] = folder(t, root)
		if runtest.Read(t, dirs[opt], "initial.safetensors") !=
			runtest.Read(t, dirs["gd"], "initial.safetensors") {
			t.Errorf("%s starts from other weights than gd", opt)
		}
		if opt != "gd" && runtest.Read(t, dirs[opt], "weights.safetensors") ==
			runtest.Read(t, dirs["gd"], "weights.safetensors") {
			t.Errorf("%s ends at the weights of gd", opt)
		}
	}
}

// With a rate that moves nothing an epoch of mini-batches, 5, 5 and 3 images, measures what a full
// batch measures: no image is dropped, none counts twice, and the mean is one over images.
func TestShortLastBatch(t *testing.T) {
	full, mini := t.TempDir(), t.TempDir()
	succeed(t, small(full, "-opt=gdm", "-lr=1e-30")...)
	succeed(t, small(mini, "-opt=sgdm", "-lr=1e-30", "-batch=5", "-chunk=4")...)
	want, got := runtest.Metrics(t, folder(t, full)), runtest.Metrics(t, folder(t, mini))
	if s := steps(got); !slices.Equal(s, []int64{0, 3, 6, 9, 12}) {
		t.Fatalf("rows of the steps %d, want those of 3 steps an epoch", s)
	}
	for i := range want {
		if a, b := get(got[i], "loss"), get(want[i], "loss"); !(math.Abs(a-b) < 1e-6) {
			t.Errorf("epoch %d: loss %v, want %v", i, a, b)
		}
		if a, b := get(got[i], "train_accuracy"), get(want[i], "train_accuracy"); a != b {
			t.Errorf("epoch %d: accuracy %v, want %v", i, a, b)
		}
	}
}

// -chunk does not change the result beyond rounding, nor the folder's name.
func TestChunk(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	succeed(t, small(a, "-chunk=13")...)
	succeed(t, small(b, "-chunk=6")...)
	if a, b := filepath.Base(folder(t, a)), filepath.Base(folder(t, b)); a != b {
		t.Errorf("folders %s and %s", a, b)
	}
	want, got := runtest.Metrics(t, folder(t, a)), runtest.Metrics(t, folder(t, b))
	for i := range want {
		if a, b := get(got[i], "loss"), get(want[i], "loss"); !(math.Abs(a-b) < 1e-5) {
			t.Errorf("epoch %d: losses %v and %v", i, a, b)
		}
	}
}

// Each of these is a run, too.
func TestVariants(t *testing.T) {
	for _, args := range []string{
		"-opt=gdm -form=damped -momentum=0.5",
		"-opt=gdm -momentum=0",
		"-norm=batch",
		"-schedule=step -warmup=1 -weight-decay=1e-3 -branch-scale=0.3",
		"-opt=sgdm -batch=13",
		"-eval-every=9 -chunk=100",
		"-model=resnet18",
	} {
		succeed(t, small(t.TempDir(), append(strings.Fields(args), "-epochs=2")...)...)
	}
}

// Degraded images are measured apart, and with the others they add up to all images, in training
// and in evaluation, for mini-batches as for the full batch.
func TestSmallMargin(t *testing.T) {
	root, mini, plain := t.TempDir(), t.TempDir(), t.TempDir()
	// A rate that moves nothing, so that an epoch of mini-batches measures what a full batch does.
	stdout := succeed(t, small(root, "-small-margin=0.25", "-lr=1e-30", "-eval-every=2")...)
	data := regexp.MustCompile(
		`(?m)^data      cifar10-mini: 13 training images \((\d+) degraded\), 10 held-out training images \((\d+) degraded\)$`).FindStringSubmatch(stdout)
	if data == nil {
		t.Fatalf("no count of degraded images in\n%s", stdout)
	}
	number := func(text string) float64 { x, _ := strconv.ParseFloat(text, 64); return x }
	rows := runtest.Metrics(t, folder(t, root))
	for i, row := range rows {
		for _, tt := range []struct {
			name       string
			all, small float64
			evaluated  bool
		}{
			{"loss", 13, number(data[1]), true}, {"train_accuracy", 13, number(data[1]), true},
			{"test_loss", 10, number(data[2]), i%2 == 0},
			{"test_accuracy", 10, number(data[2]), i%2 == 0},
		} {
			whole, ofSmall, ofLarge := get(row, tt.name), get(row, tt.name+"_small_margin"),
				get(row, tt.name+"_large_margin")
			if sum := (tt.small*ofSmall + (tt.all-tt.small)*ofLarge) / tt.all; tt.evaluated &&
				!(math.Abs(sum-whole) < 1e-9) {
				t.Errorf("step %d: %s is %v, but %v on %v small-margin images and %v on the others",
					i, tt.name, whole, ofSmall, tt.small, ofLarge)
			} else if !tt.evaluated && !math.IsNaN(ofSmall+ofLarge) {
				t.Errorf("step %d: %s is %v and %v without an evaluation", i, tt.name, ofSmall,
					ofLarge)
			}
		}
		if get(row, "loss_small_margin") == get(row, "loss_large_margin") {
			t.Errorf("step %d: both parts have the loss %v", i, get(row, "loss_small_margin"))
		}
	}
	last := rows[len(rows)-1]
	for _, want := range []string{
		fmt.Sprintf("  with a small margin  +%s +%.4g +%.2f%%", data[1], get(last, "loss_small_margin"),
			100*get(last, "train_accuracy_small_margin")),
		fmt.Sprintf("  with a large margin  +%v +%.4g +%.2f%%", 10-number(data[2]),
			get(last, "test_loss_large_margin"), 100*get(last, "test_accuracy_large_margin")),
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(stdout) {
			t.Errorf("no line %q in\n%s", want, stdout)
		}
	}
	if header, _, _ := strings.Cut(runtest.Read(t, folder(t, root), "metrics.csv"),
		"\n"); !strings.Contains(header, ",test_accuracy_small_margin,test_accuracy_large_margin,") {
		t.Errorf("metrics.csv has the columns %s", header)
	}

	succeed(t, small(mini, "-small-margin=0.25", "-lr=1e-30", "-eval-every=2", "-opt=sgdm",
		"-batch=5", "-chunk=4")...)
	for i, row := range runtest.Metrics(t, folder(t, mini)) {
		for _, name := range []string{"loss_small_margin", "loss_large_margin", "train_accuracy_small_margin",
			"train_accuracy_large_margin"} {
			if a, b := get(row, name), get(rows[i], name); !(math.Abs(a-b) < 1e-6) {
				t.Errorf("epoch %d: with mini-batches %s is %v, want %v", i, name, a, b)
			}
		}
	}

	// Without degraded images there are no such columns, and the images are others.
	succeed(t, small(plain, "-lr=1e-30", "-eval-every=2")...)
	if header, _, _ := strings.Cut(runtest.Read(t, folder(t, plain), "metrics.csv"),
		"\n"); strings.Contains(header, "small") {
		t.Errorf("without -small-margin metrics.csv has the columns %s", header)
	}
	if row := runtest.Metrics(t, folder(t, plain))[0]; get(row, "loss") == get(rows[0], "loss") {
		t.Error("degraded images have the loss of the original ones")
	}
}

// A slim run measures what another one does and leaves no weights, also if it was stopped in
// between, or begun by a process that was not slim.
func TestSlim(t *testing.T) {
	calm, root := t.TempDir(), t.TempDir()
	succeed(t, small(calm)...)
	for _, first := range []string{"-slim", "-slim=false"} {
		if status, _, stderr := cifar(t, &countdown{t.Context(), 14},
			small(root, "-fresh", "-checkpoint-every=0s", first)...); status != cli.Stopped {
			t.Fatalf("status %d, %s", status, stderr)
		}
		dir := folder(t, root)
		if found, err := filepath.Glob(filepath.Join(dir, "checkpoints", "step-*")); err != nil ||
			len(found) != 2 {
			t.Errorf("stopped: checkpoints %q, %v; want two", found, err)
		}
		if stdout := succeed(t, small(root, "-slim")...); !strings.Contains(stdout,
			"resumed before step 2 of 4\n") {
			t.Errorf("not resumed:\n%s", stdout)
		}
		noWeights(t, dir)
		for _, name := range []string{"metrics.jsonl", "metrics.csv", "curves.svg", "state"} {
			if runtest.Read(t, dir, name) != runtest.Read(t, folder(t, calm), name) {
				t.Errorf("%s differs from that of a run that is not slim", name)
			}
		}
		succeed(t, small(root, "-slim")...) // prints the result
	}

	diverging := t.TempDir()
	if status, _, stderr := cifar(t, t.Context(), small(diverging, "-slim", "-model=resnet18",
		"-lr=1e9", "-checkpoint-every=0s")...); status != cli.Diverged {
		t.Fatalf("status %d, %s", status, stderr)
	}
	noWeights(t, folder(t, diverging))
}

// noWeights checks which files a slim run leaves.
func noWeights(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := strings.Fields("SHA256SUMS config.json curves.png curves.svg " +
		"events.out.tfevents.0.momentum manifest.json metrics.csv metrics.jsonl state"); !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
}

func TestDryRun(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs")
	stdout := succeed(t, small(root, "-dry-run")...)
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of the runs is there, or: %v", err)
	}
	for _, want := range []string{
		`cost      \S+ FLOP in all; one chunk of 5 images took \S+ s \(\d+ images/s, \S+ GFLOP/s\)`,
		`memory    about \S+ GB beside the program; disk at most \S+ GB`,
		`time      about \d+m?s on this device`,
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(stdout) {
			t.Errorf("no line %s in\n%s", want, stdout)
		}
	}
	// What it prints is a config.json.
	text := regexp.MustCompile(`(?ms)^\{$.*^\}$`).FindString(stdout)
	if got, want := parsed(t, "", "-config="+runtest.File(t, "config.json", text)),
		parsed(t, "", small(root)...); got != want {
		t.Errorf("prints the configuration %+v, want %+v", got, want)
	}
}

func TestFresh(t *testing.T) {
	root := t.TempDir()
	succeed(t, small(root)...)
	dir := folder(t, root)
	before := runtest.Files(t, dir)
	stdout := succeed(t, small(root, "-fresh")...)
	if !strings.Contains(stdout, "the folder that was there is now "+dir+".old-1\n") {
		t.Errorf("does not say where the old folder is:\n%s", stdout)
	}
	if !maps.Equal(runtest.Files(t, dir+".old-1"), before) {
		t.Error("the folder that was set aside has changed")
	}
	sameResult(t, dir, dir+".old-1")
}

// The commands of the manual and of the package comment do what they say, with smaller numbers.
func TestManualExamples(t *testing.T) {
	comment, _, _ := strings.Cut(runtest.Read(t, "main.go"), "\npackage main")
	t.Chdir(t.TempDir())
	examples := regexp.MustCompile(
		`(?m)^(?://\t|  )go run \./cifar((?: [^\s]+)+)`).FindAllStringSubmatch(comment+manual, -1)
	if len(examples) != 6 {
		t.Errorf("%d examples in\n%s\n%s", len(examples), comment, manual)
	}
	for _, e := range examples {
		args := strings.Fields(e[1])
		if i := slices.Index(args, "runs/NAME/config.json"); i >= 0 {
			args[i] = strings.Replace(args[i], "NAME", runOf(t, "gdm"), 1)
		}
		// whatever -preset=auto is then
		for _, kind := range []backend.Kind{backend.CUDA, backend.CPU, backend.Go} {
			if c := parsed(t, kind, args...); c.Images > 0 && c.Batch > c.Images {
				t.Errorf("go run ./cifar%s: on %s there are %d images", e[1], kind, c.Images)
			}
		}
		args = append(args, "-backend=go", "-offline", "-data=cifar10-mini", "-images=13",
			"-holdout=10", "-width=1", "-epochs=2", "-lr=0.1", "-chunk=0")
		if strings.Contains(e[1], "-batch") {
			args = append(args, "-batch=5")
		}
		if stdout := succeed(t, args...); !strings.Contains(stdout, "\ntraining images") {
			t.Errorf("go run ./cifar%s prints no result:\n%s", e[1], stdout)
		}
	}
	for _, opt := range []string{"gd", "gdm", "sgdm"} {
		runOf(t, opt)
	}
}

// runOf is the name of the only folder in runs of an algorithm.
func runOf(t *testing.T, opt string) string {
	t.Helper()
	found, err := filepath.Glob("runs/*-" + opt + "-*")
	if err != nil || len(found) != 1 {
		t.Fatalf("runs of %s: %q, %v", opt, found, err)
	}
	return filepath.Base(found[0])
}
