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
	write(slices.Concat([]string{"cell", "images", "parameterization", "arm", "measure", "paper"},
		interval("ours"), interval("at_equal_loss"), []string{"equal_loss", "difference_of"},
		interval("difference"), []string{"ratio", "status"}, interval("train_accuracy"),
		[]string{"zero_error_at", "ended_at", "diverged", "rule", "lr", "eta_eff", "schedule",
			"weight_decay", "epochs", "batch", "protocol", "trials", "held_out_accuracy",
			"trial_seeds_fitted", "edge", "beyond", "revision", "device", "precision"})...)
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
	words := func(list []int) string { return strings.ReplaceAll(epochs(list), ", ", " ") }
	for _, r := range rows {
		trials, heldOut, fits := "", "", ""
		if r.Trials > 0 {
			trials, heldOut, fits = strconv.Itoa(r.Trials), f(r.HeldOut), strconv.Itoa(*r.Fits)
		}
		write(slices.Concat([]string{r.Cell, strconv.Itoa(r.Images), r.Network, r.Arm, r.Measure,
			p(r.Paper)}, three(r.Ours), three(r.Equal), []string{p(r.Level), r.Of},
			three(r.Difference), []string{p(r.Ratio), r.Status}, three(r.Train),
			[]string{words(r.Zero), words(r.Ended), strconv.Itoa(r.Diverged), r.Rule, f(r.Rate),
				f(r.EtaEff), r.Schedule, f(r.Decay), strconv.Itoa(r.Epochs), strconv.Itoa(r.Batch),
				r.Protocol, trials, heldOut, fits, r.Edge, r.Beyond, r.Revision, r.Device,
				r.Precision})...)
	}
	text.Flush()
	return text.Error()
}
