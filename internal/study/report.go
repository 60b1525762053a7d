package study

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"momentum/datasets"
	"momentum/internal/durable"
	"momentum/internal/figure"
	"momentum/internal/imagerun"
	"momentum/internal/markdown"
	"momentum/internal/provenance"
)

// collect writes everything that is drawn from the run folders: tables and pictures, the same bytes
// each time, and report.md, which shows them and the provenance of the runs.
func (i *invocation) collect(ctx context.Context, results []result) error {
	s := &i.study
	table, err := s.writeTables(filepath.Join(i.out, "table"), results)
	if err != nil {
		return err
	}
	err = durable.WriteFile(filepath.Join(i.out, "trials.csv"), func(w io.Writer) error {
		return s.writeTrialsCSV(w, results)
	})
	if err != nil {
		return err
	}
	type named struct {
		name    string
		picture figure.Picture
	}
	var pictures []named
	for _, r := range results {
		pictures = append(pictures, named{"curves-" + r.Key, s.curves(r)},
			named{"trials-" + r.Key, s.grid(r)})
	}
	for _, a := range []against{images, batches} {
		for n, p := range s.against(results, a) {
			pictures = append(pictures, named{fmt.Sprintf("by-%s-%d", a.name, n+1), p})
		}
	}
	if p := s.trainability(results); len(p.Panels) > 0 {
		pictures = append(pictures, named{"trainability", p})
	}
	var shown strings.Builder
	for _, p := range pictures {
		if err := p.picture.Write(filepath.Join(i.out, p.name)); err != nil {
			return err
		}
		fmt.Fprintf(&shown, "![%s](%s.png)\n\n", p.picture.Title, p.name)
	}
	if i.SmallMargin {
		examples, err := smallMarginExamples(ctx, s.Cells[0].Base, i.out)
		if err != nil {
			return err
		}
		shown.WriteString(examples + "\n\n")
	}
	path := filepath.Join(i.out, "report.md")
	err = durable.WriteFile(path, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "# %s\n\n    %s\n\n%s\n%s%s## All trials\n\nOne number for each "+
			"seed, from seed 1 on.\n\n%s\n## How it was made\n\n%s", s.Title,
			i.command, table, shown.String(), s.mechanism(results), s.trialsTable(results),
			provenanceTable(results))
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(i.stdout, "\n%s\nreport    %s\n", table, path)
	return nil
}

// smallMarginExamples draws test images and, below them, the same images with a small margin. It
// returns Markdown that shows the picture.
func smallMarginExamples(ctx context.Context, c imagerun.Config, folder string) (string, error) {
	_, test, err := datasets.Load(ctx, c.Data, datasets.Options{Dir: c.DataDir, Offline: c.Offline,
		Mirror: c.Mirror})
	if err != nil {
		return "", err
	}
	changed, err := c.SmallMarginImages().Apply(test, "test")
	if err != nil {
		return "", err
	}
	var indices []int
	for i, smallMargin := range changed.SmallMargin {
		if smallMargin && len(indices) < 16 {
			indices = append(indices, i)
		}
	}
	const name = "small-margin.png"
	err = durable.WriteFile(filepath.Join(folder, name), func(w io.Writer) error {
		return datasets.SideBySide(w, test, changed, indices)
	})
	return fmt.Sprintf("The first %d small-margin test images, below the originals:\n\n![test "+
		"images, and the same with a small margin](%s)", len(indices), name), err
}

// facts collects the provenance of runs: the values of each property.
type facts map[string]map[string]bool

// add adds the provenance of a run and returns its manifest.
func (f facts) add(o imagerun.Outcome) imagerun.Manifest {
	var m imagerun.Manifest
	provenance.Read(filepath.Join(o.Folder, "manifest.json"), &m)
	values := map[string]string{
		"revision": m.Revision, "device": m.Device, "backend": m.Backend, "precision": m.Precision,
		"Go": m.Go, "plugin": m.Plugin,
	}
	maps.Copy(values, m.Modules)
	for property, value := range values {
		if f[property] == nil {
			f[property] = map[string]bool{}
		}
		f[property][value] = true
	}
	return m
}

// text lists all values of each property.
func (f facts) text() map[string]string {
	all := map[string]string{}
	for property, values := range f {
		all[property] = strings.Join(slices.Sorted(maps.Keys(values)), ", ")
	}
	return all
}

// facts is the provenance of the runs of an arm.
func (a arm) facts() facts {
	f := facts{}
	for _, o := range a.Outcomes {
		f.add(o)
	}
	return f
}

// provenanceTable is the provenance of all runs of a study, and the time that they took.
func provenanceTable(results []result) string {
	f := facts{}
	seconds := 0.0
	seen := map[string]bool{}
	var last time.Time
	for _, r := range results {
		all := slices.Concat(r.tried...)
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
	lines := [][]string{
		{"runs", strconv.Itoa(len(seen))},
		{"time", duration(seconds) + ", the wall time of the runs added up"},
		{"last run begun", last.Format("2006-01-02 15:04 UTC")},
	}
	text := f.text()
	for _, property := range slices.Sorted(maps.Keys(text)) {
		lines = append(lines, []string{property, text[property]})
	}
	return markdown.Table([]string{"", ""}, lines)
}
