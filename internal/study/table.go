package study

import (
	"encoding/json"
	"io"
	"math"
	"strings"

	"momentum/internal/durable"
	"momentum/internal/imagerun"
	"momentum/internal/stats"
)

// row is a line of the CSV and an object of the JSON: one measure of one arm of one cell. Intervals
// are null without any value.
type row struct {
	index   int         // of the arm
	theirs  *[2]float64 // the paper's without and with momentum, if Status is beside them
	values  values      // of its intervals
	Cell    string      `json:"cell"`
	Images  int         `json:"images"` // for training
	Network string      `json:"parameterization"`
	Arm     string      `json:"arm"`
	Measure string      `json:"measure"`
	Paper   *float64    `json:"paper,omitempty"` // %

	Ours  *stats.Interval `json:"ours"`          // %, at the last step
	Seeds []*float64      `json:"seeds"`         // %, by seed; null: diverged
	Equal *stats.Interval `json:"at_equal_loss"` // %, where the training loss falls to Level
	Level *float64        `json:"equal_loss"`    // nats; null: all seeds diverged

	// Points, paired by seed: an arm with momentum minus one without, such as "GD+M − GD".
	Of         string          `json:"difference_of,omitempty"`
	Difference *stats.Interval `json:"difference"`
	Ratio      *float64        `json:"ratio"` // of the means
	More       []contrast      `json:"more,omitempty"`

	Status   string          `json:"status,omitempty"`   // of the difference, beside the paper's
	Train    *stats.Interval `json:"train_accuracy"`     // %, at the last step
	Zero     []int           `json:"zero_error_at"`      // epoch, by seed; −1: never
	Ended    []int           `json:"ended_at"`           // epoch, by seed
	Diverged int             `json:"diverged,omitempty"` // seeds

	Rule     string  `json:"rule"`
	Rate     float64 `json:"lr"`
	EtaEff   float64 `json:"eta_eff"`
	Schedule string  `json:"schedule"`
	Decay    float64 `json:"weight_decay"`
	Epochs   int     `json:"epochs"`
	Batch    int     `json:"batch"` // 0: full

	Protocol string     `json:"protocol,omitempty"`          // by which the setting was chosen
	Trials   int        `json:"trials,omitempty"`            // settings, for each protocol
	HeldOut  float64    `json:"held_out_accuracy,omitempty"` // %, of the setting that was chosen
	BySeed   []*float64 `json:"held_out_by_trial_seed,omitempty"`
	Fits     *int       `json:"trial_seeds_fitted,omitempty"` // that reached zero error
	Edge     string     `json:"edge,omitempty"`               // of the grid where the rate lies
	Beyond   string     `json:"beyond,omitempty"`             // of the control: see result.beyond

	// The provenance of the runs. The command and the time stand in report.md, since they differ
	// each time.
	Revision  string `json:"revision"`
	Device    string `json:"device"`
	Precision string `json:"precision"`
}

// values are those of the seeds to the intervals of a row: NaN where there is none.
type values struct{ ours, equal, difference, train []float64 }

// rows are all numbers of a study.
func (s *Study) rows(results []result) []row {
	var all []row
	for k, r := range results {
		level := r.level(s.Measures[0].Column)
		for i, a := range r.Arms {
			if !a.exists() {
				continue
			}
			facts := a.facts().text()
			for _, m := range s.Measures {
				w := s.row(r, i, m, level)
				w.More = s.contrasts(results, k, i, m)
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
	v := values{ours: a.values(last)}
	v.equal = a.values(func(o imagerun.Outcome) float64 {
		return m.value(func(column string) float64 { return o.AtLoss(level, column) })
	})
	v.train = a.values(func(o imagerun.Outcome) float64 { return 100 * o.Last("train_accuracy") })
	w := row{
		index: index, Cell: r.Title, Images: r.Images, Network: r.Parameterization, Arm: a.Title,
		Measure: m.Title,
		Ours:    interval(v.ours), Level: number(level), Equal: interval(v.equal),
		Train: interval(v.train), Diverged: a.diverged(),
		Rule: c.RuleName(), Rate: c.Rate, EtaEff: tidy(c.Rule().EffectiveRate(c.Rate)),
		Schedule: c.Schedule, Decay: c.WeightDecay, Epochs: c.Epochs, Batch: c.Batch,
	}
	for j, o := range a.Outcomes {
		w.Zero, w.Ended = append(w.Zero, o.ZeroError()), append(w.Ended, o.Epochs())
		w.Seeds = append(w.Seeds, number(v.ours[j]))
	}
	var ok bool
	if v.difference, ok = r.paired(index, m); ok {
		plus, minus, _ := pair(index)
		a, b := r.Arms[plus], r.Arms[minus]
		w.Of, w.Difference = a.Title+" − "+b.Title, interval(v.difference)
		w.Ratio = number(ratio(a.values(last), b.values(last)))
	}
	if paper, ok := m.paper(r.Cell); ok && index < chosen {
		w.Paper = &paper[min(index, momentum)]
		if index != momentum {
			w.theirs = &paper
			w.Status = status(paper[momentum]-paper[plain],
				stats.Mean95(stats.Known(v.difference)))
		}
	}
	w.values = v
	if index == sameRate {
		w.Beyond = r.beyond()
	}
	s.addChoices(&w, a.choices)
	return w
}

// addChoices adds to a row how its setting was chosen.
func (s *Study) addChoices(w *row, choices []choice) {
	var protocols, edges []string
	for i, c := range choices {
		p := s.Protocols[i+max(0, w.index-momentum)]
		protocols = append(protocols, p.symbol())
		if c.edge != 0 {
			edges = append(edges, map[int]string{-1: "least", 1: "largest"}[c.edge]+" "+p.symbol())
		}
	}
	if len(choices) == 0 {
		return
	}
	if w.index == plain { // η is η_eff
		protocols = nil
		for _, p := range s.Protocols {
			protocols = append(protocols, p.symbol())
		}
	}
	c := choices[0]
	w.Protocol, w.Edge = strings.Join(protocols, " and "), strings.Join(edges, " and ")
	w.Trials, w.HeldOut, w.Fits = c.tried, 100*c.heldOut, &c.fits
	for _, x := range c.bySeed {
		w.BySeed = append(w.BySeed, number(100*x))
	}
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
func (s *Study) writeTables(base string, results []result, rows []row) (tables string,
	err error) {
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
