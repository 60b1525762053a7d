// Package lanczos finds the largest eigenvalues of a symmetric matrix that is known by its products
// with vectors alone, such as the Hessian of a network's loss.
package lanczos

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Options say how far to go.
type Options struct {
	Pairs      int     // the number of eigenvalues, at least 1
	Iterations int     // the most products, at least Pairs
	Tolerance  float64 // enough is a residual of at most this times the largest |eigenvalue|
}

// Pair is an approximate eigenvalue θ with a vector x of length 1.
type Pair struct {
	Value float64
	// Residual is ‖Ax − θx‖: there is an eigenvalue of A at most this far from θ.
	Residual float64
	Vector   []float64
}

// ErrNotFinite says that a product has a value that is NaN or infinite.
var ErrNotFinite = errors.New("lanczos: a product is not finite")

// Largest returns the largest eigenvalues of a symmetric matrix of n rows, from the largest on, and
// the number of products that they took. It is Lanczos' method, with every new vector made
// orthogonal to all earlier ones, twice; so it keeps one vector of n numbers for each iteration. It
// starts from a random vector. There are fewer pairs than asked for if the products of that vector
// span fewer dimensions.
func Largest(n int, o Options, random *rand.Rand,
	product func(v []float64) ([]float64, error)) (pairs []Pair, products int, err error) {
	if n < 1 || o.Pairs < 1 || o.Iterations < o.Pairs {
		return nil, 0, fmt.Errorf("lanczos: %d eigenvalues of %d rows by %d products", o.Pairs, n,
			o.Iterations)
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = random.NormFloat64()
	}
	floats.Scale(1/floats.Norm(v, 2), v)
	basis := [][]float64{v}
	var diagonal, beside []float64 // of the matrix in the basis, which is tridiagonal
	for {
		w, err := product(v)
		products++
		switch {
		case err != nil:
			return nil, products, err
		case len(w) != n:
			return nil, products, fmt.Errorf("lanczos: a product of %d values, want %d", len(w), n)
		case floats.HasNaN(w) || math.IsInf(floats.Norm(w, math.Inf(1)), 0):
			return nil, products, ErrNotFinite
		}
		diagonal = append(diagonal, floats.Dot(v, w))
		for range 2 {
			for _, b := range basis {
				floats.AddScaled(w, -floats.Dot(b, w), b)
			}
		}
		norm := floats.Norm(w, 2)
		values, vectors, err := ritz(diagonal, beside)
		if err != nil {
			return nil, products, err
		}
		last := len(diagonal) - 1
		k := min(o.Pairs, len(values))
		scale := max(math.Abs(values[0]), math.Abs(values[last]))
		over := len(diagonal) == min(o.Iterations, n) || norm <= 1e-14*scale
		worst := 0.0
		for i := last; i > last-k; i-- { // EigenSym sorts upwards
			worst = max(worst, norm*math.Abs(vectors.At(last, i)))
		}
		if over || k == o.Pairs && worst <= o.Tolerance*scale {
			for i := last; i > last-k; i-- {
				x := make([]float64, n)
				for j, b := range basis {
					floats.AddScaled(x, vectors.At(j, i), b)
				}
				pairs = append(pairs, Pair{values[i], norm * math.Abs(vectors.At(last, i)), x})
			}
			return pairs, products, nil
		}
		beside = append(beside, norm)
		v = w
		floats.Scale(1/norm, v)
		basis = append(basis, v)
	}
}

// ritz are the eigenvalues of a symmetric tridiagonal matrix, upwards, and its eigenvectors.
func ritz(diagonal, beside []float64) ([]float64, *mat.Dense, error) {
	t := mat.NewSymDense(len(diagonal), nil)
	for i, x := range diagonal {
		t.SetSym(i, i, x)
	}
	for i, x := range beside {
		t.SetSym(i, i+1, x)
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(t, true) {
		return nil, nil, errors.New("lanczos: the eigenvalues of the small matrix do not converge")
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	return eigen.Values(nil), &vectors, nil
}
