package fetch

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

func isHTTP(u *url.URL) bool { return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" }

// refusing is a client that refuses a redirect to what is not HTTP, such as a file, at once.
func refusing(c *http.Client) *http.Client {
	follow := c.CheckRedirect
	if follow == nil {
		follow = func(_ *http.Request, via []*http.Request) error {
			if len(via) >= 10 {
				return final{errors.New("redirected 10 times; try another source")}
			}
			return nil
		}
	}
	refusing := *c
	refusing.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if !isHTTP(req.URL) {
			return final{fmt.Errorf("redirected to %q, want an http or https address; try another "+
				"source", req.URL.Redacted())}
		}
		return follow(req, via)
	}
	return &refusing
}

// request asks for the bytes from an offset on. The response has the status 200, 206 or 416.
func (d *download) request(ctx context.Context, from int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL, nil)
	if err != nil {
		return nil, final{err}
	}
	// Otherwise Go would decompress a file that the server wrongly declares as gzip-encoded.
	req.Header.Set("Accept-Encoding", "identity")
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	resp, err := d.Client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err // without the address, which Get adds
		}
		var dns *net.DNSError
		var cert *tls.CertificateVerificationError
		if (errors.As(err, &dns) && dns.IsNotFound) || errors.As(err, &cert) {
			err = final{err}
		}
		return nil, err
	}
	switch s := resp.StatusCode; {
	case s == http.StatusOK, s == http.StatusPartialContent && from > 0,
		s == http.StatusRequestedRangeNotSatisfiable && from > 0:
		return resp, nil
	case s >= 500, s == http.StatusTooManyRequests, s == http.StatusRequestTimeout:
		err = errors.New(resp.Status)
	default:
		err = final{errors.New(resp.Status)}
	}
	resp.Body.Close()
	return nil, err
}

// checkRange checks an answer with the bytes from have on, and returns the size of the whole file:
// 0 if it is not known.
func (d *download) checkRange(resp *http.Response, have int64) (total int64, err error) {
	var from, to, all int64
	header := resp.Header.Get("Content-Range")
	if n, _ := fmt.Sscanf(header, "bytes %d-%d/%d", &from, &to, &all); n < 2 || from != have {
		return 0, d.discard(fmt.Errorf("asked for the bytes from %d on, got %q", have, header))
	}
	if all > 0 && d.Size > 0 && all != d.Size {
		return 0, final{d.discard(fmt.Errorf("the server's file has %d bytes, want %d; "+
			"try another source", all, d.Size))}
	}
	return max(d.Size, all), nil
}

// checkUnsatisfiable checks the answer that the file has no bytes from have on. If the size was not
// known, it may mean that the part is complete.
func (d *download) checkUnsatisfiable(resp *http.Response, have int64) error {
	var all int64
	n, _ := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes */%d", &all)
	if n == 1 && all == have && d.Size == 0 {
		return nil
	}
	return d.discard(fmt.Errorf("the server cannot continue at byte %d", have))
}

// checkWhole checks an answer with the whole file, and returns its size: not positive if it is not
// known.
func (d *download) checkWhole(resp *http.Response, body *bufio.Reader) (total int64, err error) {
	if page := htmlPage(body); page != "" {
		return 0, final{fmt.Errorf("got %s, want a file with sha256 %s; a proxy or a login may "+
			"stand in between: try another source", page, d.SHA256)}
	}
	if d.Size > 0 && resp.ContentLength >= 0 && resp.ContentLength != d.Size {
		return 0, final{fmt.Errorf("the server's file has %d bytes, want %d; try another source",
			resp.ContentLength, d.Size)}
	}
	return max(d.Size, resp.ContentLength), nil
}

var title = regexp.MustCompile(`(?is)<title[^>]*>\s*(.{0,80}?)\s*</title>`)

// htmlPage describes a body that is an HTML page, and returns "" for any other body. It looks at
// what the first read brings: a slow server may take hours for more.
func htmlPage(body *bufio.Reader) string {
	body.Peek(1) // an error is that of the next read, too
	head, _ := body.Peek(body.Buffered())
	kind := http.DetectContentType(bytes.TrimPrefix(head, []byte("\ufeff")))
	if !strings.HasPrefix(kind, "text/html") {
		return ""
	}
	if m := title.FindSubmatch(head); m != nil {
		return fmt.Sprintf("an HTML page (%q)", m[1])
	}
	return "an HTML page"
}
