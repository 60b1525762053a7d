package main

import (
	"context"
	"fmt"
	"math"

	"momentum/internal/cubic"
	"momentum/internal/descent"
	"momentum/internal/figure"
)

// grid is what the map goes over: 16 rates, and 8 momenta of which each next one remembers about
// twice as many steps.
func (s Settings) grid() (etas, gammas []float64) {
	for i := range 16 {
		etas = append(etas, round3(0.01*math.Pow(10, float64(i)*3.5/15)))
	}
	return etas, []float64{0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995}
}

// round3 rounds to three digits.
func round3(x float64) float64 {
	e := math.Pow10(2 - int(math.Floor(math.Log10(x))))
	return math.Round(x*e) / e
}

// etaGammaMap trains a grid of (η, γ), all in the damped form, and draws what each setting ends
// with. The bundles have all momenta of two rates each, since settings of one rate take about as
// long.
func (s *session) etaGammaMap(ctx context.Context, set Settings) (section, error) {
	etas, gammas := set.grid()
	// what 128 settings leave time for: 10,000 steps of 20,000 samples take a quarter of an hour
	set.T = min(set.T, 20000, max(1000, int(2e8)/set.N))
	name := func(eta, gamma float64) string { return fmt.Sprintf("eta%g-gamma%g", eta, gamma) }
	var bundles []bundle
	for i := 0; i < len(etas); i += 2 {
		var lanes []lane
		for _, eta := range etas[i : i+2] {
			for _, gamma := range gammas {
				lanes = append(lanes, lane{name(eta, gamma),
					cubic.Lane{Rule: descent.Rule{Form: descent.Damped, Gamma: gamma,
						WeightDecay: set.Lambda}, Eta: eta}})
			}
		}
		b := set.bundle(fmt.Sprintf("map-eta%g", etas[i]), set.Seed, lanes...)
		b.Keep = []string{"loss", "loss_2", "error", "test_1", "test_2", "c", "xi_max_2"}
		bundles = append(bundles, b)
	}
	runs, err := s.train(ctx, "map", bundles)
	if err != nil {
		return section{}, err
	}
	return s.drawMap(set, etas, gammas, func(eta, gamma float64) laneRow {
		for i := range etas {
			if etas[i] == eta {
				return runs[i/2].final(name(eta, gamma))
			}
		}
		panic("map: no such rate")
	})
}

