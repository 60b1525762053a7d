package lanczos

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
)

// times multiplies by a diagonal matrix, reflected so that its eigenvectors are no axes: A = QDQ
// with Q = I − 2uuᵀ.
func times(d []float64) func(v []float64) ([]float64, error) {
	u := make([]float64, len(d))
	for i := range u {
		u[i] = 1 / math.Sqrt(float64(len(d)))
	}
	reflect := func(v []float64) []float64 {
		w := append([]float64{}, v...)
		floats.AddScaled(w, -2*floats.Dot(u, v), u)
		return w
	}
	return func(v []float64) ([]float64, error) {
		w := reflect(v)
		floats.Mul(w, d)
		return reflect(w), nil
	}
}

// The largest eigenvalues of a matrix with known ones: 3 large ones, one twice as large as the
// next, and a bulk around 0 with a negative one that is larger in size.
func TestLargest(t *testing.T) {
	d := make([]float64, 200)
	for i := range d {
		d[i] = math.Sin(float64(i))
	}
	d[17], d[50], d[120], d[3] = 40, 20, 10, -100
	apply := times(d)
	pairs, products, err := Largest(len(d), Options{Pairs: 3, Iterations: 60, Tolerance: 1e-6},
		rand.New(rand.NewPCG(1, 2)), apply)
	if err != nil || len(pairs) != 3 || products >= 60 {
		t.Fatalf("%d pairs by %d products, %v", len(pairs), products, err)
	}
	for i, want := range []float64{40, 20, 10} {
		p := pairs[i]
		if math.Abs(p.Value-want) > 1e-8 {
			t.Errorf("eigenvalue %d is %v, want %v", i, p.Value, want)
		}
		w, _ := apply(p.Vector)
		floats.AddScaled(w, -p.Value, p.Vector)
		if r := floats.Norm(w, 2); math.Abs(r-p.Residual) > 1e-9 || r > 1e-4 {
			t.Errorf("eigenvalue %d: residual %v, said to be %v", i, r, p.Residual)
		}
		if n := floats.Norm(p.Vector, 2); math.Abs(n-1) > 1e-12 {
			t.Errorf("eigenvalue %d: a vector of length %v", i, n)
		}
	}
}

// An unfinished search says how far off it may be.
func TestResidualBounds(t *testing.T) {
	d := make([]float64, 300)
	for i := range d {
		d[i] = float64(i)
	}
	for _, n := range []int{1, 5, 20} {
		pairs, products, err := Largest(len(d), Options{Pairs: 1, Iterations: n},
			rand.New(rand.NewPCG(1, 2)), times(d))
		if err != nil || products != n {
			t.Fatalf("%d products, %v; want %d", products, err, n)
		}
		p := pairs[0]
		if nearest := math.Abs(p.Value - math.Round(p.Value)); nearest > p.Residual {
			t.Errorf("%d products: %v ± %v, but the nearest eigenvalue is %v away", n, p.Value,
				p.Residual, nearest)
		}
		if p.Value > 299+1e-9 {
			t.Errorf("%v is more than the largest eigenvalue", p.Value)
		}
	}
}

// A matrix with one eigenvalue has one pair, and a matrix of one row needs one product.
func TestFewDimensions(t *testing.T) {
	for _, d := range [][]float64{{3, 3, 3, 3}, {3}, {0, 0, 0}} {
		pairs, products, err := Largest(len(d), Options{Pairs: 2, Iterations: 5},
			rand.New(rand.NewPCG(1, 2)), times(d))
		if err != nil || products != 1 || len(pairs) != 1 || math.Abs(pairs[0].Value-d[0]) > 1e-14 {
			t.Errorf("%v: %+v by %d products, %v", d, pairs, products, err)
		}
	}
}

func TestErrors(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	o := Options{Pairs: 1, Iterations: 5}
	failure := errors.New("failure")
	for name, product := range map[string]func(v []float64) ([]float64, error){
		"failure": func([]float64) ([]float64, error) { return nil, failure },
		"size":    func([]float64) ([]float64, error) { return []float64{1}, nil },
		"NaN":     func([]float64) ([]float64, error) { return []float64{math.NaN(), 1}, nil },
	} {
		if _, _, err := Largest(2, o, random, product); err == nil ||
			name == "failure" && !errors.Is(err, failure) ||
			name == "NaN" && err != ErrNotFinite {
			t.Errorf("%s: error %v", name, err)
		}
	}
	o = Options{Pairs: 3, Iterations: 2}
	if _, _, err := Largest(2, o, random, times([]float64{1, 2})); err == nil {
		t.Error("more pairs than products are no error")
	}
}
