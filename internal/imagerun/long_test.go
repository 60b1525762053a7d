package imagerun

import (
	"io"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
	"momentum/internal/tbevents"
)

// BenchmarkMillionEpochs is what a run of a million epochs does besides training: the files that it
// writes at its end, the table that it prints, and the start of a process that resumes it.
func BenchmarkMillionEpochs(b *testing.B) {
	be, err := backend.Open(b.Context(), "go", backend.Options{Devices: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer be.Close()
	command, err := ParseCommand(testArgs(b.TempDir(), "-epochs=1000000", "-holdout=0"))
	if err != nil {
		b.Fatal(err)
	}
	c, _, err := command.Config(be.Kind)
	if err != nil {
		b.Fatal(err)
	}
	r := &experiment{Config: c, backend: be, stdout: io.Discard, stderr: io.Discard}
	if err := r.open(b.Context()); err != nil {
		b.Fatal(err)
	}
	open := func() *rundir.Dir {
		dir, err := rundir.Open(rundir.Spec{Root: r.Runs, Label: r.Label(), Settings: r.Settings,
			Derived: r.derived(), Execution: r.Execution})
		if err != nil {
			b.Fatal(err)
		}
		return dir
	}
	dir := open()
	runtest.LongMetrics(b, dir.Path(), 1_000_000)
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("end", func(b *testing.B) {
		for b.Loop() {
			check(r.derive(b.Context(), dir))
		}
	})
	b.Run("events", func(b *testing.B) {
		for b.Loop() {
			check(dir.WriteEvents(b.Context(), tag))
		}
	})
	b.Run("report", func(b *testing.B) {
		for b.Loop() {
			check(r.report(b.Context(), dir))
		}
	})
	b.Run("resume", func(b *testing.B) {
		for b.Loop() {
			check(dir.Close())
			dir = open()
			check(dir.CutRows(1 << 40))
			w, err := tbevents.Open(dir.Path(eventsFile), 1<<40)
			check(err)
			check(w.Close())
		}
	})
	check(dir.Close())
}