// drawMap draws the grid from the final row of each setting.
func (s *session) drawMap(set Settings, etas, gammas []float64,
	final func(eta, gamma float64) laneRow) (section, error) {
	// The y axis is 1/(1−γ), the number of steps that the momentum remembers.
	var memory []float64
	for _, gamma := range gammas {
		memory = append(memory, 1/(1-gamma))
	}
	heat := func(column string, scale float64) [][]float64 {
		var z [][]float64
		for _, gamma := range gammas {
			var line []float64
			for _, eta := range etas {
				r := final(eta, gamma)
				x := r.get(column) * scale
				if _, diverged := r.event(cubic.Diverged); diverged {
					x = math.NaN()
				}
				line = append(line, x)
			}
			z = append(z, line)
		}
		return z
	}
	first, last := etas[0], etas[len(etas)-1]
	edge := math.Sqrt(etas[1] / etas[0])
	x := figure.Axis{Label: "η, damped = effective rate η_eff", Log: true, Low: first / edge,
		High: last * edge}
	y := figure.Axis{Label: "1/(1−γ), steps remembered", Log: true}
	// Along a diagonal the undamped rate, η(1−γ), stays the same.
	var guides []figure.Line
	for _, undamped := range []float64{0.0001, 0.001, 0.01, 0.1, 1} {
		guides = append(guides, figure.Line{Name: fmt.Sprintf("undamped η = %g", undamped),
			Dashed: true,
			X:      []float64{undamped * memory[0], undamped * memory[len(memory)-1]},
			Y:      []float64{memory[0], memory[len(memory)-1]}})
	}
	// Across them lie the settings whose momentum, once built, carries equally far: a gradient that
	// stops is worth η/(1−γ) times its last size.
	guides = append(guides, figure.Line{Name: "η/(1−γ) = 10",
		X: []float64{10 / memory[0], 10 / memory[len(memory)-1]},
		Y: []float64{memory[0], memory[len(memory)-1]}})
	panel := func(title, label, column string, scale float64, h figure.Heat) figure.Panel {
		h.X, h.Y, h.Z, h.Label = etas, memory, heat(column, scale), label
		return figure.Panel{Title: title, X: x, Y: y, Heat: &h, Guides: guides}
	}
	base := s.out(fmt.Sprintf("map-N%d", set.N))
	err := figure.Picture{
		Title: fmt.Sprintf("What (η, γ) ends with: N = %d, %d small-margin samples, at most %d "+
			"steps", set.N, set.SmallMargin, set.T),
		Note: fmt.Sprintf("One seed. A setting's last step is the first one with no training "+
			"error and a mean loss of at most %g nats on Z1 and on Z2, or else step %d. The "+
			"lowest row is GD. "+
			"Vertically the damped rate and with it the effective rate stay the same, along "+
			"dashed lines the undamped rate does.", set.Stop, set.T),
		Panels: [][]figure.Panel{
			{panel("(a) small-margin test accuracy", "%", "test_2", 100,
				figure.Heat{Low: 50, High: 100}), panel("(b) training error", "%", "error", 100,
				figure.Heat{Low: 0, High: 100 * float64(max(1, set.SmallMargin)) / float64(set.N)})},
			{panel("(c) c", "c", "c", 1, figure.Heat{Log: true}),
				panel("(d) largest |Ξ| on Z2", "|Ξ|", "xi_max_2", 1, figure.Heat{Log: true})},
		},
		Width: 10, Height: 7,
	}.Write(base)
	if err != nil {
		return section{}, err
	}
	fmt.Fprintf(s.stdout, "picture   %s.png\n", base)

	// Each setting as a row of a file, and the least rate at which each momentum learns the small
	// margin.
	file := "eta,gamma,eta_undamped,loss,loss_2,train_error,test_large,test_small,c,xi_max_2,step,converged,diverged_at\n"
	for _, gamma := range gammas {
		for _, eta := range etas {
			r := final(eta, gamma)
			diverged := ""
			if step, ok := r.event(cubic.Diverged); ok {
				diverged = fmt.Sprint(step)
			}
			_, converged := r.row.Get(r.lane + "/converged")
			file += fmt.Sprintf("%g,%g,%.4g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%d,%t,%s\n", eta,
				gamma, eta*(1-gamma), r.get("loss"), r.get("loss_2"),
				r.get("error"), r.get("test_1"), r.get("test_2"), r.get("c"), r.get("xi_max_2"),
				r.row.Step, converged, diverged)
		}
	}
	if err := s.writeText(fmt.Sprintf("map-N%d.csv", set.N), file); err != nil {
		return section{}, err
	}
	result := table{Head: []string{"γ", "1/(1−γ)", "least η that learns Z2", "its undamped η",
		"η that do", "η that diverge"}}
	for i, gamma := range gammas {
		least, learn, diverge := math.NaN(), 0, 0
		for _, eta := range etas {
			r := final(eta, gamma)
			if _, ok := r.event(cubic.Diverged); ok {
				diverge++
			} else if r.get("test_2") >= learned && r.get("error") == 0 {
				learn++
				if math.IsNaN(least) {
					least = eta
				}
			}
		}
		result.add(fmt.Sprint(gamma), fmt.Sprintf("%.3g", memory[i]), number(least),
			number(least*(1-gamma)), fmt.Sprintf("%d of %d", learn, len(etas)), fmt.Sprint(diverge))
	}
	fmt.Fprintf(s.stdout, "\nlearned: small-margin test accuracy of at least %g%%, without "+
		"training error\n", 100*learned)
	result.print(s.stdout)
	if err := s.writeText(fmt.Sprintf("map-N%d.md", set.N), result.markdown()); err != nil {
		return section{}, err
	}
	return section{
		Title: fmt.Sprintf("The map over (η, γ), N = %d", set.N),
		Text: fmt.Sprintf("What each of %d × %d settings ends with. Momentum is one way to learn "+
			"the small margin, a large rate is another: plain GD learns it from η = %s on, GD+M "+
			"with γ = 0.99 from η = %s on.",
			len(etas), len(gammas), result.Rows[0][2], result.Rows[6][2]),
		Table: result, Pictures: []string{base + ".svg"},
	}, nil
}

// learned is the small-margin test accuracy from which on a setting counts as having learned the
// small margin.
const learned = 0.95

func number(x float64) string {
	if math.IsNaN(x) {
		return "none"
	}
	return fmt.Sprintf("%.3g", x)
}
