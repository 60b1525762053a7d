package datasets

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"momentum/internal/cifartest"
	"momentum/internal/lockfile"
)

// entries returns those of a good tarball of the archive, with a readme as in the official one.
func entries(a archive) []cifartest.Entry {
	all := []cifartest.Entry{cifartest.Special(a.folder+"/", tar.TypeDir, ""),
		cifartest.Regular(a.folder+"/readme.html", []byte("<html>"))}
	for _, m := range a.members() {
		all = append(all, cifartest.Regular(a.folder+"/"+m.name, records(a, m)))
	}
	return all
}

// served returns an archive, its good tarball, and a server that counts the requests for it.
func served(t *testing.T) (a archive, tarball []byte, server *httptest.Server,
	requests *atomic.Int32) {
	a = tiny(1)
	tarball = cifartest.Pack(entries(a))
	a.sha256, a.size = fmt.Sprintf("%x", sha256.Sum256(tarball)), int64(len(tarball))
	requests = new(atomic.Int32)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /data/tiny.tar.gz", func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Write(tarball)
	})
	server = httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return a, tarball, server, requests
}

// list returns the names of everything in a folder.
func list(t *testing.T, dir string) []string {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range found {
		names = append(names, e.Name())
	}
	return names
}

func TestDownload(t *testing.T) {
	a, _, server, requests := served(t)
	for _, mirror := range []string{"/data", "/data/", "/data/tiny.tar.gz"} {
		requests.Store(0)
		o := Options{Dir: filepath.Join(t.TempDir(), "new"), Mirror: server.URL + mirror}
		for range 2 { // the second time nothing is left to do
			folder, err := a.download(t.Context(), o)
			if err != nil || folder != filepath.Join(o.Dir, "tiny") {
				t.Fatalf("%q, %v", folder, err)
			}
		}
		if n := requests.Load(); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
		if got := list(t, o.Dir); !slices.Equal(got, []string{"tiny"}) {
			t.Errorf("left in the folder: %q", got)
		}
		if got := list(t, filepath.Join(o.Dir, "tiny")); !slices.Equal(got,
			[]string{"SHA256SUMS", "one.bin", "test.bin", "two.bin"}) {
			t.Errorf("unpacked: %q", got)
		}
	}
}

