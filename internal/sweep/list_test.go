package sweep

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"momentum/internal/runlist"
	"momentum/internal/runtest"
)

func TestPlan(t *testing.T) {
	dir, root := filepath.Join(t.TempDir(), "made", "sweep"), t.TempDir()
	if _, err := Read(dir, root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a sweep that is not there: %v", err)
	}
	run := func(name, settings, execution string) runlist.Run {
		return runlist.Run{Name: name, Settings: []byte(settings), Execution: []byte(execution)}
	}
	a := run("gd-1", `{"lr":0.1,"seed":1}`, `{"runs":"r<s"}`)
	b := run("gd-2", `{"lr":0.1,"seed":2}`, `{"runs":"r<s"}`)
	if _, err := Plan(dir, root, []runlist.Run{a, b}); err != nil {
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
	if err != nil || !reflect.DeepEqual(l, &List{dir, root, []runlist.Run{a, b}}) {
		t.Errorf("read %+v, %v", l, err)
	}

	const remedy = "name another folder for this sweep; runs in both lists are executed only once"
	other := run("gd-2", `{"lr":0.2,"seed":2}`, `{"runs":"r<s"}`)
	elsewhere := run("gd-2", `{"lr":0.1,"seed":2}`, `{"runs":"t"}`)
	for name, tt := range map[string]struct {
		runs []runlist.Run
		want string // "": no error
	}{
		"same": {[]runlist.Run{a, b}, ""},
		"other settings": {[]runlist.Run{a, other}, "sweep: " + path +
			":2: a list with other settings: lr is 0.1, want 0.2; " + remedy},
		"other execution": {[]runlist.Run{a, elsewhere}, "sweep: " + path +
			`:2: a list with another execution: runs is "r\u003cs", want "t"; ` + remedy},
		"fewer": {[]runlist.Run{a}, "sweep: " + path + ": has 2 runs, want 1: " + remedy},
		"more": {[]runlist.Run{a, b, run("gd-3", "{}", "{}")}, "sweep: " + path +
			": ends after 2 runs, want 3: remove the file, it is written again; runs that have " +
			"ended are not repeated"},
		"twice": {[]runlist.Run{a, a}, "runlist: " + path +
			`:2: the run gd-1 stands on line 1 too; want a run as {"name": …, "settings": {…}, ` +
			`"execution": {…}}`},
	} {
		_, err := Plan(dir, root, tt.runs)
		if got := message(err); got != tt.want {
			t.Errorf("%s: got %s\nwant %s", name, got, tt.want)
		}
		if runtest.Read(t, path) != want {
			t.Fatalf("%s: the list has changed", name)
		}
	}
	if err := os.WriteFile(path, []byte(want[:100]), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Plan(dir, root, []runlist.Run{a, b}); err == nil || err.Error() !=
		"sweep: "+path+":2: damaged: remove the file, it is written again" {
		t.Errorf("a list that is cut: %v", err)
	}
}

// A folder in the place of the list is named with the remedy.
func TestFolderInPlaceOfList(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "runs.jsonl")
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := Plan(dir, dir, []runlist.Run{{Name: "a", Settings: []byte("{}"),
		Execution: []byte("{}")}})
	_, readErr := Read(dir, dir)
	want := path + ": is a directory; move it away, the list is written again"
	if message(err) != "sweep: "+want || message(readErr) != want {
		t.Errorf("got errors %v and %v, want %s", err, readErr, want)
	}
}

// message is the text of an error, "" for none.
func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A list that is read can be planned elsewhere, and planning what is then read changes nothing.
func FuzzPlan(f *testing.F) {
	for _, s := range []string{
		`{"name":"a","settings":{},"execution":{}}`,
		`{"name":"a","settings":{"lr":1e-3},"execution":{"runs":"r"}}` + "\n" +
			`{"name":"b","settings":{},"execution":{}}` + "\n",
		`{"name":"a", "settings":{ "lr": 1 }, "execution":{}}`,
		"", "null",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		runs, err := runlist.Read(runtest.File(t, "runs.jsonl", text))
		if err != nil {
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
	})
}
