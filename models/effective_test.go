package models

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend"
	"momentum/internal/seeds"
)

// A channel with the weights 1, 2, 3, 6 has the mean 3 and, centered, the squares 4, 1, 0, 9, which
// sum to 14. The second channel is 10 times as long and shifted, but has half the gain.
func TestStandardized(t *testing.T) {
	got := standardized([]float64{1, 15, 2, 25, 3, 35, 6, 65}, []float64{1, 0.5})
	for i, want := range []float64{-2, -1, 0, 3} {
		want /= math.Sqrt(14)
		if math.Abs(got[2*i]-want) > 1e-15 || math.Abs(got[2*i+1]-want/2) > 1e-15 {
			t.Errorf("weights %d: %v, want %v and half of it", i, got[2*i:2*i+2], want)
		}
	}
}

// The logits of a network with standardized weights are those of one without, at the effective
// weights: with SkipInit it has the other parameters, too.
func TestEffective(t *testing.T) {
	b, err := backend.Open(t.Context(), "go", backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	config := Config{Model: "wrn16-1", Width: 1, Norm: "weights", Classes: 10}
	net := network(t, config)
	config.Norm, config.Initialization = "none", skipInit
	plain := network(t, config)
	rng := seeds.Stream(1, "effective")
	x := tensors.FromFlatDataAndDimensions(noise(rng, 2*ImageSize*ImageSize*3, 1), 2, ImageSize,
		ImageSize, 3)
	logits := func(net *Network, values []float64) []float64 {
		params, inputs := net.Params(), []any{x}
		for _, p := range params {
			inputs = append(inputs, tensors.FromFlatDataAndDimensions(values[:p.Size()],
				p.Shape...))
			values = values[p.Size():]
		}
		if len(values) > 0 {
			t.Fatalf("%d values too many", len(values))
		}
		return tensors.MustCopyFlatData[float64](MustNewExec(b.Backend, func(in []*Node) *Node {
			return net.Logits(func(name string) *Node {
				return in[1+slices.IndexFunc(params, func(p Param) bool { return p.Name == name })]
			}, in[0])
		}).MustCall(inputs...)[0])
	}
	values := noise(rng, net.NumParams(), 1)
	want, got := logits(net, values), logits(plain, net.Effective(values))
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-9*(1+math.Abs(want[i])) {
			t.Errorf("logit %d is %v, want %v", i, got[i], want[i])
		}
	}
	if other := plain.Effective(values); &other[0] != &values[0] {
		t.Error("without standardization the values are not the same")
	}
}
