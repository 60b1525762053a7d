package sweep

import (
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/cli"
	"momentum/internal/runtest"
	"momentum/internal/smalldisk"
)

// A full disk stops the sweep with one line, and no run counts as failed. When there is room the
// same command goes on.
func TestFullDisk(t *testing.T) {
	smalldisk.Run(t, "1m", func(disk string) {
		all := []descent{{Steps: 7, Rate: 0.1, Seed: 1, Size: 50_000},
			{Steps: 7, Rate: 0.1, Seed: 2, Size: 50_000}, {Steps: 12, Rate: 1e60, Seed: 1},
			{Steps: 7, Rate: 0.1, Seed: 3}}
		calm := list(t, t.TempDir(), execution{}, all...)
		p := pool(t, 2)
		succeed(t, calm, p)

		l := &List{Dir: filepath.Join(disk, "sweep"), Root: filepath.Join(disk, "runs")}
		planned := list(t, l.Root, execution{}, all...)
		stops := runtest.FillUp(t, disk, 7, func() (int, string) {
			var stderr strings.Builder
			var err error
			if l, err = Plan(filepath.Join(disk, "sweep"), planned.Root, planned.Runs); err == nil {
				_, err = run(t.Context(), l, p, Options{})
			}
			if l != nil {
				states := statesOf(t, l)
				if strings.Contains(states, "failed") || strings.Contains(states, "damaged") {
					t.Errorf("states %s", states)
				}
			}
			return cli.Report(&stderr, "sweep", err), stderr.String()
		})
		if stops < 4 {
			t.Errorf("stopped only %d times", stops)
		}
		for i := range all {
			if result(t, l, i) != result(t, calm, i) {
				t.Errorf("run %d ends with different bytes", i)
			}
		}
	})
}
