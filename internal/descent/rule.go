// Package descent is the subject of the paper in one place: gradient descent (GD) and gradient
// descent with momentum (GD+M), their learning rate schedules, and the exact full-batch step that
// both share, so that they differ by their [Rule] and by nothing else.
//
// With γ the momentum and η the learning rate, and the gradient ∇L taken with weight decay, ∇L(w) +
// λ w:
//
//	GD               w ← w − η ∇L(w)
//	GD+M, damped     g ← γ g + (1−γ) ∇L(w);   w ← w − η g      the paper's form
//	GD+M, undamped   b ← γ b + ∇L(w);         w ← w − η b      PyTorch's and Keras's form
//
// The undamped form at η takes the steps of the damped form at η/(1−γ), which is its effective
// rate.
package descent

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// Form says which of the two definitions of momentum a rule uses.
type Form string

// The forms of momentum.
const (
	Damped   Form = "damped"   // g ← γ g + (1−γ) ∇L;  w ← w − η g
	Undamped Form = "undamped" // b ← γ b + ∇L;        w ← w − η b
)

// Rule is a descent rule. Gamma 0 is GD exactly, in both forms.
type Rule struct {
	Form        Form
	Gamma       float64 // γ, in [0, 1)
	WeightDecay float64 // λ: the gradient is ∇L(w) + λ w
}

// Validate refuses values for which the rule is not defined.
func (r Rule) Validate() error {
	if r.Form != Damped && r.Form != Undamped {
		return fmt.Errorf("form must be damped or undamped, got %q", r.Form)
	}
	if !(r.Gamma >= 0 && r.Gamma < 1) {
		return fmt.Errorf("gamma must be in [0, 1), got %v", r.Gamma)
	}
	if !(r.WeightDecay >= 0) || math.IsInf(r.WeightDecay, 0) {
		return fmt.Errorf("weight decay must be finite and not negative, got %v", r.WeightDecay)
	}
	return nil
}

// EffectiveRate is the factor by which a gradient that stays the same moves the weights per step: η
// for GD and in the damped form, η/(1−γ) in the undamped form.
func (r Rule) EffectiveRate(eta float64) float64 {
	if r.Form == Undamped {
		return eta / (1 - r.Gamma)
	}
	return eta
}

// HasMomentum says whether the rule keeps a momentum buffer.
func (r Rule) HasMomentum() bool { return r.Gamma > 0 }

// String is the rule in one line, for example "GD+M undamped, γ = 0.9, λ = 0".
func (r Rule) String() string {
	if !r.HasMomentum() {
		return fmt.Sprintf("GD, λ = %g", r.WeightDecay)
	}
	return fmt.Sprintf("GD+M %s, γ = %g, λ = %g", r.Form, r.Gamma, r.WeightDecay)
}

// Update builds one step of the rule for one parameter: from the weights, the gradient of the loss,
// the momentum buffer (nil without momentum) and the rate η (a scalar) to the new weights and
// buffer, and the gradient that was used (with weight decay).
func (r Rule) Update(w, gradient, buffer, eta *Node) (newW, newBuffer, used *Node) {
	used = gradient
	if r.WeightDecay > 0 {
		used = Add(used, MulScalar(w, r.WeightDecay))
	}
	if !r.HasMomentum() {
		return Sub(w, Mul(used, eta)), nil, used
	}
	g, dtype := w.Graph(), w.DType()
	newW, newBuffer = Update(w, used, buffer, eta, Scalar(g, dtype, r.Gamma),
		Scalar(g, dtype, r.Gain()))
	return newW, newBuffer, used
}

// Gain is the factor of the gradient in the momentum buffer: 1−γ in the damped form and 1 in the
// undamped one.
func (r Rule) Gain() float64 {
	if r.Form == Damped {
		return 1 - r.Gamma
	}
	return 1
}

// Update builds one step of GD+M in either form, for one parameter or for many lanes of it at once:
//
//	buffer ← γ buffer + gain · gradient;   w ← w − η buffer
//
// eta, gamma and gain ([Rule.Gain]) are scalars or of a shape that broadcasts to that of w, such as
// [lanes, 1, 1]. γ = 0 is GD exactly.
func Update(w, gradient, buffer, eta, gamma, gain *Node) (newW, newBuffer *Node) {
	newBuffer = Add(Mul(buffer, gamma), Mul(gradient, gain))
	return Sub(w, Mul(newBuffer, eta)), newBuffer
}

// Schedule is a learning rate as a function of the step.
type Schedule struct {
	Kind   string  // "constant", "cosine" or "step"
	Peak   float64 // η after the warm-up
	Steps  int     // length of the run
	Warmup int     // steps of linear warm-up: step t has rate Peak·(t+1)/Warmup
}

// Schedules lists what [Schedule.Kind] may be.
func Schedules() []string { return []string{"constant", "cosine", "step"} }

// Validate refuses values for which the schedule is not defined.
func (s Schedule) Validate() error {
	switch s.Kind {
	case "constant", "cosine", "step":
	default:
		return fmt.Errorf("schedule must be constant, cosine or step, got %q", s.Kind)
	}
	if !(s.Peak > 0) || math.IsInf(s.Peak, 0) {
		return fmt.Errorf("learning rate must be positive and finite, got %v", s.Peak)
	}
	if s.Warmup < 0 || s.Warmup > s.Steps {
		return fmt.Errorf("warm-up must be in [0, %d] steps (the run's length), got %d", s.Steps,
			s.Warmup)
	}
	return nil
}

// Rate is η of step t, counted from 0. After the warm-up of W steps, with x = (t−W)/(Steps−W):
//
//	constant  Peak
//	cosine    Peak · (1 + cos πx)/2       Loshchilov and Hutter (2017), one cycle
//	step      Peak, Peak/10 from x = ½, Peak/100 from x = ¾
func (s Schedule) Rate(t int) float64 {
	if t < s.Warmup {
		return s.Peak * float64(t+1) / float64(s.Warmup)
	}
	x := float64(t-s.Warmup) / float64(max(1, s.Steps-s.Warmup))
	switch s.Kind {
	case "cosine":
		return s.Peak * (1 + math.Cos(math.Pi*x)) / 2
	case "step":
		switch {
		case x >= 0.75:
			return s.Peak * 0.01
		case x >= 0.5:
			return s.Peak * 0.1
		}
	}
	return s.Peak
}
