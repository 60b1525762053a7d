package runlist

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"momentum/internal/runtest"
)

// A list is encoded one run a line, without changing the text of its values, and read back.
func TestEncode(t *testing.T) {
	a := Run{"gd-1", []byte(`{"lr":0.1,"seed":1}`), []byte(`{"runs":"r<s"}`)}
	b := Run{"gd-2", []byte(`{"lr":0.1,"seed":2}`), []byte(`{"runs":"r<s"}`)}
	text, err := Encode("runs.jsonl", []Run{a, b})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"gd-1","settings":{"lr":0.1,"seed":1},"execution":{"runs":"r<s"}}` +
		"\n" +
		`{"name":"gd-2","settings":{"lr":0.1,"seed":2},"execution":{"runs":"r<s"}}` + "\n"
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	runs, err := Read(runtest.File(t, "runs.jsonl", want))
	if err != nil || !reflect.DeepEqual(runs, []Run{a, b}) {
		t.Errorf("read %+v, %v", runs, err)
	}
	path := filepath.Join(t.TempDir(), "runs.jsonl")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) ||
		!strings.HasPrefix(err.Error(), "runlist: ") || !strings.Contains(err.Error(), path) {
		t.Errorf("a list that is not there: %v", err)
	}
}

// A list that Encode or Read refuses: the error names the file, the line, the fault and the remedy.
func TestRefused(t *testing.T) {
	const form = `; want a run as {"name": …, "settings": {…}, "execution": {…}}`
	const good = `{"name":"a","settings":{},"execution":{}}`
	path := filepath.Join(t.TempDir(), "runs.jsonl")
	for text, want := range map[string]string{
		good + "\n" + good + "\n": ":2: the run a stands on line 1 too",
		good + " {}\n":            ":1: more follows the JSON object",
		good + "\n\n":             ":2: EOF",
		`{"name":"../a","settings":{},"execution":{}}`: `:1: name is "../a", want that of a run ` +
			`folder`,
		`{"name":"a","settings":[],"execution":{}}`: `:1: settings or execution is "[]", want an ` +
			`object`,
		`{"name":"a","settings":{}}`: `:1: settings or execution is "", want an object`,
		`{"name":"a","setting":{}}`:  `:1: json: unknown field "setting"`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		want = "runlist: " + path + want + form
		if _, err := Read(path); err == nil || err.Error() != want {
			t.Errorf("%q: got %v\nwant %s", text, err, want)
		}
	}
	run := Run{"a", []byte("{}"), []byte("{}")}
	want := "runlist: " + path + ":2: the run a stands on line 1 too" + form
	if _, err := Encode(path, []Run{run, run}); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	run.Settings = []byte("{")
	if _, err := Encode(path, []Run{run}); err == nil ||
		!strings.HasPrefix(err.Error(), "runlist: "+path+": a: json: ") {
		t.Errorf("settings that are not JSON: %v", err)
	}
}

// A list that is accepted is encoded as a list that is equal to it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"name":"a","settings":{},"execution":{}}`,
		`{"name":"a","settings":{"lr":1e-3},"execution":{"runs":"r"}}` + "\n" +
			`{"name":"b","settings":{},"execution":{}}` + "\n",
		`{"name":"a", "settings":{ "lr": 1 }, "execution":{}}`,
		`{"name":"../a","settings":{},"execution":{}}`,
		`{"name":"a","settings":[],"execution":{}}`,
		`{"name":"a","settings":{},"execution":{}} {}`,
		`{"name":"a","settings":{},"execution":{},"more":1}`,
		"", "\n", "{", "null",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		runs, err := parse("runs.jsonl", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "runlist: runs.jsonl:") {
				t.Errorf("the error names no line: %v", err)
			}
			return
		}
		encoded, err := Encode("runs.jsonl", runs)
		if err != nil {
			t.Fatalf("cannot be encoded: %v", err)
		}
		again, err := parse("runs.jsonl", encoded)
		if err != nil || len(again) != len(runs) {
			t.Fatalf("%d runs, want %d: %v", len(again), len(runs), err)
		}
		for i, r := range runs {
			if again[i].Name != r.Name {
				t.Errorf("run %d is encoded as %q, want %q", i, again[i].Name, r.Name)
			}
			if filepath.Base(r.Name) != r.Name || r.Name[0] == '.' {
				t.Errorf("accepted the name %q", r.Name)
			}
		}
		if twice, err := Encode("runs.jsonl", again); err != nil || !bytes.Equal(twice, encoded) {
			t.Errorf("encoded again as\n%s\nwant\n%s, %v", twice, encoded, err)
		}
	})
}

func TestTaskIndex(t *testing.T) {
	for _, tt := range []struct {
		value, variable string
		want            int
		err             string
	}{
		{"3", "SLURM_ARRAY_TASK_ID=4", 3, ""},
		{"auto", "SLURM_ARRAY_TASK_ID=4", 4, ""},
		{"auto", "JOB_COMPLETION_INDEX=0", 0, ""},
		{"auto", "AWS_BATCH_JOB_ARRAY_INDEX=12", 12, ""},
		{"auto", "JOB_COMPLETION_INDEX=x", -1,
			`JOB_COMPLETION_INDEX must be a whole number of at least 0, or auto, got "x"`},
		{"auto", "=", -1, "auto needs one of SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, " +
			"AWS_BATCH_JOB_ARRAY_INDEX in the environment, got none: give the number itself"},
		{"-1", "=", -1, `the task must be a whole number of at least 0, or auto, got "-1"`},
		{"", "=", -1, `the task must be a whole number of at least 0, or auto, got ""`},
	} {
		name, value, _ := strings.Cut(tt.variable, "=")
		n, err := TaskIndex(tt.value,
			func(v string) string { return map[string]string{name: value}[v] })
		if n != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%q with %s: %d, %v; want %d, %s", tt.value, tt.variable, n, err, tt.want,
				tt.err)
		}
	}
}

// An argument and the environment accept the same numbers, and nothing else.
func FuzzTaskIndex(f *testing.F) {
	for _, s := range []string{"0", "17", "-1", "", "auto", "1e3", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		given, err1 := TaskIndex(s, func(string) string { return "" })
		found, err2 := TaskIndex("auto", func(name string) string {
			return map[string]string{"JOB_COMPLETION_INDEX": s}[name]
		})
		if given != found || (err1 == nil) != (err2 == nil) {
			t.Errorf("%q: %d, %v as an argument; %d, %v from the environment", s, given, err1,
				found, err2)
		}
		if n, err := strconv.Atoi(s); err1 == nil && (err != nil || n != given || n < 0) {
			t.Errorf("%q is taken for %d", s, given)
		}
	})
}
