package study

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"momentum/internal/durable"
	"momentum/internal/imagerun"
	"momentum/internal/markdown"
	"momentum/internal/stats"
)

// row is a line of the CSV and an object of the JSON: one measure of one arm of one cell. Intervals
// are null without any value.
type row struct {
	index   int      // of the arm
	Cell    string   `json:"cell"`
	Arm     string   `json:"arm"`
	Measure string   `json:"measure"`
	Paper   *float64 `json:"paper,omitempty"` // %

	Ours  *stats.Interval `json:"ours"`          // %, at the last step
	Seeds []*float64      `json:"seeds"`         // %, by seed from 2 on; null: diverged
	Equal *stats.Interval `json:"at_equal_loss"` // %, at the first training loss of at most Level
	Level *float64        `json:"equal_loss"`    // nats; null: all seeds diverged

	// Points, paired by seed: the arm with momentum minus this one.
	Momentum *stats.Interval `json:"momentum_minus_it"`
	Ratio    *float64        `json:"momentum_over_it"`   // of the means
	Status   string          `json:"status,omitempty"`   // of the difference, beside the paper's
	Train    *stats.Interval `json:"train_accuracy"`     // %, at the last step
	Zero     []int           `json:"zero_error_at"`      // epoch, by seed; −1: never
	Diverged int             `json:"diverged,omitempty"` // seeds

	Rule     string  `json:"rule"`
	Rate     float64 `json:"lr"`
	EtaEff   float64 `json:"eta_eff"`
	Schedule string  `json:"schedule"`
	Decay    float64 `json:"weight_decay"`
	Epochs   int     `json:"epochs"`
	Batch    int     `json:"batch"` // 0: full

	Trials  int     `json:"trials,omitempty"`
	HeldOut float64 `json:"held_out_accuracy,omitempty"` // %, of the trial that was chosen
	// of the grid, if the chosen rate lies there
	Edge   string `json:"edge,omitempty"`
	Fitted *bool  `json:"trial_fitted,omitempty"` // whether that trial reached zero error

	// The provenance of the runs. The command and the time stand in report.md, since they differ
	// each time.
	Revision  string `json:"revision"`
	Device    string `json:"device"`
	Precision string `json:"precision"`
}

// rows are all numbers of a study.
func (s *Study) rows(results []result) []row {
	var all []row
	for _, r := range results {
		level := r.level()
		for i, a := range r.Arms {
			if !a.exists() {
				continue
			}
			facts := a.facts().text()
			for _, m := range s.Measures {
				w := s.row(r, i, m, level)
				w.Revision, w.Device, w.Precision = facts["revision"], facts["device"],
					facts["precision"]
				all = append(all, w)
			}
		}
	}
	return all
}

// row is a measure of an arm of a cell, whose arms are compared at a level of the training loss.
func (s *Study) row(r result, index int, m Measure, level float64) row {
	a := r.Arms[index]
	c := a.Config
	last := func(o imagerun.Outcome) float64 { return m.value(o.Last) }
	values := a.values(last)
	equal := a.values(func(o imagerun.Outcome) float64 {
		return m.value(func(column string) float64 { return o.AtLoss(level, column) })
	})
	train := a.values(func(o imagerun.Outcome) float64 { return 100 * o.Last("train_accuracy") })
	w := row{
		index: index, Cell: r.Title, Arm: a.Title, Measure: m.Title,
		Ours: interval(values), Level: number(level), Equal: interval(equal),
		Train: interval(train), Diverged: a.diverged(),
		Rule: c.Rule().String(), Rate: c.Rate, EtaEff: tidy(c.Rule().EffectiveRate(c.Rate)),
		Schedule: c.Schedule, Decay: c.WeightDecay, Epochs: c.Epochs, Batch: c.Batch,
	}
	for j, o := range a.Outcomes {
		w.Zero = append(w.Zero, o.ZeroError())
		w.Seeds = append(w.Seeds, number(values[j]))
	}
	paper, inPaper := m.paper(r.Cell)
	withMomentum := r.Arms[momentum].values(last)
	paired := stats.Known(stats.Paired(withMomentum, values))
	if index != momentum {
		w.Momentum = interval(paired)
		w.Ratio = number(ratio(withMomentum, values))
	}
	if inPaper && index <= momentum {
		w.Paper = &paper[index]
	}
	if inPaper && index == plain {
		w.Status = status(paper[momentum]-paper[plain], stats.Mean95(paired))
	}
	if index <= momentum {
		w.Trials, w.HeldOut, w.Fitted = a.best.tried, 100*a.best.heldOut, &a.best.fitted
		w.Edge = map[int]string{-1: "least", 1: "largest"}[a.best.edge]
	}
	return w
}

