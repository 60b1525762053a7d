package imagerun

import (
	"path/filepath"
	"regexp"
	"testing"

	"momentum/internal/runtest"
	"momentum/internal/smalldisk"
)

// On a full disk the run stops with one line. With room for all but the curves, it warns of
// that and goes on. When there is room again it ends with the same bytes.
func TestFullDisk(t *testing.T) {
	smalldisk.Run(t, "1m", func(disk string) {
		notDrawn := regexp.MustCompile(
			"(?m)^warning: the curves are not drawn: .*no space left on device\n")
		calm, root := t.TempDir(), filepath.Join(disk, "runs")
		succeed(t, testArgs(calm)...)
		runtest.FillUp(t, disk, 1, func() (int, string) {
			status, _, stderr := cifar(t, t.Context(), testArgs(root, "-checkpoint-every=0s")...)
			return status, notDrawn.ReplaceAllString(stderr, "")
		})
		sameResult(t, folder(t, root), folder(t, calm))
	})
}
