package rundir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type settings struct {
	Rate     float64 `json:"rate"`
	Momentum float64 `json:"momentum"`
	Seed     uint64  `json:"seed"`
	Schedule struct {
		Kind string `json:"kind"`
	} `json:"schedule"`
}

func spec(root string) Spec {
	s := settings{Rate: 0.02, Momentum: 0.9, Seed: math.MaxUint64}
	s.Schedule.Kind = "cosine"
	return Spec{
		Root: root, Label: "mini-gdm-s1", Settings: s,
		Derived: map[string]float64{"eta_eff": 0.2}, Execution: map[string]int{"chunk": 64},
	}
}

func open(t *testing.T, s Spec) *Dir {
	t.Helper()
	d, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	must(t, err)
	return string(b)
}

func write(t *testing.T, text string, path ...string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(path...), []byte(text), 0o666))
}

// wantError checks the whole text of an error.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("got error  %v\nwant error %s", err, want)
	}
}

func row(step int64, loss float64) Row {
	return Row{step, []Value{{"epoch", float64(step)}, {"loss", loss}}}
}

// printf '%s'
// '{"momentum":0.9,"rate":0.02,"schedule":{"kind":"cosine"},"seed":18446744073709551615}' |
// sha256sum
const name = "mini-gdm-s1-7e1832c033"

// It is long because it follows one folder through its life.
func TestOpen(t *testing.T) {
	root := filepath.Join(t.TempDir(), "made", "runs")
	d := open(t, spec(root))
	if d.Name() != name || d.Path() != filepath.Join(root, name) ||
		d.Path("a", "b") != filepath.Join(root, name, "a", "b") {
		t.Errorf("got name %s, path %s, want name %s", d.Name(), d.Path(), name)
	}
	const want = `{
  "settings": {
    "rate": 0.02,
    "momentum": 0.9,
    "seed": 18446744073709551615,
    "schedule": {
      "kind": "cosine"
    }
  },
  "derived": {
    "eta_eff": 0.2
  },
  "execution": {
    "chunk": 64
  }
}
`
	if diff := cmp.Diff(want, content(t, d.Path("config.json"))); diff != "" {
		t.Error(diff)
	}
	gotSettings, derived, execution, err := ReadConfig(d.Path("config.json"))
	must(t, err)
	if !strings.Contains(string(gotSettings), `"rate": 0.02`) ||
		!strings.Contains(string(derived), "eta_eff") ||
		!strings.Contains(string(execution), "chunk") {
		t.Errorf("got %s, %s, %s", gotSettings, derived, execution)
	}
	if d.State() != "" || d.SetAside() != "" {
		t.Errorf("a new folder has state %q, set aside %q, want none", d.State(), d.SetAside())
	}
	must(t, d.SetState(Running))
	wantError(t, d.SetState("finished"),
		`rundir: state "finished", want running, done, failed, diverged or preempted`)
	must(t, d.WriteJSON("manifest.json", map[string]string{"go": "<1.26>"}))
	const manifest = "{\n  \"go\": \"<1.26>\"\n}\n"
	if got := content(t, d.Path("manifest.json")); got != manifest {
		t.Errorf("got %q, want %q", got, manifest)
	}
	must(t, d.Close())

	// The same settings find the folder again, in any order of the fields and with another
	// execution, which config.json then records.
	s := spec(root)
	s.Settings = struct {
		Schedule map[string]string `json:"schedule"`
		Seed     uint64            `json:"seed"`
		Rate     float64           `json:"rate"`
		Momentum float64           `json:"momentum"`
	}{map[string]string{"kind": "cosine"}, math.MaxUint64, 0.02, 0.9}
	s.Execution = map[string]int{"chunk": 128}
	d = open(t, s)
	if d.Name() != name || d.State() != Running {
		t.Errorf("got %s in state %q, want %s in state running", d.Name(), d.State(), name)
	}
	if got := content(t, d.Path("config.json")); !strings.Contains(got, `"chunk": 128`) {
		t.Errorf("config.json does not record the new chunk: %s", got)
	}
	must(t, d.SetState(Done))
	must(t, d.Close())

	// A run that is done keeps its record.
	d = open(t, spec(root))
	if got := content(t, d.Path("config.json")); !strings.Contains(got, `"chunk": 128`) ||
		d.State() != Done {
		t.Errorf("state %q, config.json %s", d.State(), got)
	}
	must(t, d.Close())

	// Another seed is another run.
	s = spec(root)
	s.Settings = settings{Seed: 2}
	if d := open(t, s); d.Name() == name {
		t.Errorf("other settings have the same folder %s", name)
	}
}

