package main

import (
	"context"
	"fmt"

	"momentum/internal/cubic"
	"momentum/internal/figure"
	"momentum/internal/stats"
)

// intervention is one way to take away, or to imitate, what momentum is said to do.
type intervention struct {
	name, what string
	lane       lane
}

// interventions are tried on the same data from the same weights. "At the fit" is the first step
// before which Z1 is fitted.
func (s Settings) interventions() []intervention {
	gd, gdm := s.gd(), s.gdm()
	with := func(l lane, name string, change func(*cubic.Lane)) lane {
		l.Name = name
		change(&l.Lane)
		return l
	}
	return []intervention{
		{"GD", "", gd},
		{"GD+M", "", gdm},
		{"buffer reset", "GD+M whose buffer is set to zero at the fit of Z1",
			with(gdm, "reset", func(l *cubic.Lane) {
				l.AfterFit = &cubic.Phase{Eta: s.Eta, Gamma: s.Gamma, Reset: true}
			})},
		{"Z1 kept out", "GD+M in whose buffer no gradient of Z1 goes; it acts at once, as in GD",
			with(gdm, "apart", func(l *cubic.Lane) { l.BypassZ1 = true })},
		{"phase 1 only", "GD+M until the fit of Z1, then GD",
			with(gdm, "phase1", func(l *cubic.Lane) { l.AfterFit = &cubic.Phase{Eta: s.Eta} })},
		{"phase 2 only", "GD until the fit of Z1, then GD+M with an empty buffer",
			with(gd, "phase2", func(l *cubic.Lane) {
				l.AfterFit = &cubic.Phase{Eta: s.Eta, Gamma: s.Gamma, Reset: true}
			})},
		{"phase 2, last gradient kept", "the same, but the buffer starts from the last gradient " +
			"before the fit", with(gd, "phase2kept", func(l *cubic.Lane) {
			l.AfterFit = &cubic.Phase{Eta: s.Eta, Gamma: s.Gamma}
		})},
		{"GD, 10η at the fit", "GD with ten times the rate from the fit of Z1 on",
			with(gd, "raised10", func(l *cubic.Lane) { l.AfterFit = &cubic.Phase{Eta: 10 * s.Eta} })},
		{"GD, η/(1−γ) at the fit", "GD with 1/(1−γ) times the rate from the fit of Z1 on",
			with(gd, "raised", func(l *cubic.Lane) {
				l.AfterFit = &cubic.Phase{Eta: s.Eta /
					(1 - s.Gamma)}
			})},
	}
}

// control is a world in which the theory sees no reason for a gap between GD and GD+M.
type control struct {
	name, what string
	column     string // the test accuracy in which there must be no gap
	change     func(*bundle)
}

// controls are trained to the last step, since a difference in when they stop would be a gap of its
// own.
func controls() []control {
	return []control{
		{"no small margin", "all training samples have the large margin, and so have the test " +
			"samples that count", "test_1", func(b *bundle) { b.Data.SmallMargin = 0 }},
		{"no shared feature", "the signal of Z2 lies along another direction, orthogonal to w*",
			"test_2", func(b *bundle) { b.Data.Unshared = true }},
		{"linear model", "the activation is the identity: a convex problem, without a minimum",
			"test_2", func(b *bundle) { b.Degree = 1 }},
		{"linear model, λ = 0.01", "with weight decay it has one minimum, which is the same for " +
			"both", "test_2", func(b *bundle) {
			b.Degree = 1
			for i := range b.Lanes {
				b.Lanes[i].WeightDecay = 0.01
			}
		}},
	}
}

