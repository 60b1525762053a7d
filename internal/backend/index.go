package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"momentum/internal/fetch"
)

// errUnavailable is wrapped when a plugin is not on this machine and cannot be fetched.
var errUnavailable = errors.New("the package index cannot be reached")

// pypi is the Python Package Index.
const pypi = "https://pypi.org/pypi/"

// wheel is a fixed file of the Python Package Index.
type wheel struct {
	pkg, version string
	file, sha256 string
}

// release is a package's description by the index: its files by version.
type release map[string][]struct {
	URL     string
	Digests struct{ SHA256 string }
}

// fetchWheel downloads a wheel into a folder, unless it is already there, and returns its path.
func (m machine) fetchWheel(ctx context.Context, w wheel, folder, label string, o Options) (
	path string, err error) {
	path = filepath.Join(folder, w.file)
	if fetch.Verify(path, w.sha256, 0) == nil {
		return path, nil
	}
	remedy := fmt.Sprintf("run once with a network, or put %s into %s", w.file, folder)
	if o.Offline {
		return "", fmt.Errorf("%w with -offline: %s", errUnavailable, remedy)
	}
	releases, err := m.ask(ctx, w.pkg)
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, remedy)
	}
	for _, r := range releases[w.version] {
		if r.Digests.SHA256 == w.sha256 {
			return path, fetch.Get(ctx, fetch.File{URL: r.URL, Path: path, SHA256: w.sha256},
				fetch.Options{Out: o.Out, Label: label, Advice: w.advice(folder)})
		}
	}
	return "", fmt.Errorf("the package index has no file of %s %s with SHA-256 %s", w.pkg,
		w.version, w.sha256)
}

// advice says how to do without a slow download.
func (w wheel) advice(folder string) string {
	return fmt.Sprintf("https://pypi.org/project/%s/%s/#files has %s too: put that into %s",
		w.pkg, w.version, w.file, folder)
}

// ask requests a package's description from the index, and repeats a failed request once.
func (m machine) ask(ctx context.Context, pkg string) (release, error) {
	limited, cancel := context.WithTimeoutCause(ctx, m.patience,
		fmt.Errorf("no answer within %v", m.patience))
	defer cancel()
	r, err := m.request(limited, pkg)
	if err != nil {
		select {
		case <-time.After(m.pause):
		case <-limited.Done():
		}
		r, err = m.request(limited, pkg)
	}
	switch {
	case err == nil:
		return r, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case limited.Err() != nil:
		err = context.Cause(limited)
	}
	return nil, fmt.Errorf("%w: %s", errUnavailable, reason(err))
}

// request requests a package's description once. It completes the addresses of files that the
// index gives relative to its answer, as some mirrors do.
func (m machine) request(ctx context.Context, pkg string) (release, error) {
	address := m.index + pkg + "/json"
	question, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(question)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", address, answer.Status)
	}
	// Redirections may have led from the address to another.
	releases, err := parseAnswer(answer.Body, answer.Request.URL)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return releases, nil
}

// parseAnswer reads the answer of the index, which came from an address.
func parseAnswer(r io.Reader, from *url.URL) (release, error) {
	var description struct{ Releases release }
	if err := json.NewDecoder(r).Decode(&description); err != nil {
		return nil, err
	}
	for _, files := range description.Releases {
		for i := range files {
			file, err := url.Parse(files[i].URL)
			if err != nil {
				return nil, err
			}
			files[i].URL = from.ResolveReference(file).String()
		}
	}
	return description.Releases, nil
}
