package descent

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
)

// Two steps from w = 1 with gradients 2 and 4, γ = ½, η = 0.1, worked out by hand.
func TestUpdateByHand(t *testing.T) {
	b := goBackend(t)
	for _, c := range []struct {
		name   string
		rule   Rule
		w1, w2 float64
	}{
		{"GD: 1−0.1·2; 0.8−0.1·4", Rule{Form: Undamped}, 0.8, 0.4},
		{"damped: g=½·2=1; g=½·1+½·4=2.5", Rule{Form: Damped, Gamma: 0.5}, 0.9, 0.65},
		{"undamped: b=2; b=½·2+4=5", Rule{Form: Undamped, Gamma: 0.5}, 0.8, 0.3},
		// The gradient is 2+0.5·1 = 2.5, then 4+0.5·0.75 = 4.375.
		{"weight decay ½: 1−0.1·2.5; 0.75−0.1·4.375", Rule{Form: Undamped, WeightDecay: 0.5}, 0.75,
			0.3125},
		// b = 2.5, then ½·2.5 + 4.375 = 5.625.
		{"undamped, weight decay ½", Rule{Form: Undamped, Gamma: 0.5, WeightDecay: 0.5}, 0.75,
			0.1875},
	} {
		step := graph.MustNewExec(b.Backend, func(w, gradient, buffer,
			vector *graph.Node) (*graph.Node, *graph.Node) {
			newW, newBuffer, _ := c.rule.update(w, gradient, buffer, numbersOf(vector))
			if newBuffer == nil {
				newBuffer = buffer
			}
			return newW, newBuffer
		})
		numbers := c.rule.numbers(0.1)
		first := step.MustCall(1.0, 2.0, 0.0, numbers)
		second := step.MustCall(first[0], 4.0, first[1], numbers)
		w1, w2 := first[0].Value().(float64), second[0].Value().(float64)
		if math.Abs(w1-c.w1) > 1e-12 || math.Abs(w2-c.w2) > 1e-12 {
			t.Errorf("%s: got %v, %v, want %v, %v", c.name, w1, w2, c.w1, c.w2)
		}
	}
}

func TestEffectiveRate(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		want float64
	}{
		{Rule{Form: Undamped}, 0.1},
		{Rule{Form: Damped, Gamma: 0.9}, 0.1},
		{Rule{Form: Undamped, Gamma: 0.9}, 1}, // 0.1/(1−0.9)
		{Rule{Form: Undamped, Gamma: 0.75}, 0.4},
	} {
		if got := c.rule.EffectiveRate(0.1); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v: %v, want %v", c.rule, got, c.want)
		}
	}
}

func TestRuleValidate(t *testing.T) {
	for _, r := range []Rule{
		{Form: "nesterov"}, {Form: Damped, Gamma: 1}, {Form: Damped, Gamma: -0.1},
		{Form: Damped, Gamma: math.NaN()},
		{Form: Damped, WeightDecay: -1}, {Form: Damped, WeightDecay: math.Inf(1)},
		{Form: Damped, WeightDecay: math.NaN()},
	} {
		if r.Validate() == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
	if err := (Rule{Form: Damped, Gamma: 0.99, WeightDecay: 1e-4}).Validate(); err != nil {
		t.Error(err)
	}
}

// Gradients (3, 0) and 4 have the norm 5: at most 2.5 halves them, 10 leaves them as they are.
func TestClip(t *testing.T) {
	b := goBackend(t)
	for _, c := range []struct{ limit, first, second, factor float64 }{
		{2.5, 1.5, 2, 0.5}, {10, 3, 4, 1}, {0, 3, 4, 1},
	} {
		rule := Rule{Form: Undamped, Clip: c.limit}
		out := graph.MustNewExec(b.Backend, func(in []*graph.Node) []*graph.Node {
			clipped, factor := rule.clip(in[:2], numbersOf(in[2]))
			return append(clipped[:2:2], factor)
		}).MustCall([]float64{3, 0}, []float64{4}, rule.numbers(1))
		first, second := out[0].Value().([]float64), out[1].Value().([]float64)
		if first[0] != c.first || first[1] != 0 || second[0] != c.second ||
			out[2].Value() != c.factor {
			t.Errorf("norm at most %v: %v and %v, factor %v, want %+v", c.limit, first, second,
				out[2].Value(), c)
		}
	}
	if (Rule{Form: Damped, Clip: -1}).Validate() == nil {
		t.Error("a negative norm is accepted")
	}
}

// On a quadratic of curvature h the limit is where divergence begins: 2% below it 2,000 steps bring
// w from 1 to almost 0, 2% above it they take it far away.
func TestStabilityLimit(t *testing.T) {
	b := goBackend(t)
	const eta = 0.1
	for _, rule := range []Rule{
		{Form: Undamped}, {Form: Undamped, WeightDecay: 3}, {Form: Undamped, Gamma: 0.9},
		{Form: Undamped, Gamma: 0.5, WeightDecay: 3}, {Form: Damped, Gamma: 0.9},
		{Form: Damped, Gamma: 0.5, WeightDecay: 3},
	} {
		step := graph.MustNewExec(b.Backend, func(w, gradient, buffer,
			vector *graph.Node) (*graph.Node, *graph.Node) {
			newW, newBuffer, _ := rule.update(w, gradient, buffer, numbersOf(vector))
			if newBuffer == nil {
				newBuffer = buffer
			}
			return newW, newBuffer
		})
		for _, factor := range []float64{0.98, 1.02} {
			h := factor * rule.StabilityLimit(eta)
			w, buffer := 1.0, 0.0
			for range 2000 {
				out := step.MustCall(w, h*w, buffer, rule.numbers(eta))
				w, buffer = out[0].Value().(float64), out[1].Value().(float64)
			}
			if factor < 1 && math.Abs(w) > 1e-3 || factor > 1 && math.Abs(w) < 1e3 {
				t.Errorf("%v at %v times its limit: w = %v after 2,000 steps", rule, factor, w)
			}
		}
	}
}
