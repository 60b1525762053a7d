package main

import (
	"fmt"
	"math"
)

// order is the factor up to which O(x) and Ω(x) count as seen. The theorems and lemmas of the paper
// are asymptotic, and their constants and powers of log d are not given. c = O(1/α) and c = Ω(1/β),
// which must tell the two algorithms apart, count as seen when c is nearer to the one than to the
// other on a logarithmic scale.
const order = 10

// claim is one row of the checklist.
type claim struct {
	Where     string // in the paper
	What      string
	Predicted string
	Measured  string
	Seen      bool
}

// describeStep writes the step of something that may not have happened.
func describeStep(step int, t trained) string {
	if step < 0 {
		return fmt.Sprintf("not in %d steps", t.lastStep())
	}
	return fmt.Sprintf("step %d", step)
}

// withinOrder reports whether a step came, at most a factor of order after the predicted one.
func withinOrder(step int, predicted float64) bool {
	return step >= 0 && float64(step) <= order*math.Max(1, predicted)
}

// nearer reports whether x is nearer to a than to b on a logarithmic scale.
func nearer(x, a, b float64) bool {
	return x > 0 && math.Abs(math.Log(x/a)) < math.Abs(math.Log(x/b))
}

// effectiveRate is that of GD+M, the η of the damped form in which the paper states its lemmas.
func (s Settings) effectiveRate() float64 { return s.gdm().EffectiveRate(s.Eta) }

// mu is μ, the share of samples with a small margin.
func (s Settings) mu() float64 { return float64(s.SmallMargin) / float64(s.N) }

// testError is the error on the distribution: those of the two margins, by their shares.
func (s Settings) testError(r laneRow) float64 {
	mu := s.mu()
	return (1-mu)*(1-r.get("test_1")) + mu*(1-r.get("test_2"))
}

func (s Settings) claimsGD(t trained) []claim {
	large, small := 1/s.Alpha, 1/s.Beta
	d, n := float64(s.D), float64(s.N)
	c, nu1, nu2 := t.curve("gd", "c"), t.curve("gd", "nu_1"), t.curve("gd", "nu_2")
	noise := t.curve("gd", "noise_min_2")
	end := t.last("gd")

	t0 := 1 / (s.Eta * math.Pow(s.Alpha, 3) * s.Sigma0)
	reached := c.firstStep(func(x float64) bool { return x >= large })
	bound := nu1.largest(float64(max(reached, 0)), func(step, x float64) float64 {
		return x * s.Eta * (step - float64(reached) + 1) * s.Alpha
	})
	overtaken := -1
	for i := len(nu1.steps) - 1; i >= 0 && nu2.values[i] > nu1.values[i]; i-- {
		overtaken = int(nu1.steps[i])
	}
	grown := c.last() - c.value(float64(max(reached, 0)))
	allowed := 3 * s.Eta * math.Pow(s.Beta, 3) * large * large * nu2.sum()
	t1 := n / (s.Eta * s.Sigma0 * s.Sigma * math.Sqrt(d) * s.Sigma * s.Sigma * d)
	memorized := noise.firstStep(func(x float64) bool { return x >= 1 })
	sum := nu2.sum() * s.Eta
	trainingError, testError := end.get("error"), s.testError(end)
	return []claim{
		{"Lemma 4.1", "GD: c ≥ Ω(1/α) from T₀ = Θ(1/(η α³ σ₀)) on",
			fmt.Sprintf("c = %.3g by step %.3g", large, t0), describeStep(reached, t),
			withinOrder(reached, t0)},
		{"Lemma 4.2", "GD: after T₀, ν₁ ≤ O(1/(η (t−T₀+1) α)) …",
			fmt.Sprintf("ν₁·η(t−T₀+1)α ≤ %d", order), fmt.Sprintf("at most %.2g", bound),
			reached >= 0 && bound <= order},
		{"Lemma 4.2", "GD: … so Z₂ rules the gradient: ν₂ > ν₁", "after T₀",
			describeStep(overtaken, t) + " on", overtaken >= 0 && reached >= 0},
		{"Lemma 4.3", "GD: c grows by at most O(η β³/α²) Σ ν₂ after T₀",
			fmt.Sprintf("≤ %d·%.2g", order, allowed), fmt.Sprintf("%.2g", grown),
			reached >= 0 && grown <= order*allowed},
		{"Lemma 4.4", "GD: yᵢ Ξᵢ ≥ Ω(1) for all of Z₂ from T₁ on",
			fmt.Sprintf("≥ 1 by step %.2g", t1), describeStep(memorized, t),
			withinOrder(memorized, t1)},
		{"Lemma 4.5", "GD: η Σ ν₂ stays bounded: ≤ O(1/σ₀)",
			fmt.Sprintf("≤ %d·%.3g", order, 1/s.Sigma0), fmt.Sprintf("%.3g", sum),
			sum <= order/s.Sigma0},
		{"Lemma 4.6, Theorem 3.1", "GD: c stays O(1/α)",
			fmt.Sprintf("1/α = %.3g, not 1/β = %.3g", large, small),
			fmt.Sprintf("%.3g", end.get("c")), nearer(end.get("c"), large, small)},
		{"Theorem 3.1", "GD memorizes Z₂: every |Ξᵢ| ≥ Ω(1)", "≥ 1",
			fmt.Sprintf("smallest yᵢ Ξᵢ is %.3g", end.get("noise_min_2")),
			end.get("noise_min_2") >= 1},
		{"Theorem 3.1", "GD: training error ≈ 0, test error ≥ Ω(μ)",
			fmt.Sprintf("0 and ≥ %.2g", s.mu()/order),
			fmt.Sprintf("%.3g and %.2g", trainingError, testError),
			trainingError == 0 && testError >= s.mu()/order},
	}
}

