package architecture

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"momentum/internal/cli"
)

// A package may begin its errors with its name, which says nothing to users: none of them sees it,
// but for table1, which they ask for by -table=1.
func TestErrorsWithoutPackages(t *testing.T) {
	clause := regexp.MustCompile(`(?m)^package (\w+)$`)
	found := 0
	for _, path := range sources(t, ".go") {
		text := strings.Join(lines(t, path), "\n")
		name := clause.FindStringSubmatch(text)[1]
		if strings.HasSuffix(path, "_test.go") || name == "table1" ||
			!regexp.MustCompile(`(Errorf|errors\.New)\("`+name+`: `).MatchString(text) {
			continue
		}
		found++
		if got := cli.Line(errors.New("-flag: " + name + ": wrong")); got != "-flag: wrong" {
			t.Errorf("%s: users see %q: add the package to those of cli.Line", path, got)
		}
	}
	if found < 10 {
		t.Errorf("%d files with such errors: the pattern is wrong", found)
	}
}
