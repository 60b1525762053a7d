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
	"momentum/internal/page"
	"momentum/internal/provenance"
)

// collect writes everything that is drawn from the run folders: tables and pictures, the same bytes
// each time, and report.md and report.html, which show them and the provenance of the runs.
func (i *invocation) collect(ctx context.Context, results []result) error {
	s := &i.study
	rows := s.rows(results)
	table, err := s.writeTables(filepath.Join(i.out, "table"), results, rows)
	if err != nil {
		return err
	}
	err = durable.WriteFile(filepath.Join(i.out, "trials.csv"), func(w io.Writer) error {
		return s.writeTrialsCSV(w, results)
	})
	if err != nil {
		return err
	}
	pictures, err := i.draw(ctx, results)
	if err != nil {
		return err
	}
	var shown strings.Builder // in Markdown
	for _, p := range pictures {
		name := strings.TrimSuffix(filepath.Base(p.Path), ".svg") + ".png"
		fmt.Fprintf(&shown, "![%s](%s)\n\n", p.Title, name)
	}
	if i.SmallMargin {
		text, path, err := smallMarginExamples(ctx, s.Cells[0].Base, i.out)
		if err != nil {
			return err
		}
		p := page.Picture{Path: path, Title: "test images, and the same with a small margin"}
		pictures = append(pictures, p)
		fmt.Fprintf(&shown, "%s\n\n![%s](%s)\n\n", text, p.Title, filepath.Base(path))
	}
	trials, made := s.trialsTable(results), provenanceTable(results)
	sections := []page.Section{
		{Title: "Results", Tables: s.tables(rows), Notes: s.notes(results)},
		{Title: "Pictures", Pictures: pictures},
	}
	if groups := s.mechanism(results); len(groups.Rows) > 0 {
		fmt.Fprintf(&shown, "## %s\n\n%s\n\n%s\n", mechanismTitle, mechanismText,
			groups.Markdown())
		sections = append(sections, page.Section{Title: mechanismTitle, Text: mechanismText,
			Tables: []page.Table{groups}})
	}
	err = durable.WriteFile(i.reportPath(), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "# %s\n\n    %s\n\n%s\n%s## %s\n\n%s\n\n%s\n## %s\n\n%s",
			s.Title, i.command, table, shown.String(), trialsTitle, trialsText, trials.Markdown(),
			madeTitle, made.Markdown())
		return err
	})
	if err != nil {
		return err
	}
	html := page.Page{Title: s.Title, Command: i.command, Sections: append(sections,
		page.Section{Title: trialsTitle, Text: trialsText, Tables: []page.Table{trials}},
		page.Section{Title: madeTitle, Tables: []page.Table{made}})}
	if err := html.Write(filepath.Join(i.out, "report.html")); err != nil {
		return err
	}
	fmt.Fprintf(i.stdout, "\n%s\nreport    %s, and report.html\n", markdown.Align(table),
		i.reportPath())
	return nil
}

// Texts of both reports.
const (
	trialsTitle = "All trials"
	trialsText  = "One number for each seed, from seed 1 on."
	madeTitle   = "How it was made"
)

// draw draws the pictures of a study.
func (i *invocation) draw(ctx context.Context, results []result) (drawn []page.Picture,
	err error) {
	s := &i.study
	draw := func(name string, p figure.Picture) {
		if err == nil {
			base := filepath.Join(i.out, name)
			drawn, err = append(drawn, page.Picture{Path: base + ".svg", Title: p.Title}),
				p.Write(ctx, base)
		}
	}
	for _, r := range results {
		draw("curves-"+r.Key, s.curves(r))
		draw("trials-"+r.Key, s.grid(r))
	}
	for _, a := range []against{images, batches} {
		for n, p := range s.against(results, a) {
			draw(fmt.Sprintf("by-%s-%d", a.name, n+1), p)
		}
	}
	if p := s.trainability(results); len(p.Panels) > 0 {
		draw("trainability", p)
	}
	return drawn, err
}

// smallMarginExamples draws test images and, below them, the same images with a small margin, with
// their classes. It returns a sentence on the picture, and its path.
func smallMarginExamples(ctx context.Context, c imagerun.Config, folder string) (text, path string,
	err error) {
	_, test, err := datasets.Load(ctx, c.Data, datasets.Options{Dir: c.DataDir, Offline: c.Offline,
		Mirror: c.Mirror})
	if err != nil {
		return "", "", err
	}
	changed, err := c.SmallMarginImages().Apply(test, "test")
	if err != nil {
		return "", "", err
	}
	tiles := figure.Tiles{Rows: []figure.TileRow{{Name: "original"}, {Name: "small margin"}}}
	for i, smallMargin := range changed.SmallMargin {
		if smallMargin && len(tiles.Columns) < smallMarginShown {
			tiles.Columns = append(tiles.Columns, test.ClassNames[test.Labels[i]])
			for k, images := range []*datasets.Images{test, changed} {
				tiles.Rows[k].Images = append(tiles.Rows[k].Images, images.Image(i))
			}
		}
	}
	facts, err := datasets.Describe(c.Data)
	if err != nil {
		return "", "", err
	}
	tiles.Title = facts.Title + ": test images, and the same with a small margin"
	text = fmt.Sprintf("The first %d small-margin test images, below the originals:",
		len(tiles.Columns))
	path = filepath.Join(folder, "small-margin.png")
	return text, path, tiles.Write(path)
}

// smallMarginShown is the number of images that a page has room for.
const smallMarginShown = 10

// facts collects the provenance of runs: the values of each property.
type facts map[string]map[string]bool

// add adds the provenance of a run and returns its manifest.
func (f facts) add(o imagerun.Outcome) imagerun.Manifest {
	var m imagerun.Manifest
	provenance.Read(filepath.Join(o.Folder, "manifest.json"), &m)
	for _, p := range m.Properties() {
		if f[p[0]] == nil {
			f[p[0]] = map[string]bool{}
		}
		f[p[0]][p[1]] = true
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
func provenanceTable(results []result) page.Table {
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
	return page.Table{Head: []string{"", ""}, Rows: lines}
}
