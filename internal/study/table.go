package study

import (
	"bytes"
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
	Cell     string          `json:"cell"`
	Arm      string          `json:"arm"`
	Measure  string          `json:"measure"`
	Paper    *float64        `json:"paper,omitempty"`    // %
	Ours     stats.Interval  `json:"ours"`               // %, at the last step
	Seeds    []*float64      `json:"seeds"`              // %, by seed from 2 on; null: diverged
	Equal    stats.Interval  `json:"at_equal_loss"`      // %, at the first evaluation with a training loss of at most Level
	Level    float64         `json:"equal_loss"`         // nats
	Momentum *stats.Interval `json:"momentum_minus_it"`  // points, paired by seed: the arm with momentum minus this one
	Ratio    *float64        `json:"momentum_over_it"`   // of the means
	Status   string          `json:"status,omitempty"`   // of the difference, beside the paper's
	Train    stats.Interval  `json:"train_accuracy"`     // %, at the last step
	Zero     []int           `json:"zero_error_at"`      // epoch of the first zero training error by seed; −1: never
	Diverged int             `json:"diverged,omitempty"` // seeds
	Rule     string          `json:"rule"`
	Rate     float64         `json:"lr"`
	EtaEff   float64         `json:"eta_eff"`
	Schedule string          `json:"schedule"`
	Decay    float64         `json:"weight_decay"`
	Epochs   int             `json:"epochs"`
	Batch    int             `json:"batch"` // 0: full
	Trials   int             `json:"trials,omitempty"`
	HeldOut  float64         `json:"held_out_accuracy,omitempty"` // %, of the trial that was chosen
	Edge     string          `json:"edge,omitempty"`              // of the grid, at which the chosen rate lies
	Fitted   *bool           `json:"trial_fitted,omitempty"`      // whether that trial reached zero training error
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
			for _, m := range s.Measures {
				c := a.Config
				last := func(o sweep.Outcome) float64 { return m.of(o.Last) }
				values := a.each(last)
				w := row{
					Cell: r.Title, Arm: a.Title, Measure: m.Title, Ours: mean95(values), Level: level,
					Equal: mean95(a.each(func(o sweep.Outcome) float64 {
						return m.of(func(column string) float64 { return o.AtLoss(level, column) })
					})),
					Train: mean95(a.each(func(o sweep.Outcome) float64 { return 100 * o.Last("train_accuracy") })), Diverged: a.diverged(), Rule: c.Rule().String(), Rate: c.Rate,
					EtaEff: tidy(c.Rule().EffectiveRate(c.Rate)), Schedule: c.Schedule, Decay: c.WeightDecay, Epochs: c.Epochs, Batch: c.Batch,
				}
				for j, o := range a.Outcomes {
					w.Zero = append(w.Zero, o.ZeroError())
					w.Seeds = append(w.Seeds, number(values[j]))
				}
				paper, inPaper := m.paper(r.Cell)
				if i != momentum {
					with := r.Arms[momentum].each(last)
					d := mean95(paired(with, values))
					w.Momentum = &d
					w.Ratio = number(ratio(with, values))
				}
				if inPaper && i <= momentum {
					w.Paper = &paper[i]
				}
				if inPaper && i == plain {
					w.Status = status(paper[momentum]-paper[plain], *w.Momentum)
				}
				if i <= momentum {
					w.Trials, w.HeldOut, w.Fitted = a.best.tried, 100*a.best.heldOut, &a.best.fitted
					w.Edge = map[int]string{-1: "least", 1: "largest"}[a.best.edge]
				}
				all = append(all, w)
			}
		}
	}
	return all
}

