package study

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"momentum/internal/cli"
	"momentum/internal/figure"
	"momentum/internal/provenance"
	"momentum/internal/rundir"
	"momentum/internal/sweep"
)

// collect makes everything that is drawn from the run folders: tables and pictures, the same bytes
// each time, and report.md, which shows them and says by what they were made.
func (j *job) collect(ctx context.Context, results []result, args []string) error {
	s := &j.study
	table, err := s.writeTables(filepath.Join(j.out, "table"), results)
	if err != nil {
		return err
	}
	var pictures strings.Builder
	for _, r := range results {
		for _, p := range []struct {
			name    string
			picture figure.Picture
		}{{"curves-" + r.Key, s.curves(r)}, {"trials-" + r.Key, s.grid(r)}} {
			if err := p.picture.Write(filepath.Join(j.out, p.name)); err != nil {
				return err
			}
			fmt.Fprintf(&pictures, "![%s](%s.png)\n\n", p.picture.Title, p.name)
		}
	}
	for i, p := range s.byBatch(results) {
		name := fmt.Sprintf("batches-%d", i+1)
		if err := p.Write(filepath.Join(j.out, name)); err != nil {
			return err
		}
		fmt.Fprintf(&pictures, "![%s](%s.png)\n\n", p.Title, name)
	}
	more := ""
	if j.More != nil {
		if more, err = j.More(ctx, j.Options, j.out); err != nil {
			return err
		}
		more += "\n\n"
	}
	err = rundir.WriteFile(filepath.Join(j.out, "report.md"), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "# %s\n\n    %s\n\n%s\n%s%s## How it was made\n\n%s", s.Title,
			commandLine(s.Name, args), table, pictures.String(), more, made(results))
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(j.stdout, "\n%s\nreport    %s\n", table, filepath.Join(j.out, "report.md"))
	return nil
}

// commandLine is the command that makes a study, whatever part of it this one was.
func commandLine(name string, args []string) string {
	if len(args) > 0 && verbs[args[0]] != "" {
		args = args[1:]
	}
	words := []string{"go run ./scripts/" + name}
	for _, arg := range args {
		if strings.ContainsAny(arg, " \t\n'\"$`\\*?[]()&|;<>#~!{}") {
			arg = cli.Quote(arg)
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// manifest is what the manifest of a run says of by what it was made.
type manifest struct {
	provenance.Provenance
	Precision string `json:"precision"`
}

// facts collects by what runs were made: the values of each property.
type facts map[string]map[string]bool

func (f facts) add(o sweep.Outcome) manifest {
	var m manifest
	provenance.Read(filepath.Join(o.Folder, "manifest.json"), &m)
	values := map[string]string{
		"revision": m.Revision, "device": m.Device, "backend": m.Backend, "precision": m.Precision,
		"Go": m.Go, "plugin": m.Plugin,
	}
	maps.Copy(values, m.Modules)
	for what, value := range values {
		if f[what] == nil {
			f[what] = map[string]bool{}
		}
		f[what][value] = true
	}
	return m
}

// text is all values of each property.
func (f facts) text() map[string]string {
	all := map[string]string{}
	for what, values := range f {
		all[what] = strings.Join(slices.Sorted(maps.Keys(values)), ", ")
	}
	return all
}

// made says by what the runs of an arm were made.
func (a arm) made() map[string]string {
	f := facts{}
	for _, o := range a.Outcomes {
		f.add(o)
	}
	return f.text()
}

// made says by what and in what time all runs of a study were made.
func made(results []result) string {
	f := facts{}
	seconds := 0.0
	seen := map[string]bool{}
	var last time.Time
	for _, r := range results {
		all := slices.Clone(r.tried)
		for _, a := range r.Arms {
			all = append(all, a.Outcomes...)
		}
		for _, o := range all {
			if seen[o.Folder] {
				continue
			}
			seen[o.Folder] = true
			m := f.add(o)
			seconds += m.WallSeconds
			if m.Started.After(last) {
				last = m.Started
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| | |\n|---|---|\n| runs | %d |\n| time | %s, the wall time of the runs "+
		"added up |\n| last run begun | %s |\n",
		len(seen), duration(seconds), last.Format("2006-01-02 15:04 UTC"))
	text := f.text()
	for _, what := range slices.Sorted(maps.Keys(text)) {
		fmt.Fprintf(&b, "| %s | %s |\n", what, text[what])
	}
	return b.String()
}
