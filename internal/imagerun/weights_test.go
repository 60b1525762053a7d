package imagerun

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// alongRun are the files of the weights along a run, by name.
func alongRun(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := runtest.Files(t, dir)
	maps.DeleteFunc(all, func(name, _ string) bool {
		return !strings.HasPrefix(name, epochsFolder+"/")
	})
	return all
}

// With -save-weights-every=2, a run of 5 epochs keeps the weights of the epochs 0, 2, 4 and 5, for
// any rule. Those of epoch 2 are the final ones of a run of 2 epochs; the files have the same bytes
// after a stop.
func TestSaveWeights(t *testing.T) {
	for _, algorithm := range [][]string{{"-opt=gdm"}, {"-opt=sgd", "-batch=5"}} {
		args := func(root string, more ...string) []string {
			return testArgs(root, append(append(algorithm, "-schedule=constant"), more...)...)
		}
		root, short := t.TempDir(), t.TempDir()
		succeed(t, args(root, "-epochs=5", "-save-weights-every=2")...)
		succeed(t, args(short, "-epochs=2")...)
		dir := folder(t, root)
		want := alongRun(t, dir)
		if names := slices.Sorted(maps.Keys(want)); !slices.Equal(names, []string{
			"weights/epoch-000000.safetensors", "weights/epoch-000002.safetensors",
			"weights/epoch-000004.safetensors", "weights/epoch-000005.safetensors"}) {
			t.Fatalf("%v: files %q", algorithm, names)
		}
		sums := runtest.Read(t, dir, "SHA256SUMS")
		for epoch, file := range map[int][2]string{
			0: {dir, initialWeights}, 2: {folder(t, short), finalWeights}, 5: {dir, finalWeights}} {
			name := epochWeights(epoch)
			if want[name] != runtest.Read(t, file[0], file[1]) || !strings.Contains(sums, name) {
				t.Errorf("%v: %s differs from %s, or is not sealed", algorithm, name, file[1])
			}
		}

		for _, calls := range []int{7, 20} {
			stopped := t.TempDir()
			again := args(stopped, "-epochs=5", "-save-weights-every=2")
			status, _, stderr := cifar(t, &runtest.Countdown{Context: t.Context(), Calls: calls},
				again...)
			if status != cli.Stopped {
				t.Fatalf("%v, %d calls: status %d, %s", algorithm, calls, status, stderr)
			}
			succeed(t, again...)
			if got := alongRun(t, folder(t, stopped)); !maps.Equal(got, want) {
				t.Errorf("%v, %d calls: other weights after a stop", algorithm, calls)
			}
			sameResult(t, folder(t, stopped), dir)
		}

		longer := t.TempDir()
		succeed(t, args(longer, "-epochs=3", "-save-weights-every=2")...)
		more := args(longer, "-epochs=5", "-save-weights-every=2")
		succeed(t, more...)
		if got := alongRun(t, withEpochs(t, longer, more)); !maps.Equal(got, want) {
			t.Errorf("%v: other weights in a run that goes on from one of 3 epochs", algorithm)
		}
	}
}

// A run that did not keep its weights from the start says so; one that keeps none refuses.
func TestMissingWeights(t *testing.T) {
	root := t.TempDir()
	status, _, stderr := cifar(t, &runtest.Countdown{Context: t.Context(), Calls: 14},
		testArgs(root, "-checkpoint-every=0s")...)
	if status != cli.Stopped {
		t.Fatal(status, stderr)
	}
	args := testArgs(root, "-save-weights-every=1")
	status, stdout, stderr := cifar(t, t.Context(), args...)
	dir := folder(t, root)
	want := fmt.Sprintf("warning: %s is not there, in all 2 files of earlier epochs: they were "+
		"trained without -save-weights-every=1, or someone has removed the files; -fresh starts "+
		"over\n", filepath.Join(dir, epochWeights(0)))
	if status != cli.Done || stderr != want || !strings.Contains(stdout, "before step 2 of 4") {
		t.Errorf("status %d, %q, want %q\n%s", status, stderr, want, stdout)
	}
	if got := len(alongRun(t, dir)); got != 3 {
		t.Errorf("%d files, want those of the epochs 2, 3 and 4", got)
	}
	want = "          it was executed with -save-weights-every=1, not 4\n"
	if stdout := succeed(t, testArgs(root, "-save-weights-every=4")...); !strings.Contains(stdout,
		want) {
		t.Errorf("want %q in\n%s", want, stdout)
	}

	fails(t, cli.BadUsage, "-slim keeps no weights, got -save-weights-every=2: leave one out",
		testArgs(root, "-slim", "-save-weights-every=2")...)
	fails(t, cli.BadUsage, "-save-weights-every must be at least 0, got -1",
		testArgs(root, "-save-weights-every=-1")...)
}

// -dry-run adds the files to the disk: 788 parameters of 4 bytes, 101 times, are 318 kB.
func TestSaveWeightsCost(t *testing.T) {
	stdout := succeed(t, testArgs(t.TempDir(), "-dry-run", "-save-weights-every=1",
		"-epochs=100")...)
	if !regexp.MustCompile(`disk at most \S+ GB, of it 0.00032 GB for the weights of 101 epochs\n`).
		MatchString(stdout) {
		t.Errorf("disk in\n%s", stdout)
	}
}
