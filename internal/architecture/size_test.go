package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The sizes that code and comments keep to.
const (
	maxColumns   = 100 // of a line; a tab counts 4
	maxLines     = 450 // of a file
	maxFunction  = 70  // lines of a function
	columnsOfTab = 4
)

// sources are the files with these endings, without hidden folders and those that git ignores.
func sources(t *testing.T, endings ...string) []string {
	t.Helper()
	ignored := []string{"runs", "sweeps", "data", "testdata"}
	var all []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (slices.Contains(ignored, d.Name()) ||
			strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2):
			return fs.SkipDir
		case !d.IsDir() && slices.Contains(endings, filepath.Ext(path)):
			all = append(all, path)
		}
		return nil
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	return all
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// Code and comments have at most 100 columns and 450 lines a file.
func TestFiles(t *testing.T) {
	for _, path := range sources(t, ".go", ".py", ".sh", ".tmpl", ".c") {
		all := lines(t, path)
		if len(all) > maxLines {
			t.Errorf("%s has %d lines, want at most %d: split it by idea", path, len(all), maxLines)
		}
		for i, line := range all {
			n := utf8.RuneCountInString(line) + (columnsOfTab-1)*strings.Count(line, "\t")
			if n > maxColumns {
				t.Errorf("%s:%d has %d columns, want at most %d", path, i+1, n, maxColumns)
			}
		}
	}
}

// reason is what the comment of a long function says.
var reason = regexp.MustCompile(`\blong\s+because\b`)

// A function has at most 70 lines, unless its comment says that it is long because of something.
func TestFunctions(t *testing.T) {
	for _, path := range sources(t, ".go") {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1
			if n > maxFunction && !reason.MatchString(f.Doc.Text()) {
				t.Errorf("%s: %s has %d lines, want at most %d, or a comment that says why it is "+
					"long: \"It is long because …\"", set.Position(f.Pos()), f.Name.Name, n,
					maxFunction)
			}
		}
	}
}
