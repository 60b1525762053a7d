package study

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"momentum/internal/runtest"
)

// Runs end at 0, 1, 2, 3, 40 and 44 s, and a report takes a second. So it is written at 0 s; 20 s
// after its end, with the runs of 1 to 3 s; 20 s after that end, with the run of 40 s; and when the
// runs are over, after 45 s, with the last one. An error is said once.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var reports []string
		var stderr strings.Builder
		ended, stop := follow(func() error {
			reports = append(reports, time.Since(began).String())
			time.Sleep(time.Second)
			return errors.New("no room")
		}, &stderr)
		at := time.Duration(0)
		for _, second := range []time.Duration{0, 1, 2, 3, 40, 44} {
			time.Sleep(second*time.Second - at)
			at = second * time.Second
			ended()
			synctest.Wait()
		}
		time.Sleep(time.Second)
		stop()
		if got := fmt.Sprint(reports); got != "[0s 21s 42s 45s]" {
			t.Errorf("reports at %s", got)
		}
		if want := "warning: no report of the runs so far: no room\n"; stderr.String() != want {
			t.Errorf("printed %q, want %q", &stderr, want)
		}
	})
}

// While the final runs are under way, the reports and table.md have those that have ended, and are
// marked as unfinished. The last report replaces them.
func TestPartialReports(t *testing.T) {
	root := t.TempDir()
	out := filepath.Join(root, "out")
	over := make(chan error, 1)
	go func() {
		stdout, err := start(t.Context(), root)
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, stdout)
		}
		over <- err
	}()
	const heading = "## Runs of final that have ended"
	for report := ""; !strings.Contains(report, heading); {
		select {
		case err := <-over:
			t.Fatalf("ended without a report of the final runs: %v", err)
		case <-time.After(time.Millisecond):
		}
		text, _ := os.ReadFile(filepath.Join(out, "report.md"))
		report = string(text)
	}
	for _, text := range []string{runtest.Read(t, out, "report.md"),
		runtest.Read(t, out, "table.md")} {
		if !strings.Contains(text, "**Unfinished.** trials-1: 3 of 3 runs have ended.") ||
			!strings.Contains(text, heading) {
			t.Errorf("while the final runs are under way:\n%s", text)
		}
	}
	if page := runtest.Page(t, out, "report.html"); !strings.Contains(page,
		"<p>Unfinished. trials-1: 3 of 3 runs have ended.") {
		t.Errorf("the page while the final runs are under way:\n%s", page)
	}
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"report.md", "report.html", "table.md"} {
		if strings.Contains(runtest.Read(t, out, name), "Unfinished") {
			t.Errorf("%s of the study that has ended is unfinished", name)
		}
	}
}
