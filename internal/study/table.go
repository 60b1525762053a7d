package study

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"momentum/internal/rundir"
	"momentum/internal/stats"
	"momentum/internal/sweep"
)

// row is a line of the CSV and an object of the JSON: one measure of one arm of one cell.
type row struct {
	of      int      // the arm
	Cell    string   `json:"cell"`
	Arm     string   `json:"arm"`
	Measure string   `json:"measure"`
	Paper   *float64 `json:"paper,omitempty"` // %
	// %, at the last step; this and other intervals: null without any value
	Ours  *stats.Interval `json:"ours"`
	Seeds []*float64      `json:"seeds"` // %, by seed from 2 on; null: diverged
	// %, at the first evaluation with a training loss of at most Level
	Equal *stats.Interval `json:"at_equal_loss"`
	Level *float64        `json:"equal_loss"` // nats; null: all seeds diverged
	// points, paired by seed: the arm with momentum minus this one
	Momentum *stats.Interval `json:"momentum_minus_it"`
	Ratio    *float64        `json:"momentum_over_it"` // of the means
	Status   string          `json:"status,omitempty"` // of the difference, beside the paper's
	Train    *stats.Interval `json:"train_accuracy"`   // %, at the last step
	// epoch of the first zero training error by seed; −1: never
	Zero     []int   `json:"zero_error_at"`
	Diverged int     `json:"diverged,omitempty"` // seeds
	Rule     string  `json:"rule"`
	Rate     float64 `json:"lr"`
	EtaEff   float64 `json:"eta_eff"`
	Schedule string  `json:"schedule"`
	Decay    float64 `json:"weight_decay"`
	Epochs   int     `json:"epochs"`
	Batch    int     `json:"batch"` // 0: full
	Trials   int     `json:"trials,omitempty"`
	HeldOut  float64 `json:"held_out_accuracy,omitempty"` // %, of the trial that was chosen
	// of the grid, at which the chosen rate lies
	Edge string `json:"edge,omitempty"`
	// whether that trial reached zero training error
	Fitted *bool `json:"trial_fitted,omitempty"`

	// By what the runs were made, as their manifests say; command and time stand in report.md,
	// since they differ each time.
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
			if !a.has() {
				continue
			}
			by := a.made()
			for _, m := range s.Measures {
				c := a.Config
				last := func(o sweep.Outcome) float64 { return m.of(o.Last) }
				values := a.each(last)
				w := row{
					of: i, Cell: r.Title, Arm: a.Title, Measure: m.Title,
					Ours: known(mean95(values)), Level: number(level),
					Equal: known(mean95(a.each(func(o sweep.Outcome) float64 {
						return m.of(func(column string) float64 { return o.AtLoss(level, column) })
					}))),
					Train: known(mean95(a.each(func(o sweep.Outcome) float64 {
						return 100 *
							o.Last("train_accuracy")
					}))), Diverged: a.diverged(),
					Rule: c.Rule().String(), Rate: c.Rate,
					EtaEff: tidy(c.Rule().EffectiveRate(c.Rate)), Schedule: c.Schedule,
					Decay: c.WeightDecay, Epochs: c.Epochs, Batch: c.Batch,
				}
				for j, o := range a.Outcomes {
					w.Zero = append(w.Zero, o.ZeroError())
					w.Seeds = append(w.Seeds, number(values[j]))
				}
				paper, inPaper := m.paper(r.Cell)
				with := r.Arms[momentum].each(last)
				difference := mean95(paired(with, values))
				if i != momentum {
					w.Momentum = known(difference)
					w.Ratio = number(ratio(with, values))
				}
				if inPaper && i <= momentum {
					w.Paper = &paper[i]
				}
				if inPaper && i == plain {
					w.Status = status(paper[momentum]-paper[plain], difference)
				}
				if i <= momentum {
					w.Trials, w.HeldOut, w.Fitted = a.best.tried, 100*a.best.heldOut, &a.best.fitted
					w.Edge = map[int]string{-1: "least", 1: "largest"}[a.best.edge]
				}
				w.Revision, w.Device, w.Precision = by["revision"], by["device"], by["precision"]
				all = append(all, w)
			}
		}
	}
	return all
}

