package table1

import (
	"context"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/seeds"
	"momentum/models"
)

// pointSet holds the points for one purpose for all seeds, with their labels by each teacher.
type pointSet struct {
	n int           // points of each seed
	x [][]float32   // [seed][n·d]
	y [][][]float32 // [seed][teacher][n], −1 or 1
}

// draw draws the points and labels them. A label is the sign of the teacher's output minus its
// median over other points, so that both labels are equally likely.
func (e *experiment) draw(ctx context.Context) error {
	center := &pointSet{n: e.Center}
	e.train, e.valid, e.test = &pointSet{n: e.Train}, &pointSet{n: e.Valid}, &pointSet{n: e.Test}
	purposes := []string{"center", "train", "valid", "test"}
	sets := []*pointSet{center, e.train, e.valid, e.test}
	for i, set := range sets {
		for seed := range e.Seeds {
			set.x = append(set.x, datasets.Gaussian(e.Seed+uint64(seed), purposes[i], set.n, e.D))
		}
		set.y = make([][][]float32, e.Seeds)
	}
	for _, name := range e.Teachers {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := e.teacher(name)
		if err != nil {
			return err
		}
		output, err := e.newOutput(f, "teacher/"+name)
		if err != nil {
			return err
		}
		median := make([]float32, e.Seeds)
		for _, set := range sets {
			y, err := output(set)
			if err != nil {
				return err
			}
			for seed := range y {
				if set == center {
					slices.Sort(y[seed])
					median[seed] = y[seed][e.Center/2]
				}
				for i, f := range y[seed] {
					y[seed][i] = 1
					if f <= median[seed] {
						y[seed][i] = -1
					}
				}
				set.y[seed] = append(set.y[seed], y[seed])
			}
		}
	}
	return nil
}

// newOutput returns a function that computes the outputs [seed][n] of networks with initial
// weights, one network for each seed, on points.
func (e *experiment) newOutput(f models.Feedforward,
	purpose string) (func(*pointSet) ([][]float32, error), error) {
	weights := e.initial(f, purpose, 1)
	exec, err := NewExec(e.be.Backend, func(in []*Node) *Node {
		return f.Logits(namedWeights(f, in[1:]), in[0])
	})
	return func(set *pointSet) ([][]float32, error) {
		y := make([][]float32, e.Seeds)
		err := backend.Try("teacher", func() {
			for from := 0; from < set.n; from += e.Train {
				to := min(from+e.Train, set.n)
				in := []any{set.points(from, to, e.D)}
				for _, w := range weights {
					in = append(in, w)
				}
				f := tensors.MustCopyFlatData[float32](exec.MustCall(in...)[0]) // [seeds, to−from]
				for seed := range y {
					y[seed] = append(y[seed], f[seed*(to-from):(seed+1)*(to-from)]...)
				}
			}
		})
		return y, err
	}, err
}

// points are the points from … to−1 of each seed: [seeds, to−from, d].
func (p *pointSet) points(from, to, d int) *tensors.Tensor {
	var flat []float32
	for _, x := range p.x {
		flat = append(flat, x[from*d:to*d]...)
	}
	return tensors.FromFlatDataAndDimensions(flat, len(p.x), to-from, d)
}

// labels are the labels of the points from … to−1 of each seed, for students of the given teachers:
// [seeds, to−from, len(teachers)].
func (p *pointSet) labels(from, to int, teachers []int) *tensors.Tensor {
	var flat []float32
	for _, y := range p.y {
		for i := from; i < to; i++ {
			for _, k := range teachers {
				flat = append(flat, y[k][i])
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, len(p.y), to-from, len(teachers))
}

// initial draws the initial weights of a network for a purpose, as lanes: each seed's weights, and
// the given number of copies of them.
func (e *experiment) initial(f models.Feedforward, purpose string, copies int) []*tensors.Tensor {
	params := f.Params()
	all := make([][]float32, len(params))
	for seed := range e.Seeds {
		for i, v := range f.Init(seeds.Stream(e.Seed+uint64(seed), purpose)) {
			all[i] = append(all[i], slices.Repeat(v, copies)...)
		}
	}
	var lanes []*tensors.Tensor
	for i, p := range params {
		lanes = append(lanes, tensors.FromFlatDataAndDimensions(all[i],
			append([]int{e.Seeds * copies}, p.Shape...)...))
	}
	return lanes
}

// namedWeights finds the node of a parameter by its name, from the nodes in the order of
// Feedforward.Params.
func namedWeights(f models.Feedforward, nodes []*Node) models.Weights {
	params := f.Params()
	return func(name string) *Node {
		return nodes[slices.IndexFunc(params, func(p models.Param) bool { return p.Name == name })]
	}
}
