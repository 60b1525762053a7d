package study

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"strings"

	"momentum/internal/stats"
)

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
