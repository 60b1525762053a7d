package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"momentum/internal/cifartest"
	"momentum/internal/cli"
	"momentum/internal/runtest"
)

// execute executes the command as main does.
func execute(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = cli.Report(&errs, "download", run(t.Context(), &out, &errs, args))
	return status, out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, `download: -data must be cifar10 or cifar100, got ""; see -h`},
		{[]string{"-data=mnist"},
			`download: -data must be cifar10 or cifar100, got "mnist"; see -h`},
		{[]string{"-data=cifar10", "now"}, `download: unexpected argument "now"; see -h`},
		{[]string{"-fast"}, "download: flag provided but not defined: -fast; see -h"},
		{[]string{"-data=cifar10", "-mirror=http://x", "-from=y"},
			"download: -from=y: there is no such file"},
		{[]string{"-data=cifar10", "-mirror=http://x", "-from=main.go"},
			"download: -mirror and -from exclude each other; see -h"},
		{[]string{"-from=y"}, "download: -from=y: there is no such file"},
	} {
		status, stdout, stderr := execute(t, tt.args...)
		if status != 2 || stdout != "" || stderr != tt.want+"\n" {
			t.Errorf("%q: status %d, %q, %q; want 2, %q", tt.args, status, stdout, stderr, tt.want)
		}
	}
}

// The package comment, which is the manual, and -h name the same flags.
func TestManual(t *testing.T) {
	status, help, stderr := execute(t, "-h")
	if status != 0 || stderr != "" {
		t.Errorf("status %d, %q", status, stderr)
	}
	runtest.Manual(t, "download", help,
		"-data-dir folder of CIFAR; empty: momentum/data in the user's cache folder")
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	manual, _, _ := strings.Cut(string(source), "\npackage main")
	names := func(pattern, text string) (names []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		slices.Sort(names)
		return names
	}
	inManual, inHelp := names(`(?m)^//\t-([a-z-]+)  `, manual), names(`(?m)^  -([a-z-]+)`, help)
	if !slices.Equal(inManual, inHelp) {
		t.Errorf("the manual has the flags %q, -h has %q", inManual, inHelp)
	}
}

func TestBadSources(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/page/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "<html><title>Sign in</title></html>")
	})
	mux.HandleFunc("/other/", func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.Repeat([]byte{1}, 1000))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "cifar-100-binary.tar.gz")
	if err := os.WriteFile(file, []byte("short"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ source, want string }{
		{"-mirror=" + server.URL + "/page", `got an HTML page ("Sign in")`},
		{"-mirror=" + server.URL + "/none", server.URL +
			"/none/cifar-100-binary.tar.gz: 404 Not Found"},
		{"-mirror=" + server.URL + "/other/x.tar.gz",
			"the server's file has 1000 bytes, want 168513733"},
		{"-from=" + file, file +
			": 5 bytes, want 168513733: not the official cifar-100-binary.tar.gz"},
	} {
		dir := t.TempDir()
		status, stdout, stderr := execute(t, "-data=cifar100", "-data-dir="+dir, tt.source)
		if status != 1 || stdout != "" || !strings.Contains(stderr, tt.want) ||
			strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: status %d, %q, %q; want %q", tt.source, status, stdout, stderr, tt.want)
		}
		if _, err := os.Stat(filepath.Join(dir, "cifar-100-binary")); err == nil {
			t.Errorf("%s: there is a folder of data", tt.source)
		}
	}
}

// Data that is present is not fetched again. The files are sparse files of the right size: without
// SHA256SUMS nothing else is checked.
func TestPresent(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "cifar-100-binary")
	if err := cifartest.CIFAR100().Write(dir, 0, nil); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := execute(t, "-data=cifar100", "-data-dir="+dir,
		"-mirror=http://127.0.0.1:1")
	if status != 0 || stdout != folder+"\n" || stderr != "" {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
}
