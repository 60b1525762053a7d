package study

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"momentum/internal/durable"
	"momentum/internal/page"
	"momentum/internal/runtable"
	"momentum/internal/sweep"
)

// partial writes report.md and report.html of a study that is not finished: how far each stage has
// come, and a table of its runs that have ended.
func (i *invocation) partial() error {
	var counts, tables strings.Builder
	html := page.Page{Title: i.study.Title, Command: i.command}
	for _, l := range i.lists {
		statuses, err := l.Status()
		if err != nil {
			return err
		}
		var ended []string // folders
		for _, s := range statuses {
			if s.State.Ended() {
				ended = append(ended, filepath.Join(i.base.Runs, s.Run.Name))
			}
		}
		fmt.Fprintf(&counts, " %s: %d of %d runs have ended.", l.name, len(ended), len(statuses))
		if rows := runtable.Rows(runtable.ReadAll(ended, i.stderr)); len(rows) > 0 {
			title := fmt.Sprintf("Runs of %s that have ended", l.name)
			table := runtable.Table(rows, runtable.Differing(rows))
			fmt.Fprintf(&tables, "\n## %s\n\n%s", title, table.Markdown())
			html.Sections = append(html.Sections,
				page.Section{Title: title, Tables: []page.Table{table}})
		}
	}
	html.Text = fmt.Sprintf("Unfinished.%s Nothing is decided before all have.", counts.String())
	if err := html.Write(filepath.Join(i.out, "report.html")); err != nil {
		return err
	}
	path := filepath.Join(i.out, "report.md")
	err := durable.WriteFile(path, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "# %s\n\n    %s\n\n**Unfinished.**%s Nothing is decided before "+
			"all have.\n%s", i.study.Title, i.command, counts.String(), tables.String())
		return err
	})
	if err == nil {
		fmt.Fprintf(i.stdout, "report    %s, of an unfinished study\n", path)
	}
	return err
}

// stageList is the list of a stage.
type stageList struct {
	*sweep.List
	name string
}
