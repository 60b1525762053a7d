package study

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"momentum/internal/descent"
	"momentum/internal/page"
	"momentum/internal/stats"
)

// tables are the tables for people: accuracies, differences, settings. The titles of all
// but the first are the beginnings of sentences.
func (s *Study) tables(rows []row) []page.Table {
	differences := s.differences(rows)
	differences.Title = "What momentum adds, in points, paired by seed, and the ratio of the two " +
		"accuracies"
	settings := s.settings(rows)
	settings.Title = "The settings, each algorithm's own best of its trials on held-out training " +
		"images"
	accuracies := s.accuracies(rows)
	accuracies.Title, _ = distinguish(s.Cells)
	all := []page.Table{accuracies, differences}
	if contrasts := s.contrastTable(rows); len(contrasts.Rows) > 0 {
		contrasts.Title = "How much more momentum adds, in points, paired by seed"
		all = append(all, contrasts)
	}
	return append(all, settings)
}

// table is a table whose first column is the title of the comparison, of which it keeps what tells
// this one from the others. With a single comparison there is no such column.
func (s *Study) table(head []string, rows [][]string) page.Table {
	_, own := distinguish(s.Cells)
	for _, row := range rows {
		row[0] = own[row[0]]
	}
	if len(s.Cells) == 1 {
		head, rows = without(0, head, rows)
	}
	return page.Table{Head: head, Rows: rows}
}

// without is a table without one of its columns.
func without(column int, head []string, rows [][]string) ([]string, [][]string) {
	for i := range rows {
		rows[i] = slices.Delete(rows[i], column, column+1)
	}
	return slices.Delete(head, column, column+1), rows
}

// markdown are the tables as Markdown, with notes on how to read them.
func (s *Study) markdown(results []result, rows []row) string {
	var b strings.Builder
	for _, t := range s.tables(rows) {
		if t.Title != "" {
			fmt.Fprintf(&b, "\n%s:\n\n", t.Title)
		}
		b.WriteString(t.Markdown())
	}
	fmt.Fprintf(&b, "\n%s\n", s.notes(results))
	return strings.TrimPrefix(b.String(), "\n")
}

// accuracies is the table of all measures of all arms.
func (s *Study) accuracies(rows []row) page.Table {
	titles := []string{"", "", "", "paper, %", "ours, %", "at equal training loss, %",
		"training accuracy, %", "zero training error at epoch"}
	early := slices.ContainsFunc(rows, row.early)
	if early {
		titles = append(titles, "ended at epoch")
	}
	var lines [][]string
	for _, r := range rows {
		ours := withSeeds(r.values.ours)
		if r.Diverged > 0 {
			ours += fmt.Sprintf(", %d diverged", r.Diverged)
		}
		line := []string{r.Cell, r.Arm, r.Measure, percent(r.Paper), ours,
			withSeeds(r.values.equal), stats.WithFew(r.values.train), epochs(r.Zero)}
		if early {
			line = append(line, epochs(r.Ended))
		}
		lines = append(lines, line)
	}
	if len(s.Measures) == 1 {
		titles, lines = without(2, titles, lines)
	}
	return s.table(titles, lines)
}

// early reports whether a run ended before its last epoch and without diverging.
func (r row) early() bool {
	for i, epoch := range r.Ended {
		if r.Seeds[i] != nil && epoch < r.Epochs {
			return true
		}
	}
	return false
}

// bySeed lists the values of the seeds that did not diverge.
func bySeed(values []*float64) string {
	var words []string
	for _, x := range values {
		if x != nil {
			words = append(words, stats.Fixed(*x, 1))
		}
	}
	return strings.Join(words, ", ")
}

