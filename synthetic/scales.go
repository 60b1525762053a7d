package main

import (
	"context"
	"fmt"
	"math"

	"momentum/internal/figure"
	"momentum/internal/stats"
)

// scales varies d, β and γ one at a time, or with -preset=theory d alone and everything with it,
// and draws what the theory says scales with them.
func (s *session) scales(ctx context.Context, set Settings) (section, error) {
	if s.do.preset == "theory" {
		return s.growth(ctx, set)
	}
	ds, betas, gammas := []int{15, 30, 60, 120}, []float64{0.1, 0.2, 0.4, 0.8},
		[]float64{0.9, 0.97, 0.99, 0.997}
	var bundles []bundle
	var settings []Settings // of each bundle
	for i := range set.Seeds {
		seed := set.Seed + uint64(i)
		for _, d := range ds {
			v := set
			v.D, v.Alpha = d, math.Pow(float64(d), 0.49)
			bundles, settings = append(bundles, v.bundle("scale-d", seed, v.gd(), v.gdm())),
				append(settings, v)
		}
		for _, beta := range betas {
			v := set
			v.Beta = beta
			bundles, settings = append(bundles, v.bundle(fmt.Sprintf("scale-beta%g", beta), seed,
				v.gd(), v.gdm())), append(settings, v)
		}
		for _, gamma := range gammas {
			v := set
			v.Gamma = gamma
			bundles, settings = append(bundles, v.bundle(fmt.Sprintf("scale-gamma%g", gamma), seed,
				v.gd(), v.gdm())), append(settings, v)
		}
	}
	for i := range bundles {
		bundles[i].Dense = true
	}
	runs, err := s.train(ctx, "scales", bundles)
	if err != nil {
		return section{}, err
	}
	each := len(ds) + len(betas) + len(gammas)
	// over collects f of the bundles first … first+n−1 of every seed.
	over := func(name string, color figure.Category, x []float64, first int,
		f func(trained, Settings) float64) figure.Line {
		line := figure.Line{Name: name, Color: color, X: x}
		for k := range x {
			var values []float64
			for i := first + k; i < len(runs); i += each {
				values = append(values, math.Log(f(runs[i], settings[i])))
			}
			v := stats.Mean95(values)
			line.Y, line.Low, line.High = append(line.Y, math.Exp(v.Mean)),
				append(line.Low, math.Exp(v.Mean-v.Half)),
				append(line.High, math.Exp(v.Mean+v.Half))
		}
		if set.Seeds == 1 {
			line.Low, line.High = nil, nil
		}
		return line
	}
	last := func(lane, name string) func(trained, Settings) float64 {
		return func(t trained, _ Settings) float64 { return t.last(lane).get(name) }
	}
	predicted := func(name string, x []float64, f func(Settings, float64) float64) figure.Line {
		line := figure.Line{Name: name, X: x, Dashed: true}
		for _, x := range x {
			line.Y = append(line.Y, f(set, x))
		}
		return line
	}
	var fds []float64
	for _, d := range ds {
		fds = append(fds, float64(d))
	}
	var memory []float64
	for _, g := range gammas {
		memory = append(memory, 1/(1-g))
	}
	// 𝒢 of the strongest neuron when c reaches 1/α
	momentum := func(t trained, v Settings) float64 {
		at := t.curve("gdm", "c").first(func(x float64) bool { return x >= 1/v.Alpha })
		scale := (1 - v.Gamma) / v.gdm().Gain()
		return -scale * t.curve("gdm", fmt.Sprintf("M%d", t.strongest("gdm", v.M))).at(
			float64(max(at, 0)))
	}
	log := func(label string) figure.Axis { return figure.Axis{Label: label, Log: true} }
	first := []int{0, len(ds), len(ds) + len(betas)}
	feature := func(title, label string, x []float64, k int, guides ...figure.Line) figure.Panel {
		return figure.Panel{Title: title, X: log(label), Y: log("c at the end"), Guides: guides,
			Lines: []figure.Line{over("GD", figure.Blue, x, first[k], last("gd", "c")),
				over("GD+M", figure.Vermilion, x, first[k], last("gdm", "c"))}}
	}
	noise := func(title, label string, x []float64, k int, guides ...figure.Line) figure.Panel {
		return figure.Panel{Title: title, X: log(label), Y: log("largest |Ξ| on Z2"),
			Guides: guides,
			Lines: []figure.Line{over("GD", figure.Blue, x, first[k], last("gd", "xi_max_2")),
				over("GD+M", figure.Vermilion, x, first[k], last("gdm", "xi_max_2"))}}
	}
	bigger := func(_ Settings, d float64) float64 { return math.Pow(d, -0.49) }
	panels := [][]figure.Panel{
		{
			feature("(a) over d, α = d^0.49", "d", fds, 0, predicted("1/α", fds, bigger),
				predicted("1/β", fds, func(s Settings, _ float64) float64 { return 1 / s.Beta })),
			feature("(b) over β", "β", betas, 1,
				predicted("1/α", betas, func(s Settings, _ float64) float64 { return 1 / s.Alpha }),
				predicted("1/β", betas, func(_ Settings, b float64) float64 { return 1 / b })),
			feature("(c) over γ", "1/(1−γ)", memory, 2,
				predicted("1/α", memory, func(s Settings, _ float64) float64 {
					return 1 /
						s.Alpha
				}), predicted("1/β", memory,
					func(s Settings, _ float64) float64 { return 1 / s.Beta })),
		},
		{
			noise("(d) over d", "d", fds, 0, predicted("σ0 σ √d", fds,
				func(s Settings, d float64) float64 { return s.Sigma0 * s.Sigma * math.Sqrt(d) })),
			noise("(e) over β", "β", betas, 1,
				predicted("σ0 σ √d", betas, func(s Settings, _ float64) float64 {
					return s.Sigma0 *
						s.Sigma * math.Sqrt(float64(s.D))
				})),
			{Title: "(f) momentum along w* when c = 1/α", X: log("1/(1−γ)"), Y: log("M"),
				Lines: []figure.Line{over("GD+M", figure.Vermilion, memory, first[2], momentum)},
				Guides: []figure.Line{predicted("√(1−γ)/α", memory,
					func(s Settings, m float64) float64 { return math.Sqrt(1/m) / s.Alpha })}},
		},
	}
	base := s.out("scales")
	err = figure.Picture{
		Title: fmt.Sprintf("Scales of the theory, one constant varied at a time: N = %d", set.N),
		Note: "Dashed: the theory's scale, without its constants and logarithms. Seeds: " +
			fmt.Sprint(set.Seeds) + "; geometric means and 95% t bands. M is −(momentum along " +
			"w*) of the neuron with the largest c at the end.",
		Panels: panels, Width: 10.5, Height: 6.4,
	}.Write(base)
	if err != nil {
		return section{}, err
	}
	fmt.Fprintf(s.stdout, "picture   %s.png\n", base)
	result := table{Head: []string{"", "c, GD", "c, GD+M", "1/α", "1/β", "|Ξ|, GD", "|Ξ|, GD+M",
		"σ0 σ √d", "small-margin acc., GD, %", "GD+M, %"}}
	for k := range each {
		v := settings[k]
		name := fmt.Sprintf("d = %d", v.D)
		if k >= first[2] {
			name = fmt.Sprintf("γ = %g", v.Gamma)
		} else if k >= first[1] {
			name = fmt.Sprintf("β = %g", v.Beta)
		}
		mean := func(lane, column string, scale float64) string {
			var x []float64
			for i := k; i < len(runs); i += each {
				x = append(x, scale*runs[i].last(lane).get(column))
			}
			return stats.Mean95(x).String()
		}
		result.add(name, mean("gd", "c", 1), mean("gdm", "c", 1), fmt.Sprintf("%.3g", 1/v.Alpha),
			fmt.Sprintf("%.3g", 1/v.Beta), mean("gd", "xi_max_2", 1), mean("gdm", "xi_max_2", 1),
			fmt.Sprintf("%.3g", v.Sigma0*v.Sigma*math.Sqrt(float64(v.D))),
			mean("gd", "test_2", 100), mean("gdm", "test_2", 100))
	}
	fmt.Fprintln(s.stdout)
	result.print(s.stdout)
	if err := s.writeText("scales.md", result.markdown()); err != nil {
		return section{}, err
	}
	return section{
		Title: "How the scales move",
		Text: "The theory predicts orders of magnitude: GD stops at c ≈ 1/α and memorizes noise, " +
			"GD+M goes on to c ≈ 1/β while its noise stays at its initial size σ0 σ √d, and the " +
			"momentum along w* is about √(1−γ)/α when Z1 is learned. " +
			"Here one constant at a time is varied and the others are those of Figure 3.",
		Table: result, Pictures: []string{base + ".svg"},
	}, nil
}

