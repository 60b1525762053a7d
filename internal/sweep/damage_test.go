package sweep

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"momentum/internal/runtest"
)

// Each file of a run that is done is damaged in turn: the warning names it, the folder is set
// aside, and the run is executed again, with the same bytes.
func TestDamage(t *testing.T) {
	root := t.TempDir()
	l := list(t, root, execution{}, descent{Steps: 12, Rate: 0.1, Seed: 1, Size: 100},
		descent{Steps: 1})
	p := pool(t, 1)
	succeed(t, l, p)
	want := result(t, l, 0)
	folder := l.Folder(0)
	files := runtest.Files(t, folder)
	// config.json, metrics.jsonl, SHA256SUMS, state, weights, and two checkpoints of three files.
	if len(files) != 11 {
		t.Errorf("%d files", len(files))
	}
	for _, name := range []string{"notes", ".state.tmp-1"} { // harmless
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if succeed(t, l, p); starts(l, 0) != 1 {
		t.Error("an additional file counts as damage")
	}
	aside := 0
	for name, content := range files {
		path := filepath.Join(folder, name)
		for damage, do := range map[string]func() error{
			"truncated":   func() error { return os.Truncate(path, int64(len(content)/2)) },
			"empty":       func() error { return os.Truncate(path, 0) },
			"flipped bit": func() error { return os.WriteFile(path, []byte(flip(content)), 0o666) },
			"removed":     func() error { return os.Remove(path) },
			"grown":       func() error { return os.WriteFile(path, []byte(content+"x\n"), 0o666) },
		} {
			if err := do(); err != nil {
				t.Fatal(err)
			}
			s, err := l.RunStatus(0)
			if err != nil {
				t.Fatal(err)
			}
			before := starts(l, 0)
			printed := succeed(t, l, p)
			switch {
			case name == "state" && damage == "removed": // as after a kill at the end
				if s.State != Interrupted || starts(l, 0) != before+1 {
					t.Errorf("%s %s: %s, %s", name, damage, s.State, s.Reason)
				}
			default:
				aside++
				old := fmt.Sprintf("%s.old-%d", folder, aside)
				line := fmt.Sprintf("warning: %s; the folder is now %s, and the run is executed "+
					"again\n", s.Reason, old)
				if s.State != Damaged || !strings.Contains(s.Reason, name) ||
					!strings.Contains(printed, line) || starts(l, 0) != before+1 {
					t.Errorf("%s %s: %s, %s\n%s", name, damage, s.State, s.Reason, printed)
				}
				if _, err := os.Stat(old); err != nil {
					t.Error(err)
				}
			}
			if result(t, l, 0) != want {
				t.Errorf("%s %s: ends with different bytes", name, damage)
			}
		}
	}
	if starts(l, 1) != 1 {
		t.Errorf("the other run was started %d times", starts(l, 1))
	}
}

// flip changes a bit in the middle of a text.
func flip(content string) string {
	b := []byte(content)
	b[len(b)/2] ^= 1
	return string(b)
}
