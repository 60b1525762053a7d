package main

import (
	"context"
	"fmt"
	"math"
	"slices"

	"momentum/internal/cubic"
	"momentum/internal/descent"
	"momentum/internal/figure"
	"momentum/internal/page"
)

// grid is the domain of the map: 16 rates, and 8 momenta, each of which remembers about twice as
// many steps as the one before.
func (s Settings) grid() (etas, gammas []float64) {
	for i := range 16 {
		etas = append(etas, round3(0.01*math.Pow(10, float64(i)*3.5/15)))
	}
	return etas, []float64{0, 0.5, 0.8, 0.9, 0.95, 0.98, paperGamma, 0.995}
}

// paperGamma is γ with which Figure 3 is reproduced.
const paperGamma = 0.99

// round3 rounds to three digits.
func round3(x float64) float64 {
	e := math.Pow10(2 - int(math.Floor(math.Log10(x))))
	return math.Round(x*e) / e
}

// learned is the small-margin test accuracy from which on a setting counts as having learned the
// small margin.
const learned = 0.95

// etaGammaMap trains a grid of (η, γ), all in the damped form, and draws the final state of each
// setting. A bundle has all momenta of two rates, since settings of one rate take about as long.
func (s *session) etaGammaMap(ctx context.Context, set Settings) (page.Section, error) {
	etas, gammas := set.grid()
	// A limit for 128 settings: 10,000 steps with 20,000 samples take a quarter of an hour.
	set.T = min(set.T, 20000, max(1000, int(2e8)/set.N))
	name := func(eta, gamma float64) string { return fmt.Sprintf("eta%g-gamma%g", eta, gamma) }
	var bundles []bundle
	for pair := range slices.Chunk(etas, 2) {
		var lanes []lane
		for _, eta := range pair {
			for _, gamma := range gammas {
				rule := descent.Rule{Form: descent.Damped, Gamma: gamma, WeightDecay: set.Lambda}
				lanes = append(lanes, lane{name(eta, gamma), cubic.Lane{Rule: rule, Eta: eta}})
			}
		}
		b := set.bundle(fmt.Sprintf("map-eta%g", pair[0]), set.Seed, lanes...)
		b.Keep = []string{"loss", "loss_2", "error", "test_1", "test_2", "c", "xi_max_2"}
		bundles = append(bundles, b)
	}
	runs, err := s.train(ctx, "map", bundles)
	if err != nil {
		return page.Section{}, err
	}
	m := rateMap{set, etas, gammas, func(eta, gamma float64) laneRow {
		return runs[slices.Index(etas, eta)/2].final(name(eta, gamma))
	}}
	return s.showMap(ctx, m)
}

// rateMap is a grid of (η, γ) with the final row of each setting.
type rateMap struct {
	Settings
	etas, gammas []float64
	final        func(eta, gamma float64) laneRow
}

// showMap draws the map, and writes its settings and what they have learned.
func (s *session) showMap(ctx context.Context, m rateMap) (page.Section, error) {
	base := s.out(fmt.Sprintf("map-N%d", m.N))
	if err := m.draw(ctx, base); err != nil {
		return page.Section{}, err
	}
	fmt.Fprintf(s.stdout, "picture   %s.png\n", base)
	if err := s.writeText(fmt.Sprintf("map-N%d.csv", m.N), m.csv()); err != nil {
		return page.Section{}, err
	}
	result := m.table()
	fmt.Fprintf(s.stdout, "\nlearned: small-margin test accuracy of at least %g%%, without "+
		"training error\n", 100*learned)
	s.print(result)
	if err := s.writeText(fmt.Sprintf("map-N%d.md", m.N), result.Markdown()); err != nil {
		return page.Section{}, err
	}
	return page.Section{
		Title: fmt.Sprintf("The map over (η, γ), N = %d", m.N),
		Text: fmt.Sprintf("What each of %d × %d settings ends with. Momentum is one way to learn "+
			"the small margin, a large rate is another: plain GD learns it at %s, GD+M with "+
			"γ = %g at %s.", len(m.etas), len(m.gammas), m.ratesThatLearn(0), paperGamma,
			m.ratesThatLearn(paperGamma)),
		Tables: []page.Table{result}, Pictures: []page.Picture{{Path: base + ".svg"}},
	}, nil
}

