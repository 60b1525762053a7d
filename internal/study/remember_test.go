package study

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The folder of a study remembers its flags: -out alone names it, and a flag that is given anew
// wins. What says where runs are executed is forgotten when -launcher is given anew.
func TestRemember(t *testing.T) {
	f := tiny()
	out := filepath.Join(t.TempDir(), "out")
	var stdout bytes.Buffer
	err := f.Run(t.Context(), &stdout, &stdout, []string{"plan", "-out=" + out, "-runs=" + out,
		"-scale=tiny", "-seeds=4", "-rates=0.1,0.2", "-launcher=slurm", "-concurrent=3"})
	if err != nil {
		t.Fatal(err, stdout.String())
	}
	for _, tt := range []struct {
		args       string
		seeds      int
		launcher   string
		concurrent int
		command    string
	}{
		{"", 4, "slurm", 3, "go run ./scripts/figure -scale=tiny -rates=0.1,0.2 -seeds=4"},
		{"-launcher=local", 4, "local", 8,
			"go run ./scripts/figure -scale=tiny -rates=0.1,0.2 -seeds=4"},
		{"-seeds=2 -concurrent=5", 2, "slurm", 5,
			"go run ./scripts/figure -scale=tiny -rates=0.1,0.2 -seeds=2"},
	} {
		_, o, err := f.parse(append([]string{"status", "-out=" + out}, strings.Fields(tt.args)...))
		if err != nil {
			t.Fatal(err)
		}
		if o.study.Seeds != tt.seeds || o.launcher != tt.launcher || o.base.Runs != out ||
			o.slurm.Concurrent != tt.concurrent || o.command != tt.command {
			t.Errorf("%q: %d seeds, %s, %d tasks, runs in %s, %s; want %+v", tt.args, o.study.Seeds,
				o.launcher, o.slurm.Concurrent, o.base.Runs, o.command, tt)
		}
	}
	f.Name = "figure9"
	if _, _, err := f.parse([]string{"status", "-out=" + out}); err == nil ||
		!strings.Contains(err.Error(), "the study is of figure, not of figure9") {
		t.Errorf("another figure's folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(out, rememberedFile), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.parse([]string{"status", "-out=" + out}); err == nil ||
		!strings.Contains(err.Error(), "delete it, and give the flags of the study") {
		t.Errorf("a damaged file: %v", err)
	}
	path := filepath.Join(out, rememberedFile)
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.parse([]string{"status", "-out=" + out}); err == nil ||
		!strings.Contains(err.Error(), ": is a directory; move it away, and give the flags") {
		t.Errorf("a folder in its place: %v", err)
	}
}

// Whatever study.json holds, it is remembered as it is written again, or is refused by its name.
func FuzzRecall(f *testing.F) {
	for _, s := range []string{
		`{"command":"figure1","flags":{"out":"a"},"selection":{"rates":"1"}}`,
		`{"command":1}`, `{"flags":[]}`, "null", "{", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		folder := t.TempDir()
		path := filepath.Join(folder, rememberedFile)
		write := func(text []byte) {
			if err := os.WriteFile(path, text, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		write([]byte(text))
		old, err := recall(folder)
		if err != nil {
			if !strings.HasPrefix(err.Error(), path+": ") {
				t.Errorf("%q: error %v", text, err)
			}
			return
		}
		again, err := json.Marshal(old)
		if err != nil {
			t.Fatal(err)
		}
		write(again)
		if got, err := recall(folder); err != nil || !reflect.DeepEqual(got, old) {
			t.Errorf("%q: %+v is read again as %+v, %v", text, old, got, err)
		}
	})
}