// number is a pointer to x, nil if it is not finite: JSON has no such numbers.
func number(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// writeTables writes NAME.md, NAME.csv and NAME.json into a folder.
func (s *Study) writeTables(base string, results []result) error {
	rows := s.rows(results)
	for _, file := range []struct {
		ending string
		write  func(io.Writer) error
	}{
		{".md", func(w io.Writer) error { return s.markdown(w, results, rows) }},
		{".csv", func(w io.Writer) error { return writeCSV(w, rows) }},
		{".json", func(w io.Writer) error {
			encoder := json.NewEncoder(w)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", " ")
			return encoder.Encode(rows)
		}},
	} {
		if err := rundir.WriteFile(base+file.ending, file.write); err != nil {
			return err
		}
	}
	return nil
}

// markdown writes the tables for people: accuracies, differences, settings.
func (s *Study) markdown(w io.Writer, results []result, rows []row) error {
	var b bytes.Buffer
	several := len(s.Measures) > 1
	heading := []string{"", "", "paper, %", "ours, %", "at equal training loss, %", "training accuracy, %", "zero training error at epoch"}
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
		cells := []string{r.Cell, r.Arm, percent(r.Paper), ours, withN(r.Equal), r.Train.String(), epochs(r.Zero)}
		if several {
			cells = slices.Insert(cells, 2, r.Measure)
		}
		line(cells...)
	}

	fmt.Fprintf(&b, "\nWhat momentum adds, in points, paired by seed, and the ratio of the accuracies with momentum and without:\n\n")
	heading = []string{"", "measure", "momentum against", "paper", "ours", "ratio, paper", "ratio, ours", "beside the paper"}
	begin(heading...)
	for _, r := range rows {
		if r.Momentum == nil {
			continue
		}
		paper, paperRatio, beside := "", "", r.Status
		for _, m := range s.Measures {
			if m.Title == r.Measure && r.Status != "" {
				numbers, _ := m.paper(cellOf(results, r.Cell))
				paper, paperRatio = fmt.Sprintf("%+.2f", numbers[momentum]-numbers[plain]), fmt.Sprintf("%.2f", numbers[momentum]/numbers[plain])
			}
		}
		ratio := ""
		if r.Ratio != nil {
			ratio = fmt.Sprintf("%.3f", *r.Ratio)
		}
		line(r.Cell, r.Measure, r.Arm, paper, withN(*r.Momentum), paperRatio, ratio, beside)
	}

	fmt.Fprintf(&b, "\nThe settings, each algorithm's own best of its trials on held-out training images:\n\n")
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
				remarks = append(remarks, fmt.Sprintf("the %s rate of the grid: a better one may lie beyond", r.Edge))
			}
			if !*r.Fitted {
				remarks = append(remarks, "did not reach zero training error as a trial")
			}
			remark = strings.Join(remarks, "; ")
		}
		line(r.Cell, r.Arm, r.Rule, fmt.Sprintf("%g", r.Rate), fmt.Sprintf("%g", r.EtaEff), r.Schedule, strconv.Itoa(r.Epochs), trials, heldOut, remark)
	}
	fmt.Fprintf(&b, "\n%s\n", s.notes(results))
	_, err := w.Write(b.Bytes())
	return err
}

// notes say how to read the tables.
func (s *Study) notes(results []result) string {
	var levels []string
	for _, r := range results {
		levels = append(levels, fmt.Sprintf("%.3g (%s)", r.level(), r.Title))
	}
	text := fmt.Sprintf(`Mean ± 95%% t interval over the seeds (n), at the last step. "At equal training loss" is the accuracy at the first evaluation at which the training loss is at most the largest
at which a seed of the two algorithms ends with zero training error (or ends, if none has): %s nats. Every algorithm had as many trials as the other, with seed %d and %d training images held out,
over the effective rates %s (and more where the grid grew: see the pictures), the schedules %s and the weight decays %s; the best held-out accuracy was chosen%s. η_eff is η/(1−γ) in the undamped form of
momentum (b ← γb + ∇L, w ← w − ηb), η otherwise. "Reproduced" means that our interval holds the paper's difference and leaves out 0
(if the paper's difference is a point or more); "direction only", that it leaves out 0 on the paper's side; "not", neither.`,
		strings.Join(levels, ", "), trialSeed, s.Holdout, list(s.Rates), strings.Join(s.Schedules, ", "), list(s.WeightDecays),
		map[string]string{Fitted: " among those that reached zero training error, if any did", Any: ""}[s.Choose])
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

// withN is "75.8 ± 0.3 (3)".
func withN(i stats.Interval) string {
	if i.N == 0 {
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
	write("cell", "arm", "measure", "paper", "ours", "ours_half", "n", "at_equal_loss", "at_equal_loss_half", "equal_loss", "momentum_minus_it", "momentum_minus_it_half",
		"momentum_over_it", "status", "train_accuracy", "zero_error_at", "diverged", "rule", "lr", "eta_eff", "schedule", "weight_decay", "epochs", "batch", "trials", "held_out_accuracy", "edge")
	f := func(x float64) string { return strconv.FormatFloat(x, 'g', 8, 64) }
	p := func(x *float64) string {
		if x == nil {
			return ""
		}
		return f(*x)
	}
	for _, r := range rows {
		var d [2]string
		if r.Momentum != nil {
			d = [2]string{f(r.Momentum.Mean), f(r.Momentum.Half)}
		}
		write(r.Cell, r.Arm, r.Measure, p(r.Paper), f(r.Ours.Mean), f(r.Ours.Half), strconv.Itoa(r.Ours.N), f(r.Equal.Mean), f(r.Equal.Half), f(r.Level), d[0], d[1],
			p(r.Ratio), r.Status, f(r.Train.Mean), strings.ReplaceAll(epochs(r.Zero), ", ", " "), strconv.Itoa(r.Diverged), r.Rule, f(r.Rate), f(r.EtaEff), r.Schedule, f(r.Decay),
			strconv.Itoa(r.Epochs), strconv.Itoa(r.Batch), strconv.Itoa(r.Trials), f(r.HeldOut), r.Edge)
	}
	text.Flush()
	return text.Error()
}
