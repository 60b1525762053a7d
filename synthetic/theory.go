package main

import (
	"context"
	"fmt"
	"math"

	"momentum/internal/cubic"
	"momentum/internal/figure"
)

// A theorem or lemma of the paper is asymptotic: its constants and powers of log d are not given.
// Here
//
//   - O(x) and Ω(x) count as seen up to a factor of 10;
//   - c = O(1/α) and c = Ω(1/β), which must tell the two algorithms apart, count as seen when c is
//     nearer to the one than to the other on a
//     logarithmic scale.
const order = 10

// claim is one row of the checklist.
type claim struct {
	Where     string // in the paper
	What      string
	Predicted string
	Measured  string
	Seen      bool
}

// theory is the checklist for GD and GD+M of the first seed, the run of Figure 3.
func (s *session) theory(ctx context.Context, set Settings) (section, error) {
	runs, err := s.train(ctx, "theory", []bundle{set.pair(set.Seed)})
	if err != nil {
		return section{}, err
	}
	claims := append(set.claimsGD(runs[0]), set.claimsGDM(runs[0])...)
	result := table{Head: []string{"where", "claim", "predicted", "measured", "seen"}, Text: true}
	seen := 0
	for _, c := range claims {
		mark := "no"
		if c.Seen {
			mark = "yes"
			seen++
		}
		result.add(c.Where, c.What, c.Predicted, c.Measured, mark)
	}
	fmt.Fprintln(s.stdout)
	result.print(s.stdout)
	if err := s.writeText("theory.md", result.markdown()); err != nil {
		return section{}, err
	}
	base := s.out("theory")
	if err := set.drawTheory(runs[0], base); err != nil {
		return section{}, err
	}
	fmt.Fprintf(s.stdout, "picture   %s.png\n", base)
	return section{
		Title: "The theory as a checklist",
		Text: fmt.Sprintf("What Theorems 3.1 and 3.2 and Lemmas 4.1 to 5.5 say of one run of GD "+
			"and one of GD+M, and what was measured: %d of %d are seen. "+
			"O and Ω count up to a factor of %d, since the paper leaves constants and logarithms "+
			"open; c counts as of order 1/α or 1/β by which of them is nearer. "+
			"Each algorithm is taken at the same η and, in the damped form, the same effective "+
			"rate.", seen, len(claims), order),
		Table: result, Pictures: []string{base + ".svg"},
	}, nil
}

// curve is a column over the observed steps.
type curve struct{ step, value []float64 }

func (t trained) curve(lane, name string) curve {
	x, y := t.series(lane, name)
	return curve{x, y}
}

// first is the first observed step at which the value satisfies the condition, −1 if none does.
func (c curve) first(ok func(float64) bool) int {
	for i, v := range c.value {
		if ok(v) {
			return int(c.step[i])
		}
	}
	return -1
}

// at is the value at the last observed step that is not after the given one.
func (c curve) at(step float64) float64 {
	value := math.NaN()
	for i, s := range c.step {
		if s <= step {
			value = c.value[i]
		}
	}
	return value
}

func (c curve) last() float64 { return c.value[len(c.value)-1] }

// sum is the sum over all steps up to the last one, by the trapezoidal rule between those that were
// observed.
func (c curve) sum() float64 {
	sum := 0.0
	for i := 1; i < len(c.step); i++ {
		sum += (c.step[i] - c.step[i-1]) * (c.value[i] + c.value[i-1]) / 2
	}
	return sum
}

// most is the largest value of f over the observed steps from the given one on.
func (c curve) most(from float64, f func(step, value float64) float64) float64 {
	most := math.Inf(-1)
	for i, s := range c.step {
		if s >= from {
			most = max(most, f(s, c.value[i]))
		}
	}
	return most
}

// strongest is the neuron, counted from 1, whose c_r is the largest at the end.
func (t trained) strongest(lane string, m int) int {
	best, most := 1, math.Inf(-1)
	for r := 1; r <= m; r++ {
		if c := t.last(lane).get(fmt.Sprintf("c%d", r)); c > most {
			best, most = r, c
		}
	}
	return best
}

// when writes a step, or that it did not come.
func when(step int, t trained) string {
	if step < 0 {
		return fmt.Sprintf("not in %d steps", t.rows[len(t.rows)-1].Step)
	}
	return fmt.Sprintf("step %d", step)
}

