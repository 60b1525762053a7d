package runlist

import (
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

func TestPlan(t *testing.T) {
	dir, root := filepath.Join(t.TempDir(), "made", "sweep"), t.TempDir()
	if _, err := Read(dir, root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a sweep that is not there: %v", err)
	}
	a := Run{"gd-1", []byte(`{"lr":0.1,"seed":1}`), []byte(`{"runs":"r<s"}`)}
	b := Run{"gd-2", []byte(`{"lr":0.1,"seed":2}`), []byte(`{"runs":"r<s"}`)}
	if _, err := Plan(dir, root, []Run{a, b}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "runs.jsonl")
	const want = `{"name":"gd-1","settings":{"lr":0.1,"seed":1},"execution":{"runs":"r<s"}}` +
		"\n" +
		`{"name":"gd-2","settings":{"lr":0.1,"seed":2},"execution":{"runs":"r<s"}}` + "\n"
	if got := runtest.Read(t, path); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	l, err := Read(dir, root)
	if err != nil || !reflect.DeepEqual(l, &List{dir, root, []Run{a, b}}) {
		t.Errorf("read %+v, %v", l, err)
	}

	const remedy = "name another folder for this sweep; runs that both want are made only once"
	other, elsewhere := b, b
	other.Settings = []byte(`{"lr":0.2,"seed":2}`)
	elsewhere.Execution = []byte(`{"runs":"t"}`)
	for name, tt := range map[string]struct {
		runs []Run
		want string
	}{
		"same": {[]Run{a, b}, ""},
		"other settings": {[]Run{a, other}, "sweep: " + path +
			":2: a list with other settings: lr is 0.1, want 0.2; " + remedy},
		"other execution": {[]Run{a, elsewhere}, "sweep: " + path +
			`:2: a list with another way to run: runs is "r\u003cs", want "t"; ` + remedy},
		"fewer": {[]Run{a}, "sweep: " + path + ": has 2 runs, want 1: " + remedy},
		"more": {[]Run{a, b, {"gd-3", a.Settings, a.Execution}}, "sweep: " + path +
			": ends after 2 runs, want 3: " + remedy},
		"twice": {[]Run{a, a}, "sweep: " + path +
			`:2: the run gd-1 stands on line 1 too; want a run as {"name": …, "settings": {…}, "execution": {…}}`},
	} {
		if _, err := Plan(dir, root, tt.runs); tt.want == "" && err != nil || tt.want != "" &&
			(err == nil || err.Error() != tt.want) {
			t.Errorf("%s: got %v\nwant %s", name, err, tt.want)
		}
		if runtest.Read(t, path) != want {
			t.Fatalf("%s: the list has changed", name)
		}
	}
	if err := os.WriteFile(path, []byte(want[:100]), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Plan(dir, root, []Run{a, b}); err == nil || err.Error() !=
		"sweep: "+path+":2: damaged: remove the file, it is written again" {
		t.Errorf("a list that is cut: %v", err)
	}
}

// What is accepted as a list is written again as a list that says the same.
func FuzzParseRuns(f *testing.F) {
	for _, s := range []string{
		`{"name":"a","settings":{},"execution":{}}`,
		`{"name":"a","settings":{"lr":1e-3},"execution":{"runs":"r"}}` + "\n" +
			`{"name":"b","settings":{},"execution":{}}` + "\n",
		`{"name":"../a","settings":{},"execution":{}}`,
		`{"name":"a","settings":[],"execution":{}}`,
		`{"name":"a","settings":{},"execution":{}} {}`,
		`{"name":"a","settings":{},"execution":{},"more":1}`,
		"", "\n", "{", "null",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		runs, err := parseRuns("runs.jsonl", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "sweep: runs.jsonl:") {
				t.Errorf("the error names no line: %v", err)
			}
			return
		}
		dir := t.TempDir()
		if _, err := Plan(dir, "", runs); err != nil {
			t.Fatalf("cannot be written again: %v", err)
		}
		l, err := Read(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Plan(dir, "", l.Runs); err != nil || len(l.Runs) != len(runs) {
			t.Errorf("written again: %v", err)
		}
		for _, r := range runs {
			if filepath.Base(r.Name) != r.Name || r.Name[0] == '.' {
				t.Errorf("accepted the name %q", r.Name)
			}
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

// A number is a number wherever it comes from, and nothing else is one.
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