// interval is the interval of the values that are not NaN, nil without any.
func interval(values []float64) *stats.Interval {
	i := stats.Mean95(stats.Known(values))
	if i.N == 0 {
		return nil
	}
	return &i
}

// number is a pointer to x, nil if it is not finite: JSON has no such numbers.
func number(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// writeTables writes base.md, .csv and .json, and returns the first of them.
func (s *Study) writeTables(base string, results []result) (tables string, err error) {
	rows := s.rows(results)
	tables = s.markdown(results, rows)
	for _, file := range []struct {
		ending string
		write  func(io.Writer) error
	}{
		{".md", func(w io.Writer) error { _, err := io.WriteString(w, tables); return err }},
		{".csv", func(w io.Writer) error { return writeCSV(w, rows) }},
		{".json", func(w io.Writer) error {
			encoder := json.NewEncoder(w)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", " ")
			return encoder.Encode(rows)
		}},
	} {
		if err := durable.WriteFile(base+file.ending, file.write); err != nil {
			return "", err
		}
	}
	return tables, nil
}

// markdown are the tables for people: accuracies, differences, settings.
func (s *Study) markdown(results []result, rows []row) string {
	var b strings.Builder
	b.WriteString(s.accuracies(rows))
	b.WriteString("\nWhat momentum adds, in points, paired by seed, and the ratio of the " +
		"accuracies with momentum and without:\n\n")
	b.WriteString(s.differences(results, rows))
	b.WriteString("\nThe settings, each algorithm's own best of its trials on held-out training " +
		"images:\n\n")
	b.WriteString(s.settings(rows))
	fmt.Fprintf(&b, "\n%s\n", s.notes(results))
	return b.String()
}

// accuracies is the table of all measures of all arms.
func (s *Study) accuracies(rows []row) string {
	titles := []string{"", "", "paper, %", "ours, %", "at equal training loss, %",
		"training accuracy, %", "zero training error at epoch"}
	several := len(s.Measures) > 1
	if several {
		titles = slices.Insert(titles, 2, "")
	}
	var lines [][]string
	for _, r := range rows {
		ours := withN(r.Ours)
		if r.Diverged > 0 {
			ours += fmt.Sprintf(", %d diverged", r.Diverged)
		}
		line := []string{r.Cell, r.Arm, percent(r.Paper), ours, withN(r.Equal), text(r.Train),
			epochs(r.Zero)}
		if several {
			line = slices.Insert(line, 2, r.Measure)
		}
		lines = append(lines, line)
	}
	return markdown.Table(titles, lines)
}

// differences is the table of momentum minus each other arm.
func (s *Study) differences(results []result, rows []row) string {
	var lines [][]string
	for _, r := range rows {
		if r.index == momentum {
			continue
		}
		paper, paperRatio := "", ""
		for _, m := range s.Measures {
			if m.Title == r.Measure && r.Status != "" {
				numbers, _ := m.paper(cellOf(results, r.Cell))
				paper = fmt.Sprintf("%+.2f", numbers[momentum]-numbers[plain])
				paperRatio = fmt.Sprintf("%.2f", numbers[momentum]/numbers[plain])
			}
		}
		ratio := ""
		if r.Ratio != nil {
			ratio = fmt.Sprintf("%.3f", *r.Ratio)
		}
		lines = append(lines, []string{r.Cell, r.Measure, r.Arm, paper, withN(r.Momentum),
			paperRatio, ratio, r.Status})
	}
	return markdown.Table([]string{"", "measure", "momentum against", "paper", "ours",
		"ratio, paper", "ratio, ours", "beside the paper"}, lines)
}

// settings is the table of the settings of all arms.
func (s *Study) settings(rows []row) string {
	var lines [][]string
	for _, r := range rows {
		if r.Measure != s.Measures[0].Title {
			continue
		}
		trials, heldOut, remark := "", "", ""
		if r.Trials > 0 {
			trials, heldOut = strconv.Itoa(r.Trials), fmt.Sprintf("%.2f", r.HeldOut)
			remark = s.remark(r)
		}
		lines = append(lines, []string{r.Cell, r.Arm, r.Rule, fmt.Sprintf("%g", r.Rate),
			fmt.Sprintf("%g", r.EtaEff), r.Schedule, strconv.Itoa(r.Epochs), trials, heldOut,
			remark})
	}
	return markdown.Table([]string{"", "", "rule", "η", "η_eff", "schedule", "epochs", "trials",
		"held-out accuracy, %", ""}, lines)
}

// remark says what to keep in mind about the setting that was chosen.
func (s *Study) remark(r row) string {
	var remarks []string
	if r.Edge != "" {
		remarks = append(remarks,
			fmt.Sprintf("the %s rate of the grid: a better one may lie beyond", r.Edge))
	}
	if len(s.WeightDecays) > 1 && r.Decay == slices.Max(s.WeightDecays) {
		remarks = append(remarks,
			"the largest weight decay of the grid: a better one may lie beyond")
	}
	if !*r.Fitted {
		remarks = append(remarks, "did not reach zero training error as a trial")
	}
	return strings.Join(remarks, "; ")
}

// notes say how to read the tables.
func (s *Study) notes(results []result) string {
	var levels []string
	for _, r := range results {
		if level := r.level(); !math.IsNaN(level) {
			levels = append(levels, fmt.Sprintf("%.3g (%s)", level, r.Title))
		}
	}
	chosen := ""
	if s.Choose == Fitted {
		chosen = " among those that reached zero training error, if any did"
	}
	text := fmt.Sprintf("Mean ± 95%% t interval over the seeds (n), at the last step. \"At equal "+
		"training loss\" is the accuracy at the first evaluation at which the training loss is at "+
		"most the largest\nat which a seed of the two algorithms ends with zero training error "+
		"(or ends, if none has): %s nats. Every algorithm had as many trials as the other, with "+
		"seed %d and %d training images held out,\nover the effective rates %s (and more where "+
		"the grid grew: see the pictures), the schedules %s and the weight decays %s; the best "+
		"held-out accuracy was chosen%s. η_eff is η/(1−γ) in the undamped form of\nmomentum (b ← "+
		"γb + ∇L, w ← w − ηb), η otherwise. Beside the paper: \"reproduced\", our interval holds "+
		"the paper's difference and leaves out 0\n(or, where the paper's is less than a point, "+
		"has at most a point to either side); \"direction only\", it leaves out 0 on the paper's "+
		"side; \"undecided\", it holds\nthe paper's difference and 0; \"not\", none of these.",
		strings.Join(levels, ", "), trialSeed, s.Holdout, numbers(s.Rates),
		strings.Join(s.Schedules, ", "), numbers(s.WeightDecays), chosen)
	if slices.ContainsFunc(s.Cells, func(c Cell) bool { return c.Base.Batch > 0 }) {
		text += " With mini-batches the training loss and accuracy of an epoch are sums while " +
			"the weights move, and its test accuracy is that of the epoch's start."
	}
	if s.Note != "" {
		text += "\n\n" + s.Note
	}
	return text
}

// cellOf is the cell with a title.
func cellOf(results []result, title string) Cell {
	return results[slices.IndexFunc(results, func(r result) bool { return r.Title == title })].Cell
}

// numbers lists numbers with commas.
func numbers(values []float64) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprintf("%g", v)
	}
	return strings.Join(words, ", ")
}

// text is "75.83 ± 0.31", "none" for nil.
func text(i *stats.Interval) string {
	if i == nil {
		return "none"
	}
	return i.String()
}

// withN is "75.83 ± 0.31 (3)".
func withN(i *stats.Interval) string {
	if i == nil {
		return "none"
	}
	return fmt.Sprintf("%s (%d)", i, i.N)
}

func percent(x *float64) string {
	if x == nil {
		return ""
	}
	return fmt.Sprintf("%.2f", *x)
}

func epochs(zero []int) string {
	words := make([]string, len(zero))
	for i, epoch := range zero {
		if words[i] = strconv.Itoa(epoch); epoch < 0 {
			words[i] = "never"
		}
	}
	return strings.Join(words, ", ")
}
