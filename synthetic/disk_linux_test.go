package main

import (
	"path/filepath"
	"testing"

	"momentum/internal/runtest"
	"momentum/internal/smalldisk"
)

// On a full disk the run stops with one line. When there is room again, it resumes and ends at the
// same bytes.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	smalldisk.Run(t, "1m", func(disk string) {
		calm, root := t.TempDir(), filepath.Join(disk, "runs")
		succeed(t, smallRun(calm, "-T=10")...)
		stops := runtest.FillUp(t, disk, 2, func() (int, string) {
			status, _, stderr := synthetic(t.Context(),
				smallRun(root, "-T=10", "-checkpoint-every=0s")...)
			return status, stderr
		})
		if stops < 3 {
			t.Errorf("stopped %d times only", stops)
		}
		sameResult(t, folder(t, root), folder(t, calm))
	})
}
