// Package fetch downloads one file of known SHA-256 over HTTP and expects the worst: connections
// that are cut or stall, servers that are busy or send something else, a second process that wants
// the same file, a full disk. The bytes that have arrived stay in PATH.part, and the next request,
// even of a later process, asks for the rest by Range. PATH appears by a rename, and only once size
// and checksum are right.
package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"momentum/internal/durable"
	"momentum/internal/lockfile"
	"momentum/internal/progress"
)

// File describes a file to download and where to put it.
type File struct {
	URL    string
	Path   string // its folder is created if it is missing
	SHA256 string // hexadecimal
	Size   int64  // in bytes; 0: unknown
}

// Options control a download. Their zero value is usable.
type Options struct {
	Client   *http.Client // nil: http.DefaultClient, which uses the proxy of HTTPS_PROXY
	Out      io.Writer    // for progress; nil: no output
	Label    string       // the file's name in the progress; empty: the last part of Path
	Attempts int          // attempts in a row without a new byte before Get gives up; 0: 6

	// Backoff is the time before the second attempt; it doubles with each further attempt, up to
	// 30 s. 0: 1 s.
	Backoff time.Duration
	// Stall is the time without a new byte after which a connection is given up. 0: 30 s.
	Stall time.Duration
	// Advice is said once when the download has taken ten minutes: where else the file is. Empty:
	// nothing is said. A server that is slow is followed all the same.
	Advice string

	now func() time.Time // nil: time.Now
}

// lockSuffix ends the name of the lock of a file that is being downloaded.
const lockSuffix = ".lock"

// patience is the time after which a download says its advice.
const patience = 10 * time.Minute

// Get downloads f, unless it is there with the right size and checksum. If another process is
// downloading it, Get waits for that process. When ctx ends or the attempts are used up, the bytes
// that have arrived stay in PATH.part for the next Get.
func Get(ctx context.Context, f File, o Options) error {
	if Verify(f.Path, f.SHA256, f.Size) == nil {
		// A process that was killed when it had the file has left its lock. If it cannot be
		// removed, it is in nobody's way.
		lockfile.RemoveDead(f.Path + lockSuffix)
		return nil
	}
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Label == "" {
		o.Label = filepath.Base(f.Path)
	}
	if o.Attempts == 0 {
		o.Attempts = 6
	}
	if o.Backoff == 0 {
		o.Backoff = time.Second
	}
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	if o.now == nil {
		o.now = time.Now
	}
	o.Client = refusing(o.Client)
	u, err := url.Parse(f.URL)
	if err != nil || !isHTTP(u) {
		return fmt.Errorf("fetch: %q is not an http or https address", f.URL)
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o777); err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	lock, err := lockfile.Wait(ctx, f.Path+lockSuffix, func(h lockfile.Holder) {
		fmt.Fprintf(o.Out, "%s: waiting for %s, which is downloading it\n", o.Label, h)
	})
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	defer lock.Release()
	if Verify(f.Path, f.SHA256, f.Size) == nil {
		return nil // the process that this one waited for has downloaded it
	}
	d := &download{File: f, Options: o, part: f.Path + ".part", began: o.now()}
	if err := d.run(ctx); err != nil {
		d.removeEmpty()
		return fmt.Errorf("fetch: %s: %w", u.Redacted(), err)
	}
	return nil
}

// Verify returns an error unless the file at path has the size (0: any) and the checksum.
func Verify(path, sha256sum string, size int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if got := info.Size(); size > 0 && got != size {
		return fmt.Errorf("%s: %d bytes, want %d", path, got, size)
	}
	sum, err := durable.SHA256(path)
	if err != nil {
		return err
	}
	if !strings.EqualFold(sum, sha256sum) {
		return fmt.Errorf("%s: sha256 %s, want %s", path, sum, sha256sum)
	}
	return nil
}

// download is one call of Get while it holds the lock.
type download struct {
	File
	Options
	part    string        // the path PATH.part
	bar     *progress.Bar // nil before the first answer
	resumed bool          // the part began in an earlier attempt
	encoded string        // the encoding that the last answer declared, or ""
	began   time.Time
	advised bool // the advice was said
}

// final marks an error that another attempt would not mend.
type final struct{ error }

func (e final) Unwrap() error { return e.error }

func (d *download) run(ctx context.Context) error {
	defer func() {
		if d.bar != nil {
			d.bar.Close()
		}
	}()
	var most int64
	for tries := 1; ; tries++ {
		n, err := d.attempt(ctx)
		if err == nil {
			err = d.finish()
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return stopped(ctx, n)
		}
		if d.encoded != "" {
			err = fmt.Errorf("%w (the server declares the encoding %q)", err, d.encoded)
		}
		if errors.As(err, new(final)) {
			return err
		}
		if n > most {
			most, tries = n, 1
		}
		if tries >= d.Attempts {
			return fmt.Errorf("%w; gave up after %d attempts", err, tries)
		}
		wait := min(d.Backoff<<(tries-1), 30*time.Second)
		// A random factor keeps many processes from coming back at the same time.
		wait = time.Duration(float64(wait) * (0.5 + rand.Float64()))
		d.say(fmt.Sprintf("%s: %v; trying again in %v", d.Label, err,
			wait.Round(100*time.Millisecond)))
		d.advise(n)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return stopped(ctx, n)
		}
	}
}

