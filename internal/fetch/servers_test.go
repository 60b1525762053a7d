package fetch

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"momentum/internal/fetch/fetchtest"
)

// A server that sends byte by byte is shown from the first byte on, with its rate, and the advice
// does not wait for more.
func TestSlow(t *testing.T) {
	url, _ := script(t, slow(1, 5*time.Millisecond, stall(100)))
	f := File{URL: url, Path: filepath.Join(t.TempDir(), "f"), SHA256: sum(content),
		Size: int64(len(content))}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if info, err := os.Stat(f.Path + ".part"); err == nil && info.Size() == 100 {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	var out bytes.Buffer
	clock, calls := time.Now(), 0
	err := Get(ctx, f, Options{Out: &out, Label: "file", Advice: "look elsewhere",
		now: func() time.Time { calls++; return clock.Add(time.Duration(calls) * time.Minute) }})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got error %v", err)
	}
	// The k-th byte asks for the time as the call k+1.
	if want := "file: 10 bytes are here after 10m0s; look elsewhere\n"; !strings.HasPrefix(
		out.String(), "file: 300.0 kB\n"+want) {
		t.Errorf("no advice after the first bytes in:\n%s", &out)
	}
	// At most a byte in 5 ms, but for the first.
	m := regexp.MustCompile(`100 B of 300\.0 kB in \d+s, (\d+) B/s\n$`).FindStringSubmatch(
		out.String())
	if m == nil {
		t.Fatalf("no rate in:\n%s", &out)
	}
	if rate, _ := strconv.Atoi(m[1]); rate > 203 {
		t.Errorf("%d bytes per second, want at most 200", rate)
	}
}

// A server that is slow but steady is followed for longer than a stall may last.
func TestSlowButSteady(t *testing.T) {
	began := time.Now()
	url, ranges := script(t, slow(15_000, 30*time.Millisecond, whole)) // at least 20 pieces
	f := File{URL: url, Path: filepath.Join(t.TempDir(), "f"), SHA256: sum(content)}
	const stall = 500 * time.Millisecond
	if err := Get(t.Context(), f, Options{Stall: stall}); err != nil || len(ranges()) != 1 {
		t.Errorf("%v after %d requests, want one", err, len(ranges()))
	}
	if took := time.Since(began); took < stall {
		t.Errorf("took %v, too short to test anything", took)
	}
}

// A server that compresses what it sends is named as such. One that only declares an encoding, as
// many do for what ends in .gz, is believed by the checksum.
func TestEncoding(t *testing.T) {
	declare := func(serve http.HandlerFunc) http.HandlerFunc {
		return fetchtest.Declare("gzip", serve)
	}
	packed := fetchtest.Gzip(content)
	const note = `(the server declares the encoding "gzip")`
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		want  string // the end of the error; "" for none
	}{
		"compressed": {declare(body(packed)), "want 300000; try another source " + note},
		"compressed, length unknown": {declare(chunked(packed)),
			"got more than 300000 bytes; try another source " + note},
		"cut":      {declare(cut(1000, ignoreRange)), note + "; gave up after 2 attempts"},
		"declared": {declare(whole), ""},
	} {
		url, _ := script(t, tt.serve)
		f := File{URL: url, Path: filepath.Join(t.TempDir(), "f"), SHA256: sum(content),
			Size: int64(len(content))}
		err := Get(t.Context(), f, Options{Attempts: 2, Backoff: time.Millisecond})
		if (tt.want == "") != (err == nil) || err != nil && !strings.HasSuffix(err.Error(),
			tt.want) {
			t.Errorf("%s: got error %v, want %q", name, err, tt.want)
		}
	}
}

// A redirection from HTTPS to HTTP is followed: the checksum says whether the file is right.
func TestRedirectToHTTP(t *testing.T) {
	flipped := bytes.Clone(content)
	flipped[7] ^= 1
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		want  string // in the error; "" for none
	}{"right": {whole, ""}, "wrong": {body(flipped), "got the wrong content: "}} {
		plain, ranges := script(t, tt.serve)
		s := fetchtest.StartTLS(redirect(plain))
		t.Cleanup(s.Close)
		f := File{URL: s.URL, Path: filepath.Join(t.TempDir(), "f"), SHA256: sum(content)}
		err := Get(t.Context(), f, Options{Client: s.Client(), Attempts: 1})
		if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(),
			tt.want) || len(ranges()) != 1 {
			t.Errorf("%s: got error %v after %d requests, want %q", name, err, len(ranges()),
				tt.want)
		}
	}
}

// Whatever Content-Range says, an answer is accepted only from the right byte of a file of the
// right size.
func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 7-99/100", "bytes 7-99/*", "bytes 7-99/-1", "bytes 8-99/100",
		"bytes 7-", "bytes */100", "bytes */7", "bytes 99999999999999999999-1/2", ""} {
		f.Add(s, int64(100))
		f.Add(s, int64(0))
	}
	part := filepath.Join(f.TempDir(), "part")
	f.Fuzz(func(t *testing.T, header string, size int64) {
		d := &download{File: File{Size: max(size, 0)}, part: part}
		resp := &http.Response{Header: http.Header{"Content-Range": {header}}}
		total, err := d.checkRange(resp, 7)
		from := strings.TrimLeft(strings.TrimSpace(strings.TrimPrefix(header, "bytes")), "+0")
		if err == nil && (total < 0 || d.Size > 0 && total != d.Size ||
			!strings.HasPrefix(from, "7-")) {
			t.Errorf("%q is accepted, with a size of %d for %d", header, total, d.Size)
		}
		if err := d.checkUnsatisfiable(resp, 7); err == nil && (d.Size > 0 ||
			!strings.Contains(header, "7")) {
			t.Errorf("%q: no bytes from 7 on of %d are accepted as the whole", header, d.Size)
		}
	})
}