// draw draws four heat maps. The y axis is 1/(1−γ), the number of steps that the momentum
// remembers.
func (m rateMap) draw(ctx context.Context, base string) error {
	var memory []float64
	for _, gamma := range m.gammas {
		memory = append(memory, 1/(1-gamma))
	}
	shortest, longest := memory[0], memory[len(memory)-1]
	edge := math.Sqrt(m.etas[1] / m.etas[0])
	x := figure.Axis{Label: "η, damped = effective rate η_eff", Log: true,
		Low: m.etas[0] / edge, High: m.etas[len(m.etas)-1] * edge}
	y := figure.Axis{Label: "1/(1−γ), steps remembered", Log: true}
	// Along a diagonal the undamped rate, η(1−γ), stays the same. Of those below 0.001 the map has
	// too little for a name.
	var guides, unnamed []figure.Line
	for _, undamped := range []float64{0.001, 0.01, 0.1, 1} {
		guides = append(guides, figure.Line{Name: fmt.Sprint(undamped), Dashed: true,
			X: []float64{undamped * shortest, undamped * longest},
			Y: []float64{shortest, longest}})
	}
	// Across the diagonals, momentum carries equally far once it is built up: after the gradient
	// stops, the weights still move by η/(1−γ) times its last value.
	guides = append(guides, figure.Line{Name: "η/(1−γ) = 10",
		X: []float64{10 / longest, 10 / shortest}, Y: []float64{longest, shortest}})
	for _, g := range guides {
		g.Name = "" // the names would cover cells
		unnamed = append(unnamed, g)
	}
	panel := func(title, label, column string, scale float64, h figure.Heat) figure.Panel {
		h.X, h.Y, h.Z, h.Label = m.etas, memory, m.values(column, scale), label
		return figure.Panel{Title: title, X: x, Y: y, Heat: &h, Guides: unnamed}
	}
	accuracy := panel("(a) small-margin test accuracy", "%", "test_2", 100,
		figure.Heat{Low: 50, High: 100})
	accuracy.Guides = guides
	oneSample := 100 / float64(m.N) // in %
	return figure.Picture{
		Title: fmt.Sprintf("What (η, γ) ends with: N = %d, %d small-margin samples, at most %d "+
			"steps", m.N, m.SmallMargin, m.T),
		Note: fmt.Sprintf("One seed. A setting's last step is the first one with no training "+
			"error and a mean loss of at most %g nats on Z₁ and on Z₂, or else step %d. The "+
			"lowest row is GD. "+
			"Vertically the damped rate and with it the effective rate stay the same, along "+
			"each dashed line the undamped rate η(1−γ), whose value stands on it, along the "+
			"other line η/(1−γ), how far the weights move on when the gradient stops.", m.Stop,
			m.T),
		Panels: [][]figure.Panel{
			{accuracy, panel("(b) training error", "%", "error", 100,
				figure.Heat{Low: 0, High: largest(oneSample, m.values("error", 100)...)})},
			{panel("(c) c, the feature learned", "c", "c", 1, figure.Heat{Log: true}),
				panel("(d) largest |Ξ| on Z₂", "|Ξ|", "xi_max_2", 1, figure.Heat{Log: true})},
		},
		Width: 7.2,
	}.Write(ctx, base)
}

// values are the final values of a column, a row for each momentum: NaN for settings that diverged.
func (m rateMap) values(column string, scale float64) [][]float64 {
	var z [][]float64
	for _, gamma := range m.gammas {
		var row []float64
		for _, eta := range m.etas {
			row = append(row, m.final(eta, gamma).get(column)*scale)
		}
		z = append(z, row)
	}
	return z
}

// csv has one line for each setting.
func (m rateMap) csv() string {
	text := "eta,gamma,eta_undamped,loss,loss_2,train_error,test_large,test_small,c,xi_max_2," +
		"step,converged,diverged_at\n"
	for _, gamma := range m.gammas {
		for _, eta := range m.etas {
			r := m.final(eta, gamma)
			diverged := ""
			if step, ok := r.event(cubic.Diverged); ok {
				diverged = fmt.Sprint(step)
			}
			_, converged := r.row.Get(r.lane + "/converged")
			text += fmt.Sprintf("%g,%g,%.4g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%d,%t,%s\n", eta,
				gamma, eta*(1-gamma), r.get("loss"), r.get("loss_2"),
				r.get("error"), r.get("test_1"), r.get("test_2"), r.get("c"), r.get("xi_max_2"),
				r.row.Step, converged, diverged)
		}
	}
	return text
}

// table has, for each momentum, the smallest rate that learns the small margin, and how many do.
func (m rateMap) table() page.Table {
	t := page.Table{Head: []string{"γ", "1/(1−γ)", "least η that learns Z₂", "its undamped η",
		"η that do", "η that diverge"}}
	for _, gamma := range m.gammas {
		diverge := 0
		for _, eta := range m.etas {
			if _, diverged := m.final(eta, gamma).event(cubic.Diverged); diverged {
				diverge++
			}
		}
		learn, least := m.learn(gamma)
		t.Add(fmt.Sprint(gamma), fmt.Sprintf("%.3g", 1/(1-gamma)), optional(least),
			optional(least*(1-gamma)), fmt.Sprintf("%d of %d", learn, len(m.etas)),
			fmt.Sprint(diverge))
	}
	return t
}

// learn is the number of rates with which a momentum fits all training samples and learns the small
// margin, and the least of them, NaN without one. Larger rates than the least may fail.
func (m rateMap) learn(gamma float64) (n int, least float64) {
	least = math.NaN()
	for _, eta := range slices.Backward(m.etas) {
		if r := m.final(eta, gamma); r.get("test_2") >= learned && r.get("error") == 0 {
			n, least = n+1, eta
		}
	}
	return n, least
}

// ratesThatLearn tells how many rates learn the small margin with a momentum.
func (m rateMap) ratesThatLearn(gamma float64) string {
	n, least := m.learn(gamma)
	if n == 0 {
		return "no rate"
	}
	return fmt.Sprintf("%d of %d rates (the least is η = %.3g)", n, len(m.etas), least)
}

// optional writes a number that may be missing.
func optional(x float64) string {
	if math.IsNaN(x) {
		return "none"
	}
	return fmt.Sprintf("%.3g", x)
}
