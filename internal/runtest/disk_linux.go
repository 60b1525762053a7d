package runtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"momentum/internal/cli"
)

// FillUp executes a command repeatedly on a full disk of 1 MB, and frees a number of pages of 4 KiB
// before each execution but the first, until the command is done. Every execution before that must
// fail with one line that names the full disk. FillUp returns the number of failures.
func FillUp(t *testing.T, disk string, pages int,
	command func() (status int, stderr string)) (failures int) {
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
		status, stderr := command()
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
	t.Logf("failed %d times:\n%s", len(lines), strings.Join(slices.Compact(lines), ""))
	return len(lines)
}
