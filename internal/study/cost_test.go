package study

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"momentum/internal/runtest"
	"momentum/internal/sweep"
)

// If the process that measures a step is killed, the study goes on without the estimate. If it
// fails, so would the runs.
func TestKilledWhileMeasuring(t *testing.T) {
	for script, want := range map[string]string{"kill -9 $$": "", "echo broken; exit 1": "broken"} {
		s := two()
		trials, err := s.trials(0, s.Rates)
		if err != nil {
			t.Fatal(err)
		}
		runs, err := list(trials[len(trials)-1].configs)
		if err != nil {
			t.Fatal(err)
		}
		program := runtest.File(t, "figure", "#!/bin/sh\necho '}'\n"+script+"\n")
		if err := os.Chmod(program, 0o777); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		s.Cells[0].Classes = 10
		s.Cells[0].Base.Normalize()
		i := &invocation{options: &options{study: *s}, stdout: &out, copied: program}
		err = i.printCost(t.Context(), &sweep.List{Dir: t.TempDir(), Runs: runs})
		if want != "" {
			if err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%s: error %v, want %s", script, err, want)
			}
			continue
		}
		last := "          the process that measures was killed (signal: killed), so there is no " +
			"estimate of the time\n"
		if err != nil || !strings.HasSuffix(out.String(), last) {
			t.Errorf("%s: %v, %s", script, err, &out)
		}
	}
}
