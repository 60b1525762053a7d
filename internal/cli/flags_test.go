package cli

import (
	"flag"
	"strings"
	"testing"
)

// Texts begin in one column and are wrapped at 100, counted in characters.
func TestPrintFlags(t *testing.T) {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.Int("n", 0, "a number")
	fs.String("a-name-of-20-letters", "", "a `file`"+strings.Repeat(" ηη", 25)+" to the end")
	var out strings.Builder
	PrintFlags(&out, fs, FlagGroup{Title: "First", Names: []string{"n"}},
		FlagGroup{Title: "Second", Names: []string{"a-name-of-20-letters"}})
	want := `
First:
  -n                    a number

Second:
  -a-name-of-20-letters a file` + strings.Repeat(" ηη", 23) + `
                        ηη ηη to the end
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
