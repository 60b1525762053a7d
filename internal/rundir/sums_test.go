package rundir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/lockfile"
)

// ended makes the folder of a run with two rows, weights and a checkpoint, sealed and in a state.
func ended(t *testing.T, s Spec, state State) *Dir {
	t.Helper()
	d := open(t, s)
	must(t, d.SetState(Running))
	must(t, d.AppendRow(row(0, 1)))
	must(t, d.AppendRow(row(1, 0.5)))
	must(t, d.SaveCheckpoint(1, func(folder string) error {
		return os.WriteFile(filepath.Join(folder, "w"), []byte("0.5"), 0o666)
	}))
	must(t, d.WriteFile("weights", func(w io.Writer) error {
		_, err := io.WriteString(w, "0.25")
		return err
	}))
	write(t, "half", d.Path(".curves.svg.tmp-1"))
	if state == Done || state == Diverged {
		must(t, d.Seal(state))
	} else {
		must(t, d.SetState(state))
	}
	must(t, d.Close())
	return d
}

func TestSeal(t *testing.T) {
	s := spec(t.TempDir())
	d := ended(t, s, Done)
	var names []string
	for line := range strings.Lines(content(t, d.Path("SHA256SUMS"))) {
		names = append(names, strings.TrimSpace(line[64:]))
	}
	if got, want := strings.Join(names, " "), "checkpoints/step-00000001/SHA256SUMS "+
		"checkpoints/step-00000001/metrics.json checkpoints/step-00000001/w config.json "+
		"metrics.jsonl state weights"; got != want {
		t.Errorf("sums of %s, want %s", got, want)
	}
	if path, err := exec.LookPath("sha256sum"); err != nil {
		t.Log("sha256sum is not installed, so it does not check SHA256SUMS")
	} else {
		cmd := exec.Command(path, "--check", "--strict", "SHA256SUMS")
		cmd.Dir = d.Path()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("sha256sum: %v\n%s", err, out)
		}
	}

	// Opening the folder again, with another execution, leaves it as it is.
	s.Execution = map[string]int{"chunk": 128}
	for _, state := range []State{Done, Diverged} {
		s.Label = string(state)
		d := ended(t, s, state)
		must(t, open(t, Spec{Root: s.Root, Label: s.Label, Settings: s.Settings}).Close())
		if got, err := Check(d.Path()); err != nil || got != state {
			t.Errorf("state %q, %v, want %s", got, err, state)
		}
	}
}

