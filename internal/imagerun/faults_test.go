package imagerun

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"momentum/internal/cifartest"
	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// Settings that do not fit the data or the backend are refused before there is a run folder.
func TestSettingsThatDoNotFit(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs")
	fails(t, cli.BadUsage, "-images + -holdout must be at most the 1000 training images of "+
		"cifar10-mini, got 1001 + 10: use -images=990 or fewer",
		testArgs(root, "-images=1001")...)
	fails(t, cli.BadUsage, "-images + -holdout must be at most the 1000 training images of "+
		"cifar10-mini, got 0 + 1000: use a smaller -holdout",
		testArgs(root, "-images=0", "-holdout=1000")...)
	fails(t, cli.BadUsage, "-batch must be at most the 13 training images, got 14: use a smaller "+
		"one, or -opt=gdm", testArgs(root, "-opt=sgdm", "-batch=14")...)
	fails(t, cli.BadUsage, "-precision=tf32 needs a GPU, got the backend go: use -precision=f32",
		testArgs(root, "-precision=tf32")...)
	fails(t, cli.BadUsage, "-small-margin=0.001 must give a small margin to some but not all of "+
		"the 13 training images and of the 10 others: use more of them",
		testArgs(root, "-small-margin=0.001")...)
	if _, err := os.Stat(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v, want no such folder", root, err)
	}
}

// A loss that is not finite ends the run with status 3, the step and the quantity. The folder is
// kept: the metrics end there and the curves are drawn.
func TestDiverged(t *testing.T) {
	for _, tt := range []struct {
		args string
		last int64 // row
		want string
	}{
		// Two steps of 1e9 take the weights to where logits overflow.
		{"-lr=1e9", 1, `train loss is (NaN|\+Inf) at step 1 \(gradient norm \S+ at step 0\)`},
		// Before the second one, its diagnosis has no value.
		{"-lr=1e9 -diagnose=sharpness -diagnose-every=1 -diagnose-images=2", 1,
			`train loss is (NaN|\+Inf) at step 1 \(gradient norm \S+ at step 0\)`},
		{"-lr=1e38 -momentum=0", 0, `update norm is \+Inf at step 0`},
		// With one step alone it shows in the final evaluation.
		{"-lr=1e9 -epochs=1", 1,
			`train loss is (NaN|\+Inf) at step 1 \(gradient norm \S+ at step 0\)`},
		{"-lr=1e9 -opt=sgdm -batch=5", 0,
			`train loss is (NaN|\+Inf) at step 1 \(gradient norm \S+ at step 0\)`},
	} {
		root := t.TempDir()
		args := testArgs(root, append([]string{"-model=resnet18"}, strings.Fields(tt.args)...)...)
		status, _, stderr := cifar(t, t.Context(), args...)
		want := regexp.MustCompile("^cifar: " + tt.want + "\n$")
		if status != cli.Diverged || !want.MatchString(stderr) {
			t.Errorf("%s: status %d, %q; want 3, %s", tt.args, status, stderr, want)
			continue
		}
		dir := folder(t, root)
		if got := runtest.Read(t, dir, "state"); got != "diverged\n" {
			t.Errorf("%s: state %q", tt.args, got)
		}
		quantity, _, _ := strings.Cut(strings.TrimPrefix(stderr, "cifar: "), " is ")
		page := fmt.Sprintf("The run diverged at epoch %d: %s is ", tt.last, quantity)
		if !strings.Contains(runtest.Page(t, dir, pageFile), page) {
			t.Errorf("%s: the page lacks %s", tt.args, page)
		}
		if _, err := png.Decode(strings.NewReader(runtest.Read(t, dir, "curves.png"))); err != nil {
			t.Errorf("%s: curves.png: %v", tt.args, err)
		}
		rows := runtest.Metrics(t, dir)
		if last := rows[len(rows)-1]; last.Step != tt.last {
			t.Errorf("%s: the last row is of step %d, want %d", tt.args, last.Step, tt.last)
		}
		before := runtest.Read(t, dir, "metrics.jsonl")
		fails(t, cli.Diverged, dir+": has diverged before; -fresh starts over", args...)
		if runtest.Read(t, dir, "metrics.jsonl") != before {
			t.Errorf("%s: the second time changed the metrics", tt.args)
		}
	}
}

