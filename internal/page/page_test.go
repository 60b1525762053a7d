package page

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"momentum/internal/runtest"
)

var update = flag.Bool("update", false, "write the golden file anew")

// example has every part of a page, and markup in every text.
func example(t *testing.T) Page {
	t.Helper()
	svg, png := filepath.Join(t.TempDir(), "a.svg"), filepath.Join(t.TempDir(), "a.png")
	for path, content := range map[string]string{
		svg: "<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\">\n</svg>\n",
		png: "abc", // YWJj in base64
	} {
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return Page{Title: "c < 1 & <script>", Text: `"α" > β` + "\n\n-0.14 ± 0.13, and -lr=1",
		Command: "a -b='c' && " + strings.Repeat("-long=flag ", 10) + "d",
		Sections: []Section{
			{Title: "<i>", Text: "the rate η_eff", Pictures: []Picture{{svg, `"a" & b`},
				{png, `"c" < d`}}},
			{Title: "tables", Tables: []Table{
				{Title: "<u>", Head: []string{"a", "η_eff"}, Rows: [][]string{
					{"<b>", "-1.5 (-2, -.5)"}, {"cifar10-mini", "2026-11-26"}}},
				{Head: []string{"x"}, Rows: [][]string{{strings.Repeat("long ", 8)}}},
				{Head: []string{"", "no texts", ""}, Rows: [][]string{{"c", "", "never, 5, 12"},
					{"|Ξ_{i,j}|", "", "1.4e-06 ± 2e-07"}}},
			}, Notes: "in the end </p>, by -0.5 (-.25)"},
		}}
}

// All texts are shown as texts, and all parts are in the page.
func TestGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.html")
	if err := example(t).Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "page.html")
	if *update {
		if err := os.WriteFile(golden, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the page has changed (look at it, then -update):\n%s", diff)
	}
	runtest.Page(t, path)
}

// Numbers and indices are written as in print, while flags and names stay as they are.
func TestText(t *testing.T) {
	for s, want := range map[string]string{
		"-0.14 (-2, -.5) -lr=-1":     "−0.14 (−2, −.5) -lr=-1",
		"1.442e-06 ± 2.4e-07":        "1.442·10<sup>−6</sup> ± 2.4·10<sup>−7</sup>",
		"-3e-05, by step 1.6e+05":    "−3·10<sup>−5</sup>, by step 1.6·10<sup>5</sup>",
		"7e1254, -lr=1e-05, 0e-dirt": "7e1254, -lr=1e-05, 0e-dirt",
		"y_i Ξ_i, |Ξ_{i,j,r}|, ⟨w_r, w*⟩": "y<sub>i</sub> Ξ<sub>i</sub>, " +
			"|Ξ<sub>i,j,r</sub>|, ⟨w<sub>r</sub>, w*⟩",
		"η_eff, eta_eff, test_loss, x_rate": "η<sub>eff</sub>, eta_eff, test_loss, x_rate",
	} {
		if got := string(text(s)); got != want {
			t.Errorf("%s is written as\n%s, want\n%s", s, got, want)
		}
	}
}

// A list of numbers and a long text may be broken, a number with its interval may not.
func TestClass(t *testing.T) {
	numeric := map[int]bool{1: true}
	for _, test := range []struct {
		column     int
		cell, want string
	}{
		{1, "191, 227, 233, 229, 226", "number list"},
		{1, strings.Repeat("never, ", 10) + "1", "number list"},
		{1, "39.4 ± 9.0 (2: 38.7, 40.1)", "number"},
		{0, "GD, λ = 0.002, ‖∇L‖ ≤ 1", ""},
		{0, "GD at the effective rate of GD+M", "long"},
	} {
		if got := class(numeric, test.column, test.cell); got != test.want {
			t.Errorf("%s in column %d: class %q, want %q", test.cell, test.column, got, test.want)
		}
	}
}

// A page without one of its pictures is an error that names it, and leaves the earlier page.
func TestMissingPicture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte("earlier"), 0o666); err != nil {
		t.Fatal(err)
	}
	for picture, want := range map[string]string{
		filepath.Join(t.TempDir(), "absent.svg"): "absent.svg: no such file",
		path:                                     "page.html: want a .svg or a .png",
	} {
		p := Page{Sections: []Section{{Pictures: []Picture{{Path: picture}}}}}
		if err := p.Write(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", picture, err, want)
		}
		if content, err := os.ReadFile(path); err != nil || string(content) != "earlier" {
			t.Errorf("the earlier page is %q, %v", content, err)
		}
	}
}

// A command is broken between its arguments alone: joined again, it is the same.
func TestLines(t *testing.T) {
	long := strings.Repeat("x", 79)
	for command, want := range map[string]string{
		"go run ./cifar -a":                     "go run ./cifar -a",
		"go run -a=" + long + " -b":             "go run -a=" + long + " -b",
		"go run -a=" + long + " -bc":            "go run -a=" + long + " \\\n    -bc",
		"go '-tags=" + long + " b c' d":         "go '-tags=" + long + " b c' \\\n    d",
		`go '-name=it'\''s ` + long + " b c' d": `go '-name=it'\''s ` + long + " b c' \\\n    d",
	} {
		got := lines(command)
		if got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", command, got, want)
		}
		if joined := strings.ReplaceAll(got, "\\\n    ", ""); joined != command {
			t.Errorf("joined: %s, want %s", joined, command)
		}
	}
}