// It is long because it is a table of cases.
func TestCheck(t *testing.T) {
	root := t.TempDir()
	if _, err := Check(filepath.Join(root, "none-0123456789")); !errors.Is(err, fs.ErrNotExist) ||
		errors.As(err, new(*DamagedError)) {
		t.Errorf("a folder that is not there: %v", err)
	}
	s := spec(root)
	config := content(t, ended(t, s, Done).Path("config.json"))
	for i, tt := range []struct {
		state      State
		file, text string // the new content of a file; "-" removes it, "" changes nothing
		want       string // the error after the folder's path; "" for none
	}{
		{Done, "", "", ""},
		{Diverged, "", "", ""},
		// printf 0.26 | sha256sum, and of 0.25
		{Done, "weights", "0.26",
			"/weights: has SHA-256 5552c3489bf6…, want a30a043314fa… as in SHA256SUMS"},
		{Diverged, "weights", "-", "/weights: is missing, but SHA256SUMS lists it"},
		{Done, "checkpoints/step-00000001/w", "-",
			"/checkpoints/step-00000001/w: is missing, but SHA256SUMS lists it"},
		{Done, "SHA256SUMS", "-", "/SHA256SUMS: is missing"},
		{Done, "SHA256SUMS", " ",
			"/SHA256SUMS: ends in the middle of a line, want a line for each file"},
		{Done, "SHA256SUMS", "abc  ../config.json\n",
			`/SHA256SUMS: line 1 is "abc  ../config.json\n", want a checksum, two spaces and a ` +
				"file of the folder"},
		{Done, "SHA256SUMS", "a30a043314fa89294fa2c1c989a01fbb5329e5c085a5c5a8d27317656de24ae0  " +
			"weights\n", "/SHA256SUMS: does not list config.json"},
		{Done, "state", "dune\n",
			`/state: state "dune", want running, done, failed, diverged or preempted`},
		{Running, "", "", ""},
		{Running, "weights", "-", ""},
		{Failed, "checkpoints/step-00000001/w", "-", ""},
		{Preempted, "metrics.jsonl", "-", ""},
		{Running, "metrics.jsonl", "{\"step\":0}\n{\"st", ""},
		{Running, "metrics.jsonl", "{\"st\n{\"step\":0}\n",
			`/metrics.jsonl:1: "{\"st", want a row such as {"step":3,"loss":0.5}`},
		{Running, "config.json", "-", "/config.json: is missing"},
		{Running, "config.json", config[:40], "/config.json:4: unexpected end of JSON input"},
		{Running, "config.json", strings.Replace(config, "0.02", "0.03", 1),
			"/config.json: has settings of another run, want those of FOLDER"},
		{Running, "state", "-", ""},
	} {
		s.Label = fmt.Sprintf("check%d", i)
		d := ended(t, s, tt.state)
		state := tt.state
		switch tt.text {
		case "":
		case "-":
			must(t, os.Remove(d.Path(tt.file)))
			if tt.file == "state" {
				state = ""
			}
		default:
			write(t, tt.text, d.Path(tt.file))
		}
		got, err := Check(d.Path())
		if tt.want == "" {
			if err != nil || got != state {
				t.Errorf("%+v: state %q, %v", tt, got, err)
			}
			continue
		}
		want := "rundir: " + d.Path() + strings.Replace(tt.want, "FOLDER", d.Name(), 1)
		var damage *DamagedError
		if !errors.As(err, &damage) || !strings.HasPrefix(err.Error(), want) ||
			damage.Path != d.Path(tt.file) {
			t.Errorf("%+v: error %v\nwant %s", tt, err, want)
		}
		// It is set aside, once.
		if aside, err := SetAside(d.Path()); err != nil || aside != d.Path()+".old-1" {
			t.Errorf("set aside as %q, %v", aside, err)
		}
		if _, err := Check(d.Path()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after it was set aside: %v", err)
		}
	}
}

// The process was killed before it wrote config.json; or a file lies in the folder's place.
func TestCheckWithoutConfig(t *testing.T) {
	root := t.TempDir()
	for name, want := range map[string]bool{"empty-0123456789": false, "file-0123456789": true} {
		path := filepath.Join(root, name)
		if want {
			write(t, "", path)
		} else {
			must(t, os.Mkdir(path, 0o777))
		}
		if state, err := Check(path); state != "" || errors.As(err, new(*DamagedError)) != want {
			t.Errorf("%s: %q, %v", name, state, err)
		}
	}
}

// Neither a whole folder nor an open one is set aside.
func TestSetAside(t *testing.T) {
	s := spec(t.TempDir())
	d := ended(t, s, Done)
	if aside, err := SetAside(d.Path()); err != nil || aside != "" {
		t.Errorf("set aside as %q, %v", aside, err)
	}
	write(t, "0.26", d.Path("weights"))
	d = open(t, s)
	if holder, held, err := Held(d.Path()); err != nil || !held || holder.PID != os.Getpid() {
		t.Errorf("held by %v, %v, %v", holder, held, err)
	}
	if aside, err := SetAside(d.Path()); !errors.As(err, new(*lockfile.HeldError)) || aside != "" {
		t.Errorf("an open folder is set aside as %q, %v", aside, err)
	}
	must(t, d.Close())
	if _, held, err := Held(d.Path()); err != nil || held {
		t.Errorf("held: %v, %v", held, err)
	}
}

// Only a run without an outcome becomes a failed one, and only if its folder exists.
func TestFail(t *testing.T) {
	s := spec(t.TempDir())
	for before, want := range map[State]State{"": Failed, Running: Failed, Done: Done,
		Diverged: Diverged, Preempted: Preempted, Failed: Failed} {
		s.Label = "fail" + string(before)
		d := ended(t, s, Running)
		if must(t, os.Remove(d.Path("state"))); before != "" {
			write(t, string(before)+"\n", d.Path("state"))
		}
		must(t, Fail(d.Path()))
		if got, err := ReadState(d.Path()); err != nil || got != want {
			t.Errorf("%q becomes %q, %v, want %q", before, got, err, want)
		}
	}
	path := filepath.Join(s.Root, "none")
	must(t, Fail(path))
	if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
