package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"momentum/internal/fetch/fetchtest"
)

// content is the file that the servers below should send. It is random, so that no bug can hide in
// its structure.
var content = func() fetchtest.File {
	b := make(fetchtest.File, 300_000)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}()

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// The servers, by short names.
var (
	whole, ignoreRange, stall    = content.Whole, content.IgnoreRange, content.Stall
	cut, slow, body, chunked     = fetchtest.Cut, fetchtest.Slow, fetchtest.Body, fetchtest.Chunked
	status, redirect, otherRange = fetchtest.Status, fetchtest.Redirect, fetchtest.Range
)

// script starts a server for the time of a test; see [fetchtest.Server].
func script(t *testing.T, handlers ...http.HandlerFunc) (url string, ranges func() []string) {
	s := fetchtest.Start(handlers...)
	t.Cleanup(s.Close)
	return s.URL + "/file.bin", s.Ranges
}

// It is long because it is a table of cases.
func TestGet(t *testing.T) {
	flipped := bytes.Clone(content)
	flipped[1000] ^= 1
	page := []byte(
		"<!DOCTYPE html><html><head><title>Sign in</title></head><body>hello</body></html>")
	for _, tt := range []struct {
		name     string
		serve    []http.HandlerFunc
		noSize   bool     // the caller does not know the size
		part     []byte   // left by an earlier process
		requests []string // the Range header of each request
		err      string   // part of the error; empty: none
	}{
		{name: "good", serve: []http.HandlerFunc{whole}, requests: []string{""}},
		{name: "good, size unknown", serve: []http.HandlerFunc{whole}, noSize: true,
			requests: []string{""}},
		{name: "cut twice", serve: []http.HandlerFunc{cut(100_000, whole), cut(50_000, whole),
			whole}, requests: []string{"", "bytes=100000-", "bytes=150000-"}},
		{name: "cut, then Range ignored", serve: []http.HandlerFunc{cut(100_000, whole),
			ignoreRange}, requests: []string{"", "bytes=100000-"}},
		{name: "always cut at the same byte", serve: []http.HandlerFunc{cut(100_000, ignoreRange)},
			requests: []string{"", "bytes=100000-", "bytes=100000-"},
			err:      "cut after 100000 bytes: unexpected EOF; gave up after 3 attempts"},
		{name: "ends early without a length", serve: []http.HandlerFunc{chunked(content[:1000]),
			whole}, requests: []string{"", "bytes=1000-"}},
		{name: "busy, then good", serve: []http.HandlerFunc{status(503), status(429), whole},
			requests: []string{"", "", ""}},
		{name: "always busy", serve: []http.HandlerFunc{status(503)},
			requests: []string{"", "", ""},
			err:      "503 Service Unavailable; gave up after 3 attempts"},
		{name: "missing", serve: []http.HandlerFunc{status(404)}, requests: []string{""},
			err: "404 Not Found"},
		{name: "redirect to a file", serve: []http.HandlerFunc{redirect("file:///etc/passwd")},
			requests: []string{""}, err: `redirected to "file:///etc/passwd", want an http or`},
		{name: "redirect to itself", serve: []http.HandlerFunc{redirect("/file.bin")},
			requests: make([]string, 10), err: "redirected 10 times; try another source"},
		{name: "page", serve: []http.HandlerFunc{body(page)}, requests: []string{""},
			err: `got an HTML page ("Sign in"), want a file with sha256 `},
		{name: "page, size unknown", serve: []http.HandlerFunc{body(page)}, noSize: true,
			requests: []string{""}, err: "got an HTML page"},
		{name: "stalled, then good", serve: []http.HandlerFunc{stall(1000), whole},
			requests: []string{"", "bytes=1000-"}},
		{name: "always stalled", serve: []http.HandlerFunc{stall(0)},
			requests: []string{"", "", ""}, err: "no data for 500ms; gave up after 3 attempts"},
		{name: "bit flipped", serve: []http.HandlerFunc{body(flipped)}, requests: []string{""},
			err: "sha256 " + sum(flipped) + ", want " + sum(content) + "; try another source"},
		{name: "longer", serve: []http.HandlerFunc{body(append(bytes.Clone(content), 1))},
			requests: []string{""}, err: "the server's file has 300001 bytes, want 300000"},
		{name: "longer without a length", serve: []http.HandlerFunc{
			chunked(append(bytes.Clone(content), 1))}, requests: []string{""},
			err: "got more than 300000 bytes"},
		{name: "shorter", serve: []http.HandlerFunc{body(content[1:])}, requests: []string{""},
			err: "the server's file has 299999 bytes, want 300000"},
		{name: "part of an earlier process", part: content[:7], serve: []http.HandlerFunc{whole},
			requests: []string{"bytes=7-"}},
		{name: "complete part", part: content, serve: []http.HandlerFunc{whole}},
		{name: "complete part, size unknown", part: content, noSize: true,
			serve: []http.HandlerFunc{whole}, requests: []string{"bytes=300000-"}},
		{name: "damaged part", part: flipped[:2000], serve: []http.HandlerFunc{whole},
			requests: []string{"bytes=2000-", ""}},
		{name: "part too long", part: append(bytes.Clone(content), 1),
			serve: []http.HandlerFunc{whole}, requests: []string{""}},
		{name: "part too long, size unknown", part: append(bytes.Clone(content), 1), noSize: true,
			serve: []http.HandlerFunc{whole}, requests: []string{"bytes=300001-", ""}},
		{name: "another range than asked for", part: content[:7],
			serve:    []http.HandlerFunc{otherRange("bytes 9-299999/300000", nil), whole},
			requests: []string{"bytes=7-", ""}},
		{name: "range of another file", part: content[:7],
			serve:    []http.HandlerFunc{otherRange("bytes 7-99/100", nil)},
			requests: []string{"bytes=7-"},
			err:      "the server's file has 100 bytes, want 300000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url, ranges := script(t, tt.serve...)
			f := File{URL: url, Path: filepath.Join(t.TempDir(), "new", "file.bin"),
				SHA256: sum(content), Size: int64(len(content))}
			if tt.noSize {
				f.Size = 0
			}
			if tt.part != nil {
				os.Mkdir(filepath.Dir(f.Path), 0o777)
				if err := os.WriteFile(f.Path+".part", tt.part, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			o := Options{Attempts: 3, Backoff: time.Millisecond}
			if strings.Contains(tt.name, "stalled") {
				// long enough for a good answer from a busy machine
				o.Stall = 500 * time.Millisecond
			}
			err := Get(t.Context(), f, o)
			got, readErr := os.ReadFile(f.Path)
			if tt.err == "" {
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("got %d bytes, %v", len(got), err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.err) ||
				!strings.HasPrefix(err.Error(), "fetch: "+url+": ") {
				t.Errorf("got error %v\nwant %q", err, tt.err)
			} else if readErr == nil {
				t.Error("the file is there in spite of the error")
			}
			if got := ranges(); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.requests) {
				t.Errorf("requests %q, want %q", got, tt.requests)
			}
			if _, err := os.Stat(f.Path + ".lock"); err == nil {
				t.Error("the lock is left behind")
			}
			if info, err := os.Stat(f.Path + ".part"); err == nil && info.Size() == 0 {
				t.Error("an empty part is left behind")
			}
		})
	}
}

// A file with the right content costs no request; one with the wrong content is replaced.
func TestGetPresent(t *testing.T) {
	url, ranges := script(t, whole)
	f := File{URL: url, Path: filepath.Join(t.TempDir(), "f"),
		SHA256: strings.ToUpper(sum(content)), Size: int64(len(content))}
	for k, before := range [][]byte{content, []byte("something else")} {
		if err := os.WriteFile(f.Path, before, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := Get(t.Context(), f, Options{}); err != nil {
			t.Fatal(err)
		}
		if len(ranges()) != k {
			t.Errorf("%d requests, want %d", len(ranges()), k)
		}
	}
	if err := Verify(f.Path, f.SHA256, f.Size); err != nil {
		t.Error(err)
	}
}

func TestGetTwiceAtOnce(t *testing.T) {
	var sent atomic.Int64
	url, ranges := script(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(50 * time.Millisecond)
		sent.Add(int64(len(content)))
		whole(w, r)
	})
	f := File{URL: url, Path: filepath.Join(t.TempDir(), "f"), SHA256: sum(content)}
	var out [2]bytes.Buffer
	var wg sync.WaitGroup
	for k := range out {
		wg.Go(func() {
			if err := Get(t.Context(), f, Options{Out: &out[k]}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(ranges()) != 1 || sent.Load() != int64(len(content)) {
		t.Errorf("%d requests for %d bytes, want one whole transfer", len(ranges()), sent.Load())
	}
	if text := out[0].String() + out[1].String(); strings.Count(text, "waiting for process") != 1 {
		t.Errorf("one of the two should say that it waits:\n%s", text)
	}
}

func TestCancelKeepsPart(t *testing.T) {
	url, ranges := script(t, stall(100_000), whole)
	f := File{URL: url, Path: filepath.Join(t.TempDir(), "f"), SHA256: sum(content)}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for {
			if info, err := os.Stat(f.Path + ".part"); err == nil && info.Size() == 100_000 {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if err := Get(ctx, f, Options{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if err := Get(t.Context(), f, Options{}); err != nil {
		t.Fatal(err)
	}
	if got := ranges(); len(got) != 2 || got[1] != "bytes=100000-" {
		t.Errorf("requests %q", got)
	}
}

func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full, a device without room: ", err)
	}
	url, ranges := script(t, whole)
	f := File{URL: url, Path: filepath.Join(t.TempDir(), "f"), SHA256: sum(content)}
	if err := os.Symlink("/dev/full", f.Path+".part"); err != nil {
		t.Fatal(err)
	}
	err := Get(t.Context(), f, Options{})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room") ||
		len(ranges()) != 1 {
		t.Errorf("got %v after %d requests", err, len(ranges()))
	}
}

func TestUnwritableFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	url, ranges := script(t, whole)
	err := Get(t.Context(), File{URL: url, Path: filepath.Join(dir, "file", "f"),
		SHA256: sum(content)}, Options{})
	if !errors.Is(err, syscall.ENOTDIR) || len(ranges()) != 0 {
		t.Errorf("got %v after %d requests", err, len(ranges()))
	}
	if os.Getuid() == 0 {
		t.Skip("root may write to any folder: the read-only one is not tested")
	}
	if err := os.Mkdir(filepath.Join(dir, "readonly"), 0o555); err != nil {
		t.Fatal(err)
	}
	err = Get(t.Context(), File{URL: url, Path: filepath.Join(dir, "readonly", "f"),
		SHA256: sum(content)}, Options{})
	if !errors.Is(err, os.ErrPermission) || len(ranges()) != 0 {
		t.Errorf("got %v after %d requests", err, len(ranges()))
	}
}

func TestAddresses(t *testing.T) {
	f := File{Path: filepath.Join(t.TempDir(), "f"), SHA256: sum(content)}
	for _, u := range []string{"", "file:///etc/passwd", "ftp://x/y", "http://", "http://\x7f"} {
		f.URL = u
		if err := Get(t.Context(), f, Options{}); err == nil ||
			!strings.Contains(err.Error(), "is not an http or https address") {
			t.Errorf("%q: %v", u, err)
		}
	}
	f.URL = "http://user:secret@127.0.0.1:1/f" // nothing listens on port 1
	err := Get(t.Context(), f, Options{Attempts: 2, Backoff: time.Millisecond})
	if err == nil || strings.Contains(err.Error(), "secret") ||
		!errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
}

func TestVerify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := Verify(path, "", 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile(path, []byte("abc"), 0o666); err != nil {
		t.Fatal(err)
	}
	// FIPS 180-2, appendix B.1
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if err := Verify(path, abc, 3); err != nil {
		t.Error(err)
	}
	if err := Verify(path, abc, 4); err == nil || err.Error() != path+": 3 bytes, want 4" {
		t.Errorf("wrong size: %v", err)
	}
	if err := Verify(path, abc[1:], 3); err == nil {
		t.Error("wrong checksum: no error")
	}
}

func TestProgressInPipe(t *testing.T) {
	url, _ := script(t, cut(100_000, whole), whole)
	var out bytes.Buffer
	f := File{URL: url, Path: filepath.Join(t.TempDir(), "f"), SHA256: sum(content)}
	if err := Get(t.Context(), f, Options{Out: &out, Label: "file",
		Backoff: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"file: 300.0 kB\n",
		"file: cut after 100000 bytes: unexpected EOF; trying again in ", "file: 300.0 kB in "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if strings.ContainsAny(out.String(), "\r\x1b") {
		t.Errorf("control characters in %q", out.String())
	}
}

// A server that brings a little with each attempt is followed for ever, but after ten minutes, of
// which each attempt here takes six, the advice is said, once.
func TestAdvice(t *testing.T) {
	url, _ := script(t, cut(100_000, whole), cut(50_000, whole), cut(50_000, whole), whole)
	var out bytes.Buffer
	clock, attempts := time.Now(), 0
	o := Options{Out: &out, Label: "file", Backoff: time.Millisecond, Advice: "look elsewhere",
		now:    func() time.Time { return clock.Add(time.Duration(attempts) * 6 * time.Minute) },
		Client: &http.Client{Transport: counting(func() { attempts++ })}}
	if err := Get(t.Context(), File{URL: url, Path: filepath.Join(t.TempDir(), "f"),
		SHA256: sum(content), Size: int64(len(content))}, o); err != nil {
		t.Fatal(err)
	}
	// In the second attempt, after 12 minutes and with the first of its bytes.
	advice := regexp.MustCompile(
		`(?m)^file: 1[0-5]\d{4} bytes are here after 12m0s; look elsewhere$`)
	if !advice.MatchString(out.String()) || strings.Count(out.String(), "elsewhere") != 1 {
		t.Errorf("no advice, or more than one, in:\n%s", out.String())
	}
}

// counting is a transport that calls a function before each request.
type counting func()

func (count counting) RoundTrip(r *http.Request) (*http.Response, error) {
	count()
	return http.DefaultTransport.RoundTrip(r)
}
