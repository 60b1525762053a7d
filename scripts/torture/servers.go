//go:build unix

package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"time"

	"momentum/internal/fetch/fetchtest"
)

// trouble is a kind of trouble with a download.
type trouble struct {
	name string
	// serve draws the handlers of the requests for a file, and the outcome that is wanted.
	serve func(f fetchtest.File, random *rand.Rand) (handlers []http.HandlerFunc, want string)
	// secure has the client ask a server that speaks HTTPS and leads to the one of the handlers.
	secure bool
	// download starts the download, perhaps more than once, and judges it; nil: once.
	download func(ctx context.Context, d *downloading, s *fetchtest.Server,
		random *rand.Rand) (outcome, reason string, err error)
}

// troubles are all of them.
func troubles() []trouble {
	return []trouble{
		{name: "cut", serve: cut},
		{name: "stalled", serve: stalled},
		{name: "slow", serve: slow},
		{name: "short", serve: short},
		{name: "long", serve: long},
		{name: "flipped bit", serve: flippedBit},
		{name: "an HTML page", serve: page},
		{name: "404 and the like", serve: missing},
		{name: "503 and the like", serve: busy},
		{name: "redirects", serve: redirects},
		{name: "redirect from HTTPS to HTTP", serve: toHTTP, secure: true},
		{name: "redirect to file: or ftp:", serve: toFile},
		{name: "no ranges", serve: noRanges},
		{name: "wrong ranges", serve: wrongRanges},
		{name: "compressed", serve: compressed},
		{name: "some at once", serve: slow, download: together},
		{name: "killed", serve: slow, download: killedDownload},
		{name: "disk full", serve: whole, download: onSmallDisk},
	}
}

// serveAll downloads from bad servers.
func (c *campaign) serveAll(ctx context.Context) error {
	return eachKind(ctx, c, "server", c.servers, "troubles", troubles(), c.serve)
}

// serve downloads from a bad server.
func (c *campaign) serve(ctx context.Context, number int, t trouble) error {
	name, random := fmt.Sprintf("server-%d", number), c.random("server", number)
	d, err := c.newDownloading(name, random)
	if err != nil {
		return err
	}
	handlers, want := t.serve(d.tarball, random)
	server := fetchtest.Start(handlers...)
	defer server.Close()
	d.order.Mirror = server.URL
	if t.secure {
		secure := fetchtest.StartTLS(fetchtest.Redirect(server.URL))
		defer secure.Close()
		d.order.Mirror = secure.URL
		d.order.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
			Bytes: secure.Certificate().Raw})
	}
	d.names = append(d.names, d.order.Mirror)
	var outcome, reason string
	if t.download == nil {
		outcome, reason, err = d.once(ctx)
	} else {
		outcome, reason, err = t.download(ctx, d, server, random)
	}
	if errors.Is(err, errNoDisk) {
		fmt.Fprintf(c.stdout, "servers   %s: %v\n", name, err)
		return os.RemoveAll(d.root)
	} else if err != nil {
		return err
	}
	better := fetchtest.Start(fetchtest.File(d.tarball).Whole)
	defer better.Close()
	return c.conclude(ctx, c.served, name, t.name, d, outcome, reason, want, func() error {
		d.order.Mirror = better.URL
		return nil
	})
}

// either draws one of two servers: one with which the download ends well, or another one.
func either(random *rand.Rand, well, badly []http.HandlerFunc) ([]http.HandlerFunc, string) {
	if random.IntN(2) == 0 {
		return well, recovered
	}
	return badly, refused
}

// requests are the handlers of the first requests; the last one is that of all further ones.
func requests(handlers ...http.HandlerFunc) []http.HandlerFunc { return handlers }

// within is a position in a file that is neither its begin nor its end.
func within(f []byte, random *rand.Rand) int { return 1 + random.IntN(len(f)-1) }

// flip returns a copy of a file with another bit at a position.
func flip(f []byte, at int, random *rand.Rand) fetchtest.File {
	f = slices.Clone(f)
	f[at] ^= 1 << random.IntN(8)
	return f
}