// within says whether a step came, and within a factor of order of the predicted one.
func within(step int, predicted float64) bool {
	return step >= 0 && float64(step) <= order*math.Max(1, predicted)
}

// nearer says whether x is nearer to a than to b on a logarithmic scale.
func nearer(x, a, b float64) bool {
	return x > 0 && math.Abs(math.Log(x/a)) < math.Abs(math.Log(x/b))
}

// rate is the effective rate of GD+M, the η of the damped form in which the paper states its
// lemmas.
func (s Settings) rate() float64 { return s.gdm().EffectiveRate(s.Eta) }

func (s Settings) claimsGD(t trained) []claim {
	large, small := 1/s.Alpha, 1/s.Beta
	mu := float64(s.SmallMargin) / float64(s.N)
	d, n := float64(s.D), float64(s.N)
	c, nu1, nu2 := t.curve("gd", "c"), t.curve("gd", "nu_1"), t.curve("gd", "nu_2")
	noise := t.curve("gd", "noise_min_2")
	end := t.last("gd")

	t0 := 1 / (s.Eta * math.Pow(s.Alpha, 3) * s.Sigma0)
	reached := c.first(func(x float64) bool { return x >= large })
	bound := nu1.most(float64(max(reached, 0)), func(step, x float64) float64 {
		return x * s.Eta * (step - float64(reached) + 1) * s.Alpha
	})
	overtaken := -1
	for i := len(nu1.step) - 1; i >= 0 && nu2.value[i] > nu1.value[i]; i-- {
		overtaken = int(nu1.step[i])
	}
	grown, allowed := c.last()-c.at(float64(max(reached, 0))),
		3*s.Eta*math.Pow(s.Beta, 3)*large*large*nu2.sum()
	t1 := n / (s.Eta * s.Sigma0 * s.Sigma * math.Sqrt(d) * s.Sigma * s.Sigma * d)
	memorized := noise.first(func(x float64) bool { return x >= 1 })
	sum := nu2.sum() * s.Eta
	return []claim{
		{"Lemma 4.1", "GD: c ≥ Ω(1/α) from T0 = Θ(1/(η α³ σ0)) on",
			fmt.Sprintf("c = %.3g by step %.3g", large, t0), when(reached, t), within(reached, t0)},
		{"Lemma 4.2", "GD: after T0, ν1 ≤ O(1/(η (t−T0+1) α)) …",
			fmt.Sprintf("ν1·η(t−T0+1)α ≤ %d", order), fmt.Sprintf("at most %.2g", bound), reached >=
				0 && bound <= order},
		{"Lemma 4.2", "GD: … so Z2 rules the gradient: ν2 > ν1", "after T0", when(overtaken, t) +
			" on", overtaken >= 0 && reached >= 0},
		{"Lemma 4.3", "GD: c grows by at most O(η β³/α²) Σ ν2 after T0",
			fmt.Sprintf("≤ %d·%.2g", order, allowed), fmt.Sprintf("%.2g", grown), reached >= 0 &&
				grown <= order*allowed},
		{"Lemma 4.4", "GD: y_i Ξ_i ≥ Ω(1) for all of Z2 from T1 on",
			fmt.Sprintf("≥ 1 by step %.2g", t1), when(memorized, t), within(memorized, t1)},
		{"Lemma 4.5", "GD: η Σ ν2 stays bounded: ≤ O(1/σ0)",
			fmt.Sprintf("≤ %d·%.3g", order, 1/s.Sigma0), fmt.Sprintf("%.3g", sum), sum <=
				order/s.Sigma0},
		{"Lemma 4.6, Theorem 3.1", "GD: c stays O(1/α)", fmt.Sprintf("1/α = %.3g, not 1/β = %.3g",
			large, small), fmt.Sprintf("%.3g", end.get("c")), nearer(end.get("c"), large, small)},
		{"Theorem 3.1", "GD memorizes Z2: every |Ξ_i| ≥ Ω(1)", "≥ 1",
			fmt.Sprintf("smallest y_i Ξ_i is %.3g", end.get("noise_min_2")),
			end.get("noise_min_2") >= 1},
		{"Theorem 3.1", "GD: training error ≈ 0, test error ≥ Ω(μ)",
			fmt.Sprintf("0 and ≥ %.2g", mu/order),
			fmt.Sprintf("%.3g and %.2g", end.get("error"), s.testError(end)), end.get("error") ==
				0 && s.testError(end) >= mu/order},
	}
}

