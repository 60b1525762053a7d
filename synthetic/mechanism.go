package main

import (
	"context"
	"fmt"

	"momentum/internal/cubic"
	"momentum/internal/figure"
	"momentum/internal/page"
	"momentum/internal/stats"
)

// intervention is one way to remove, or to imitate, the presumed effect of momentum.
type intervention struct {
	name, description string
	lane              lane
}

// interventions are tried on the same data from the same weights. "At the fit" is the first step
// before which Z₁ is fitted.
func (s Settings) interventions() []intervention {
	gd, gdm := s.gd(), s.gdm()
	phase := func(l lane, name string, p cubic.Phase) lane {
		l.Name, l.AfterFit = name, &p
		return l
	}
	bypass := gdm
	bypass.Name, bypass.BypassZ1 = "apart", true
	return []intervention{
		{"GD", "", gd},
		{"GD+M", "", gdm},
		{"buffer reset", "GD+M whose buffer is set to zero at the fit of Z₁",
			phase(gdm, "reset", cubic.Phase{Eta: s.Eta, Gamma: s.Gamma, Reset: true})},
		{"Z₁ kept out", "GD+M in whose buffer no gradient of Z₁ goes; it acts at once, as in GD",
			bypass},
		{"phase 1 only", "GD+M until the fit of Z₁, then GD",
			phase(gdm, "phase1", cubic.Phase{Eta: s.Eta})},
		{"phase 2 only", "GD until the fit of Z₁, then GD+M with an empty buffer",
			phase(gd, "phase2", cubic.Phase{Eta: s.Eta, Gamma: s.Gamma, Reset: true})},
		{"phase 2, last gradient kept", "the same, but the buffer starts from the last gradient " +
			"before the fit",
			phase(gd, "phase2kept", cubic.Phase{Eta: s.Eta, Gamma: s.Gamma})},
		{"GD, 10η at the fit", "GD with ten times the rate from the fit of Z₁ on",
			phase(gd, "raised10", cubic.Phase{Eta: 10 * s.Eta})},
		{"GD, η/(1−γ) at the fit", "GD with 1/(1−γ) times the rate from the fit of Z₁ on",
			phase(gd, "raised", cubic.Phase{Eta: s.Eta / (1 - s.Gamma)})},
	}
}

// control is a world in which the theory sees no reason for a gap between GD and GD+M.
type control struct {
	name, description string
	column            string // the test accuracy in which there must be no gap
	change            func(*bundle)
}

