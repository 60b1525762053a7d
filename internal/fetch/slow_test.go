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
)

// drip sends n bytes of the content one at a time, with pauses, and then nothing more.
func drip(n int, pause time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		for _, b := range content[:n] {
			w.Write([]byte{b})
			w.(http.Flusher).Flush()
			time.Sleep(pause)
		}
		<-r.Context().Done()
	}
}

// A server that sends byte by byte is shown from the first byte on, with its rate, and the advice
// does not wait for more.
func TestSlow(t *testing.T) {
	url, _ := script(t, drip(100, 5*time.Millisecond))
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