// known is a pointer to an interval, nil if there are no values.
func known(i stats.Interval) *stats.Interval {
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
func (s *Study) writeTables(base string, results []result) (markdown string, err error) {
	rows := s.rows(results)
	markdown = s.markdown(results, rows)
	for _, file := range []struct {
		ending string
		write  func(io.Writer) error
	}{
		{".md", func(w io.Writer) error { _, err := io.WriteString(w, markdown); return err }},
		{".csv", func(w io.Writer) error { return writeCSV(w, rows) }},
		{".json", func(w io.Writer) error {
			encoder := json.NewEncoder(w)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", " ")
			return encoder.Encode(rows)
		}},
	} {
		if err := rundir.WriteFile(base+file.ending, file.write); err != nil {
			return "", err
		}
	}
	return markdown, nil
}

// markdown are the tables for people: accuracies, differences, settings.
func (s *Study) markdown(results []result, rows []row) string {
	var b strings.Builder
	several := len(s.Measures) > 1
	heading := []string{"", "", "paper, %", "ours, %", "at equal training loss, %",
		"training accuracy, %", "zero training error at epoch"}
	if several {
		heading = slices.Insert(heading, 2, "")
	}
	line := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	begin := func(cells ...string) {
		line(cells...)
		fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(cells)))
	}
	begin(heading...)
	for _, r := range rows {
		ours := withN(r.Ours)
		if r.Diverged > 0 {
			ours += fmt.Sprintf(", %d diverged", r.Diverged)
		}
		cells := []string{r.Cell, r.Arm, percent(r.Paper), ours, withN(r.Equal), text(r.Train),
			epochs(r.Zero)}
		if several {
			cells = slices.Insert(cells, 2, r.Measure)
		}
		line(cells...)
	}

	fmt.Fprintf(&b, "\nWhat momentum adds, in points, paired by seed, and the ratio of the "+
		"accuracies with momentum and without:\n\n")
	heading = []string{"", "measure", "momentum against", "paper", "ours", "ratio, paper",
		"ratio, ours", "beside the paper"}
	begin(heading...)
	for _, r := range rows {
		if r.of == momentum {
			continue
		}
		paper, paperRatio, beside := "", "", r.Status
		for _, m := range s.Measures {
			if m.Title == r.Measure && r.Status != "" {
				numbers, _ := m.paper(cellOf(results, r.Cell))
				paper, paperRatio = fmt.Sprintf("%+.2f", numbers[momentum]-numbers[plain]),
					fmt.Sprintf("%.2f", numbers[momentum]/numbers[plain])
			}
		}
		ratio := ""
		if r.Ratio != nil {
			ratio = fmt.Sprintf("%.3f", *r.Ratio)
		}
		line(r.Cell, r.Measure, r.Arm, paper, withN(r.Momentum), paperRatio, ratio, beside)
	}

	fmt.Fprintf(&b,
		"\nThe settings, each algorithm's own best of its trials on held-out training images:\n\n")
	begin("", "", "rule", "η", "η_eff", "schedule", "epochs", "trials", "held-out accuracy, %", "")
	for _, r := range rows {
		if r.Measure != s.Measures[0].Title {
			continue
		}
		trials, heldOut, remark := "", "", ""
		if r.Trials > 0 {
			trials, heldOut = strconv.Itoa(r.Trials), fmt.Sprintf("%.2f", r.HeldOut)
			var remarks []string
			if r.Edge != "" {
				remarks = append(remarks,
					fmt.Sprintf("the %s rate of the grid: a better one may lie beyond", r.Edge))
			}
			if largest := slices.Max(s.WeightDecays); len(s.WeightDecays) > 1 && r.Decay ==
				largest {
				remarks = append(remarks,
					"the largest weight decay of the grid: a better one may lie beyond")
			}
			if !*r.Fitted {
				remarks = append(remarks, "did not reach zero training error as a trial")
			}
			remark = strings.Join(remarks, "; ")
		}
		line(r.Cell, r.Arm, r.Rule, fmt.Sprintf("%g", r.Rate), fmt.Sprintf("%g", r.EtaEff),
			r.Schedule, strconv.Itoa(r.Epochs), trials, heldOut, remark)
	}
	fmt.Fprintf(&b, "\n%s\n", s.notes(results))
	return b.String()
}