func TestLoadDownloads(t *testing.T) {
	a, _, server, _ := served(t)
	o := Options{Dir: t.TempDir(), Mirror: server.URL + "/data"}
	train, test, err := a.load(t.Context(), o)
	if err != nil || train.N() != 5 || test.N() != 2 {
		t.Fatal(err)
	}
	// Since the folder has checksums, a flipped bit is found even in a pixel.
	path := filepath.Join(o.Dir, "tiny", "one.bin")
	b := records(a, a.train[0])
	b[100] ^= 4
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err = a.load(t.Context(), o); err == nil ||
		!strings.Contains(err.Error(), "one.bin: sha256 ") ||
		!strings.Contains(err.Error(), "anew") {
		t.Errorf("got %v", err)
	}
	// The command that the error advises repairs the folder and keeps the damaged one.
	var out bytes.Buffer
	o.Out = &out
	if _, err := a.download(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.load(t.Context(), o); err != nil {
		t.Error(err)
	}
	if got := list(t, o.Dir); !slices.Equal(got, []string{"tiny", "tiny.damaged-1"}) ||
		!strings.Contains(out.String(), "tiny.damaged-1") {
		t.Errorf("left in the folder: %q; said:\n%s", got, out.String())
	}
}

func TestTwoDownloadsAtOnce(t *testing.T) {
	a, _, server, requests := served(t)
	o := Options{Dir: t.TempDir(), Mirror: server.URL + "/data"}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if train, _, err := a.load(t.Context(), o); err != nil || train.N() != 5 {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// A process that was killed while it unpacked leaves a folder that must not stop the next process.
func TestLeftoverOfKilledProcess(t *testing.T) {
	a, _, server, _ := served(t)
	o := Options{Dir: t.TempDir(), Mirror: server.URL + "/data"}
	if err := os.MkdirAll(filepath.Join(o.Dir, "tiny.partial", "one.bin"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := a.download(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := list(t, o.Dir); !slices.Equal(got, []string{"tiny"}) {
		t.Errorf("left in the folder: %q", got)
	}
}

func TestFrom(t *testing.T) {
	a, tarball, _, _ := served(t)
	from := filepath.Join(t.TempDir(), "copy.tar.gz")
	flipped := bytes.Clone(tarball)
	flipped[len(flipped)/2] ^= 1
	for _, tt := range []struct {
		name    string
		content []byte
		want    string
	}{
		{"good", tarball, ""},
		{"truncated", tarball[:100], fmt.Sprintf("copy.tar.gz: 100 bytes, want %d: not the "+
			"official tiny.tar.gz", len(tarball))},
		{"over-long", append(bytes.Clone(tarball), 0), fmt.Sprintf("copy.tar.gz: %d bytes, want %d",
			len(tarball)+1, len(tarball))},
		{"bit flipped", flipped, "copy.tar.gz: sha256 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(from, tt.content, 0o666); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			part := filepath.Join(dir, "tiny.tar.gz.part") // of a download that was given up
			if err := os.WriteFile(part, nil, 0o666); err != nil {
				t.Fatal(err)
			}
			train, _, err := a.load(t.Context(), Options{Dir: dir, From: from, Offline: true})
			if tt.want == "" {
				if err != nil || train.N() != 5 {
					t.Error(err)
				}
				if left := list(t, dir); !slices.Equal(left, []string{"tiny"}) {
					t.Errorf("left in the folder: %q", left)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			} else if left := list(t, dir); !slices.Equal(left, []string{"tiny.tar.gz.part"}) {
				t.Errorf("left in the folder: %q", left)
			}
			if _, err := os.Stat(from); err != nil {
				t.Errorf("the user's tarball is gone: %v", err)
			}
		})
	}
	if _, err := a.download(t.Context(), Options{Dir: t.TempDir(),
		From: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestDownloadErrors(t *testing.T) {
	a, _, server, requests := served(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	wrong := a
	wrong.sha256 = strings.Repeat("0", 64)
	for _, tt := range []struct {
		name string
		a    archive
		o    Options
		want string
	}{
		{"offline", a, Options{Dir: "DIR", Offline: true}, "run go run ./scripts/download " +
			"-data=cifar10 -data-dir=DIR with a network, add -from=tiny.tar.gz to import the " +
			"tarball, or use -data=cifar10-mini"},
		{"no such mirror", a, Options{Mirror: server.URL + "/nothing"},
			"404 Not Found; go run ./scripts/download -data=cifar10"},
		{"not an address", a, Options{Mirror: "ftp://x"},
			"-mirror=ftp://x is not an http or https address"},
		{"checksum", wrong, Options{Mirror: server.URL + "/data"}, ", want " + wrong.sha256},
		{"folder is a file", a, Options{Dir: file, Mirror: server.URL + "/data"},
			"not a directory; name another folder with -data-dir"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.o.Dir == "" {
				tt.o.Dir = t.TempDir()
			} else if tt.o.Dir == "DIR" {
				t.Chdir(t.TempDir())
			}
			_, err := tt.a.download(t.Context(), tt.o)
			if err == nil || !strings.Contains(err.Error(), tt.want) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1: that with the wrong checksum", n)
	}
}

func TestDefaultDir(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if _, err := (Options{}).dir(); err == nil ||
		!strings.Contains(err.Error(), "name one with -data-dir") {
		t.Errorf("without HOME: %v", err)
	}
	cache := t.TempDir()
	t.Setenv("HOME", cache)
	want, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if dir, err := (Options{}).dir(); err != nil || dir != filepath.Join(want, "momentum", "data") {
		t.Errorf("%q, %v", dir, err)
	}
}

// A download that was killed when it had the tarball, and before it gave up the tarball's lock,
// goes on, and the lock does not stay.
func TestDownloadKilledAtTheEnd(t *testing.T) {
	a, tarball, server, requests := served(t)
	dir := t.TempDir()
	path := filepath.Join(dir, a.tarball)
	lock, err := lockfile.Acquire(path + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	mine, err := os.ReadFile(path + ".lock")
	if err = errors.Join(err, lock.Release()); err != nil {
		t.Fatal(err)
	}
	dead := regexp.MustCompile(`"start":\d+`).ReplaceAll(mine, []byte(`"start":1`))
	for name, content := range map[string][]byte{path: tarball, path + ".lock": dead} {
		if err := os.WriteFile(name, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	folder, err := a.download(t.Context(), Options{Dir: dir, Mirror: server.URL})
	if err != nil || requests.Load() != 0 {
		t.Fatalf("%v, %d requests", err, requests.Load())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); !slices.Equal(left, []string{folder}) {
		t.Errorf("left behind: %q", left)
	}
}

func TestAddress(t *testing.T) {
	const host = "https://www.cs.toronto.edu"
	for mirror, want := range map[string]string{
		"":                                host + "/~kriz/cifar-10-binary.tar.gz",
		"http://m.example/a?key=1":        "http://m.example/a/cifar-10-binary.tar.gz?key=1",
		"http://m.example/other.tar.gz?x": "http://m.example/other.tar.gz?x",
	} {
		if got, err := archives[0].address(mirror); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", mirror, got, err, want)
		}
	}
}

// It is long because it is a table of cases.
func TestUnpackHostile(t *testing.T) {
	a := tiny(1)
	good := entries(a)
	pack, regular, special := cifartest.Pack, cifartest.Regular, cifartest.Special
	packWith := func(extra ...cifartest.Entry) []byte { return pack(append(extra, good...)) }
	without := slices.DeleteFunc(slices.Clone(good),
		func(e cifartest.Entry) bool { return e.Name == "tiny/two.bin" })
	one := records(a, a.train[0])
	tarball := pack(good)
	flipped := bytes.Clone(tarball)
	flipped[len(flipped)-5] ^= 1 // in the checksum of gzip
	for _, tt := range []struct {
		name    string
		tarball []byte
		want    string // part of the error; empty: unpacks
	}{
		{"good", tarball, ""},
		{"dot in front", pack(append([]cifartest.Entry{regular("./tiny/two.bin",
			records(a, a.train[1]))}, without...)), ""},
		{"path that leaves the folder", packWith(regular("../evil", []byte("x")),
			regular("tiny/../../evil", []byte("x"))), ""},
		{"absolute path", packWith(regular("/tmp/evil", []byte("x"))), ""},
		{"link to elsewhere", packWith(special("tiny/link", tar.TypeSymlink, "/etc"),
			regular("tiny/link/evil", []byte("x"))), ""},
		{"devices and a pipe", packWith(special("tiny/null", tar.TypeChar, ""),
			special("tiny/disk", tar.TypeBlock, ""), special("tiny/pipe", tar.TypeFifo, "")), ""},
		{"device in place of a file", packWith(special("tiny/one.bin", tar.TypeChar, "")),
			"tiny/one.bin: entry of type '3'"},
		{"second entry of a name", pack(append(slices.Clone(good),
			regular("tiny/one.bin", make([]byte, len(one))))), ""},
		{"symbolic link in place of a file",
			packWith(special("tiny/one.bin", tar.TypeSymlink, "/etc/passwd")),
			"tiny/one.bin: entry of type '2' with 0 bytes, want a regular file with 9219"},
		{"hard link in place of a file",
			packWith(special("tiny/one.bin", tar.TypeLink, "tiny/test.bin")),
			"tiny/one.bin: entry of type '1'"},
		{"file too short", packWith(regular("tiny/one.bin", one[1:])),
			"tiny/one.bin: entry of type '0' with 9218 bytes, want a regular file with 9219"},
		{"file too long", packWith(regular("tiny/one.bin", append(one, 1))), "with 9220 bytes"},
		{"file missing", pack(without), "tiny/two.bin is missing in the archive"},
		{"bomb", packWith(regular("tiny/zeros", make([]byte, 2<<20))),
			"unpacks to more than 1070087 bytes"},
		{"truncated", tarball[:len(tarball)/2], "damaged archive: unexpected EOF"},
		{"flipped bit", flipped, "damaged archive: gzip: invalid checksum"},
		{"page", []byte("<!DOCTYPE html><html></html>"), "damaged archive: gzip: invalid header"},
		{"empty", nil, "damaged archive: EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			path := filepath.Join(root, "t.tar.gz")
			if err := os.WriteFile(path, tt.tarball, 0o666); err != nil {
				t.Fatal(err)
			}
			folder := filepath.Join(root, "a", "tiny")
			if err := os.Mkdir(filepath.Join(root, "a"), 0o777); err != nil {
				t.Fatal(err)
			}
			err := a.unpackFile(t.Context(), path, folder)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := a.check(folder); err != nil {
					t.Error(err)
				}
				if b, _ := os.ReadFile(filepath.Join(folder, "one.bin")); !bytes.Equal(b, one) {
					t.Error("one.bin is not what the archive has first")
				}
			} else if err == nil || !strings.HasPrefix(err.Error(), path+": ") ||
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
			checkInside(t, a, root)
		})
	}
}

// checkInside fails if root/a/tiny holds anything but files of the archive, or root anything else
// but the tarball.
func checkInside(t *testing.T, a archive, root string) {
	t.Helper()
	if got := list(t, root); !slices.Equal(got, []string{"a", "t.tar.gz"}) {
		t.Errorf("the folder above has %q", got)
	}
	if got := list(t, filepath.Join(root, "a")); !slices.Equal(got, []string{"tiny"}) {
		t.Errorf("beside the folder: %q", got)
	}
	allowed := map[string]int64{sumsName: 1 << 10}
	for _, m := range a.members() {
		allowed[m.name] = a.fileBytes(m)
	}
	found, err := os.ReadDir(filepath.Join(root, "a", "tiny"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		info, err := e.Info()
		if limit, ok := allowed[e.Name()]; err != nil || !ok || !info.Mode().IsRegular() ||
			info.Size() > limit {
			t.Errorf("unpacked %s, %v, %v", e.Name(), info.Mode(), info.Size())
		}
	}
}

// The images of the seeds are black, so that a tarball has some 200 bytes: Go minimizes each input
// that reaches new code, one of random images for a minute.
func FuzzUnpack(f *testing.F) {
	a := archive{folder: "tiny", train: []member{{"a.bin", 1}}, test: []member{{"t.bin", 1}},
		labelBytes: 1}
	black := make([]byte, a.fileBytes(a.test[0]))
	good := cifartest.Pack([]cifartest.Entry{cifartest.Regular("tiny/a.bin", black),
		cifartest.Regular("tiny/t.bin", black)})
	if len(good) > 400 {
		f.Fatalf("a seed of %d bytes, want a small one", len(good))
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(cifartest.Pack([]cifartest.Entry{
		cifartest.Special("tiny/a.bin", tar.TypeSymlink, "/etc"),
		cifartest.Regular("../evil", []byte("x"))}))
	f.Fuzz(func(t *testing.T, tarball []byte) {
		root := t.TempDir()
		path := filepath.Join(root, "t.tar.gz")
		if err := os.WriteFile(path, tarball, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(root, "a"), 0o777); err != nil {
			t.Fatal(err)
		}
		folder := filepath.Join(root, "a", "tiny")
		err := a.unpackFile(t.Context(), path, folder)
		checkInside(t, a, root)
		if err == nil {
			if err := a.check(folder); err != nil {
				t.Error(err)
			}
		}
	})
}
