package backend

import (
	"context"
	"encoding/gob"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/internal/seeds"
	"momentum/models"
)

// computation is a graph whose numbers are checked.
type computation struct {
	name   string
	inputs []any
	graph  func(in []*Node) []*Node
	calls  int
	want   []float64 // nil for a network, which has no simple definition

	// largest error, relative to the largest number: of want, and between one and two threads
	tolerance, threads float64
}

// numbers are what one process has computed: for each of two clients and each computation, the
// outputs of the first call and whether all further calls gave the same bytes.
type numbers struct {
	Values   [2][][]float64
	Repeated [2][]bool
}

// pluginVariable names the plugin of a process that computes numbers instead of running tests.
const pluginVariable = "MOMENTUM_TEST_NUMBERS"

func TestMain(m *testing.M) {
	plugin := os.Getenv(pluginVariable)
	if plugin == "" {
		os.Exit(m.Run())
	}
	var n numbers
	for client := range 2 {
		b, err := Open(context.Background(), "xla:"+plugin, Options{Out: os.Stderr})
		if err == nil {
			err = Try("numbers", func() { n.compute(b, client) })
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%+v\n", err)
			os.Exit(1)
		}
	}
	if err := gob.NewEncoder(os.Stdout).Encode(n); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// compute performs all computations.
func (n *numbers) compute(b *Backend, client int) {
	for _, c := range computations() {
		exec := MustNewExec(b.Backend, c.graph)
		var first []float64
		repeated := true
		for call := range c.calls {
			var values []float64
			for _, output := range exec.MustCall(c.inputs...) {
				values = append(values, Floats(output)...)
				output.MustFinalizeAll()
			}
			if call == 0 {
				first = values
			}
			repeated = repeated && slices.EqualFunc(first, values, sameBits)
		}
		n.Values[client] = append(n.Values[client], first)
		n.Repeated[client] = append(n.Repeated[client], repeated)
	}
}

func sameBits(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

// computations are those in which newer builds, which leave products and sums to YNNPACK, were
// wrong elsewhere (github.com/jax-ml/jax/issues/39103 and
// github.com/tensorflow/tensorflow/issues/126812), sums and products with awkward dimensions, and
// the loss and gradient of a network.
func computations() []computation {
	r := seeds.Stream(1, "numbers")
	all := []computation{productThenSum[float32](32769), productThenSum[float64](16385)}
	ones := tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{1}, 1024), 1024)
	all = append(all, computation{"sum of a broadcast", []any{ones}, func(in []*Node) []*Node {
		return []*Node{ReduceAllSum(ExpandAndBroadcast(in[0], []int{2, 1024, 1024}, []int{0, 2}))}
	}, 200, []float64{2 * 1024 * 1024}, 0, 0})
	for _, axes := range [][]int{{0, 1, 2, 3}, {0, 1, 2}, {1, 2}, {3}, {0}} {
		all = append(all, sumOver(r, []int{64, 33, 32, 17}, axes))
	}
	for _, d := range [][3]int{{257, 513, 129}, {1, 1000, 700}, {64, 64, 10}, {2000, 30, 100}} {
		all = append(all, product(r, d[0], d[1], d[2]))
	}
	return append(all, network(r))
}

// productThenSum is the case of jax#39103: I·xᵀ for x = (i, 0, 0) in row i, squared, and summed
// over the axis of 3. The result is i².
func productThenSum[T float32 | float64](n int) computation {
	x, want := make([]T, 3*n), make([]float64, n)
	for i := range n {
		x[3*i], want[i] = T(i), float64(i*i)
	}
	identity := []T{1, 0, 0, 0, 1, 0, 0, 0, 1}
	graph := func(in []*Node) []*Node {
		p := DotGeneral(in[0], []int{1}, nil, in[1], []int{1}, nil) // [3, n]
		return []*Node{ReduceSum(Square(p), 0)}
	}
	return computation{fmt.Sprintf("product, then sum, %T", x[0]),
		[]any{tensors.FromFlatDataAndDimensions(identity, 3, 3),
			tensors.FromFlatDataAndDimensions(x, n, 3)}, graph, 20, want, 1e-7, 0}
}

// normal returns a tensor of draws from N(0, 1) and the draws.
func normal(r *rand.Rand, dims ...int) (*tensors.Tensor, []float32) {
	v := make([]float32, shapes.Make(dtypes.Float32, dims...).Size())
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return tensors.FromFlatDataAndDimensions(v, dims...), v
}

