package models

import (
	"math"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/backend/backendtest"
	"momentum/internal/seeds"
)

func feedforward(t *testing.T, name string, d, width, filters, size int) Feedforward {
	t.Helper()
	f, err := ParseFeedforward(name, d, width, filters, size)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFeedforwardParams(t *testing.T) {
	for _, c := range []struct {
		name                string
		params, activations int
	}{
		{"linear", 30 + 1, 0},
		{"1-mlp", 30*100 + 100 + 100 + 1, 100},
		{"2-mlp", 30*100 + 100 + 100*100 + 100 + 100 + 1, 200},
		{"1-cnn", 3*16 + 16 + 16*28 + 1, 16 * 28},
		{"2-cnn", 3*16 + 16 + 3*16*16 + 16 + 16*26 + 1, 16 * (28 + 26)},
	} {
		f := feedforward(t, c.name, 30, 100, 16, 3)
		params := 0
		for _, p := range f.Params() {
			params += p.Size()
		}
		if params != c.params || f.Activations() != c.activations {
			t.Errorf("%s: %d parameters and %d activations, want %d and %d", c.name, params,
				f.Activations(), c.params, c.activations)
		}
	}
}

func TestParseFeedforwardRefuses(t *testing.T) {
	for _, c := range []struct {
		name                   string
		d, width, filter, size int
		want                   string
	}{
		{"mlp", 3, 1, 1, 1, "unknown network"}, {"0-mlp", 3, 1, 1, 1, "unknown network"},
		{"1-rnn", 3, 1, 1, 1, "unknown network"},
		{"linear", 0, 1, 1, 1, "dimension must be"}, {"1-mlp", 3, 0, 1, 1, "width must be"},
		{"1-cnn", 3, 1, 0, 1, "width must be"},
		{"1-cnn", 3, 1, 1, 0, "do not fit"},
		{"2-cnn", 4, 1, 1, 3, "do not fit into 4"}, // 4 − 2·2 = 0 positions are left
	} {
		if _, err := ParseFeedforward(c.name, c.d, c.width, c.filter, c.size); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	feedforward(t, "2-cnn", 5, 1, 1, 3) // one position
}

func TestFeedforwardInit(t *testing.T) {
	f := feedforward(t, "2-mlp", 30, 100, 0, 0)
	values := f.Init(seeds.Stream(1, "init"))
	// Standard deviations over 3,000 and 10,000 draws, to 5%; over 100 draws, to 25%.
	for i, c := range []struct{ std, tolerance float64 }{
		{math.Sqrt(2.0 / 30), 0.05}, {0, 0}, {math.Sqrt(2.0 / 100), 0.05}, {0, 0},
		{math.Sqrt(1.0 / 100), 0.25}, {0, 0},
	} {
		sum := 0.0
		for _, x := range values[i] {
			sum += float64(x) * float64(x)
		}
		std := math.Sqrt(sum / float64(len(values[i])))
		if math.Abs(std-c.std) > c.tolerance*c.std {
			t.Errorf("%s: standard deviation %v, want %v", f.Params()[i].Name, std, c.std)
		}
	}
	if !slices.EqualFunc(values, f.Init(seeds.Stream(1, "init")), slices.Equal) {
		t.Error("the same stream gives other weights")
	}
}

// forwardByDefinition computes one network at one point with loops over all indices.
func forwardByDefinition(f Feedforward, params [][]float64, x []float64) float64 {
	channels := [][]float64{x} // [channel][position]
	if !f.Conv {
		channels = nil
		for _, v := range x {
			channels = append(channels, []float64{v})
		}
	}
	size := max(f.Size, 1)
	for k := range f.Hidden {
		w, b := params[2*k], params[2*k+1]
		next := make([][]float64, f.Width)
		for o := range next {
			for p := range len(channels[0]) - size + 1 {
				sum := b[o]
				for i := range size {
					for c := range channels {
						sum += w[(o*size+i)*len(channels)+c] * channels[c][p+i]
					}
				}
				next[o] = append(next[o], max(sum, 0))
			}
		}
		channels = next
	}
	w, sum := params[2*f.Hidden], params[2*f.Hidden+1][0]
	for i, v := range slices.Concat(channels...) {
		sum += w[i] * v
	}
	return sum
}

// Logits of 4 lanes on 2 groups of points, and the gradient of their squares, against loops over
// all indices and central differences, in float64. Every lane has its own weights, biases included.
func TestFeedforwardLogits(t *testing.T) {
	b := backendtest.Open(t)
	const lanes, groups, n, d = 4, 2, 3, 6
	for _, name := range []string{"linear", "1-mlp", "2-mlp", "1-cnn", "2-cnn"} {
		f := feedforward(t, name, d, 5, 3, 2)
		rng := seeds.Stream(1, name)
		draw := func(size int) []float64 {
			v := make([]float64, size)
			for i := range v {
				v[i] = rng.NormFloat64()
			}
			return v
		}
		x := draw(groups * n * d)
		params := f.Params()
		values := make([][][]float64, lanes) // [lane][parameter]
		inputs := []any{tensors.FromFlatDataAndDimensions(x, groups, n, d)}
		for i, p := range params {
			var all []float64
			for l := range lanes {
				v := draw(p.Size())
				values[l] = append(values[l], v)
				all = append(all, v...)
			}
			inputs = append(inputs, tensors.FromFlatDataAndDimensions(all,
				append([]int{lanes}, params[i].Shape...)...))
		}
		exec := MustNewExec(b.Backend, func(in []*Node) []*Node {
			logits := f.Logits(func(name string) *Node {
				return in[1+slices.IndexFunc(params, func(p Param) bool { return p.Name == name })]
			}, in[0])
			logits.AssertDims(lanes, n)
			return append([]*Node{logits}, Gradient(ReduceAllSum(Square(logits)), in[1:]...)...)
		})
		out := exec.MustCall(inputs...)
		logits := tensors.MustCopyFlatData[float64](out[0])
		forward := func(l, i int) float64 {
			return forwardByDefinition(f, values[l], x[((l/(lanes/groups))*n+i)*d:][:d])
		}
		for l := range lanes {
			for i := range n {
				if got, want := logits[l*n+i], forward(l, i); math.Abs(got-want) > 1e-12 {
					t.Errorf("%s: lane %d, point %d: %v, want %v", name, l, i, got, want)
				}
			}
		}
		for i, p := range params {
			gradient := tensors.MustCopyFlatData[float64](out[1+i])
			for l := range lanes {
				j := rng.IntN(p.Size())
				v := &values[l][i][j]
				squares := func(shift float64) (sum float64) {
					*v += shift
					for i := range n {
						sum += forward(l, i) * forward(l, i)
					}
					*v -= shift
					return sum
				}
				want := (squares(1e-6) - squares(-1e-6)) / 2e-6
				if got := gradient[l*p.Size()+j]; math.Abs(got-want) > 1e-6*(1+math.Abs(want)) {
					t.Errorf("%s: gradient of %s[%d] in lane %d: %v, want %v", name, p.Name, j, l,
						got, want)
				}
			}
		}
	}
}