func stopped(ctx context.Context, have int64) error {
	return fmt.Errorf("%w after %d bytes; the same command goes on from there", context.Cause(ctx),
		have)
}

// attempt makes one request for the bytes that the part lacks and appends those that arrive. It
// returns the size of the part. Without an error the part is complete.
func (d *download) attempt(ctx context.Context) (have int64, err error) {
	part, err := os.OpenFile(d.part, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return 0, final{err}
	}
	defer func() {
		if e := part.Close(); e != nil && err == nil {
			err = final{e}
		}
	}()
	if have, err = part.Seek(0, io.SeekEnd); err != nil {
		return 0, final{err}
	}
	d.resumed = have > 0
	if d.Size > 0 && have >= d.Size {
		return have, nil
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(d.Stall, func() { cancel(fmt.Errorf("no data for %v", d.Stall)) })
	defer stall.Stop()

	resp, err := d.request(ctx, have)
	if err != nil {
		return have, err
	}
	defer resp.Body.Close()
	d.encoded = resp.Header.Get("Content-Encoding") // wrong, if the checksum is right
	body := bufio.NewReaderSize(&watched{ctx, resp.Body, stall, d.Stall}, 1<<18)

	var total int64
	switch resp.StatusCode {
	case http.StatusPartialContent:
		total, err = d.checkRange(resp, have)
	case http.StatusRequestedRangeNotSatisfiable:
		return have, d.checkUnsatisfiable(resp, have)
	default: // the whole file, whether or not a range was asked for
		if total, err = d.checkWhole(resp, body); err == nil && have > 0 {
			have, err = restart(part)
		}
		d.resumed = false
	}
	if err != nil {
		return have, err
	}
	if d.bar == nil {
		d.bar = progress.Bytes(d.Out, d.Label, total)
	}
	d.bar.Set(have)
	return d.receive(body, part, have)
}

// restart empties the part and returns its new size, 0.
func restart(part *os.File) (have int64, err error) {
	if err := part.Truncate(0); err != nil {
		return 0, final{err}
	}
	if have, err = part.Seek(0, io.SeekStart); err != nil {
		return 0, final{err}
	}
	return have, nil
}

// receive appends the body of an answer to the part, which has a size of have, and returns the new
// size. Without an error the part is complete and on disk.
func (d *download) receive(body io.Reader, part *os.File, have int64) (int64, error) {
	buf := make([]byte, 1<<18)
	for {
		n, err := body.Read(buf)
		if d.Size > 0 && have+int64(n) > d.Size {
			return have, final{d.discard(fmt.Errorf("got more than %d bytes; try another source",
				d.Size))}
		}
		if _, err := part.Write(buf[:n]); err != nil {
			return have, final{d.diskError(err)}
		}
		have += int64(n)
		d.bar.Add(int64(n))
		d.advise(have)
		switch {
		case err == io.EOF && have < d.Size:
			return have, fmt.Errorf("ended after %d of %d bytes", have, d.Size)
		case err == io.EOF:
			if err := part.Sync(); err != nil {
				return have, final{d.diskError(err)}
			}
			return have, nil
		case err != nil:
			return have, fmt.Errorf("cut after %d bytes: %w", have, err)
		}
	}
}

// finish checks the complete part and moves it into place.
func (d *download) finish() error {
	if err := Verify(d.part, d.SHA256, d.Size); err != nil {
		if errors.As(err, new(*fs.PathError)) {
			return final{err}
		}
		err = d.discard(fmt.Errorf("got the wrong content: %w", err))
		if d.resumed {
			return err // the earlier part may be wrong, so the next attempt starts over
		}
		return final{fmt.Errorf("%w; try another source", err)}
	}
	if err := os.Rename(d.part, d.Path); err != nil {
		return final{err}
	}
	return durable.SyncDir(filepath.Dir(d.Path))
}

// discard removes a part that cannot become the file, and returns the reason.
func (d *download) discard(reason error) error {
	if err := os.Remove(d.part); err != nil {
		return final{err}
	}
	return reason
}

func (d *download) diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w; make room and run the same command again: it goes on from there",
			err)
	}
	return err
}

// removeEmpty removes a part without a byte, which is of no use to a later process.
func (d *download) removeEmpty() {
	info, err := os.Lstat(d.part)
	if err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		os.Remove(d.part) // a failure leaves an empty file
	}
}

// advise says the advice once the download has taken long. have is the size of the part.
func (d *download) advise(have int64) {
	taken := d.now().Sub(d.began)
	if d.Advice == "" || d.advised || taken < patience {
		return
	}
	d.advised = true
	d.say(fmt.Sprintf("%s: %d bytes are here after %v; %s", d.Label, have, taken.Round(time.Minute),
		d.Advice))
}

func (d *download) say(text string) {
	if d.bar != nil {
		d.bar.Println(text)
	} else {
		fmt.Fprintln(d.Out, text)
	}
}

// watched is a reader that restarts the timer of a stall with every byte, and returns the stall in
// place of "context canceled".
type watched struct {
	ctx   context.Context
	r     io.Reader
	stall *time.Timer
	limit time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.stall.Reset(w.limit)
	}
	if err != nil && err != io.EOF && w.ctx.Err() != nil {
		err = context.Cause(w.ctx)
	}
	return n, err
}
