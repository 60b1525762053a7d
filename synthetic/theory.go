package main

import (
	"context"
	"fmt"
	"math"

	"momentum/internal/cubic"
	"momentum/internal/figure"
	"momentum/internal/page"
)

// theory is the checklist of the theorems and lemmas, for GD and GD+M of the first seed of Figure
// 3.
func (s *session) theory(ctx context.Context, set Settings) (page.Section, error) {
	runs, err := s.train(ctx, "theory", []bundle{set.pair(set.Seed)})
	if err != nil {
		return page.Section{}, err
	}
	claims := append(set.claimsGD(runs[0]), set.claimsGDM(runs[0])...)
	result := page.Table{Head: []string{"where", "claim", "predicted", "measured", "seen"}}
	seen := 0
	for _, c := range claims {
		mark := "no"
		if c.Seen {
			mark = "yes"
			seen++
		}
		result.Add(c.Where, c.What, c.Predicted, c.Measured, mark)
	}
	s.print(result)
	if err := s.writeText("theory.md", result.Markdown()); err != nil {
		return page.Section{}, err
	}
	base := s.out("theory")
	if err := set.theoryPicture(runs[0]).Write(ctx, base); err != nil {
		return page.Section{}, err
	}
	fmt.Fprintf(s.stdout, "picture   %s.png\n", base)
	return page.Section{
		Title: "The theory as a checklist",
		Text: fmt.Sprintf("What Theorems 3.1 and 3.2 and Lemmas 4.1 to 5.5 say of one run of GD "+
			"and one of GD+M, and what was measured: %d of %d are seen. "+
			"O and Ω count up to a factor of %d, since the paper leaves constants and logarithms "+
			"open; c counts as of order 1/α or 1/β by which of them is nearer. "+
			"Each algorithm is taken at the same η and, in the damped form, the same effective "+
			"rate.", seen, len(claims), order),
		Tables: []page.Table{result}, Pictures: []page.Picture{{Path: base + ".svg"}},
	}, nil
}

// theoryPicture shows the quantities of the lemmas over the steps, with the events as marks.
func (s Settings) theoryPicture(t trained) figure.Picture {
	last := max(2, float64(t.lastStep())) // a logarithmic axis from 1 needs some length
	x := figure.Axis{Label: "step", Log: true, Low: 1, High: last}
	level := func(y float64, name string) figure.Line {
		return figure.Line{Name: name, X: []float64{1, last}, Y: []float64{y, y}, Dashed: true}
	}
	line := func(name string, color figure.Category, lane, column string, scale float64,
		dashed bool) figure.Line {
		l := figure.Line{Name: name, Color: color, Dashed: dashed}
		l.X, l.Y = t.series(lane, column)
		for i := range l.Y {
			l.Y[i] *= scale
		}
		return l
	}
	both := func(column string) []figure.Line {
		return []figure.Line{line("GD", figure.Blue, "gd", column, 1, false),
			line("GD+M", figure.Vermilion, "gdm", column, 1, false)}
	}
	feature := figure.Panel{Title: "(a) c, the feature learned", X: x,
		Y: figure.Axis{Label: "c", Log: true}, Lines: both("c"),
		Guides: []figure.Line{level(1/s.Alpha, "1/α"), level(1/s.Beta, "1/β")}, Marks: t.fits()}
	noise := figure.Panel{Title: "(b) largest |Ξ| on Z₂", X: x,
		Y: figure.Axis{Label: "|Ξ|", Log: true}, Lines: both("xi_max_2"),
		Guides: []figure.Line{level(s.initialNoise(), "σ₀ σ √d")}}
	rest := figure.Panel{Title: "(c) what is left to learn", X: x,
		Y: figure.Axis{Label: "ν", Log: true, Low: 1e-6, High: 1}, Lines: []figure.Line{
			line("ν₁, GD", figure.Blue, "gd", "nu_1", 1, false),
			line("ν₂, GD", figure.Blue, "gd", "nu_2", 1, true),
			line("ν₁, GD+M", figure.Vermilion, "gdm", "nu_1", 1, false),
			line("ν₂, GD+M", figure.Vermilion, "gdm", "nu_2", 1, true)}}
	gd, gdm := t.strongest("gd", s.M), t.strongest("gdm", s.M)
	along := []figure.Line{
		line("G, GD", figure.Blue, "gd", fmt.Sprintf("G%d", gd), -1, false),
		line("G, GD+M", figure.Vermilion, "gdm", fmt.Sprintf("G%d", gdm), -1, true),
		line("M, GD+M", figure.Vermilion, "gdm", fmt.Sprintf("M%d", gdm), -1, false)}
	momentum := figure.Panel{Title: "(d) along w*", X: x,
		Y: figure.Axis{Label: "G, M", Log: true, Low: 1e-6,
			High: 1.2 * largest(1, along[0].Y, along[1].Y, along[2].Y)},
		Lines: along, Guides: []figure.Line{level(math.Sqrt(1-s.Gamma)/s.Alpha, "√(1−γ)/α")}}
	return figure.Picture{
		Title: fmt.Sprintf("The theory watched: N = %d, d = %d, %s, η = %g, γ = %g, seed %d", s.N,
			s.D, s.Form, s.Eta, s.Gamma, t.Data.Seed),
		Note: "A set is fitted when the mean of its ℓ = sigmoid(−y f) falls below " +
			fmt.Sprint(s.Fitted) + ". G = −(gradient along w*) and M = −(momentum along w*) of " +
			"the neuron with the largest c at the end; GD has no momentum, its M is G of the " +
			"step before. (c) and (d) leave out what is below 10⁻⁶.",
		Panels: [][]figure.Panel{{feature, noise}, {rest, momentum}},
		Width:  7.2,
	}
}

// fits marks the steps at which GD and GD+M fit Z₁ and Z₂.
func (t trained) fits() []figure.Mark {
	var marks []figure.Mark
	for _, lane := range []struct {
		name, label string
		color       figure.Category
	}{{"gd", "GD", figure.Blue}, {"gdm", "GD+M", figure.Vermilion}} {
		for i, event := range []cubic.Event{cubic.Fit1, cubic.Fit2} {
			if step, ok := t.last(lane.name).event(event); ok {
				marks = append(marks, figure.Mark{X: max(1, float64(step)), Color: lane.color,
					Label: lane.label + " fits " + []string{"Z₁", "Z₂"}[i]})
			}
		}
	}
	return marks
}