// differences is the table of an arm with momentum minus one without.
func (s *Study) differences(rows []row) page.Table {
	var lines [][]string
	for _, r := range rows {
		if r.Of == "" {
			continue
		}
		paper, paperRatio := "", ""
		if p := r.theirs; p != nil {
			paper = points(p[momentum] - p[plain])
			paperRatio = fmt.Sprintf("%.2f", p[momentum]/p[plain])
		}
		ratio := ""
		if r.Ratio != nil {
			ratio = fmt.Sprintf("%.3f", *r.Ratio)
		}
		lines = append(lines, []string{r.Cell, r.Measure, r.Of, paper,
			withSeeds(r.values.difference), paperRatio, ratio,
			cmp.Or(r.Status, untrained(r.Beyond))})
	}
	titles := []string{"", "measure", "difference", "paper", "ours", "ratio, paper", "ratio, ours",
		"beside the paper, or a remark"}
	if len(s.Measures) == 1 {
		titles, lines = without(1, titles, lines)
	}
	return s.table(titles, lines)
}

// settings is the table of the settings of all arms.
func (s *Study) settings(rows []row) page.Table {
	var lines [][]string
	for _, r := range rows {
		if r.Measure != s.Measures[0].Title {
			continue
		}
		protocol, trials, heldOut := "", "", ""
		if r.Trials > 0 {
			protocol, trials = "same grid of "+r.Protocol, strconv.Itoa(r.Trials)
			heldOut = stats.Fixed(r.HeldOut, 2)
			if len(r.BySeed) > 1 {
				heldOut += " (" + bySeed(r.BySeed) + ")"
			}
		}
		lines = append(lines, []string{r.Cell, r.Arm, r.Rule, fmt.Sprintf("%g", r.Rate),
			fmt.Sprintf("%g", r.EtaEff), r.Schedule, strconv.Itoa(r.Epochs), protocol, trials,
			heldOut, s.remark(r)})
	}
	return s.table([]string{"", "", "rule", "η", "η_eff", "schedule", "epochs at most",
		"best of the", "settings tried", "held-out accuracy, %", ""}, lines)
}

// untrained is the remark on a difference from a control whose networks did not all train, by what
// result.beyond says of it.
func untrained(beyond string) string {
	if beyond == "" {
		return ""
	}
	return "of a control that " + beyond
}

// remark says what to keep in mind about a setting.
func (s *Study) remark(r row) string {
	var remarks []string
	if r.Edge != "" {
		remarks = append(remarks,
			fmt.Sprintf("the %s of the grid: a better rate may lie beyond", r.Edge))
	}
	if r.Trials > 0 && len(s.WeightDecays) > 1 && r.Decay == slices.Max(s.WeightDecays) {
		remarks = append(remarks,
			"the largest weight decay of the grid: a better one may lie beyond")
	}
	if r.Fits != nil && *r.Fits < s.TrialSeeds {
		remarks = append(remarks, fmt.Sprintf("reached zero training error in %d of %d trial seeds",
			*r.Fits, s.TrialSeeds))
	}
	if r.Beyond != "" {
		remarks = append(remarks, r.Beyond)
	}
	return strings.Join(remarks, "; ")
}

// notes say how to read the tables.
func (s *Study) notes(results []result) string {
	var levels []string
	_, own := distinguish(s.Cells)
	for _, r := range results {
		if level := r.level(s.Measures[0].Column); !math.IsNaN(level) {
			text := fmt.Sprintf("%.3g", level)
			if len(results) > 1 {
				text += " (" + own[r.Title] + ")"
			}
			levels = append(levels, text)
		}
	}
	text := fmt.Sprintf("Mean ± 95%% t interval over the seeds (n, and the values of up to "+
		"three), at the last step. \"At equal training loss\" is the accuracy where the "+
		"training loss first falls to the least to which all seeds\nof the two algorithms come "+
		"that end with zero training error (to which all come, if none does): %s nats; between "+
		"two evaluations by the logarithm of the loss."+
		"\n\n%s\n\nBeside the paper: \"reproduced\", our interval holds the paper's difference "+
		"and leaves out 0 (or, where the paper's is less than a point, "+
		"has at most a point to either side);\n\"direction only\", it leaves out 0 on the "+
		"paper's side, and the paper's difference; \"opposite\", it leaves out 0 on the other "+
		"side; \"no difference seen\", it holds 0 and leaves out\nthe paper's difference; "+
		"\"undecided\", it holds both.", strings.Join(levels, ", "), s.selection())
	if slices.ContainsFunc(s.Cells, func(c Cell) bool { return c.Base.Batch > 0 }) {
		text += " With mini-batches the training loss and accuracy of an epoch are sums while " +
			"the weights move, and its test accuracy is that of the epoch's start."
	}
	for _, paragraph := range []string{s.stability(results), s.Note} {
		if paragraph != "" {
			text += "\n\n" + paragraph
		}
	}
	return text
}

