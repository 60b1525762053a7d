// Package descent is the subject of the paper in one place: gradient descent (GD) and gradient
// descent with momentum (GD+M), their learning rate schedules, and the exact full-batch step. Both
// share this step, so that they differ by their [Rule] and by nothing else.
//
// With the momentum γ, the learning rate η, and weight decay λ (∇L below stands for ∇L + λw):
//
//	GD               w ← w − η ∇L(w)
//	GD+M, damped     g ← γ g + (1−γ) ∇L(w);   w ← w − η g      the paper's form
//	GD+M, undamped   b ← γ b + ∇L(w);         w ← w − η b      PyTorch's and Keras's form
//
// The undamped form at η takes the steps of the damped form at η/(1−γ), which is its effective
// rate.
//
// GoMLX's own trainer is not used, for two reasons. Its gradient accumulation takes the mean of the
// chunks' mean gradients, which is the mean over the images for equal chunks only; here each image
// has the weight 1/B in a batch of B, so a step is exact for any chunks. And its stochastic
// gradient descent has no momentum.
package descent

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// Form is one of the two definitions of momentum.
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
	Clip        float64 // a longer ∇L(w) is scaled down to this norm; 0: never
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
	if !(r.Clip >= 0) || math.IsInf(r.Clip, 0) {
		return fmt.Errorf("clip must be finite and not negative, got %v", r.Clip)
	}
	return nil
}

// EffectiveRate is the factor by which a constant gradient moves the weights per step in the long
// run: η for GD and in the damped form, η/(1−γ) in the undamped form.
func (r Rule) EffectiveRate(eta float64) float64 {
	if r.Form == Undamped {
		return eta / (1 - r.Gamma)
	}
	return eta
}

// StabilityLimit is the sharpness, the largest eigenvalue of the Hessian of the loss without weight
// decay, up to which the rule is stable on a quadratic at rate η: 2/η for GD, 2(1+γ)/η undamped and
// 2(1+γ)/((1−γ)η) damped, each less λ. It is infinite for η = 0.
func (r Rule) StabilityLimit(eta float64) float64 {
	return 2*(1+r.Gamma)/(r.Gain()*eta) - r.WeightDecay
}

// HasMomentum reports whether the rule keeps a momentum buffer.
func (r Rule) HasMomentum() bool { return r.Gamma > 0 }

// String is the rule in one line, for example "GD+M undamped, γ = 0.9, λ = 0".
func (r Rule) String() string {
	text := fmt.Sprintf("GD, λ = %g", r.WeightDecay)
	if r.HasMomentum() {
		text = fmt.Sprintf("GD+M %s, γ = %g, λ = %g", r.Form, r.Gamma, r.WeightDecay)
	}
	if r.Clip > 0 {
		text += fmt.Sprintf(", ‖∇L‖ ≤ %g", r.Clip)
	}
	return text
}

// numbers are the numbers of a rule in a graph, scalars. Since they are inputs of the graph, rules
// that differ in them share it.
type numbers struct{ eta, gamma, gain, decay, clip *Node }

// numbers returns the numbers of a step at rate eta as one list: η, γ, the gain, λ, the
// largest norm.
func (r Rule) numbers(eta float64) []float64 {
	return []float64{eta, r.Gamma, r.Gain(), r.WeightDecay, r.Clip}
}

// numbersOf takes the numbers from a vector [5].
func numbersOf(vector *Node) numbers {
	at := func(i int) *Node { return Reshape(Slice(vector, AxisElem(i))) }
	return numbers{at(0), at(1), at(2), at(3), at(4)}
}

// clip scales gradients down to the largest norm of the rule, if they have a larger one together,
// by a factor, a scalar: 1 if they have not.
func (r Rule) clip(gradients []*Node, n numbers) (clipped []*Node, factor *Node) {
	if r.Clip == 0 {
		return gradients, OnesLike(n.clip)
	}
	factor = Div(n.clip, Max(n.clip, Sqrt(squaredNorm(gradients))))
	for _, g := range gradients {
		clipped = append(clipped, Mul(g, factor))
	}
	return clipped, factor
}

// squaredNorm is that of all values of a list together.
func squaredNorm(list []*Node) *Node {
	square := ScalarZero(list[0].Graph(), list[0].DType())
	for _, x := range list {
		square = Add(square, L2NormSquare(x))
	}
	return square
}

// update builds one step of the rule for one parameter. It takes the weights, the gradient of the
// loss, the momentum buffer (nil without momentum) and the rule's numbers. It returns the new
// weights, the new buffer, and the gradient that was used, which includes weight decay.
func (r Rule) update(w, gradient, buffer *Node, n numbers) (newW, newBuffer, used *Node) {
	used = Add(gradient, Mul(w, n.decay))
	if !r.HasMomentum() {
		return Sub(w, Mul(used, n.eta)), nil, used
	}
	newW, newBuffer = Update(w, used, buffer, n.eta, n.gamma, n.gain)
	return newW, newBuffer, used
}

// Gain is the factor of the gradient in the momentum buffer: 1−γ in the damped form, 1 in the
// undamped form.
func (r Rule) Gain() float64 {
	if r.Form == Damped {
		return 1 - r.Gamma
	}
	return 1
}

// Update builds one step of GD+M in either form, for one parameter or for many lanes at once, each
// with its own copy of the parameter:
//
//	buffer ← γ buffer + gain · gradient;   w ← w − η buffer
//
// eta, gamma and gain ([Rule.Gain]) are scalars or broadcast to the shape of w, for example [lanes,
// 1, 1]. γ = 0 is GD exactly.
func Update(w, gradient, buffer, eta, gamma, gain *Node) (newW, newBuffer *Node) {
	newBuffer = Add(Mul(buffer, gamma), Mul(gradient, gain))
	return Sub(w, Mul(newBuffer, eta)), newBuffer
}
