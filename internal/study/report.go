package study

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"momentum/internal/figure"
	"momentum/internal/provenance"
	"momentum/internal/rundir"
)

// collect makes everything that is drawn from the run folders: tables and pictures, the same bytes each time, and report.md, which shows
// them and says by what they were made.
func (j *job) collect(ctx context.Context, results []result, args []string) error {
	s := &j.study
	if err := s.writeTables(filepath.Join(j.out, "table"), results); err != nil {
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
	more := ""
	if j.More != nil {
		var err error
		if more, err = j.More(ctx, j.Options, j.out); err != nil {
			return err
		}
		more += "\n\n"
	}
	var table strings.Builder
	if err := s.markdown(&table, results, s.rows(results)); err != nil {
		return err
	}
	err := rundir.WriteFile(filepath.Join(j.out, "report.md"), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "# %s\n\n    %s\n\n%s\n%s%s## How it was made\n\n%s", s.Title, commandLine(s.Name, args), table.String(), pictures.String(), more, made(results))
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(j.stdout, "\n%s\nreport    %s\n", table.String(), filepath.Join(j.out, "report.md"))
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
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// made says by what and in what time the runs were made, by their manifests.
func made(results []result) string {
	type manifest struct {
		provenance.Provenance
		Precision string `json:"precision"`
	}
	sets := map[string]map[string]bool{}
	add := func(what, value string) {
		if sets[what] == nil {
			sets[what] = map[string]bool{}
		}
		sets[what][value] = true
	}
	seconds := 0.0
	folders := map[string]bool{}
	var last manifest
	for _, r := range results {
		all := slices.Clone(r.tried)
		for _, a := range r.Arms {
			all = append(all, a.Outcomes...)
		}
		for _, o := range all {
			if folders[o.Folder] {
				continue
			}
			folders[o.Folder] = true
			var m manifest
			provenance.Read(filepath.Join(o.Folder, "manifest.json"), &m)
			add("revision", m.Revision)
			add("device", m.Device)
			add("backend", m.Backend)
			add("precision", m.Precision)
			add("Go", m.Go)
			add("plugin", m.Plugin)
			for name, version := range m.Modules {
				add(name, version)
			}
			seconds += m.WallSeconds
			if end := m.Started; end.After(last.Started) {
				last = m
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| | |\n|---|---|\n| runs | %d |\n| time | %s, the wall time of the runs added up |\n| last run begun | %s |\n",
		len(folders), duration(seconds), last.Started.Format("2006-01-02 15:04 UTC"))
	for _, what := range slices.Sorted(maps.Keys(sets)) {
		fmt.Fprintf(&b, "| %s | %s |\n", what, strings.Join(slices.Sorted(maps.Keys(sets[what])), ", "))
	}
	return b.String()
}