// testError is the error on the distribution: the two margins by their shares.
func (s Settings) testError(r laneRow) float64 {
	mu := float64(s.SmallMargin) / float64(s.N)
	return (1-mu)*(1-r.get("test_1")) + mu*(1-r.get("test_2"))
}

func (s Settings) claimsGDM(t trained) []claim {
	large, small := 1/s.Alpha, 1/s.Beta
	mu := float64(s.SmallMargin) / float64(s.N)
	memory := 1 / (1 - s.Gamma)
	eta := s.rate()
	c := t.curve("gdm", "c")
	end := t.last("gdm")

	t0 := 1/(eta*math.Pow(s.Alpha, 3)*s.Sigma0) + memory
	reached := c.first(func(x float64) bool { return x >= large })
	// 𝒢 of the strongest neuron, which points down the gradient. The buffer of the undamped form is
	// 1/(1−γ) times that of the damped one.
	r := t.strongest("gdm", s.M)
	scale := s.gdm().Gain()
	scale = (1 - s.Gamma) / scale
	momentum := -t.curve("gdm", fmt.Sprintf("M%d", r)).at(float64(max(reached, 0))) * scale
	gradient := -t.curve("gdm", fmt.Sprintf("G%d", r)).at(float64(max(reached, 0)) + memory)
	later := -t.curve("gdm", fmt.Sprintf("M%d", r)).at(float64(max(reached, 0))+memory) * scale
	wanted := math.Sqrt(1-s.Gamma) / s.Alpha
	carried := c.first(func(x float64) bool { return x >= small })
	after := c.at(float64(max(reached, 0)) + memory)
	nu := t.curve("gdm", "nu_1")
	for i, x := range t.curve("gdm", "nu_2").value {
		nu.value[i] += x
	}
	t1 := float64(max(reached, 0)) + memory
	last := nu.step[len(nu.step)-1] // a run that ends before T1 says nothing of what comes after it
	bound := nu.most(t1, func(step, x float64) float64 {
		return x * eta * (step - t1 + 1) *
			s.Beta
	})
	noise := max(end.get("xi_max_1"), end.get("xi_max_2"))
	size := s.Sigma0 * s.Sigma * math.Sqrt(float64(s.D))
	return []claim{
		{"Lemma 5.1", "GD+M: c ≥ Ω(1/α) from T0 = Θ(1/(η α³ σ0) + 1/(1−γ)) on",
			fmt.Sprintf("c = %.3g by step %.3g", large, t0), when(reached, t), within(reached, t0)},
		{"Lemma 5.2", "GD+M: 𝒢 ≥ Ω(√(1−γ)/α) at T0", fmt.Sprintf("≥ %.2g/%d", wanted, order),
			fmt.Sprintf("%.2g", momentum), momentum >= wanted/order},
		{"Lemma 5.2", "GD+M: … and it outlasts the gradient: 𝒢 ≫ G at T0 + 1/(1−γ)",
			fmt.Sprintf("𝒢/G ≥ %d", order), fmt.Sprintf("%.2g against %.2g", later, gradient),
			reached >= 0 && later > 0 && later >= order*gradient},
		{"Lemma 5.3", "GD+M: c ≥ Ω(1/β) from T1 = T0 + Θ(1/(1−γ)) on",
			fmt.Sprintf("1/β = %.3g by step %.3g", small, t1),
			fmt.Sprintf("%.3g then; 1/β: %s", after, when(carried, t)), reached >= 0 &&
				nearer(after, small, large)},
		{"Lemma 5.4", "GD+M: after T1, ν ≤ O(1/(η (t−T1+1) β))",
			fmt.Sprintf("ν·η(t−T1+1)β ≤ %d", order), fmt.Sprintf("at most %.2g", bound), reached >=
				0 && last >= t1 && bound <= order},
		{"Lemma 5.5, Theorem 3.2", "GD+M: every |Ξ_{i,j,r}| stays O(σ0 σ √d)",
			fmt.Sprintf("≤ %d·%.2g", order, size), fmt.Sprintf("%.3g", noise), noise <= order*size},
		{"Theorem 3.2", "GD+M: c reaches Ω(1/β)", fmt.Sprintf("1/β = %.3g, not 1/α = %.3g", small,
			large), fmt.Sprintf("%.3g", end.get("c")), nearer(end.get("c"), small, large)},
		{"Theorem 3.2", "GD+M: training error 0, test error O(μ/poly(d))",
			fmt.Sprintf("0 and < %.2g", mu/order),
			fmt.Sprintf("%.3g and %.2g", end.get("error"), s.testError(end)), end.get("error") ==
				0 && s.testError(end) < mu/order},
	}
}

