package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// putter returns a function that writes a text, then returns an error.
func putter(text string, err error) func(io.Writer) error {
	return func(w io.Writer) error {
		io.WriteString(w, text)
		return err
	}
}

func check(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v, want %q", path, got, err, want)
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("got error  %v\nwant error %s", err, want)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "weights")
	if err := WriteFile(path, putter("old", nil)); err != nil {
		t.Fatal(err)
	}
	err := WriteFile(path, putter("new", fmt.Errorf("tensor 3: %w", syscall.ENOSPC)))
	wantError(t, err, "cannot write "+path+": tensor 3: no space left on device")
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v does not wrap its cause", err)
	}
	func() {
		defer func() { recover() }()
		WriteFile(path, func(w io.Writer) error { panic("graph") })
	}()
	check(t, path, "old")
	if err := WriteFile(path, putter("new", nil)); err != nil {
		t.Fatal(err)
	}
	check(t, path, "new")
	// The error names the file that was asked for, not the temporary one.
	wantError(t, WriteFile(filepath.Join(path, "x"), putter("", nil)),
		"cannot write "+path+"/x: not a directory")
	wantOnly(t, dir, "weights")
}

// wantOnly fails if a folder holds anything but one file.
func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

// A folder in a file's place stays, and the error says what to do about it.
func TestFolderInPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.MkdirAll(filepath.Join(path, "more"), 0o777); err != nil {
		t.Fatal(err)
	}
	wantError(t, WriteBytes(path, nil), "cannot write "+path+": is a directory; move it away")
	wantOnly(t, dir, "f")
	_, err := os.ReadFile(path)
	wantError(t, WithRemedy(err, "mend it"), path+": is a directory; mend it")
	_, err = os.ReadFile(filepath.Join(dir, "none"))
	if got := WithRemedy(err, "mend it"); got != err {
		t.Errorf("a missing file: got error %v, want %v", got, err)
	}
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "batch.bin")
	if err := Create(path, putter("old", nil)); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, putter("new", nil)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that exists: %v", err)
	}
	check(t, path, "old")

	// The error stays that of the disk or that of write.
	cut := errors.New("cut")
	if err := Create(filepath.Join(dir, "x"), putter("half", cut)); err != cut {
		t.Errorf("got %v, want the error of write", err)
	}
	err := Create(filepath.Join(path, "x"), putter("", nil))
	if !errors.As(err, new(*fs.PathError)) || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("got %v, want a PathError", err)
	}
}

// An existing file keeps its bytes, and a link to nothing is replaced.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "file"), filepath.Join(dir, "nowhere")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"", "a"} {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		if _, err2 := f.WriteString("a"); err != nil || err2 != nil || string(got) != want {
			t.Errorf("read %q, want %q: %v, %v", got, want, err, err2)
		}
		f.Close()
	}
	if _, err := os.Lstat(target); err == nil {
		t.Error("the file was made where the link points to")
	}
}

func TestTemporaryName(t *testing.T) {
	got := TemporaryName(filepath.Join("runs", "state"))
	if want := filepath.Join("runs", fmt.Sprintf(".state.tmp-%d", os.Getpid())); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for name, want := range map[string]bool{
		filepath.Base(got): true, ".curves.svg.tmp-1": true, "state": false, ".hidden": false,
		"notes.tmp-1": false,
	} {
		if IsTemporary(name) != want {
			t.Errorf("IsTemporary(%q) is %v", name, !want)
		}
	}
}

// Linux's /proc is a file system that cannot flush a folder.
func TestSyncDir(t *testing.T) {
	if err := SyncFile("/proc"); !errors.Is(err, syscall.EINVAL) {
		t.Logf("no file system here that cannot flush a folder: /proc gives %v", err)
	} else if err := SyncDir("/proc"); err != nil {
		t.Errorf("a folder that cannot be flushed: %v", err)
	}
	dir := t.TempDir()
	if err := SyncDir(dir); err != nil {
		t.Error(err)
	}
	if err := SyncDir(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is missing: %v", err)
	}
}

func TestSHA256(t *testing.T) {
	path := filepath.Join(t.TempDir(), "abc")
	if _, err := SHA256(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile(path, []byte("abc"), 0o666); err != nil {
		t.Fatal(err)
	}
	// FIPS 180-2, appendix B.1
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got, err := SHA256(path); err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// A copy has the content and the permissions of its source. A program that executes the file that
// the copy replaces keeps the old one.
func TestCopyFile(t *testing.T) {
	dir := t.TempDir()
	source, path := filepath.Join(dir, "new"), filepath.Join(dir, "program")
	if err := errors.Join(WriteBytes(source, []byte("new")), os.Chmod(source, 0o750),
		WriteBytes(path, []byte("old"))); err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := CopyFile(path, source); err != nil {
		t.Fatal(err)
	}
	check(t, path, "new")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("the copy has the permissions %v, %v; want 0750", info.Mode(), err)
	}
	if content, err := io.ReadAll(old); err != nil || string(content) != "old" {
		t.Errorf("the open file holds %q, %v, want old", content, err)
	}
	wantOnly(t, dir, "new", "program")
	wantError(t, CopyFile(path, filepath.Join(dir, "absent")),
		"open "+filepath.Join(dir, "absent")+": no such file or directory")
	check(t, path, "new")
}

// Only an old file of a process that has ended is removed.
func TestRemoveTemporary(t *testing.T) {
	dir := t.TempDir()
	const none = 1 << 30 // more than any process id
	then := time.Now().Add(-time.Hour)
	for name, old := range map[string]bool{
		fmt.Sprintf(".a.md.tmp-%d", none): true, fmt.Sprintf(".new.md.tmp-%d", none): false,
		fmt.Sprintf(".mine.md.tmp-%d", os.Getpid()): true, ".b.md.tmp-": true, "a.md": true,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if old {
			if err := os.Chtimes(path, then, then); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := RemoveTemporary(dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 4 {
		t.Errorf("left %v, %v; want all but .a.md", left, err)
	}
	if _, err := os.Stat(filepath.Join(dir, fmt.Sprintf(".a.md.tmp-%d", none))); err == nil {
		t.Error(".a.md.tmp is still there")
	}
}
