package rundir

import (
	"context"
	"errors"
	"math"
	"os"
	"slices"
	"testing"
)

// million opens a folder with n rows.
func million(t testing.TB, n int) *Dir {
	t.Helper()
	d, err := Open(Spec{Root: t.TempDir(), Label: "run", Settings: struct{}{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	rows := make([]Row, n)
	for i := range rows {
		x := 1 + 0.2*math.Sin(float64(i))
		rows[i] = Row{Step: int64(i), Values: []Value{{"epoch", float64(i)}, {"loss", x},
			{"train_accuracy", 1 - 1/x}, {"test_loss", 1.5 * x}, {"test_accuracy", 0.8125},
			{"grad_norm", x / 3}, {"update_norm", x / 30}, {"param_norm", 10 + x/7},
			{"rate", 0.0123456789}}}
	}
	if err := d.AppendRows(rows); err != nil {
		t.Fatal(err)
	}
	return d
}

// Reading and writing many rows ends with the context, and replaces no file.
func TestStop(t *testing.T) {
	d := million(t, 10_000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.Metrics(ctx)
	damage := (*DamagedError)(nil)
	for what, err := range map[string]error{"reading": err, "the table": d.WriteCSV(ctx),
		"the events": d.WriteEvents(ctx, func(c string) string { return c })} {
		if !errors.Is(err, context.Canceled) || errors.As(err, &damage) {
			t.Errorf("%s: %v, want that it was stopped", what, err)
		}
	}
}

// Several rows at once are the same bytes as one after the other, and none is written if one is
// wrong.
func TestAppendRows(t *testing.T) {
	d, e := million(t, 3), million(t, 0)
	rows, err := d.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		must(t, e.AppendRow(r))
	}
	content := func(d *Dir) string {
		text, err := os.ReadFile(d.Path(metricsFile))
		must(t, err)
		return string(text)
	}
	before := content(d)
	if before != content(e) {
		t.Error("the files differ")
	}
	if err := d.AppendRows([]Row{{Step: 3}, {Step: 3}}); err == nil {
		t.Error("a step stands twice")
	}
	if content(d) != before {
		t.Error("a row was written")
	}
}

// A column has the rows with a value, wherever it stands in them.
func TestColumn(t *testing.T) {
	rows := []Row{{Values: []Value{{"a", 1}, {"b", 2}}}, {Values: []Value{{"b", 3}}}, {},
		{Values: []Value{{"a", 4}, {"c", 5}, {"b", 6}}}}
	for name, want := range map[string][]float64{"a": {0, 1, 3, 4}, "b": {0, 2, 1, 3, 3, 6},
		"c": {3, 5}, "d": nil} {
		var got []float64
		for i, x := range Column(rows, name) {
			got = append(got, float64(i), x)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func BenchmarkReadMetrics(b *testing.B) {
	d := million(b, 1_000_000)
	for b.Loop() {
		if _, err := d.Metrics(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteCSV(b *testing.B) {
	d := million(b, 1_000_000)
	for b.Loop() {
		if err := d.WriteCSV(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteEvents(b *testing.B) {
	d := million(b, 1_000_000)
	for b.Loop() {
		err := d.WriteEvents(b.Context(), func(column string) string { return "x/" + column })
		if err != nil {
			b.Fatal(err)
		}
	}
}
