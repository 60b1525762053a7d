package main

import (
	"context"
	"fmt"
	"slices"

	"momentum/internal/page"
	"momentum/internal/stats"
)

// growth is -preset=theory: everything scales with d as in the theory.
func (s *session) growth(ctx context.Context, set Settings) (page.Section, error) {
	var ds []int
	for d := set.D; d >= max(3, set.D/8); d /= 2 { // with d = 2, β would be above α
		ds = append(ds, d)
	}
	slices.Reverse(ds)
	var bundles []bundle
	var settings []Settings // of each d
	for _, d := range ds {
		v := set
		if d != set.D {
			v = theory(set, d)
			v.T = min(v.T, set.T) // the theory's T grows with d; set.T is that of -T
		}
		settings = append(settings, v)
		for i := range set.Seeds {
			bundles = append(bundles, v.bundle("theory", set.Seed+uint64(i), v.gd(), v.gdm()))
		}
	}
	runs, err := s.train(ctx, "theory", bundles)
	if err != nil {
		return page.Section{}, err
	}
	result := page.Table{Head: []string{"d", "N", "α", "β", "σ", "σ₀", "γ",
		"small-margin acc., GD, %", "GD+M, %", "c, GD", "c, GD+M", "1/α", "1/β", "|Ξ|, GD",
		"|Ξ|, GD+M", "training error, GD, %", "GD+M, %"}}
	for k, v := range settings {
		mean := func(lane, column string, scale float64) string {
			return stats.WithFew(lastValues(runs[k*set.Seeds:][:set.Seeds], lane, column, scale))
		}
		result.Add(fmt.Sprint(v.D), fmt.Sprint(v.N), short(v.Alpha), short(v.Beta), short(v.Sigma),
			short(v.Sigma0), fmt.Sprintf("%.4g", v.Gamma), mean("gd", "test_2", 100),
			mean("gdm", "test_2", 100), mean("gd", "c", 1), mean("gdm", "c", 1),
			short(1/v.Alpha), short(1/v.Beta), mean("gd", "xi_max_2", 1),
			mean("gdm", "xi_max_2", 1), mean("gd", "error", 100), mean("gdm", "error", 100))
	}
	s.print(result)
	if err := s.writeText("growth.md", result.Markdown()); err != nil {
		return page.Section{}, err
	}
	return page.Section{
		Title: "Everything scaled with d",
		Text: "α, β, σ, σ₀, μ, N and γ follow d as in the paper's theory, with β = α/(√d ln d), " +
			"σ₀ = √(ln d / d)/10, γ = 1 − ln d/(10 d), N = 32 d and 4 small-margin samples.",
		Tables: []page.Table{result},
	}, nil
}