// controls are trained to the last step, since a difference in when they stop would be a gap of its
// own.
func controls() []control {
	return []control{
		{"no small margin", "all training samples have the large margin, and so have the test " +
			"samples that count", "test_1", func(b *bundle) { b.Data.SmallMargin = 0 }},
		{"no shared feature", "the signal of Z₂ lies along another direction, orthogonal to w*",
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

// mechanismRuns are the runs of the interventions and of each control, with one run per seed.
type mechanismRuns struct {
	Settings
	interventions []intervention
	controls      []control
	main          []trained
	control       [][]trained
	gaps          []stats.Interval // GD+M − GD of each control, in points
}

// mechanism tests whether momentum does what the theory says: by interventions, and by controls in
// which there must be no gap.
func (s *session) mechanism(ctx context.Context, set Settings) (page.Section, error) {
	m, err := s.trainMechanism(ctx, set)
	if err != nil {
		return page.Section{}, err
	}
	result := m.table()
	s.print(result)
	for k, c := range m.controls {
		fmt.Fprintf(s.stdout, "control   %s: GD+M − GD = %s points of %s test accuracy\n", c.name,
			m.gaps[k], c.margin())
	}
	if err := s.writeText("mechanism.md", result.Markdown()+"\n"+m.notes()); err != nil {
		return page.Section{}, err
	}
	base := s.out("mechanism")
	if err := m.picture().Write(ctx, base); err != nil {
		return page.Section{}, err
	}
	fmt.Fprintf(s.stdout, "picture   %s.png\n", base)
	accuracy := func(lane string) stats.Interval {
		return stats.Mean95(lastValues(m.main, lane, "test_2", 100))
	}
	return page.Section{
		Title: "Is it the momentum? Interventions and controls",
		Text: fmt.Sprintf("If momentum works by carrying the gradients of Z₁ over into the time "+
			"in which only Z₂ is left, then taking that away must close the gap. Small-margin "+
			"test accuracy: GD %s%%, GD+M %s%%; "+
			"with the buffer reset at the fit of Z₁ %s%%; with Z₁ kept out of the buffer %s%%; "+
			"with momentum until the fit only %s%%, after it only %s%%; GD with its rate "+
			"raised at that moment to η/(1−γ) %s%%. "+
			"Where there is nothing to carry over there must be no gap: without small margins "+
			"GD+M − GD is %s points of large-margin accuracy, without a shared feature %s "+
			"points of small-margin accuracy, with a linear model %s, and %s when weight "+
			"decay gives it one minimum.",
			accuracy("gd"), accuracy("gdm"), accuracy("reset"), accuracy("apart"),
			accuracy("phase1"), accuracy("phase2"), accuracy("raised"),
			m.gaps[0], m.gaps[1], m.gaps[2], m.gaps[3]),
		Tables: []page.Table{result}, Pictures: []page.Picture{{Path: base + ".svg"}},
	}, nil
}

func (s *session) trainMechanism(ctx context.Context, set Settings) (mechanismRuns, error) {
	m := mechanismRuns{Settings: set, interventions: set.interventions(), controls: controls()}
	var lanes []lane
	for _, i := range m.interventions {
		lanes = append(lanes, i.lane)
	}
	var bundles []bundle
	for i := range set.Seeds {
		seed := set.Seed + uint64(i)
		bundles = append(bundles, set.bundle("mechanism", seed, lanes...))
		for _, c := range m.controls {
			b := set.bundle("control-"+slug(c.name), seed, set.gd(), set.gdm())
			b.Stop = 0
			c.change(&b)
			bundles = append(bundles, b)
		}
	}
	runs, err := s.train(ctx, "mechanism", bundles)
	if err != nil {
		return m, err
	}
	perSeed := 1 + len(m.controls)
	m.main = every(runs, 0, perSeed)
	for k, c := range m.controls {
		control := every(runs, 1+k, perSeed)
		m.control = append(m.control, control)
		m.gaps = append(m.gaps, stats.Mean95(stats.Paired(lastValues(control, "gdm", c.column, 100),
			lastValues(control, "gd", c.column, 100))))
	}
	return m, nil
}

// every returns runs first, first + n, first + 2n, …
func every(runs []trained, first, n int) []trained {
	var some []trained
	for i := first; i < len(runs); i += n {
		some = append(some, runs[i])
	}
	return some
}

// margin names the margin of the test samples that count.
func (c control) margin() string {
	return map[string]string{"test_1": "large-margin", "test_2": "small-margin"}[c.column]
}

func (m mechanismRuns) table() page.Table {
	t := page.Table{Head: []string{"", "small-margin test acc., %", "large-margin, %",
		"training error, %", "c", "largest |Ξ| on Z₂"}}
	row := func(name string, runs []trained, lane string) {
		cell := func(column string, scale float64) string {
			return stats.Mean95(lastValues(runs, lane, column, scale)).String()
		}
		t.Add(name, cell("test_2", 100), cell("test_1", 100), cell("error", 100), cell("c", 1),
			cell("xi_max_2", 1))
	}
	for _, i := range m.interventions {
		row(i.name, m.main, i.lane.Name)
	}
	for k, c := range m.controls {
		row(c.name+": GD", m.control[k], "gd")
		row(c.name+": GD+M", m.control[k], "gdm")
	}
	return t
}

// notes explain the rows of the table.
func (m mechanismRuns) notes() string {
	text := ""
	for _, i := range m.interventions {
		if i.description != "" {
			text += fmt.Sprintf("- %s: %s.\n", i.name, i.description)
		}
	}
	for k, c := range m.controls {
		text += fmt.Sprintf("- Control, %s: %s. Test accuracy (%s), GD+M − GD: %s points.\n",
			c.name, c.description, c.margin(), m.gaps[k])
	}
	return text + fmt.Sprintf("\nMean ± 95%% t interval, seeds: %d; at most %d steps, N = %d; %s, "+
		"η = %g, γ = %g.\n", m.Seeds, m.T, m.N, m.Form, m.Eta, m.Gamma)
}

// picture shows small-margin accuracy and c, each of the arms about the buffer and of those about
// the phases. Curves that come first lie on top.
func (m mechanismRuns) picture() figure.Picture {
	buffer, phases := []int{1, 2, 3, 0}, []int{4, 5, 6, 7, 8} // interventions
	colors := []figure.Category{figure.Blue, figure.Vermilion, figure.Green, figure.Purple,
		figure.Orange, figure.Sky, figure.Black, figure.Green, figure.Purple}
	panel := func(title, label, column string, scale float64, y figure.Axis,
		summary figure.Summary, arms []int) figure.Panel {
		y.Label = label
		p := figure.Panel{Title: title, X: figure.Axis{Label: "step", Log: true}, Y: y}
		for _, i := range arms {
			line := band(m.interventions[i].name, colors[i], m.main, m.interventions[i].lane.Name,
				column, scale, summary)
			line.Dashed = i == 3 // it hides GD, which it equals but for the end
			p.Lines = append(p.Lines, line)
		}
		return p
	}
	accuracy := func(title string, arms []int) figure.Panel {
		return panel(title, "small-margin test accuracy (%)", "test_2", 100,
			figure.Axis{Low: 0, High: 102}, percent, arms)
	}
	feature := func(title string, arms []int) figure.Panel {
		return panel(title, "c", "c", 1, figure.Axis{Log: true}, figure.Geometric95, arms)
	}
	return figure.Picture{
		Title: fmt.Sprintf("What carries the feature over: N = %d", m.N),
		Note: overSeeds(m.Seeds) + ". The moment of an intervention is the fit of Z₁, the " +
			"first step before which the mean of ℓ over Z₁ is below " + fmt.Sprint(m.Fitted) + ".",
		Panels: [][]figure.Panel{
			{accuracy("(a) the buffer", buffer), accuracy("(b) phases", phases)},
			{feature("(c) the buffer", buffer), feature("(d) phases", phases)},
		},
		Width: 7.2,
	}
}
