package imagerun

import (
	"encoding/json"
	"image/png"
	"maps"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/model/checkpoint"

	"momentum/internal/runtest"
	"momentum/internal/tbevents"
)

// It is long because it follows one run through all that it writes.
func TestRun(t *testing.T) {
	root := t.TempDir()
	stdout := succeed(t, testArgs(root)...)
	dir := folder(t, root)

	for i, want := range []string{
		`backend   go on .+: -backend=go asks for it`,
		`preset    tiny, asked for by -preset: .+; -preset=quick is the smallest real run`,
		`devices   [123] cores?`,
		`data      cifar10-mini: 13 training images, 10 held-out training images`,
		`model     wrn16-1, width 1, norm none, init centered: 788 parameters, ` +
			`.+ GFLOP per image and step`,
		`descent   GD\+M undamped, γ = 0.9, λ = 0; η = 0.1 cosine, η_eff = 1; ` +
			`4 epochs of 1 step\(s\)`,
		`run       ` + regexp.QuoteMeta(dir),
		`epoch 0/4  loss \d\.\d{4}  train \d+\.\d\d%  held-out \d+\.\d\d%`,
	} {
		line := strings.Split(stdout, "\n")[i]
		if !regexp.MustCompile("^" + want + "$").MatchString(line) {
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
	pattern := `SHA256SUMS checkpoints/step-00000004/SHA256SUMS ` +
		`checkpoints/step-00000004/\S+\.bin checkpoints/step-00000004/checkpoint-\S+\.json ` +
		`checkpoints/step-00000004/metrics.json ` +
		`config.json curves.png curves.svg events.out.tfevents.0.hparams ` +
		`events.out.tfevents.0.momentum initial.safetensors ` +
		`manifest.json metrics.csv metrics.jsonl report.html state weights.safetensors`
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
		for _, name := range []string{"loss", "train_accuracy", "held_out_loss",
			"held_out_accuracy", "grad_norm", "update_norm", "param_norm", "rate"} {
			ofStep := strings.Contains("grad_norm update_norm param_norm rate", name)
			if x, ok := row.Get(name); ok == (i == 4 && ofStep) || ok && math.IsNaN(x) {
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
		if e, err := events.Next(); err != nil || e.Step != row.Step ||
			len(e.Scalars) != len(row.Values) {
			t.Errorf("event %+v, %v; want the row of step %d", e, err, row.Step)
		}
	}

	var manifest Manifest
	if err := json.Unmarshal([]byte(runtest.Read(t, dir, "manifest.json")), &manifest); err != nil {
		t.Error(err)
	}
	if manifest.Images != 4*13 || manifest.WallSeconds <= 0 || manifest.Backend != "go" ||
		manifest.Revision == "" || manifest.Started.IsZero() {
		t.Errorf("manifest %+v", manifest)
	}

	// GoMLX itself reads the checkpoint, and finds the final weights in it.
	store := model.NewStore()
	last := filepath.Join(dir, "checkpoints", "step-00000004")
	if _, err := checkpoint.Load(store).Dir(last).Immediate().Done(); err != nil {
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
	again := succeed(t, testArgs(root)...)
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

// One seed gives the same bytes, also when the settings come from the config.json of the first run.
// Another seed gives others.
func TestSameSeedSameBytes(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	t.Chdir(first)
	succeed(t, testArgs("runs")...)
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
	succeed(t, testArgs("other", "-seed=2")...)
	if other := folder(t, "other"); runtest.Read(t, other, "initial.safetensors") ==
		runtest.Read(t, one, "initial.safetensors") {
		t.Error("another seed starts from the same weights")
	}
}

func TestAlgorithmsStartFromTheSameWeights(t *testing.T) {
	dirs := map[string]string{}
	for _, opt := range []string{"gd", "gdm", "sgd", "sgdm"} {
		root := t.TempDir()
		args := testArgs(root, "-opt="+opt, "-epochs=2")
		if IsMiniBatch(opt) {
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

// With a rate that moves nothing, an epoch of mini-batches of 5, 5 and 3 images measures what a
// full batch measures: no image is dropped or counted twice, and the mean is over images.
func TestShortLastBatch(t *testing.T) {
	full, mini := t.TempDir(), t.TempDir()
	succeed(t, testArgs(full, "-opt=gdm", "-lr=1e-30")...)
	succeed(t, testArgs(mini, "-opt=sgdm", "-lr=1e-30", "-batch=5", "-chunk=4")...)
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
	succeed(t, testArgs(a, "-chunk=13")...)
	succeed(t, testArgs(b, "-chunk=6")...)
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

// Less common settings can be trained, too.
func TestVariants(t *testing.T) {
	for _, args := range []string{
		"-opt=gdm -form=damped -momentum=0.5",
		"-opt=gdm -momentum=0",
		"-norm=batch",
		"-norm=weights -clip=0.1 -init=he",
		"-init=fixup",
		"-schedule=step -warmup=1 -weight-decay=1e-3 -branch-scale=0.3",
		"-opt=sgdm -batch=13",
		"-eval-every=9 -chunk=100",
		"-model=resnet18",
	} {
		succeed(t, testArgs(t.TempDir(), append(strings.Fields(args), "-epochs=2")...)...)
	}
}

func TestFresh(t *testing.T) {
	root := t.TempDir()
	succeed(t, testArgs(root)...)
	dir := folder(t, root)
	before := runtest.Files(t, dir)
	stdout := succeed(t, testArgs(root, "-fresh")...)
	if !strings.Contains(stdout, "the folder that was there is now "+dir+".old-1\n") {
		t.Errorf("does not say where the old folder is:\n%s", stdout)
	}
	if !maps.Equal(runtest.Files(t, dir+".old-1"), before) {
		t.Error("the folder that was set aside has changed")
	}
	sameResult(t, dir, dir+".old-1")
}

// untilLoss are flags of a run that -until-loss ends before its 100 epochs.
var untilLoss = []string{"-opt=gdm", "-epochs=100", "-images=1", "-lr=0.05", "-until-loss=0.3",
	"-norm=weights", "-eval-every=5"}

// A run with -until-loss ends before the first step at which all training images are classified
// correctly at that loss. Its rows up to there are those of a run without the flag.
func TestUntilLoss(t *testing.T) {
	root := t.TempDir()
	stdout := succeed(t, testArgs(root, untilLoss...)...)
	want := "100 epochs of 1 step(s), or until all images are fitted with a loss of 0.3\n"
	if !strings.Contains(stdout, want) {
		t.Errorf("the output lacks %q:\n%s", want, stdout)
	}
	rows := runtest.Metrics(t, folder(t, root))
	last := len(rows) - 1
	if last < 2 || last >= 100 {
		t.Fatalf("%d rows, want an end between the epochs 2 and 99", last+1)
	}
	for i, row := range rows {
		ends := get(row, "train_accuracy") == 1 && get(row, "loss") <= 0.3
		if row.Step != int64(i) || get(row, "epoch") != float64(i) || ends != (i == last) {
			t.Errorf("row %d: %+v, want the end at row %d alone", i, row, last)
		}
	}
	if _, evaluated := rows[last].Get("held_out_accuracy"); !evaluated {
		t.Errorf("the last row has no evaluation: %+v", rows[last])
	}
	whole := t.TempDir()
	succeed(t, testArgs(whole, runtest.Changed(untilLoss, "-until-loss=0")...)...)
	for i, row := range runtest.Metrics(t, folder(t, whole))[:last] {
		if get(row, "loss") != get(rows[i], "loss") {
			t.Errorf("row %d: %+v, want the loss of %+v", i, row, rows[i])
		}
	}
}