// growth is -preset=theory: everything is scaled with d as the theory has it.
func (s *session) growth(ctx context.Context, set Settings) (section, error) {
	var ds []int
	for d := set.D; d >= max(3, set.D/8); d /= 2 { // β of d = 2 would be above α
		ds = append([]int{d}, ds...)
	}
	var bundles []bundle
	var settings []Settings
	for _, d := range ds {
		v := set
		if d != set.D {
			v = theory(set, d)
			v.T = min(v.T, set.T) // theory's T grows with d: this is -T
		}
		for i := range set.Seeds {
			bundles, settings = append(bundles, v.bundle("theory", set.Seed+uint64(i), v.gd(),
				v.gdm())), append(settings, v)
		}
	}
	runs, err := s.train(ctx, "theory", bundles)
	if err != nil {
		return section{}, err
	}
	result := table{Head: []string{"d", "N", "α", "β", "σ", "σ0", "γ", "small-margin acc., GD, %",
		"GD+M, %", "c, GD", "c, GD+M", "1/α", "1/β", "|Ξ|, GD", "|Ξ|, GD+M",
		"training error, GD, %", "GD+M, %"}}
	for k := 0; k < len(runs); k += set.Seeds {
		v := settings[k]
		mean := func(lane, column string, scale float64) string {
			var x []float64
			for _, t := range runs[k : k+set.Seeds] {
				x = append(x, scale*t.last(lane).get(column))
			}
			return stats.Mean95(x).String()
		}
		g := func(x float64) string { return fmt.Sprintf("%.3g", x) }
		result.add(fmt.Sprint(v.D), fmt.Sprint(v.N), g(v.Alpha), g(v.Beta), g(v.Sigma), g(v.Sigma0),
			fmt.Sprintf("%.4g", v.Gamma), mean("gd", "test_2", 100), mean("gdm", "test_2", 100),
			mean("gd", "c", 1), mean("gdm", "c", 1), g(1/v.Alpha), g(1/v.Beta),
			mean("gd", "xi_max_2", 1), mean("gdm", "xi_max_2", 1), mean("gd", "error", 100),
			mean("gdm", "error", 100))
	}
	fmt.Fprintln(s.stdout)
	result.print(s.stdout)
	if err := s.writeText("growth.md", result.markdown()); err != nil {
		return section{}, err
	}
	return section{
		Title: "Everything scaled with d",
		Text: "α, β, σ, σ0, μ, N and γ follow d as in the paper's theory, with β = α/(√d ln d), " +
			"σ0 = √(ln d / d)/10, γ = 1 − ln d/(10 d), N = 32 d and 4 small-margin samples.",
		Table: result,
	}, nil
}