func TestOpenRefuses(t *testing.T) {
	for label, want := range map[string]string{
		"":      `rundir: label "", want a file name that does not begin with a dot`,
		"a/b":   `rundir: label "a/b", want a file name that does not begin with a dot`,
		"..":    `rundir: label "..", want a file name that does not begin with a dot`,
		"a\x00": `rundir: label "a\x00", want a file name that does not begin with a dot`,
	} {
		_, err := Open(Spec{Root: t.TempDir(), Label: label, Settings: settings{}})
		wantError(t, err, want)
	}
	_, err := Open(Spec{Root: t.TempDir(), Label: "a", Settings: 3})
	wantError(t, err, `rundir: settings: "3", want a JSON object`)
	_, err = Open(Spec{Root: t.TempDir(), Label: "a", Settings: settings{Rate: math.NaN()}})
	wantError(t, err, "rundir: settings: json: unsupported value: NaN")
}

func TestFresh(t *testing.T) {
	s := spec(t.TempDir())
	s.Fresh = true
	for i, want := range []string{"", name + ".old-1", name + ".old-2"} {
		d := open(t, s)
		if want != "" {
			want = filepath.Join(s.Root, want)
		}
		if d.SetAside() != want {
			t.Errorf("run %d: set aside as %q, want %q", i, d.SetAside(), want)
		}
		if rows, err := d.Metrics(t.Context()); err != nil || len(rows) > 0 || d.State() != "" {
			t.Errorf("run %d: %v, %v, state %q, want an empty folder", i, rows, err, d.State())
		}
		must(t, d.AppendRow(row(int64(i), 1)))
		must(t, d.SetState(Done))
		must(t, d.Close())
	}
	for i, old := range []string{".old-1", ".old-2", ""} {
		want := fmt.Sprintf("{\"step\":%d,\"epoch\":%[1]d,\"loss\":1}\n", i)
		if got := content(t, s.Root, name+old, "metrics.jsonl"); got != want {
			t.Errorf("%s: got %s, want %s", name+old, got, want)
		}
	}
}

