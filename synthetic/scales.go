package main

import (
	"context"
	"fmt"
	"math"

	"momentum/internal/figure"
	"momentum/internal/page"
	"momentum/internal/stats"
)

// sweep varies one constant over some values, for every seed.
type sweep struct {
	label    string    // of the axis
	x        []float64 // values on the axis
	settings []Settings
	names    []string    // of the settings, for the table
	runs     [][]trained // of each setting, one per seed
}

// sweeps vary d, β and γ.
func (s Settings) sweeps() []sweep {
	d, beta, gamma := sweep{label: "d"}, sweep{label: "β"}, sweep{label: "1/(1−γ)"}
	for _, x := range []int{15, 30, 60, 120} {
		v := s
		v.D, v.Alpha = x, math.Pow(float64(x), 0.49)
		d.add(float64(x), v, fmt.Sprintf("d = %d", x))
	}
	for _, x := range []float64{0.1, 0.2, 0.4, 0.8} {
		v := s
		v.Beta = x
		beta.add(x, v, fmt.Sprintf("β = %g", x))
	}
	for _, x := range []float64{0.9, 0.97, 0.99, 0.997} {
		v := s
		v.Gamma = x
		gamma.add(1/(1-x), v, fmt.Sprintf("γ = %g", x))
	}
	return []sweep{d, beta, gamma}
}

func (w *sweep) add(x float64, s Settings, name string) {
	w.x, w.settings, w.names = append(w.x, x), append(w.settings, s), append(w.names, name)
}

// scales varies d, β and γ one at a time, or with -preset=theory d alone and everything with it,
// and draws what should scale with them.
func (s *session) scales(ctx context.Context, set Settings) (page.Section, error) {
	if s.request.preset == "theory" {
		return s.growth(ctx, set)
	}
	sweeps := set.sweeps()
	if err := s.trainSweeps(ctx, set, sweeps); err != nil {
		return page.Section{}, err
	}
	base := s.out("scales")
	if err := set.drawScales(ctx, sweeps, base); err != nil {
		return page.Section{}, err
	}
	fmt.Fprintf(s.stdout, "picture   %s.png\n", base)
	result := scalesTable(sweeps)
	s.print(result)
	if err := s.writeText("scales.md", result.Markdown()); err != nil {
		return page.Section{}, err
	}
	return page.Section{
		Title: "How the scales move",
		Text: "The theory predicts orders of magnitude: GD stops at c ≈ 1/α and memorizes noise, " +
			"GD+M goes on to c ≈ 1/β while its noise stays at its initial size σ₀ σ √d, and the " +
			"momentum along w* is about √(1−γ)/α when Z₁ is learned. Here one constant at a time " +
			"is varied and the others are those of Figure 3.",
		Tables: []page.Table{result}, Pictures: []page.Picture{{Path: base + ".svg"}},
	}, nil
}

// trainSweeps trains GD and GD+M in every setting for every seed.
func (s *session) trainSweeps(ctx context.Context, set Settings, sweeps []sweep) error {
	var bundles []bundle
	for i := range set.Seeds {
		seed := set.Seed + uint64(i)
		for _, v := range sweeps[0].settings {
			bundles = append(bundles, v.bundle("scale-d", seed, v.gd(), v.gdm()))
		}
		for _, v := range sweeps[1].settings {
			bundles = append(bundles, v.bundle(fmt.Sprintf("scale-beta%g", v.Beta), seed, v.gd(),
				v.gdm()))
		}
		for _, v := range sweeps[2].settings {
			bundles = append(bundles, v.bundle(fmt.Sprintf("scale-gamma%g", v.Gamma), seed, v.gd(),
				v.gdm()))
		}
	}
	for i := range bundles {
		bundles[i].Dense = true
	}
	runs, err := s.train(ctx, "scales", bundles)
	if err != nil {
		return err
	}
	perSeed, k := len(bundles)/set.Seeds, 0
	for i := range sweeps {
		for range sweeps[i].settings {
			sweeps[i].runs = append(sweeps[i].runs, every(runs, k, perSeed))
			k++
		}
	}
	return nil
}

// band is the geometric mean and its 95% t interval of a value of each run, over a sweep.
func (w sweep) band(name string, color figure.Category,
	value func(trained, Settings) float64) figure.Line {
	curves := make([]figure.Curve, len(w.runs[0]))
	for i := range curves {
		curves[i].X = w.x
		for k, v := range w.settings {
			curves[i].Y = append(curves[i].Y, value(w.runs[k][i], v))
		}
	}
	line := figure.Band(curves, stats.Geometric95)
	line.Name, line.Color = name, color
	return line
}