// sumOver is a sum over axes of a tensor of 4 axes.
func sumOver(r *rand.Rand, dims, axes []int) computation {
	x, v := normal(r, dims...)
	stride, size := make([]int, len(dims)), 1 // in the result, 0 for a summed axis
	for a := len(dims) - 1; a >= 0; a-- {
		if !slices.Contains(axes, a) {
			stride[a] = size
			size *= dims[a]
		}
	}
	want := make([]float64, size)
	for i, value := range v {
		at := 0
		for a := len(dims) - 1; a >= 0; a-- {
			at += i % dims[a] * stride[a]
			i /= dims[a]
		}
		want[at] += float64(value)
	}
	return computation{fmt.Sprint("sum over ", axes), []any{x}, func(in []*Node) []*Node {
		return []*Node{ReduceSum(in[0], axes...)}
	}, 5, want, 1e-4, 0}
}

// product is a product [m, k]·[k, n].
func product(r *rand.Rand, m, k, n int) computation {
	x, a := normal(r, m, k)
	y, b := normal(r, k, n)
	want := make([]float64, m*n)
	for i := range m {
		for l := range k {
			for j := range n {
				want[i*n+j] += float64(a[i*k+l]) * float64(b[l*n+j])
			}
		}
	}
	return computation{fmt.Sprintf("product %d×%d×%d", m, k, n), []any{x, y},
		func(in []*Node) []*Node { return []*Node{MatMul(in[0], in[1])} }, 5, want, 1e-4, 0}
}

// network is the mean cross-entropy of a ResNet-18 on noise, and its gradient.
func network(r *rand.Rand) computation {
	const n = 10
	net, err := models.New(models.Config{Model: "resnet18", Width: 8, Norm: "none", Classes: n})
	if err != nil {
		panic(err)
	}
	params := net.Params()
	x, _ := normal(r, n, models.ImageSize, models.ImageSize, 3)
	inputs := []any{x}
	for i, v := range net.Init(1) {
		inputs = append(inputs, tensors.FromFlatDataAndDimensions(v, params[i].Shape...))
	}
	graph := func(in []*Node) []*Node {
		logits := net.Logits(func(name string) *Node {
			return in[1+slices.IndexFunc(params, func(p models.Param) bool {
				return p.Name == name
			})]
		}, in[0])
		labels := OneHot(Iota(logits.Graph(), shapes.Make(dtypes.Int32, n), 0), n, logits.DType())
		loss := Neg(ReduceAllMean(ReduceSum(Mul(labels, LogSoftmax(logits)), 1)))
		return append([]*Node{loss}, Gradient(loss, in[1:]...)...)
	}
	return computation{"gradient of ResNet-18", inputs, graph, 3, nil, 0, 1e-5}
}

// Each known build computes the right numbers, and gives the same bytes in each call, client and
// process with the same number of threads. With another number of threads, sums and products are
// the same, but not the gradients of convolutions: there XLA splits long sums among the threads.
// The test needs 20 s for a build, most of them to compile the gradient in 3 processes.
func TestNumbersOfBuilds(t *testing.T) {
	for _, c := range cpuBuilds() {
		t.Run(c.name, func(t *testing.T) {
			plugin, err := cached(c)
			if err != nil {
				t.Skipf("the plugin is not in the cache: %v", err)
			}
			one, two, again := run(t, plugin, 1), run(t, plugin, 2), run(t, plugin, 2)
			for i, c := range computations() {
				for _, n := range []numbers{one, two} {
					if d := difference(n.Values[0][i], c.want); c.want != nil && d > c.tolerance {
						t.Errorf("%s: differs from its definition by %v", c.name, d)
					}
					if !n.Repeated[0][i] || !n.Repeated[1][i] {
						t.Errorf("%s: the bytes vary from call to call", c.name)
					}
					if !slices.EqualFunc(n.Values[0][i], n.Values[1][i], sameBits) {
						t.Errorf("%s: two clients give different bytes", c.name)
					}
				}
				if !slices.EqualFunc(two.Values[0][i], again.Values[0][i], sameBits) {
					t.Errorf("%s: two processes give different bytes", c.name)
				}
				if d := difference(one.Values[0][i], two.Values[0][i]); d > c.threads {
					t.Errorf("%s: one and two threads differ by %v", c.name, d)
				}
			}
		})
	}
}

// run computes the numbers in a process of its own with a number of threads.
func run(t *testing.T, plugin string, threads int) (n numbers) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), pluginVariable+"="+plugin, fmt.Sprintf("NPROC=%d", threads))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	decoded := gob.NewDecoder(out).Decode(&n)
	if err := cmd.Wait(); err != nil || decoded != nil {
		t.Fatalf("%d threads: %v, %v", threads, err, decoded)
	}
	return n
}

// difference is the largest difference of two lists, relative to the largest number.
func difference(got, want []float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var most, largest float64
	for i, w := range want {
		most, largest = max(most, math.Abs(got[i]-w)), max(largest, math.Abs(w))
	}
	return most / largest
}
