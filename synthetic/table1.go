package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"momentum/internal/cli"
	"momentum/internal/page"
	"momentum/internal/progress"
	"momentum/internal/rundir"
	"momentum/synthetic/table1"
)

// gaussianTable trains Table 1 in its run folder, and copies its files table1.* to -out.
func (s *session) gaussianTable(ctx context.Context, _ Settings) (shown page.Section, err error) {
	dir, err := rundir.Open(rundir.Spec{Root: s.execution.Runs, Label: "synthetic-table1",
		Settings: s.table1, Execution: s.execution, Fresh: s.request.fresh})
	if err != nil {
		return page.Section{}, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if dir.State() != rundir.Done {
		if err := s.trainTable1(ctx, dir); err != nil {
			return page.Section{}, err
		}
	} else if _, err := dir.Verify(nil); err != nil {
		return page.Section{}, err
	}
	text, err := os.ReadFile(dir.Path("table1.json"))
	if err != nil {
		return page.Section{}, err
	}
	var r table1.Result
	if err := json.Unmarshal(text, &r); err != nil {
		return page.Section{}, fmt.Errorf("%s: %w", dir.Path("table1.json"), err)
	}
	for _, name := range []string{"table1.md", "table1.csv", "table1.json"} {
		text, err := os.ReadFile(dir.Path(name))
		if err != nil {
			return page.Section{}, err
		}
		if err := s.writeText(name, string(text)); err != nil {
			return page.Section{}, err
		}
	}
	var overview page.Table
	overview.Head, overview.Rows = r.Overview()
	s.print(overview)
	fmt.Fprintf(s.stdout, "table     %s\n", s.out("table1.md"))
	return page.Section{
		Title: "Table 1: Gaussian data, where momentum does nothing",
		Text: fmt.Sprintf("Test accuracy in percent on Gaussian inputs with labels from random "+
			"teachers: %d training points, %d epochs, %d seeds, each algorithm at the rate that "+
			"was best on held-out points. "+
			"Averaged over all cells, momentum adds %s points to GD and %s points to SGD (paired "+
			"by seed). Here nothing distinguishes a few samples whose feature others have "+
			"shown more strongly, and so there is nothing to amplify.",
			r.Settings.Train, r.Settings.Epochs, r.Settings.Seeds, r.Overall[0], r.Overall[1]),
		Tables: []page.Table{overview},
	}, nil
}

func (s *session) trainTable1(ctx context.Context, dir *rundir.Dir) error {
	if err := dir.SetState(rundir.Running); err != nil {
		return err
	}
	var bar *progress.Bar
	err := table1.Run(ctx, s.be, s.table1, dir, func(done, total int) {
		if bar == nil {
			bar = progress.Steps(s.stdout, "Table 1", total)
		}
		bar.Set(int64(done))
	})
	if bar != nil {
		bar.Close()
	}
	if errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%w; the same command resumes with the unfinished student", cli.ErrStopped)
	}
	return cli.End(dir, err)
}
