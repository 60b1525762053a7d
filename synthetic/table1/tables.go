package table1

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"momentum/internal/markdown"
	"momentum/internal/stats"
)

// String is the gain with each algorithm at its own rate, such as "+0.12 ± 0.05".
func (g Gain) String() string { return percent(g.Chosen, "%+.2f") }

// Overview is the table in short. A row has the test accuracies of a teacher and student, and the
// gains, with the paper's beside them.
func (r Result) Overview() (head []string, rows [][]string) {
	head = []string{"teacher → student", "GD", "GD+M", "GD+M − GD", "paper: GD", "GD+M",
		"difference", "SGD", "SGD+M", "SGD+M − SGD"}
	for _, c := range r.Cells {
		row := []string{c.Teacher + " → " + c.Student, percent(c.Scores[0].Test, "%.2f"),
			percent(c.Scores[1].Test, "%.2f"), c.Gains[0].String()}
		if c.Gains[0].Paper != nil {
			row = append(row, fmt.Sprintf("%.2f", c.Scores[0].Paper),
				fmt.Sprintf("%.2f", c.Scores[1].Paper), fmt.Sprintf("%+.2f", *c.Gains[0].Paper))
		} else {
			row = append(row, "", "", "")
		}
		rows = append(rows, append(row, percent(c.Scores[2].Test, "%.2f"),
			percent(c.Scores[3].Test, "%.2f"), c.Gains[1].String()))
	}
	return head, rows
}

// writeCSV writes a row for each teacher, student and algorithm. Missing values are empty.
func (r Result) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	c.Write([]string{"teacher", "student", "algorithm", "rate", "rate_at_edge", "valid_percent",
		"test_percent", "test_half", "seeds", "training_error_percent", "training_loss",
		"diverged_lanes", "paper_percent", "gain", "gain_half", "matched_gain",
		"matched_gain_half", "paper_gain"})
	number := func(x float64, known bool) string {
		if !known {
			return ""
		}
		return fmt.Sprintf("%.6g", x)
	}
	for _, cell := range r.Cells {
		for i, s := range cell.Scores {
			known := s.Rate > 0
			row := []string{cell.Teacher, cell.Student, s.Algorithm, number(s.Rate, known),
				fmt.Sprint(s.AtEdge), number(s.Valid, known), number(s.Test.Mean, known),
				number(s.Test.Half, s.Test.N > 1), fmt.Sprint(s.Test.N),
				number(s.TrainingError, known), number(s.TrainingLoss, known),
				fmt.Sprint(s.Diverged), number(s.Paper, s.Paper > 0)}
			gain := Gain{}
			if i%2 == 1 {
				gain = cell.Gains[i/2]
			}
			for _, g := range []stats.Interval{gain.Chosen, gain.Matched} {
				row = append(row, number(g.Mean, g.N > 0), number(g.Half, g.N > 1))
			}
			paper := ""
			if gain.Paper != nil {
				paper = number(*gain.Paper, true)
			}
			c.Write(append(row, paper))
		}
	}
	c.Flush()
	return c.Error()
}