func TestOtherSettingsInTheFolder(t *testing.T) {
	root := t.TempDir()
	succeed(t, testArgs(root)...)
	config := filepath.Join(folder(t, root), "config.json")
	for _, tt := range []struct{ content, want string }{
		{strings.Replace(runtest.Read(t, config), `"seed": 1`, `"seed": 2`, 1),
			"config.json: written with other settings: seed is 2, want 1; restore it, or start " +
				"over with -fresh"},
		{`{"settings": `,
			"config.json:1: unexpected end of JSON input; restore it, or start over with -fresh"},
		{"", "config.json:1: unexpected end of JSON input; restore it, or start over with -fresh"},
	} {
		if err := os.WriteFile(config, []byte(tt.content), 0o666); err != nil {
			t.Fatal(err)
		}
		fails(t, cli.Failed, tt.want, testArgs(root)...)
	}
	succeed(t, testArgs(root, "-fresh")...)
}

func TestDamagedFolder(t *testing.T) {
	root := t.TempDir()
	succeed(t, testArgs(root)...)
	dir := folder(t, root)
	for name, content := range map[string]string{"state": "asleep\n",
		"metrics.jsonl": "{\"step\":1}\n{\"step\":0}\n"} {
		before := runtest.Read(t, dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		fails(t, cli.Failed, filepath.Join(dir, name)+":", testArgs(root)...)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(before), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	succeed(t, testArgs(root)...)
}

func TestUnwritable(t *testing.T) {
	root := runtest.File(t, "file", "")
	fails(t, cli.Failed, "file: not a directory", testArgs(filepath.Join(root, "runs"))...)
	fails(t, cli.Failed, "file: not a directory", testArgs(root)...)
}

func TestPlugins(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(t.TempDir(), "cpu.so")
	if err := os.Symlink(self, foreign); err != nil {
		t.Fatal(err)
	}
	text := runtest.File(t, "cpu.so", "#!/bin/sh\necho a script is no plugin, however long it "+
		"is, if it is long enough for a header\n")
	for _, tt := range []struct{ plugin, want string }{
		{"/absent/cpu.so", "plugin: open /absent/cpu.so: no such file or directory"},
		{text, text + ": not a shared library: bad magic number"},
		{runtest.File(t, "cpu.so", ""), "not a shared library: EOF"},
		// a program, or a library without the function of a plugin
		{foreign, foreign + ": "},
	} {
		fails(t, cli.Failed, tt.want, testArgs(t.TempDir(), "-backend=xla:"+tt.plugin)...)
	}
}

// cifar10 returns a folder of CIFAR-10 whose images are all black airplanes.
func cifar10(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := cifartest.CIFAR10().Write(dir, 0, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDamagedData(t *testing.T) {
	dir := cifar10(t)
	batch := filepath.Join(dir, "cifar-10-batches-bin", "data_batch_1.bin")
	sums := filepath.Join(dir, "cifar-10-batches-bin", "SHA256SUMS")
	args := testArgs(t.TempDir(), "-data=cifar10", "-data-dir="+dir, "-epochs=1")
	succeed(t, args...)

	remedy := "; go run ./scripts/download -data=cifar10 -data-dir=" + dir + " gets it anew"
	size := func(n int64) {
		if err := os.Truncate(batch, n); err != nil {
			t.Fatal(err)
		}
	}
	args = append(args, "-fresh")
	size(30729999)
	fails(t, cli.Failed, batch+": 30729999 bytes, want 30730000 (10000 records of 3073)"+remedy,
		args...)
	size(30730001)
	fails(t, cli.Failed, batch+": 30730001 bytes, want 30730000 (10000 records of 3073)"+remedy,
		args...)
	size(30730000)

	change := func(offset int64, x byte) {
		f, err := os.OpenFile(batch, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte{x}, offset); err != nil {
			t.Fatal(err)
		}
	}
	change(3073, 16)
	fails(t, cli.Failed, batch+": record 1: label 16, want 0 to 9"+remedy, args...)
	change(3073, 0)
	if err := os.WriteFile(sums, fmt.Appendf(nil, "%x  data_batch_1.bin\n",
		sha256.Sum256(make([]byte, 30730000))), 0o666); err != nil {
		t.Fatal(err)
	}
	change(5000, 1) // a pixel
	fails(t, cli.Failed, batch+": sha256 ", args...)
	change(5000, 0)
	os.Remove(batch)
	fails(t, cli.Failed, batch+": no such file or directory"+remedy, args...)

	empty := t.TempDir()
	fails(t, cli.Failed, "cifar10 is not in "+empty+", and -offline forbids to download it",
		runtest.Changed(args, "-data-dir="+empty)...)
}
