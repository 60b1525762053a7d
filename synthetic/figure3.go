package main

import (
	"context"
	"fmt"

	"momentum/internal/cli"
	"momentum/internal/cubic"
	"momentum/internal/figure"
	"momentum/internal/page"
	"momentum/internal/stats"
)

// figure3 is the paper's Figure 3: training loss and test accuracy on either margin, for GD and
// GD+M from the same initial weights.
func (s *session) figure3(ctx context.Context, set Settings) (page.Section, error) {
	var bundles []bundle
	for i := range set.Seeds {
		bundles = append(bundles, set.pair(set.Seed+uint64(i)))
	}
	runs, err := s.train(ctx, "Figure 3", bundles)
	if err != nil {
		return page.Section{}, err
	}
	result := figure3Table(runs)
	s.print(result)
	base := s.out("figure3")
	if err := set.drawFigure3(ctx, runs, base); err != nil {
		return page.Section{}, err
	}
	fmt.Fprintf(s.stdout, "picture   %s.png\n", base)

	text := "Training loss, and test accuracy on samples with the large and with the small " +
		"margin, as in the paper's Figure 3. " +
		fmt.Sprintf("After %s steps GD has a training error of %s%% and GD+M of %s%%; on "+
			"small-margin test samples GD is right in %s%% and GD+M in %s%%. ",
			stepRange(runs), result.Rows[0][1], result.Rows[0][2], result.Rows[3][1],
			result.Rows[3][2]) +
		fmt.Sprintf("GD has learned c = %s of the feature, with noise |Ξ| of at most %s on Z₂; "+
			"GD+M has c = %s and |Ξ| of at most %s.",
			result.Rows[4][1], result.Rows[5][1], result.Rows[4][2], result.Rows[5][2])
	shown := page.Section{Title: "Figure 3: GD and GD+M", Text: text, Tables: []page.Table{result},
		Pictures: []page.Picture{{Path: base + ".svg"}}}
	if err := s.writeText("figure3.md", result.Markdown()); err != nil {
		return page.Section{}, err
	}
	for _, t := range runs {
		for _, l := range t.Lanes {
			if step, ok := t.last(l.Name).event(cubic.Diverged); ok {
				return shown, &cli.DivergedError{Err: fmt.Errorf("%s of seed %d diverged at step "+
					"%d: weights are no longer finite; use a smaller -lr", l.Name, t.Data.Seed,
					step)}
			}
		}
	}
	return shown, nil
}

// pair trains GD and GD+M, observed closely enough to see the order of events.
func (s Settings) pair(seed uint64) bundle {
	b := s.bundle("figure3", seed, s.gd(), s.gdm())
	b.Dense = true
	return b
}

// figure3Table compares GD and GD+M at the last step.
func figure3Table(runs []trained) page.Table {
	t := page.Table{Head: []string{"", "GD", "GD+M", "GD+M − GD"}}
	for _, row := range []struct {
		name, column string
		scale        float64
	}{
		{"training error, %", "error", 100}, {"training loss, nats", "loss", 1},
		{"large-margin test accuracy, %", "test_1", 100},
		{"small-margin test accuracy, %", "test_2", 100},
		{"c, largest ⟨wᵣ, w*⟩", "c", 1}, {"largest |Ξ| on Z₂", "xi_max_2", 1},
	} {
		gd := lastValues(runs, "gd", row.column, row.scale)
		gdm := lastValues(runs, "gdm", row.column, row.scale)
		t.Add(row.name, stats.Mean95(gd).String(), stats.Mean95(gdm).String(),
			stats.Mean95(stats.Paired(gdm, gd)).String())
	}
	return t
}

func (s Settings) drawFigure3(ctx context.Context, runs []trained, base string) error {
	last := 2.0 // a logarithmic axis from 1 needs some length
	for _, t := range runs {
		last = max(last, float64(t.lastStep()))
	}
	panel := func(title, label, column string, scale float64, y figure.Axis,
		summary figure.Summary) figure.Panel {
		y.Label = label
		return figure.Panel{
			Title: title, X: figure.Axis{Label: "step", Log: true, Low: 1, High: last}, Y: y,
			Lines: []figure.Line{
				band("GD", figure.Blue, runs, "gd", column, scale, summary),
				band("GD+M", figure.Vermilion, runs, "gdm", column, scale, summary),
			},
		}
	}
	accuracy := figure.Axis{Low: 0, High: 102}
	return figure.Picture{
		Title: fmt.Sprintf("Figure 3: N = %d, d = %d, m = %d, P = %d; %s, η = %g, γ = %g", s.N,
			s.D, s.M, s.P, s.Form, s.Eta, s.Gamma),
		Note: fmt.Sprintf("α = %.3g, β = %.3g, σ = %.3g, σ₀ = %.3g, %d small-margin samples, λ = "+
			"%g. %s; %d test samples, each tried with either margin.", s.Alpha, s.Beta, s.Sigma,
			s.Sigma0, s.SmallMargin, s.Lambda, overSeeds(s.Seeds), s.Test),
		Panels: [][]figure.Panel{
			{panel("(a) training loss", "loss (nats)", "loss", 1, figure.Axis{Log: true},
				figure.Geometric95),
				panel("(b) large margin", "test accuracy (%)", "test_1", 100, accuracy, percent)},
			{panel("(c) small margin", "test accuracy (%)", "test_2", 100, accuracy, percent)},
		},
		Width: 7.2, OneLegend: true,
	}.Write(ctx, base)
}
