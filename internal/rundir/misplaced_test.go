package rundir

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// misplace puts a folder at a path, with "/", a link to nothing, with "->", or a file.
func misplace(t *testing.T, path, what string) {
	t.Helper()
	must(t, os.RemoveAll(path))
	switch what {
	case "/":
		must(t, os.Mkdir(path, 0o777))
	case "->":
		must(t, os.Symlink("nowhere", path))
	default:
		write(t, what, path)
	}
}

// Whatever lies in the place of a file of a run folder, or of the folder itself, the error names it
// and the remedy, before hours of work and whoever reads it, and Fresh starts over.
func TestMisplaced(t *testing.T) {
	const remedy = "; restore it, or start over with -fresh of the run's command"
	for _, tt := range []struct {
		state            State
		file, what, want string // the error after the folder's path
	}{
		{Done, "state", "/", "/state: is a directory"},
		{Done, "config.json", "/", "/config.json: is a directory"},
		{Done, "", "a file", ": is a file, want a folder"},
		{Running, "", "->", ": no such file or directory"},
		{Running, "state", "/", "/state: is a directory"},
		{Running, "config.json", "/", "/config.json: is a directory"},
		{Running, "metrics.jsonl", "/", "/metrics.jsonl: is a directory"},
		{Running, "metrics.csv", "/", "/metrics.csv: is a directory"},
		{Running, "SHA256SUMS", "/", "/SHA256SUMS: is a directory"},
		{Running, EventsFile, "/", "/" + EventsFile + ": is a directory"},
	} {
		s := spec(t.TempDir())
		d := ended(t, s, tt.state)
		misplace(t, d.Path(tt.file), tt.what)
		_, err := Open(s)
		if want := "rundir: " + d.Path() + tt.want + remedy; err == nil ||
			!strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), "restore") != 1 {
			t.Errorf("%+v: got error %v, want %s", tt, err, want)
		}
		_, _, _, configErr := ReadConfig(d.Path("config.json"))
		_, stateErr := ReadState(d.Path())
		_, metricsErr := ReadMetrics(t.Context(), d.Path("metrics.jsonl"))
		for name, err := range map[string]error{"config.json": configErr, "state": stateErr,
			"metrics.jsonl": metricsErr} {
			if misplaced := tt.file == name || tt.what == "a file"; misplaced != (err != nil) &&
				tt.what != "->" || misplaced && (!strings.Contains(err.Error(), remedy) ||
				!errors.As(err, new(*DamagedError))) {
				t.Errorf("%+v: reading %s: %v", tt, name, err)
			}
		}
		s.Fresh = true
		must(t, open(t, s).Close())
	}
}

// A folder that is no run folder has no damage to mend.
func TestReadOfNoRun(t *testing.T) {
	if _, _, _, err := ReadConfig(t.TempDir() + "/config.json"); err == nil ||
		errors.As(err, new(*DamagedError)) || strings.Contains(err.Error(), "restore") {
		t.Errorf("got error %v", err)
	}
}
