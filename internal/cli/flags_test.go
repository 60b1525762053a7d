package cli

import (
	"flag"
	"maps"
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
  -n                    a number (default 0)

Second:
  -a-name-of-20-letters a file` + strings.Repeat(" ηη", 23) + `
                        ηη ηη to the end
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// What presets agree on is one default.
func TestDefaultsOf(t *testing.T) {
	of := func(preset string) *flag.FlagSet {
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		fs.Int("epochs", 10*len(preset), "e")
		fs.Float64("lr", 0.1, "η")
		fs.Bool("fast", false, "f")
		return fs
	}
	fs := of("")
	DefaultsOf(fs, []string{"a", "bb"}, of)
	got := map[string]string{}
	for _, s := range FlagSections(fs, FlagGroup{Names: []string{"epochs", "lr", "fast"}}) {
		for _, e := range s.Entries {
			got[e.Name] = e.Text
		}
	}
	want := map[string]string{"-epochs": "e (default a 10, bb 20)", "-lr": "η (default 0.1)",
		"-fast": "f"}
	if !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