// drawTheory shows the quantities of the lemmas over the steps, with the events as marks.
func (s Settings) drawTheory(t trained, base string) error {
	last := max(2, float64(t.rows[len(t.rows)-1].Step)) // an axis has a length
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
	var marks []figure.Mark
	for _, lane := range []struct {
		name, shown string
		color       figure.Category
	}{{"gd", "GD", figure.Blue}, {"gdm", "GD+M", figure.Vermilion}} {
		if step, ok := t.last(lane.name).event(cubic.Fit1); ok {
			marks = append(marks, figure.Mark{X: max(1, float64(step)), Label: lane.shown +
				" fits Z1", Color: lane.color})
		}
		if step, ok := t.last(lane.name).event(cubic.Fit2); ok {
			marks = append(marks, figure.Mark{X: max(1, float64(step)), Label: lane.shown +
				" fits Z2", Color: lane.color})
		}
	}
	gd, gdm := t.strongest("gd", s.M), t.strongest("gdm", s.M)
	return figure.Picture{
		Title: fmt.Sprintf("The theory watched: N = %d, d = %d, %s, η = %g, γ = %g, seed %d", s.N,
			s.D, s.Form, s.Eta, s.Gamma, t.Data.Seed),
		Note: "A set is fitted when the mean of its ℓ = sigmoid(−y f) falls below " +
			fmt.Sprint(s.Fitted) + ". G = −(gradient along w*) and M = −(momentum along w*) of " +
			"the neuron with the largest c at the end; GD has no momentum, its M is G of the " +
			"step before.",
		Panels: [][]figure.Panel{
			{
				{Title: "(a) c, the feature learned", X: x, Y: figure.Axis{Label: "c", Log: true},
					Lines: both("c"), Guides: []figure.Line{level(1/s.Alpha, "1/α"),
						level(1/s.Beta, "1/β")}, Marks: marks},
				{Title: "(b) largest |Ξ| on Z2", X: x, Y: figure.Axis{Label: "|Ξ|", Log: true},
					Lines: both("xi_max_2"),
					Guides: []figure.Line{level(s.Sigma0*s.Sigma*math.Sqrt(float64(s.D)),
						"σ0 σ √d")}},
			},
			{
				{Title: "(c) what is left to learn", X: x,
					Y: figure.Axis{Label: "ν", Log: true, Low: 1e-6, High: 1}, Lines: []figure.Line{
						line("ν1, GD", figure.Blue, "gd", "nu_1", 1, false),
						line("ν2, GD", figure.Sky, "gd", "nu_2", 1, true),
						line("ν1, GD+M", figure.Vermilion, "gdm", "nu_1", 1, false),
						line("ν2, GD+M", figure.Orange, "gdm", "nu_2", 1, true)}},
				{Title: "(d) along w*", X: x, Y: figure.Axis{Label: "G, M", Log: true, Low: 1e-6,
					High: 3}, Lines: []figure.Line{
					line("G, GD", figure.Blue, "gd", fmt.Sprintf("G%d", gd), -1, false),
					line("G, GD+M", figure.Orange, "gdm", fmt.Sprintf("G%d", gdm), -1, true),
					line("M, GD+M", figure.Vermilion, "gdm", fmt.Sprintf("M%d", gdm), -1,
						false)},
					Guides: []figure.Line{level(math.Sqrt(1-s.Gamma)/s.Alpha, "√(1−γ)/α")}},
			},
		},
		Width: 10, Height: 6.6,
	}.Write(base)
}