// bands are the last values of a column for GD and GD+M.
func (w sweep) bands(column string) []figure.Line {
	last := func(lane string) func(trained, Settings) float64 {
		return func(t trained, _ Settings) float64 { return t.last(lane).get(column) }
	}
	return []figure.Line{w.band("GD", figure.Blue, last("gd")),
		w.band("GD+M", figure.Vermilion, last("gdm"))}
}

// guide is the scale that the theory predicts for each setting.
func (w sweep) guide(name string, predicted func(Settings) float64) figure.Line {
	line := figure.Line{Name: name, X: w.x, Dashed: true}
	for _, s := range w.settings {
		line.Y = append(line.Y, predicted(s))
	}
	return line
}

// initialNoise is the size of Ξ at the initial weights, σ₀ σ √d.
func (s Settings) initialNoise() float64 { return s.Sigma0 * s.Sigma * math.Sqrt(float64(s.D)) }

// momentumAtT0 is 𝒢 of the strongest neuron in the damped form when c reaches 1/α.
func momentumAtT0(t trained, s Settings) float64 {
	reached := t.curve("gdm", "c").firstStep(func(x float64) bool { return x >= 1/s.Alpha })
	momentum := t.curve("gdm", fmt.Sprintf("M%d", t.strongest("gdm", s.M)))
	scale := (1 - s.Gamma) / s.gdm().Gain()
	return -scale * momentum.value(float64(max(reached, 0)))
}

func (s Settings) drawScales(ctx context.Context, sweeps []sweep, base string) error {
	d, beta, gamma := sweeps[0], sweeps[1], sweeps[2]
	log := func(label string) figure.Axis { return figure.Axis{Label: label, Log: true} }
	panel := func(title, label, column string, w sweep, guides ...figure.Line) figure.Panel {
		return figure.Panel{Title: title, X: log(w.label), Y: log(label), Lines: w.bands(column),
			Guides: guides}
	}
	large := func(w sweep) figure.Line {
		return w.guide("1/α", func(s Settings) float64 { return 1 / s.Alpha })
	}
	small := func(w sweep) figure.Line {
		return w.guide("1/β", func(s Settings) float64 { return 1 / s.Beta })
	}
	noise := func(w sweep) figure.Line { return w.guide("σ₀ σ √d", Settings.initialNoise) }
	return figure.Picture{
		Title: fmt.Sprintf("Scales of the theory, one constant varied at a time: N = %d", s.N),
		Note: "Dashed: the theory's scale, without its constants and logarithms. Seeds: " +
			fmt.Sprint(s.Seeds) + "; geometric means and 95% t bands. M is −(momentum along " +
			"w*) of the neuron with the largest c at the end.",
		Panels: [][]figure.Panel{
			{panel("(a) c over d, with α = d⁰·⁴⁹", "c at the end", "c", d, large(d), small(d)),
				panel("(b) noise over d", "largest |Ξ| on Z₂", "xi_max_2", d, noise(d))},
			{panel("(c) c over β", "c at the end", "c", beta, large(beta), small(beta)),
				panel("(d) noise over β", "largest |Ξ| on Z₂", "xi_max_2", beta, noise(beta))},
			{panel("(e) c over γ", "c at the end", "c", gamma, large(gamma), small(gamma)),
				{Title: "(f) momentum along w* when c = 1/α", X: log(gamma.label), Y: log("M"),
					Lines: []figure.Line{gamma.band("GD+M", figure.Vermilion, momentumAtT0)},
					Guides: []figure.Line{gamma.guide("√(1−γ)/α", func(s Settings) float64 {
						return math.Sqrt(1-s.Gamma) / s.Alpha
					})}}},
		},
		Width: 7.2, OneLegend: true,
	}.Write(ctx, base)
}

func scalesTable(sweeps []sweep) page.Table {
	t := page.Table{Head: []string{"", "c, GD", "c, GD+M", "1/α", "1/β", "|Ξ|, GD", "|Ξ|, GD+M",
		"σ₀ σ √d", "small-margin acc., GD, %", "GD+M, %"}}
	for _, w := range sweeps {
		for k, v := range w.settings {
			mean := func(lane, column string, scale float64) string {
				return stats.Mean95(lastValues(w.runs[k], lane, column, scale)).String()
			}
			t.Add(w.names[k], mean("gd", "c", 1), mean("gdm", "c", 1), short(1/v.Alpha),
				short(1/v.Beta), mean("gd", "xi_max_2", 1), mean("gdm", "xi_max_2", 1),
				short(v.initialNoise()), mean("gd", "test_2", 100), mean("gdm", "test_2", 100))
		}
	}
	return t
}

func short(x float64) string { return fmt.Sprintf("%.3g", x) }
