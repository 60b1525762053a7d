package architecture

import (
	"regexp"
	"strings"
	"testing"
)

// The images in which Go builds this program have the version of go.mod, or the newest of its
// series: with an older one the build would fail, since an image fetches no other version.
func TestGoOfImages(t *testing.T) {
	module := strings.Join(lines(t, "../../go.mod"), "\n")
	version := regexp.MustCompile(`(?m)^go ((\d+\.\d+)\.\d+)$`).FindStringSubmatch(module)
	if version == nil {
		t.Fatal("go.mod names no version of Go such as 1.2.3")
	}
	image := regexp.MustCompile(`(?m)^ *FROM golang:([0-9.]+)-`)
	for _, file := range []string{"Dockerfile", "scripts/kubernetes/README.md"} {
		found := image.FindStringSubmatch(strings.Join(lines(t, "../../"+file), "\n"))
		if found == nil {
			t.Errorf("%s has no line FROM golang:VERSION-…", file)
		} else if found[1] != version[1] && found[1] != version[2] {
			t.Errorf("%s builds with Go %s, want %s as in go.mod, or %s", file, found[1],
				version[1], version[2])
		}
	}
}
