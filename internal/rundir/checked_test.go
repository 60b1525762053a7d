package rundir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// age gives all files of a folder a modification time an hour ago.
func age(t *testing.T, folder string) {
	t.Helper()
	must(t, filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		then := time.Now().Add(-time.Hour)
		return errors.Join(err, os.Chtimes(path, then, then))
	}))
}

// The sums are computed once, and again for a change of size or time, or if the cache is lost.
func TestVerifyOnce(t *testing.T) {
	d := ended(t, spec(t.TempDir()), Done)
	cache := d.Path(".checked")
	must(t, Verify(d.Path(), nil))
	if _, err := os.Stat(cache); err == nil {
		t.Error("files that were written just now are cached: another write may not be seen")
	}
	age(t, d.Path())
	must(t, Verify(d.Path(), nil))
	want := content(t, cache)

	// A change that keeps size and time is seen only without the cache, or by a damaged one.
	info, err := os.Stat(d.Path("weights"))
	must(t, err)
	write(t, "0.26", d.Path("weights"))
	must(t, os.Chtimes(d.Path("weights"), info.ModTime(), info.ModTime()))
	must(t, Verify(d.Path(), nil))
	for _, text := range []string{"", "x", want[:len(want)-2], want + "1 1 x\n", "-"} {
		if text == "-" {
			must(t, os.Remove(cache))
		} else {
			write(t, text, cache)
		}
		if err := Verify(d.Path(), nil); !errors.As(err, new(*DamagedError)) {
			t.Errorf("with a cache %q: %v, want damage", text, err)
		}
	}
	write(t, want, cache)
	must(t, os.Chtimes(d.Path("weights"), time.Time{}, info.ModTime().Add(time.Nanosecond)))
	if err := Verify(d.Path(), nil); !errors.As(err, new(*DamagedError)) {
		t.Errorf("after another time: %v, want damage", err)
	}
	// The cache is no part of what is sealed.
	write(t, "0.25", d.Path("weights"))
	must(t, d.Seal(Done))
	must(t, os.Remove(cache))
	must(t, Verify(d.Path(), nil))
}

// A result that is changed into the other one is damage, and each kind of damage has its remedy.
func TestVerify(t *testing.T) {
	const anew, restore = "; the run's command makes it anew",
		"; restore it, or start over with -fresh of the run's command, which keeps it under " +
			"another name"
	for _, tt := range []struct {
		state      State
		file, text string // its new content; "-" removes it, "/" makes it a folder
		want       string // "" if it is derived
		remedy     string
	}{
		{Done, "state", "diverged\n", "state: has SHA-256 ", restore},
		{Diverged, "state", "done\n", "state: has SHA-256 ", restore},
		{Done, "weights", "0.26", "weights: has SHA-256 ", restore},
		{Done, "metrics.jsonl", "/", "metrics.jsonl: is a directory", restore},
		{Done, "checkpoints/step-00000001/w", "-", "w: is missing", restore},
		{Done, "SHA256SUMS", "-", "SHA256SUMS: is missing", restore},
		{Done, "SHA256SUMS", "/", "SHA256SUMS: is a directory", restore},
		{Done, "metrics.csv", "step\n", "", anew},
		{Done, "metrics.csv", "-", "", anew},
	} {
		d := ended(t, spec(t.TempDir()), tt.state)
		must(t, d.WriteCSV(t.Context()))
		must(t, d.Seal(tt.state))
		if tt.text == "-" || tt.text == "/" {
			must(t, os.Remove(d.Path(tt.file)))
		}
		if tt.text == "/" {
			must(t, os.Mkdir(d.Path(tt.file), 0o777))
		} else if tt.text != "-" {
			write(t, tt.text, d.Path(tt.file))
		}
		err := Verify(d.Path(), []string{"metrics.csv"})
		if err == nil || !strings.HasSuffix(err.Error(), tt.remedy) ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v", tt, err)
		}
		remake, err := d.Verify([]string{"metrics.csv"})
		if (tt.want == "") != (err == nil) || (tt.want == "") != (len(remake) == 1) {
			t.Errorf("%+v: to make anew %v, %v", tt, remake, err)
		}
		if tt.want != "" {
			continue
		}
		must(t, d.WriteCSV(t.Context()))
		must(t, d.Seal(tt.state))
		if remake, err := d.Verify([]string{"metrics.csv"}); err != nil || len(remake) > 0 {
			t.Errorf("made anew: %v, %v", remake, err)
		}
	}
	d := ended(t, spec(t.TempDir()), Done)
	if _, err := d.Verify([]string{"metrics.csv"}, "final"); err == nil ||
		!strings.Contains(err.Error(), "SHA256SUMS: does not list final; restore it") {
		t.Errorf("a result without its weights: %v", err)
	}
}

// A process that was killed between a new checkpoint and the removal of the oldest leaves three,
// and those that were set aside are damaged in any way, or are no folders. The end of the run
// removes the oldest and seals the others.
func TestSealChecksCheckpoints(t *testing.T) {
	d := saved(t, 2, 3)
	must(t, os.CopyFS(d.Path(checkpointsDir, "step-00000001"),
		os.DirFS(d.Path(checkpointsDir, "step-00000002"))))
	aside := d.Path(checkpointsDir, "step-00000004.damaged")
	must(t, os.Mkdir(aside, 0o777))
	must(t, os.Symlink("nowhere", filepath.Join(aside, "w")))
	must(t, os.Symlink("nowhere", d.Path(checkpointsDir, "step-00000005.damaged")))
	write(t, "no folder", d.Path(checkpointsDir, "step-00000006.damaged"))
	must(t, d.Seal(Done))
	names, err := d.checkpoints()
	if want := []string{"step-00000002", "step-00000003"}; err != nil ||
		!slices.Equal(names, want) {
		t.Errorf("checkpoints %q, %v, want %q", names, err, want)
	}
	if sums := content(t, d.Path("SHA256SUMS")); strings.Contains(sums, "damaged") {
		t.Errorf("a checkpoint that was set aside is sealed:\n%s", sums)
	}
	must(t, Verify(d.Path(), nil))
}

func TestFileInPlaceOfCheckpoints(t *testing.T) {
	for _, what := range []string{"a file", "->"} {
		d := saved(t)
		misplace(t, d.Path(checkpointsDir), what)
		_, _, err := d.LoadCheckpoint(func(string) error { return nil })
		wantError(t, err, "rundir: "+d.Path(checkpointsDir)+": is a file or a link to "+
			"nothing, want a folder: remove it, and the same command starts from the first step")
	}
}
