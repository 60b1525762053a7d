package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"momentum/internal/cli"
	"momentum/internal/progress"
	"momentum/internal/rundir"
)

// gaussianTable is Table 1: its run folder, the files table1.* in -out, and what the page shows of
// them.
func (s *session) gaussianTable(ctx context.Context, _ Settings) (shown section, err error) {
	dir, err := rundir.Open(rundir.Spec{Root: s.exec.Runs, Label: "synthetic-table1",
		Settings: s.table1, Execution: s.exec, Fresh: s.do.fresh})
	if err != nil {
		return section{}, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if dir.State() != rundir.Done {
		if err := s.trainTable1(ctx, dir); err != nil {
			return section{}, err
		}
	}
	text, err := os.ReadFile(dir.Path("table1.json"))
	if err != nil {
		return section{}, err
	}
	var r table1Result
	if err := json.Unmarshal(text, &r); err != nil {
		return section{}, fmt.Errorf("%s: %w", dir.Path("table1.json"), err)
	}
	for _, name := range []string{"table1.md", "table1.csv", "table1.json"} {
		text, err := os.ReadFile(dir.Path(name))
		if err != nil {
			return section{}, err
		}
		if err := s.writeText(name, string(text)); err != nil {
			return section{}, err
		}
	}
	result := r.overview()
	fmt.Fprintln(s.stdout)
	result.print(s.stdout)
	fmt.Fprintf(s.stdout, "table     %s\n", s.out("table1.md"))
	gain := func(i int) string { return percent(r.Overall[i].Chosen, "%+.2f") }
	return section{
		Title: "Table 1: Gaussian data, where momentum does nothing",
		Text: fmt.Sprintf("Test accuracy in percent on Gaussian inputs with labels from random "+
			"teachers: %d training points, %d epochs, %d seeds, each algorithm at the rate that "+
			"was best on held-out points. "+
			"Averaged over all cells, momentum adds %s points to GD and %s points to SGD (paired "+
			"by seed). Here nothing distinguishes a few samples whose feature others have "+
			"shown more strongly, and so there is nothing to amplify.",
			r.Settings.Train, r.Settings.Epochs, r.Settings.Seeds, gain(0), gain(1)),
		Table: result,
	}, nil
}

func (s *session) trainTable1(ctx context.Context, dir *rundir.Dir) error {
	if err := dir.SetState(rundir.Running); err != nil {
		return err
	}
	var bar *progress.Bar
	err := runTable1(ctx, s.be, s.table1, dir, func(done, total int) {
		if bar == nil {
			bar = progress.Steps(s.stdout, "Table 1", total)
		}
		bar.Set(int64(done))
	})
	if bar != nil {
		bar.Close()
	}
	if errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%w; the same command goes on with the student at hand", cli.ErrStopped)
	}
	return cli.End(dir, err)
}

// overview is the table in short: of each teacher and student, test accuracies and the paired
// difference, with the paper's beside them.
func (r table1Result) overview() table {
	t := table{Head: []string{"teacher → student", "GD", "GD+M", "GD+M − GD", "paper: GD", "GD+M",
		"difference", "SGD", "SGD+M", "SGD+M − SGD"}}
	for _, c := range r.Cells {
		row := []string{c.Teacher + " → " + c.Student, percent(c.Scores[0].Test, "%.2f"),
			percent(c.Scores[1].Test, "%.2f"), percent(c.Gains[0].Chosen, "%+.2f")}
		if c.Gains[0].Paper != nil {
			row = append(row, fmt.Sprintf("%.2f", c.Scores[0].Paper),
				fmt.Sprintf("%.2f", c.Scores[1].Paper), fmt.Sprintf("%+.2f", *c.Gains[0].Paper))
		} else {
			row = append(row, "", "", "")
		}
		t.add(append(row, percent(c.Scores[2].Test, "%.2f"), percent(c.Scores[3].Test, "%.2f"),
			percent(c.Gains[1].Chosen, "%+.2f"))...)
	}
	return t
}