// writeMarkdown writes the accuracies in the paper's form beside the paper's, the gains, and the
// chosen rates.
func (r Result) writeMarkdown(w io.Writer) error {
	s, out := r.Settings, &strings.Builder{}
	fmt.Fprintf(out, "# Table 1: Gaussian data, where momentum should make no difference\n\n"+
		"%d training and %d test points from N(0, I) in dimension %d; labels: sign of a random "+
		"teacher's output minus its median. %d epochs; batches of %d\n"+
		"for SGD and SGD+M; momentum in the damped form, γ = %g, so that equal rates are equal "+
		"effective rates. Students: hidden layers of %d units,\n"+
		"%d filters of size %d; teachers: %d units, %d filters. Each algorithm has the rate out "+
		"of %v with the best accuracy on %d other points.\n"+
		"%d seeds, each with its own points, teacher, initial weights and order; mean ± 95%% t "+
		"interval.\n",
		s.Train, s.Test, s.D, s.Epochs, s.Batch, s.Gamma, s.MLPWidth, s.Filters, s.FilterSize,
		s.TeacherWidth, s.TeacherFilters, s.Rates, s.Valid, s.Seeds)
	for i, name := range []string{"GD / GD+M", "SGD / SGD+M"} {
		r.writeGrid(out, "Test accuracy, %: "+name, func(c Cell) string {
			return percent(c.Scores[2*i].Test, "%.2f") + " / " +
				percent(c.Scores[2*i+1].Test, "%.2f")
		})
	}
	r.writeGrid(out, "The paper's: GD / GD+M", func(c Cell) string {
		if c.Scores[0].Paper == 0 {
			return "none"
		}
		return fmt.Sprintf("%.2f / %.2f", c.Scores[0].Paper, c.Scores[1].Paper)
	})
	for i, name := range []string{"GD+M minus GD", "SGD+M minus SGD"} {
		r.writeGains(out, i, name)
	}
	r.writeRates(out)
	_, err := io.WriteString(w, out.String())
	return err
}

// writeGrid writes a table of teachers (rows) and students (columns).
func (r Result) writeGrid(out *strings.Builder, title string, text func(Cell) string) {
	students := r.Settings.Students
	titles := slices.Concat([]string{`teacher \ student`}, students)
	var rows [][]string
	for cells := range slices.Chunk(r.Cells, len(students)) {
		row := []string{cells[0].Teacher}
		for _, c := range cells {
			row = append(row, text(c))
		}
		rows = append(rows, row)
	}
	fmt.Fprintf(out, "\n## %s\n\n%s", title, markdown.Table(titles, rows))
}

// writeGains writes the gains of pair i, and how many of them are clear.
func (r Result) writeGains(out *strings.Builder, i int, name string) {
	clear := 0
	r.writeGrid(out, name+", points, paired by seed", func(c Cell) string {
		g := c.Gains[i]
		if g.Chosen.N > 1 && math.Abs(g.Chosen.Mean) > g.Chosen.Half {
			clear++
		}
		text := g.String()
		if g.Paper != nil {
			text += fmt.Sprintf(" (paper %+.2f)", *g.Paper)
		}
		return text
	})
	fmt.Fprintf(out, "\nOver all cells: %s, and %s with both at the rate chosen without "+
		"momentum. 0 is outside of %d of %d intervals; about 1 in 20\n"+
		"would be so by chance.\n", r.Overall[i], percent(r.Overall[i].Matched, "%+.2f"), clear,
		len(r.Cells))
}

// writeRates writes the chosen rates and their training errors.
func (r Result) writeRates(out *strings.Builder) {
	fmt.Fprintf(out, "\n## Chosen rates and training errors\n\n"+
		"The rate (* at the edge of what was tried), training error in %%, and the number of "+
		"diverged lanes, if any.\n\n")
	var rows [][]string
	for _, c := range r.Cells {
		row := []string{c.Teacher, c.Student}
		for _, score := range c.Scores {
			text := "none"
			if score.Rate > 0 {
				text = fmt.Sprintf("%g%s: %.1f", score.Rate,
					map[bool]string{true: "*"}[score.AtEdge], score.TrainingError)
			}
			if score.Diverged > 0 {
				text += fmt.Sprintf(", %d diverged", score.Diverged)
			}
			row = append(row, text)
		}
		rows = append(rows, row)
	}
	out.WriteString(markdown.Table([]string{"teacher", "student", "GD", "GD+M", "SGD", "SGD+M"},
		rows))
}

// percent is an interval of percentages with its mean in the given format, "none" without values.
func percent(i stats.Interval, format string) string {
	switch i.N {
	case 0:
		return "none"
	case 1:
		return fmt.Sprintf(format, i.Mean)
	}
	return fmt.Sprintf(format+" ± %.2f", i.Mean, i.Half)
}
