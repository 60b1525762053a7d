package lockfile

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Whatever lies at the path of a lock, a holder is one that the file names, and is written and read
// as the same one. The file is old, so that nobody waits for the rest of it.
func FuzzLook(f *testing.F) {
	mine, err := json.Marshal(self())
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(mine), string(mine[:20]), `{"host":"a","pid":7}`,
		`{"host":"a","pid":-7}`, `{"host":`, `{"host":"a","since":1,"pid":7}`, "null", "[]", "x",
		""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "lock")
		read := func(text []byte) (Holder, bool) {
			if err := os.WriteFile(path, text, 0o666); err != nil {
				t.Fatal(err)
			}
			old := time.Now().Add(-2 * stale)
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
			h, alive, err := look(path)
			if err != nil {
				t.Fatal(err)
			}
			return h, alive
		}
		h, alive := read([]byte(text))
		if h.PID <= 0 {
			if alive || h != (Holder{}) {
				t.Errorf("%q: nobody is %+v, alive %v", text, h, alive)
			}
			return
		}
		again, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		if got, still := read(again); got.String() != h.String() || got.Machine != h.Machine ||
			got.Start != h.Start || !got.Since.Equal(h.Since) || still != alive {
			t.Errorf("%q: %+v, alive %v, is read again as %+v, alive %v", text, h, alive, got,
				still)
		}
	})
}

// The start of a running process is a number of the text, whose state is not that of a dead one.
func FuzzParseStat(f *testing.F) {
	const rest = " 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9"
	for _, s := range []string{"12 (a b) c) S" + rest, "12 (sh) Z" + rest, "12 (sh)", ")", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		start, running := parseStat(s)
		after := s[strings.LastIndexByte(s, ')')+1:]
		if running && (!strings.Contains(after, fmt.Sprint(start)) ||
			strings.HasPrefix(strings.TrimSpace(after), "Z ")) {
			t.Errorf("%q: runs since %d", s, start)
		}
	})
}
