package imagerun

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// A slim run measures the same as any other and leaves no weights, also if it was stopped in
// between or if the process that began it was not slim.
func TestSlim(t *testing.T) {
	calm, root := t.TempDir(), t.TempDir()
	succeed(t, testArgs(calm)...)
	for _, first := range []string{"-slim", "-slim=false"} {
		if status, _, stderr := cifar(t, &runtest.Countdown{Context: t.Context(), Calls: 14},
			testArgs(root, "-fresh", "-checkpoint-every=0s", first)...); status != cli.Stopped {
			t.Fatalf("status %d, %s", status, stderr)
		}
		dir := folder(t, root)
		if found, err := filepath.Glob(filepath.Join(dir, "checkpoints", "step-*")); err != nil ||
			len(found) != 2 {
			t.Errorf("stopped: checkpoints %q, %v; want two", found, err)
		}
		if stdout := succeed(t, testArgs(root, "-slim")...); !strings.Contains(stdout,
			"resumed before step 2 of 4\n") {
			t.Errorf("not resumed:\n%s", stdout)
		}
		noWeights(t, dir)
		for _, name := range []string{"metrics.jsonl", "metrics.csv", "curves.svg", "state"} {
			if runtest.Read(t, dir, name) != runtest.Read(t, folder(t, calm), name) {
				t.Errorf("%s differs from that of a run that is not slim", name)
			}
		}
		succeed(t, testArgs(root, "-slim")...) // prints the result
	}

	diverging := t.TempDir()
	if status, _, stderr := cifar(t, t.Context(), testArgs(diverging, "-slim", "-model=resnet18",
		"-lr=1e9", "-checkpoint-every=0s")...); status != cli.Diverged {
		t.Fatalf("status %d, %s", status, stderr)
	}
	noWeights(t, folder(t, diverging))
}

// noWeights checks which files a slim run leaves.
func noWeights(t *testing.T, dir string) {
	t.Helper()
	names := slices.Sorted(maps.Keys(runtest.Files(t, dir)))
	want := strings.Fields("SHA256SUMS config.json curves.png curves.svg " +
		"events.out.tfevents.0.hparams events.out.tfevents.0.momentum manifest.json " +
		"metrics.csv metrics.jsonl report.html state")
	if !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
}
