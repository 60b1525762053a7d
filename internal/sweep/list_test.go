package sweep

import (
	"errors"
	"fmt"
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
		"other settings, in another order": {[]runlist.Run{other, a}, "sweep: " + path +
			":2: a list with other settings: lr is 0.1, want 0.2; " + remedy},
		"fewer": {[]runlist.Run{a}, "sweep: " + path + ": has 2 runs, want 1 of them: give the " +
			"flags by which they were added, too, or " + remedy},
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
}

// More runs, wherever they stand, are added at the end of a list; a list that is cut is not.
func TestPlanMore(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "runs.jsonl")
	line := func(seed int) string {
		return fmt.Sprintf(`{"name":"gd-%d","settings":{"seed":%[1]d},"execution":{}}`, seed) + "\n"
	}
	run := func(seed int) runlist.Run {
		return runlist.Run{Name: fmt.Sprintf("gd-%d", seed), Execution: []byte("{}"),
			Settings: fmt.Appendf(nil, `{"seed":%d}`, seed)}
	}
	want := line(1) + line(2)
	if err := os.WriteFile(path, []byte(want), 0o666); err != nil {
		t.Fatal(err)
	}
	l, err := Plan(dir, root, []runlist.Run{run(3), run(2), run(1)})
	all := []runlist.Run{run(1), run(2), run(3)}
	if err != nil || !reflect.DeepEqual(l, &List{dir, root, all}) {
		t.Errorf("more: %+v, %v", l, err)
	}
	if got := runtest.Read(t, path); got != want+line(3) {
		t.Errorf("more: got\n%s\nwant\n%s", got, want+line(3))
	}
	for _, size := range []int{len(line(1)) + 10, len(want) - 1} {
		if err := os.WriteFile(path, []byte(want[:size]), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Plan(dir, root, []runlist.Run{run(1), run(2)})
		if got, want := message(err), "sweep: "+path+":2: damaged: remove the file, it is written "+
			"again; runs that have ended are not repeated"; got != want {
			t.Errorf("a list of %d bytes: got %s\nwant %s", size, got, want)
		}
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