// noise is 1 to 2,000 bytes.
func noise(random *rand.Rand) []byte {
	b := make([]byte, 1+random.IntN(2000))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// pick is one of several.
func pick[T any](random *rand.Rand, all ...T) T { return all[random.IntN(len(all))] }

func whole(f fetchtest.File, _ *rand.Rand) ([]http.HandlerFunc, string) {
	return requests(f.Whole), recovered
}

// cut ends some connections early, or all at the same byte.
func cut(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	var some []http.HandlerFunc
	for range 1 + random.IntN(4) {
		some = append(some, fetchtest.Cut(within(f, random), f.Whole))
	}
	return either(random, append(some, f.Whole),
		requests(fetchtest.Cut(within(f, random), f.IgnoreRange)))
}

// stalled brings nothing more after some bytes, once or always.
func stalled(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	stalls := f.Stall(random.IntN(len(f)))
	return either(random, requests(stalls, f.Whole), requests(stalls))
}

// slow takes longer for the file than a stall may last.
func slow(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	pieces := 10 + random.IntN(20)
	pause := stall * 5 / 4 / time.Duration(pieces)
	return requests(fetchtest.Slow(len(f)/pieces, pause, f.Whole)), recovered
}

// short ends early without saying so, once or always, or has a shorter file.
func short(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	part := f[:within(f, random)]
	return either(random, requests(fetchtest.Chunked(part), f.Whole),
		requests(pick(random, fetchtest.Chunked(part), fetchtest.Body(part))))
}

// long sends more than the file.
func long(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	more := slices.Concat(f, noise(random))
	return requests(pick(random, fetchtest.Chunked(more), fetchtest.Body(more))), refused
}

// flippedBit sends another bit, in a first part or in the file.
func flippedBit(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	at := random.IntN(len(f) - 1)
	another := flip(f, at, random)
	end := at + 1 + random.IntN(len(f)-at-1)
	return either(random, requests(fetchtest.Cut(end, another.Whole), f.Whole),
		requests(another.Whole))
}

// page is what a login sends in place of the file, perhaps when a part is there.
func page(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	text := []byte(pick(random, "", "\n", "\ufeff") + pick(random, "<!DOCTYPE html>", "<html>") +
		"<title>Sign in</title>" + pick(random, "", "\n", "<p>\r\n</html>"))
	login := pick(random, fetchtest.Body, fetchtest.Chunked)(text)
	return pick(random, requests(login),
		requests(fetchtest.Cut(within(f, random), f.Whole), login)), refused
}

// missing is a status that will not change.
func missing(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	status := fetchtest.Status(pick(random, 400, 401, 403, 404, 410, 451))
	return pick(random, requests(status),
		requests(fetchtest.Cut(within(f, random), f.Whole), status)), refused
}

// busy is a status that may change, and does or does not.
func busy(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	var some []http.HandlerFunc
	for range 1 + random.IntN(attempts-1) {
		some = append(some, fetchtest.Status(pick(random, 408, 429, 500, 502, 503, 504)))
	}
	return either(random, append(some, f.Whole), some)
}

// redirects lead to the file, or in a circle.
func redirects(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	var some []http.HandlerFunc
	for range 1 + random.IntN(9) {
		some = append(some, fetchtest.Redirect(fmt.Sprintf("/%d", random.IntN(3))))
	}
	return either(random, append(some, f.Whole), some)
}

// toHTTP has the file or another one.
func toHTTP(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	return either(random, requests(f.Whole), requests(flip(f, random.IntN(len(f)), random).Whole))
}

// toFile leads to a file of the client's, or to a protocol that is no HTTP.
func toFile(_ fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	return requests(fetchtest.Redirect(pick(random, "file:///etc/passwd", "file:/etc/passwd",
		"ftp://127.0.0.1/cifar.tar.gz", "data:text/plain,x"))), refused
}

// noRanges sends the whole file again after it was cut, or is always cut.
func noRanges(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	begin := fetchtest.Cut(within(f, random), f.IgnoreRange)
	return either(random, requests(begin, f.IgnoreRange), requests(begin))
}

// wrongRanges sends another range than that asked for, once or always, or that of another file.
func wrongRanges(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	n := within(f, random)
	begin := fetchtest.Cut(n, f.Whole)
	right := fmt.Sprintf("bytes %d-%d/%d", n, len(f)-1, len(f))
	wrong := pick(random,
		fetchtest.Range(fmt.Sprintf("bytes %d-%d/%d", n-1, len(f)-1, len(f)), f[n-1:]),
		fetchtest.Range(fmt.Sprintf("bytes %d-%d/%d", n+1, len(f)-1, len(f)), f[n+1:]),
		fetchtest.Range(right, f[n-1:len(f)-1]), fetchtest.Range("", f[n:]),
		fetchtest.Status(http.StatusRequestedRangeNotSatisfiable))
	return either(random, requests(begin, wrong, f.Whole), pick(random,
		requests(begin, wrong), // the file is not asked for by range, and yet a range comes
		requests(begin, fetchtest.Range(fmt.Sprintf("bytes %d-%d/%d", n, len(f), len(f)+1), f[n:])),
		requests(begin, fetchtest.Range(right, f))))
}

// compressed sends a compressed file, or only says so.
func compressed(f fetchtest.File, random *rand.Rand) ([]http.HandlerFunc, string) {
	packed := pick(random, fetchtest.Body, fetchtest.Chunked)(fetchtest.Gzip(f))
	return either(random, requests(fetchtest.Declare("gzip", f.Whole)),
		requests(fetchtest.Declare("gzip", packed)))
}
