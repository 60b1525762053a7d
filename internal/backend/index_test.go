package backend

import "testing"

// What is said about a download that takes long names the file, where it is and where it goes.
func TestAdviceOnSlowDownload(t *testing.T) {
	w := wheel{pkg: "xla-cpu", version: "1.2", file: "xla_cpu-1.2.whl"}
	const want = "https://pypi.org/project/xla-cpu/1.2/#files has xla_cpu-1.2.whl too: put that " +
		"into cache"
	if got := w.advice("cache"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