// mechanism asks whether momentum does what the theory says: by interventions, and by controls in
// which there must be no gap.
func (s *session) mechanism(ctx context.Context, set Settings) (section, error) {
	inter := set.interventions()
	var lanes []lane
	for _, i := range inter {
		lanes = append(lanes, i.lane)
	}
	var bundles []bundle
	for i := range set.Seeds {
		seed := set.Seed + uint64(i)
		bundles = append(bundles, set.bundle("mechanism", seed, lanes...))
		for _, c := range controls() {
			b := set.bundle("control-"+slug(c.name), seed, set.gd(), set.gdm())
			b.Stop = 0
			c.change(&b)
			bundles = append(bundles, b)
		}
	}
	runs, err := s.train(ctx, "mechanism", bundles)
	if err != nil {
		return section{}, err
	}
	controls := controls()
	each := 1 + len(controls) // bundles of a seed
	column := func(bundle int, lane, name string, scale float64) []float64 {
		var x []float64
		for i := bundle; i < len(runs); i += each {
			x = append(x, scale*runs[i].last(lane).get(name))
		}
		return x
	}
	row := func(t *table, name string, bundle int, lane string) {
		t.add(name, stats.Mean95(column(bundle, lane, "test_2", 100)).String(),
			stats.Mean95(column(bundle, lane, "test_1", 100)).String(),
			stats.Mean95(column(bundle, lane, "error", 100)).String(),
			stats.Mean95(column(bundle, lane, "c", 1)).String(),
			stats.Mean95(column(bundle, lane, "xi_max_2", 1)).String())
	}
	result := table{Head: []string{"", "small-margin test acc., %", "large-margin, %",
		"training error, %", "c", "largest |Ξ| on Z2"}}
	for _, i := range inter {
		row(&result, i.name, 0, i.lane.Name)
	}
	gaps := make([]stats.Interval, len(controls))
	for k, c := range controls {
		row(&result, c.name+": GD", k+1, "gd")
		row(&result, c.name+": GD+M", k+1, "gdm")
		gd, gdm := column(k+1, "gd", c.column, 100), column(k+1, "gdm", c.column, 100)
		for i := range gdm {
			gdm[i] -= gd[i]
		}
		gaps[k] = stats.Mean95(gdm)
	}
	fmt.Fprintln(s.stdout)
	result.print(s.stdout)
	margins := map[string]string{"test_1": "large-margin", "test_2": "small-margin"}
	text := result.markdown() + "\n"
	for _, i := range inter[2:] {
		text += fmt.Sprintf("- %s: %s.\n", i.name, i.what)
	}
	for k, c := range controls {
		text += fmt.Sprintf("- Control, %s: %s. Test accuracy (%s), GD+M − GD: %s points.\n",
			c.name, c.what, margins[c.column], gaps[k])
		fmt.Fprintf(s.stdout, "control   %s: GD+M − GD = %s points of %s test accuracy\n", c.name,
			gaps[k], margins[c.column])
	}
	text += fmt.Sprintf("\nMean ± 95%% t interval, seeds: %d; at most %d steps, N = %d; %s, η = "+
		"%g, γ = %g.\n", set.Seeds, set.T, set.N, set.Form, set.Eta, set.Gamma)
	if err := s.writeText("mechanism.md", text); err != nil {
		return section{}, err
	}

	main := make([]trained, 0, set.Seeds)
	for i := 0; i < len(runs); i += each {
		main = append(main, runs[i])
	}
	colors := []figure.Category{figure.Blue, figure.Vermilion, figure.Green, figure.Purple,
		figure.Orange, figure.Sky, figure.Black, figure.Green, figure.Purple}
	panel := func(title, label, name string, scale float64, y figure.Axis, from,
		to int) figure.Panel {
		y.Label = label
		p := figure.Panel{Title: title, X: figure.Axis{Label: "step", Log: true, Low: 1,
			High: float64(max(2, set.T))}, Y: y}
		for i := from; i < to; i++ {
			p.Lines = append(p.Lines, band(inter[i].name, colors[i], main, inter[i].lane.Name, name,
				scale, y.Log))
		}
		return p
	}
	accuracy := figure.Axis{Low: 0, High: 102}
	base := s.out("mechanism")
	err = figure.Picture{
		Title: fmt.Sprintf("What carries the feature over: N = %d", set.N),
		Note: overSeeds(set.Seeds) + ". The moment of an intervention is the fit of Z1, the " +
			"first step before which the mean of ℓ over Z1 is below " + fmt.Sprint(set.Fitted) +
			".",
		Panels: [][]figure.Panel{
			{panel("(a)", "small-margin test accuracy (%)", "test_2", 100, accuracy, 0, 4),
				panel("(b)", "small-margin test accuracy (%)", "test_2", 100, accuracy, 4,
					len(inter))},
			{panel("(c)", "c", "c", 1, figure.Axis{Log: true}, 0, 4),
				panel("(d)", "c", "c", 1, figure.Axis{Log: true}, 4, len(inter))},
		},
		Width: 10.5, Height: 6.4,
	}.Write(base)
	if err != nil {
		return section{}, err
	}
	fmt.Fprintf(s.stdout, "picture   %s.png\n", base)
	return section{
		Title: "Is it the momentum? Interventions and controls",
		Text: fmt.Sprintf("If momentum works by carrying the gradients of Z1 over into the time "+
			"in which only Z2 is left, then taking that away must close the gap. SmallMargin-margin "+
			"test accuracy: GD %s%%, GD+M %s%%; "+
			"with the buffer reset at the fit of Z1 %s%%; with Z1 kept out of the buffer %s%%; "+
			"with momentum until the fit only %s%%, after it only %s%%; GD with its rate "+
			"raised at that moment to η/(1−γ) %s%%. "+
			"Where there is nothing to carry over there must be no gap: without small margins "+
			"GD+M − GD is %s points of large-margin accuracy, without a shared feature %s "+
			"points of small-margin accuracy, with a linear model %s, and %s when weight "+
			"decay gives it one minimum.",
			result.Rows[0][1], result.Rows[1][1], result.Rows[2][1], result.Rows[3][1],
			result.Rows[4][1], result.Rows[5][1], result.Rows[8][1], gaps[0], gaps[1], gaps[2],
			gaps[3]),
		Table: result, Pictures: []string{base + ".svg"},
	}, nil
}