// selection says how the settings were chosen.
func (s *Study) selection() string {
	seeds := "seed 1"
	if s.TrialSeeds > 1 {
		seeds = fmt.Sprintf("seed 1 (and, where the setting might be chosen, those up to %d)",
			s.TrialSeeds)
	}
	text := fmt.Sprintf("Every algorithm had as many trials as the other, with %s and %d training "+
		"images held out,\nover the rates %s (and more where the grid grew: see the pictures), "+
		"the schedules %s and the weight decays %s. Among settings without a diverged seed, the "+
		"choice was the one with %s.\nη_eff is η/(1−γ) in the "+
		"undamped form of momentum (b ← γb + ∇L, w ← w − ηb), η otherwise.",
		seeds, s.Holdout, numbers(s.Rates), strings.Join(s.Schedules, ", "),
		numbers(s.WeightDecays), s.rule())
	if s.TrialsOf != "" {
		of := filepath.Base(s.TrialsOf)
		if s.otherTrials != "" {
			of += ", " + s.otherTrials
		}
		text = fmt.Sprintf("The trials are those of another study, %s. There: %s", of, text)
	}
	for _, p := range s.Protocols {
		text += map[Protocol]string{
			Effective: " \"Same grid of η_eff\": both algorithms tried the same effective rates.",
			Eta:       " \"Same grid of η\": both tried the same η, as a user of PyTorch would.",
		}[p]
	}
	return text
}

// rule is the rule of choice among settings without a diverged seed.
func (s *Study) rule() string {
	fitted := ""
	if s.Choose == Fitted {
		fitted = "zero training error in the most trial seeds, then "
	}
	return fitted + "the best mean held-out accuracy"
}

// stability explains the failures of GD at the effective rate of momentum, if there were any.
func (s *Study) stability(results []result) string {
	var cells []string
	_, own := distinguish(s.Cells)
	for _, r := range results {
		if words := r.beyond(); words != "" {
			words = r.Arms[sameRate].Title + " " + words
			if len(results) > 1 {
				words = own[r.Title] + ": " + words
			}
			cells = append(cells, words)
		}
	}
	if len(cells) == 0 {
		return ""
	}
	limit := "2(1+γ)/η"
	if s.Form == string(descent.Damped) {
		limit = "2(1+γ)/((1−γ)η)"
	}
	return fmt.Sprintf("%s. What momentum adds there is no gain over a trained network. A rate "+
		"beyond the stability limit of GD would do that: GD is stable up to a sharpness of 2/η, "+
		"%s GD+M at its η up to %s, which is (1+γ)/(1−γ) = %.3g times as much at the same "+
		"effective rate.", strings.Join(cells, "; "), s.Form, limit, (1+s.Gamma)/(1-s.Gamma))
}

// numbers lists numbers with commas.
func numbers(values []float64) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprintf("%g", v)
	}
	return strings.Join(words, ", ")
}

// withSeeds is the mean of the seeds' values that are not NaN, with its interval and their number:
// "75.83 ± 0.31 (5)", or "72.0 ± 5.0 (3: 70, 72, 74)" where there are few.
func withSeeds(values []float64) string {
	i := stats.Mean95(stats.Known(values))
	switch few := stats.Few(values); {
	case i.N == 0:
		return "none"
	case few != "":
		return fmt.Sprintf("%s (%d: %s)", i, i.N, few)
	}
	return fmt.Sprintf("%s (%d)", i, i.N)
}

// points is a difference of the paper.
func points(x float64) string { return fmt.Sprintf("%+.2f", x) }

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
