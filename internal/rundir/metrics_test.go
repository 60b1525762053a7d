package rundir

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"momentum/internal/tbevents"
)

// sameNumbers compares floats, NaN equal to NaN.
var sameNumbers = cmp.Comparer(func(a, b float64) bool { return a == b || a != a && b != b })

func TestMetrics(t *testing.T) {
	s := spec(t.TempDir())
	d := open(t, s)
	rows := []Row{
		{0, []Value{{"epoch", 0}, {"loss", 2.302585092994046}, {"test, accuracy", 0.1}}},
		{1, []Value{{"epoch", 1}, {"loss", 1e-7}}},
		{5, []Value{{"loss", math.NaN()}, {"epoch", 5}, {"grad_norm", math.Inf(1)},
			{"low", math.Inf(-1)}}},
		{7, nil},
	}
	for _, r := range rows {
		must(t, d.AppendRow(r))
	}
	const want = `{"step":0,"epoch":0,"loss":2.302585092994046,"test, accuracy":0.1}
{"step":1,"epoch":1,"loss":1e-07}
{"step":5,"loss":"NaN","epoch":5,"grad_norm":"+Inf","low":"-Inf"}
{"step":7}
`
	if diff := cmp.Diff(want, content(t, d.Path("metrics.jsonl"))); diff != "" {
		t.Error(diff)
	}
	got, err := d.Metrics(t.Context())
	must(t, err)
	if diff := cmp.Diff(rows, got, sameNumbers); diff != "" {
		t.Error(diff)
	}
	must(t, d.WriteCSV(t.Context()))
	const wantCSV = `step,epoch,loss,"test, accuracy",grad_norm,low
0,0,2.302585092994046,0.1,,
1,1,1e-07,,,
5,5,NaN,,+Inf,-Inf
7,,,,,
`
	if diff := cmp.Diff(wantCSV, content(t, d.Path("metrics.csv"))); diff != "" {
		t.Error(diff)
	}

	// Bad rows leave no trace.
	path := d.Path("metrics.jsonl")
	wantError(t, d.AppendRow(Row{7, nil}),
		"rundir: "+path+": row of step 7 after step 7, want increasing steps from 0")
	wantError(t, d.AppendRow(Row{8, []Value{{"step", 1}}}),
		"rundir: "+path+`: step 8: a value is named "step", want UTF-8 and not "step"`)
	wantError(t, d.AppendRow(Row{8, []Value{{"a", 1}, {"a", 1}}}),
		"rundir: "+path+`: step 8: two values are named "a", want different names`)
	if diff := cmp.Diff(want, content(t, path)); diff != "" {
		t.Error(diff)
	}

	// The run goes back to the checkpoint of step 4, and then to an earlier one.
	must(t, d.CutRows(4))
	must(t, d.AppendRow(row(2, 1)))
	must(t, d.Close())
	d = open(t, s)
	wantError(t, d.AppendRow(row(2, 1)),
		"rundir: "+path+": row of step 2 after step 2, want increasing steps from 0")
	must(t, d.CutRows(1))
	must(t, d.CutRows(-1))
	wantError(t, d.AppendRow(Row{Step: -1}),
		"rundir: "+path+": row of step -1 after step -1, want increasing steps from 0")
	must(t, d.AppendRow(Row{Step: 0}))
	if got := content(t, path); got != "{\"step\":0}\n" {
		t.Errorf("got %s", got)
	}
}

// The event file has a version, and then the rows, as float32.
func TestWriteEvents(t *testing.T) {
	d := open(t, spec(t.TempDir()))
	must(t, d.AppendRow(Row{0, []Value{{"gd/loss", 0.1}, {"gdm/loss", 0.5}}}))
	must(t, d.AppendRow(Row{5, []Value{{"gd/loss", math.NaN()}}}))
	must(t, d.WriteEvents(t.Context(), func(column string) string { return "run/" + column }))
	want := []tbevents.Event{{Version: "brain.Event:2"},
		{Scalars: []tbevents.Scalar{{Tag: "run/gd/loss", Value: float64(float32(0.1))},
			{Tag: "run/gdm/loss", Value: 0.5}}},
		{Step: 5, Scalars: []tbevents.Scalar{{Tag: "run/gd/loss", Value: math.NaN()}}}}
	var got []tbevents.Event
	r := tbevents.NewReader(strings.NewReader(content(t, d.Path(EventsFile))))
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		got = append(got, e)
	}
	if diff := cmp.Diff(want, got, sameNumbers); diff != "" {
		t.Error(diff)
	}
}

// The last row is that of the end of a long file; a torn one does not count.
func TestLastRow(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "metrics.jsonl")
	if _, ok, err := LastRow(folder); ok || err != nil {
		t.Errorf("before the first row: %v, %v", ok, err)
	}
	var all []byte
	for step := range int64(3000) {
		var err error
		all, err = appendRow(all, row(step, 1.0/3))
		must(t, err)
	}
	if len(all) < 70_000 {
		t.Fatalf("%d bytes are not more than are read", len(all))
	}
	for cut, want := range map[int]int64{0: 2999, 1: 2998} {
		write(t, string(all[:len(all)-cut]), path)
		if r, ok, err := LastRow(folder); !ok || err != nil || r.Step != want {
			t.Errorf("%d bytes cut off: step %d, %v, %v, want step %d", cut, r.Step, ok, err, want)
		}
	}
	write(t, "nonsense\n", path)
	if _, _, err := LastRow(folder); err == nil || !strings.Contains(err.Error(), "the last row") {
		t.Errorf("a row that is none: %v", err)
	}
}

