package study

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"momentum/internal/cli"
	"momentum/internal/durable"
	"momentum/internal/page"
	"momentum/internal/runtable"
	"momentum/internal/sweep"
)

// partial writes report.md, report.html and table.md of a study that is not finished: how far each
// stage has come, and a table of its runs that have ended. What it cannot read gets a line on
// stderr.
func (i *invocation) partial(stderr io.Writer) error {
	var counts, tables strings.Builder
	html := page.Page{Title: i.study.Title, Command: i.resume}
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
		runs := runtable.ReadAll(context.Background(), ended, stderr)
		if rows := runtable.Rows(runs); len(rows) > 0 {
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
	text := fmt.Sprintf("**Unfinished.**%s Nothing is decided before all have.\n%s",
		counts.String(), tables.String())
	if err := durable.WriteBytes(filepath.Join(i.out, "table.md"), []byte(text)); err != nil {
		return err
	}
	return durable.WriteBytes(i.reportPath(), fmt.Appendf(nil, "# %s\n\n    %s\n\n%s",
		i.study.Title, i.resume, text))
}

// reportPath is the file of the report.
func (i *invocation) reportPath() string { return filepath.Join(i.out, "report.md") }

// partialEvery is the least time between two partial reports of a study whose runs are under way.
const partialEvery = 10 * time.Second

// follow calls write after calls of ended: never twice at a time, at most every [partialEvery], and
// for at most a twentieth of the time, so that one call may follow several of ended. stop waits for
// the last one. An error gets a line on stderr, unless it is the last one again: the runs go on
// without a report.
func follow(write func() error, stderr io.Writer) (ended, stop func()) {
	signals, over := make(chan struct{}, 1), make(chan struct{})
	last := ""
	again := func() (took time.Duration) {
		began := time.Now()
		if err := write(); err != nil && cli.Line(err) != last {
			last = cli.Line(err)
			fmt.Fprintf(stderr, "warning: no report of the runs so far: %s\n", last)
		}
		return time.Since(began)
	}
	var follower sync.WaitGroup
	follower.Go(func() {
		for {
			select {
			case <-signals:
			case <-over:
				return
			}
			select {
			case <-time.After(max(partialEvery, 20*again())):
			case <-over:
			}
		}
	})
	ended = func() {
		select {
		case signals <- struct{}{}:
		default: // the next call is to come anyway
		}
	}
	return ended, func() {
		close(over)
		follower.Wait()
		select {
		case <-signals:
			again()
		default:
		}
	}
}

// stageList is the list of a stage.
type stageList struct {
	*sweep.List
	name string
}