func TestDamaged(t *testing.T) {
	const remedy = "; restore it, or start over with -fresh of the run's command, which keeps it " +
		"under another name"
	tests := []struct {
		name    string
		file    string
		content string
		want    string // %s is the folder
	}{
		{"no config", "config.json", "",
			"rundir: %s: has metrics.jsonl but no config.json, want a run folder" + remedy},
		{"cut config", "config.json", "{\n  \"settings\": {\n    \"rate\": 0.0",
			"rundir: %s/config.json:3: unexpected end of JSON input" + remedy},
		{"config of another kind", "config.json", "\n[1]",
			"rundir: %s/config.json:2: array, want an object with settings" + remedy},
		{"config without settings", "config.json", "{}",
			`rundir: %s/config.json: settings are "", want a JSON object` + remedy},
		{"other setting", "config.json", `{"settings":{"rate":0.02,"momentum":0.8,"seed":1}}`,
			"rundir: %s/config.json: written with other settings: momentum is 0.8, want 0.9" +
				remedy},
		{"other nested setting", "config.json",
			`{"settings":{"rate":0.02,"momentum":0.9,"seed":18446744073709551615,` +
				`"schedule":{"kind":"step"}}}`,
			`rundir: %s/config.json: written with other settings: schedule.kind is "step", ` +
				`want "cosine"` + remedy},
		{"missing setting", "config.json", `{"settings":{"rate":0.02}}`,
			"rundir: %s/config.json: written with other settings: momentum is missing, want 0.9" +
				remedy},
		{"more settings", "config.json", `{"settings":{"decay":0.1,"rate":0.02}}`,
			"rundir: %s/config.json: written with other settings: decay is 0.1, want no such " +
				"setting" + remedy},
		{"state", "state", "finished\n",
			`rundir: %s/state: state "finished", want running, done, failed, diverged or ` +
				"preempted" + remedy},
		{"metrics", "metrics.jsonl", "{\"step\":0}\nhello\n",
			`rundir: %s/metrics.jsonl:2: "hello", want a row such as {"step":3,"loss":0.5}` +
				remedy},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := spec(t.TempDir())
			d := open(t, s)
			must(t, d.AppendRow(row(0, 1)))
			must(t, d.Close())
			if test.content == "" {
				must(t, os.Remove(d.Path(test.file)))
			} else {
				write(t, test.content, d.Path(test.file))
			}
			_, err := Open(s)
			wantError(t, err, fmt.Sprintf(test.want, d.Path()))

			// Nothing changed, the lock was released, and Fresh starts over.
			if test.content != "" && content(t, d.Path(test.file)) != test.content {
				t.Errorf("Open has changed %s", test.file)
			}
			s.Fresh = true
			open(t, s)
		})
	}
}

func TestUnwritable(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "file")
	write(t, "", file)
	_, err := Open(spec(file))
	if !errors.Is(err, syscall.ENOTDIR) || !strings.HasPrefix(err.Error(), "rundir: ") {
		t.Errorf("a root that is a file: got error %v", err)
	}
	_, err = Open(spec(filepath.Join(file, "runs")))
	if !errors.Is(err, syscall.ENOTDIR) || !strings.HasPrefix(err.Error(), "rundir: ") {
		t.Errorf("a root below a file: got error %v", err)
	}
	if os.Geteuid() == 0 {
		t.Skip("the rest needs a folder without write permission, which does not stop root")
	}
	must(t, os.Chmod(root, 0o555))
	t.Cleanup(func() { os.Chmod(root, 0o777) }) // so that it can be removed
	if _, err = Open(spec(root)); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a root without write permission: got error %v", err)
	}
}

func TestWriteFile(t *testing.T) {
	d := open(t, spec(t.TempDir()))
	nothing := func(io.Writer) error { return nil }
	wantError(t, d.WriteFile("state/x", nothing),
		"rundir: cannot write "+d.Path("state")+"/x: no such file or directory")
	must(t, d.SetState(Running))
	wantError(t, d.WriteFile("state/x", nothing),
		"rundir: cannot write "+d.Path("state")+"/x: not a directory")
}

// Open removes what a killed process has left half written, in the run's folders as well.
func TestRemovesTemporary(t *testing.T) {
	d := open(t, spec(t.TempDir()))
	must(t, os.MkdirAll(d.Path("weights", ".folder.tmp-1"), 0o777))
	write(t, "half", d.Path(".config.json.tmp-1"))
	write(t, "half", d.Path("weights", ".epoch.tmp-1"))
	write(t, "half", d.Path("weights", ".folder.tmp-1", "file"))
	write(t, "whole", d.Path("weights", "epoch"))
	must(t, d.Close())
	d = open(t, spec(filepath.Dir(d.Path())))
	if entries, err := os.ReadDir(d.Path("weights")); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v in the folder, want one file", entries, err)
	}
	if _, err := os.Stat(d.Path(".config.json.tmp-1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a temporary file is still there: %v", err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"settings":{"rate":0.02,"schedule":{"kind":"cosine"}},"derived":null}`))
	f.Add([]byte("{\"settings\":\n[]}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		settings, _, _, err := parseConfig("config.json", in)
		if err != nil {
			return
		}
		if err := checkSettings("config.json", in, settings); err != nil {
			t.Errorf("settings differ from themselves: %v", err)
		}
	})
}
