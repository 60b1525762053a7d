package imagerun

import (
	"path/filepath"
	"testing"

	"momentum/internal/runtest"
	"momentum/internal/smalldisk"
)

// On a full disk the run stops with one line. When there is room again it goes on and ends with the
// same bytes.
func TestFullDisk(t *testing.T) {
	smalldisk.Run(t, "1m", func(disk string) {
		calm, root := t.TempDir(), filepath.Join(disk, "runs")
		succeed(t, testArgs(calm)...)
		runtest.FillUp(t, disk, 1, func() (int, string) {
			status, _, stderr := cifar(t, t.Context(), testArgs(root, "-checkpoint-every=0s")...)
			return status, stderr
		})
		sameResult(t, folder(t, root), folder(t, calm))
	})
}