func (s Settings) claimsGDM(t trained) []claim {
	large, small := 1/s.Alpha, 1/s.Beta
	memory := 1 / (1 - s.Gamma)
	eta := s.effectiveRate()
	c := t.curve("gdm", "c")
	end := t.last("gdm")

	t0 := 1/(eta*math.Pow(s.Alpha, 3)*s.Sigma0) + memory
	reached := c.firstStep(func(x float64) bool { return x >= large })
	t1 := float64(max(reached, 0)) + memory
	// 𝒢 of the strongest neuron, which points down the gradient. The buffer of the undamped form is
	// 1/(1−γ) times that of the damped one.
	strongest := t.strongest("gdm", s.M)
	buffer := t.curve("gdm", fmt.Sprintf("M%d", strongest))
	scale := (1 - s.Gamma) / s.gdm().Gain()
	momentum := -buffer.value(float64(max(reached, 0))) * scale
	later := -buffer.value(t1) * scale
	gradient := -t.curve("gdm", fmt.Sprintf("G%d", strongest)).value(t1)
	wanted := math.Sqrt(1-s.Gamma) / s.Alpha
	carried := c.firstStep(func(x float64) bool { return x >= small })
	after := c.value(t1)
	nu := t.curve("gdm", "nu_1")
	for i, x := range t.curve("gdm", "nu_2").values {
		nu.values[i] += x
	}
	last := nu.steps[len(nu.steps)-1] // a run that ends before T₁ shows nothing of what follows
	bound := nu.largest(t1, func(step, x float64) float64 {
		return x * eta * (step - t1 + 1) * s.Beta
	})
	noise, size := max(end.get("xi_max_1"), end.get("xi_max_2")), s.initialNoise()
	trainingError, testError := end.get("error"), s.testError(end)
	return []claim{
		{"Lemma 5.1", "GD+M: c ≥ Ω(1/α) from T₀ = Θ(1/(η α³ σ₀) + 1/(1−γ)) on",
			fmt.Sprintf("c = %.3g by step %.3g", large, t0), describeStep(reached, t),
			withinOrder(reached, t0)},
		{"Lemma 5.2", "GD+M: 𝒢 ≥ Ω(√(1−γ)/α) at T₀", fmt.Sprintf("≥ %.2g/%d", wanted, order),
			fmt.Sprintf("%.2g", momentum), momentum >= wanted/order},
		{"Lemma 5.2", "GD+M: … and it outlasts the gradient: 𝒢 ≫ G at T₀ + 1/(1−γ)",
			fmt.Sprintf("𝒢/G ≥ %d", order), fmt.Sprintf("%.2g against %.2g", later, gradient),
			reached >= 0 && later > 0 && later >= order*gradient},
		{"Lemma 5.3", "GD+M: c ≥ Ω(1/β) from T₁ = T₀ + Θ(1/(1−γ)) on",
			fmt.Sprintf("1/β = %.3g by step %.3g", small, t1),
			fmt.Sprintf("%.3g then; 1/β: %s", after, describeStep(carried, t)),
			reached >= 0 && nearer(after, small, large)},
		{"Lemma 5.4", "GD+M: after T₁, ν ≤ O(1/(η (t−T₁+1) β))",
			fmt.Sprintf("ν·η(t−T₁+1)β ≤ %d", order), fmt.Sprintf("at most %.2g", bound),
			reached >= 0 && last >= t1 && bound <= order},
		{"Lemma 5.5, Theorem 3.2", "GD+M: every |Ξᵢⱼᵣ| stays O(σ₀ σ √d)",
			fmt.Sprintf("≤ %d·%.2g", order, size), fmt.Sprintf("%.3g", noise), noise <= order*size},
		{"Theorem 3.2", "GD+M: c reaches Ω(1/β)",
			fmt.Sprintf("1/β = %.3g, not 1/α = %.3g", small, large),
			fmt.Sprintf("%.3g", end.get("c")), nearer(end.get("c"), small, large)},
		{"Theorem 3.2", "GD+M: training error 0, test error O(μ/poly(d))",
			fmt.Sprintf("0 and < %.2g", s.mu()/order),
			fmt.Sprintf("%.3g and %.2g", trainingError, testError),
			trainingError == 0 && testError < s.mu()/order},
	}
}
