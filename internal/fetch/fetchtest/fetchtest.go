// Package fetchtest has HTTP servers of one file that cut, stall, send something else or do what
// else servers do to a download.
package fetchtest

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"time"
)

// File is the content that a server should send.
type File []byte

// Whole serves the file as a good server does, Range included.
func (f File) Whole(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "file.bin", time.Time{}, bytes.NewReader(f))
}

// IgnoreRange serves the whole file, whatever range is asked for.
func (f File) IgnoreRange(w http.ResponseWriter, r *http.Request) {
	r.Header.Del("Range")
	f.Whole(w, r)
}

// Stall sends the first n bytes, whatever range is asked for, and then nothing more.
func (f File) Stall(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(f)))
		w.Write(f[:n])
		flush(w)
		<-r.Context().Done()
	}
}

// Cut serves like another handler, but cuts the connection after n bytes, n > 0.
func Cut(n int, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { serve(&cutter{w, n}, r) }
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		flush(c.ResponseWriter)
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// Unwrap is for [http.ResponseController].
func (c *cutter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Slow serves like another handler, but makes a pause after each piece of so many bytes.
func Slow(piece int, pause time.Duration, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { serve(&slow{w, r, piece, pause}, r) }
}

type slow struct {
	http.ResponseWriter
	request *http.Request
	piece   int
	pause   time.Duration
}

func (s *slow) Write(p []byte) (n int, err error) {
	for piece := range slices.Chunk(p, s.piece) {
		sent, err := s.ResponseWriter.Write(piece)
		n += sent
		if err != nil {
			return n, err
		}
		flush(s.ResponseWriter)
		select {
		case <-time.After(s.pause):
		case <-s.request.Context().Done(): // the client has gone
			return n, s.request.Context().Err()
		}
	}
	return n, nil
}

// Unwrap is for [http.ResponseController].
func (s *slow) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// flush sends what the server still buffers of an answer. If that fails, so does the next write.
func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// Status answers with a status and a short text.
func Status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", code) }
}

// Redirect sends the client to another address.
func Redirect(to string) http.HandlerFunc {
	return http.RedirectHandler(to, http.StatusFound).ServeHTTP
}

// Body sends a body and its length, whatever range is asked for.
func Body(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.Write(b)
	}
}

// Chunked is [Body] without the length.
func Chunked(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { flush(w); w.Write(b) }
}

// Range answers that a body is a range of a file: that which header, the Content-Range, says.
func Range(header string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", header)
		w.WriteHeader(http.StatusPartialContent)
		w.Write(body)
	}
}

// Declare serves like another handler, and declares an encoding such as gzip.
func Declare(encoding string, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", encoding)
		serve(w, r)
	}
}

// Gzip compresses a content.
func Gzip(b []byte) []byte {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(b) // a buffer takes everything
	z.Close()
	return packed.Bytes()
}

// Server is a server on this machine. It serves the k-th request by the k-th handler, and all
// further ones by the last.
type Server struct {
	*httptest.Server
	handlers []http.HandlerFunc

	mu     sync.Mutex
	ranges []string
}

// Start starts a server, which speaks HTTP.
func Start(handlers ...http.HandlerFunc) *Server {
	s := &Server{handlers: handlers}
	s.Server = httptest.NewServer(s)
	return s
}

// StartTLS starts a server that speaks HTTPS with a certificate of its own.
func StartTLS(handlers ...http.HandlerFunc) *Server {
	s := &Server{handlers: handlers}
	s.Server = httptest.NewTLSServer(s)
	return s
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	k := len(s.ranges)
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	s.mu.Unlock()
	s.handlers[min(k, len(s.handlers)-1)](w, r)
}

// Ranges are the Range headers of the requests so far, "" for none.
func (s *Server) Ranges() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ranges)
}
