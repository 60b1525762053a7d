package runtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"momentum/internal/cli"
)

// FillUp runs a command again and again on a disk of 1 MB that is full but for so many pages of 4
// KiB more each time, until it is done. Each time before, it must fail with one line that names the
// full disk. FillUp returns how often it did.
func FillUp(t *testing.T, disk string, pages int,
	run func() (status int, stderr string)) (stops int) {
	t.Helper()
	ballast := filepath.Join(disk, "ballast")
	var lines []string
	for free := 0; ; free += pages {
		os.WriteFile(ballast, make([]byte, 1<<20), 0o666) // fails, and leaves what fits
		info, err := os.Stat(ballast)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(ballast, max(0, info.Size()-int64(4096*free))); err != nil {
			t.Fatal(err)
		}
		status, stderr := run()
		if status == cli.Done {
			break
		}
		if status != cli.Failed || !strings.Contains(stderr, "no space left on device") ||
			strings.Count(stderr, "\n") != 1 {
			t.Errorf("%d free pages: status %d, %q", free, status, stderr)
		}
		if free > 200 {
			t.Fatal("no progress")
		}
		lines = append(lines, stderr)
	}
	t.Logf("stopped %d times:\n%s", len(lines), strings.Join(slices.Compact(lines), ""))
	return len(lines)
}