// A last row torn at any byte is dropped, and can be written again.
func TestTornRow(t *testing.T) {
	s := spec(t.TempDir())
	d := open(t, s)
	must(t, d.AppendRow(row(0, 1)))
	first := content(t, d.Path("metrics.jsonl"))
	must(t, d.AppendRow(row(1, 0.5)))
	both := content(t, d.Path("metrics.jsonl"))
	must(t, d.Close())
	for n := len(first); n < len(both); n++ {
		write(t, both[:n], d.Path("metrics.jsonl"))
		rows, err := ReadMetrics(t.Context(), d.Path("metrics.jsonl"))
		must(t, err)
		if len(rows) != 1 {
			t.Fatalf("cut to %q: %d rows, want 1", both[:n], len(rows))
		}
		d := open(t, s)
		must(t, d.AppendRow(row(1, 0.5)))
		must(t, d.Close())
		if got := content(t, d.Path("metrics.jsonl")); got != both {
			t.Fatalf("cut to %q: got %s, want %s", both[:n], got, both)
		}
	}
}

func TestReadMetricsRefuses(t *testing.T) {
	const example = `want a row such as {"step":3,"loss":0.5}`
	tests := []struct{ second, want string }{
		{``, `"", ` + example},
		{`{"step":1`, `"{\"step\":1", ` + example},
		{`[1]`, `"[1]", ` + example},
		{`{"step":1} {"step":2}`, `"{\"step\":1} {\"step\":2}", ` + example},
		{"\x00\x00", `"\x00\x00", ` + example},
		{`{"loss":1}`, `no step, ` + example},
		{`{"step":1.5}`, `step is 1.5, want a whole number from 0`},
		{`{"step":-1}`, `step is -1, want a whole number from 0`},
		{`{"step":"1"}`, `step is "1", want a whole number from 0`},
		{`{"step":9223372036854775808}`, `step is 9223372036854775808, want a whole number from 0`},
		{`{"step":0}`, `step is 0, want more than 0 as on the line before`},
		{`{"step":1,"step":2}`, `"step" appears twice`},
		{`{"step":1,"a":1,"a":2}`, `"a" appears twice`},
		{`{"step":1,"loss":"nan"}`, `loss is "nan", want a number, "NaN", "+Inf" or "-Inf"`},
		{`{"step":1,"loss":null}`, `loss is null, want a number, "NaN", "+Inf" or "-Inf"`},
		{`{"step":1,"loss":[1]}`, `loss is [1], want a number, "NaN", "+Inf" or "-Inf"`},
		{`{"step":1,"loss":1e999}`, `loss is 1e999, want a number within the range of float64`},
	}
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	for _, test := range tests {
		write(t, "{\"step\":0}\n"+test.second+"\n{\"step\":9}\n", path)
		_, err := ReadMetrics(t.Context(), path)
		wantError(t, err, "rundir: "+path+":2: "+test.want+"; "+remedy)
	}
	if _, err := ReadMetrics(t.Context(), path+"x"); !errors.Is(err, fs.ErrNotExist) ||
		!strings.HasPrefix(err.Error(), "rundir: ") {
		t.Errorf("missing file: got error %v", err)
	}
}

// Rows that were read can be written again, and a file cut at any byte is shorter, not invalid.
func FuzzMetrics(f *testing.F) {
	f.Add([]byte("{\"step\":0,\"loss\":1.5}\n{\"step\":2,\"loss\":\"NaN\",\"x\":-1e-300}\n{\"st"),
		30)
	f.Add([]byte(" { \"a\" : \"+Inf\" , \"step\" : 3 } \r\n"), 3)
	f.Add([]byte("\n"), 0)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		quick := plainRows{names: map[string]string{}}
		for line := range bytes.Lines(in) {
			if got, ok := quick.parse(line); ok {
				want, err := parseRow(line)
				if err != nil || cmp.Diff(got, want, sameNumbers) != "" {
					t.Errorf("%q: %+v, want %+v, %v", line, got, want, err)
				}
			}
		}
		rows, ends, err := parseMetrics(t.Context(), "metrics.jsonl", in)
		if err != nil {
			return
		}
		var out []byte
		for _, r := range rows {
			if out, err = appendRow(out, r); err != nil {
				t.Fatal(err)
			}
		}
		again, _, err := parseMetrics(t.Context(), "again", out)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rows, again, sameNumbers); diff != "" {
			t.Error(diff)
		}
		if cut < 0 || cut > len(in) {
			return
		}
		part, _, err := parseMetrics(t.Context(), "part", in[:cut])
		if err != nil {
			t.Fatalf("cut at byte %d: %v", cut, err)
		}
		n := bytes.Count(in[:cut], []byte("\n"))
		if len(part) != n || n > 0 && ends[n-1] > int64(cut) {
			t.Errorf("cut at byte %d: %d rows, want %d", cut, len(part), n)
		}
	})
}

// What a row costs a step.
func BenchmarkAppendRow(b *testing.B) {
	d, err := Open(spec(b.TempDir()))
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	row := Row{Values: make([]Value, 12)}
	for i := range row.Values {
		row.Values[i] = Value{strings.Repeat("x", 8+i), math.Sqrt(float64(i))}
	}
	for b.Loop() {
		if err := d.AppendRow(row); err != nil {
			b.Fatal(err)
		}
		row.Step++
	}
}