// notes say how to read the tables.
func (s *Study) notes(results []result) string {
	var levels []string
	for _, r := range results {
		if level := r.level(); !math.IsNaN(level) {
			levels = append(levels, fmt.Sprintf("%.3g (%s)", level, r.Title))
		}
	}
	text := fmt.Sprintf(`Mean ± 95%% t interval over the seeds (n), at the last step. "At equal training loss" is the accuracy at the first evaluation at which the training loss is at most the largest
at which a seed of the two algorithms ends with zero training error (or ends, if none has): %s nats. Every algorithm had as many trials as the other, with seed %d and %d training images held out,
over the effective rates %s (and more where the grid grew: see the pictures), the schedules %s and the weight decays %s; the best held-out accuracy was chosen%s. η_eff is η/(1−γ) in the undamped form of
momentum (b ← γb + ∇L, w ← w − ηb), η otherwise. Beside the paper: "reproduced", our interval holds the paper's difference and leaves out 0
(or, where the paper's is less than a point, has at most a point to either side); "direction only", it leaves out 0 on the paper's side; "undecided", it holds
the paper's difference and 0; "not", none of these.`,
		strings.Join(levels, ", "), trialSeed, s.Holdout, list(s.Rates),
		strings.Join(s.Schedules, ", "), list(s.WeightDecays),
		map[string]string{Fitted: " among those that reached zero training error, if any did",
			Any: ""}[s.Choose])
	if slices.ContainsFunc(s.Cells, func(c Cell) bool { return c.Base.Batch > 0 }) {
		text += " With mini-batches the training loss and accuracy of an epoch are sums while " +
			"the weights move, and its test accuracy is that of the epoch's start."
	}
	if s.Note != "" {
		text += "\n\n" + s.Note
	}
	return text
}

func cellOf(results []result, title string) Cell {
	return results[slices.IndexFunc(results, func(r result) bool { return r.Title == title })].Cell
}

func list(values []float64) string {
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

// writeCSV writes the rows as a table for programs; what is not known is empty.
func writeCSV(w io.Writer, rows []row) error {
	text := csv.NewWriter(w)
	write := func(cells ...string) { _ = text.Write(cells) } // kept by the writer until Error
	interval := func(name string) []string { return []string{name, name + "_half", name + "_n"} }
	write(slices.Concat([]string{"cell", "arm", "measure", "paper"}, interval("ours"),
		interval("at_equal_loss"), []string{"equal_loss"}, interval("momentum_minus_it"),
		[]string{"momentum_over_it", "status"}, interval("train_accuracy"),
		[]string{"zero_error_at", "diverged", "rule", "lr", "eta_eff", "schedule",
			"weight_decay", "epochs",
			"batch", "trials", "held_out_accuracy", "edge", "revision", "device", "precision"})...)
	f := func(x float64) string { return strconv.FormatFloat(x, 'g', 8, 64) }
	p := func(x *float64) string {
		if x == nil {
			return ""
		}
		return f(*x)
	}
	three := func(i *stats.Interval) []string {
		switch {
		case i == nil:
			return []string{"", "", "0"}
		case i.N == 1:
			return []string{f(i.Mean), "", "1"}
		}
		return []string{f(i.Mean), f(i.Half), strconv.Itoa(i.N)}
	}
	for _, r := range rows {
		trials, heldOut := "", ""
		if r.Trials > 0 {
			trials, heldOut = strconv.Itoa(r.Trials), f(r.HeldOut)
		}
		write(slices.Concat([]string{r.Cell, r.Arm, r.Measure, p(r.Paper)}, three(r.Ours),
			three(r.Equal), []string{p(r.Level)}, three(r.Momentum),
			[]string{p(r.Ratio), r.Status}, three(r.Train),
			[]string{strings.ReplaceAll(epochs(r.Zero), ", ", " "), strconv.Itoa(r.Diverged),
				r.Rule, f(r.Rate), f(r.EtaEff),
				r.Schedule, f(r.Decay), strconv.Itoa(r.Epochs), strconv.Itoa(r.Batch), trials,
				heldOut, r.Edge, r.Revision, r.Device, r.Precision})...)
	}
	text.Flush()
	return text.Error()
}
