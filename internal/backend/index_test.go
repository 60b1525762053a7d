package backend

import (
	"net/url"
	"strings"
	"testing"
)

// What is said about a download that takes long names the file, where it is and where it goes.
func TestAdviceOnSlowDownload(t *testing.T) {
	w := wheel{pkg: "xla-cpu", version: "1.2", file: "xla_cpu-1.2.whl"}
	const want = "https://pypi.org/project/xla-cpu/1.2/#files has xla_cpu-1.2.whl too: put that " +
		"into cache"
	if got := w.advice("cache"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whatever the index answers, each file has an absolute address, which is read as it is written.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{`{"releases":{"1":[{"url":"https://f/a.whl","digests":` +
		`{"sha256":"ab"}}],"2":[{"url":"../a.whl"},{"url":"//h/a"}]}}`, `{"releases":{"1":[{}]}}`,
		`{"releases":null}`, `{"releases":{"1":[{"url":"%"}]}}`, `{"releases":[]}`, `null`, `{`,
		``} {
		f.Add(s)
	}
	from := &url.URL{Scheme: "https", Host: "index", Path: "/pypi/x/json"}
	f.Fuzz(func(t *testing.T, answer string) {
		releases, err := parseAnswer(strings.NewReader(answer), from)
		if err != nil {
			return
		}
		for _, files := range releases {
			for _, file := range files {
				if u, err := url.Parse(file.URL); err != nil || !u.IsAbs() {
					t.Errorf("%q has the address %q, %v", answer, file.URL, err)
				}
			}
		}
	})
}
