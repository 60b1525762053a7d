package imagerun

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"

	"momentum/datasets"
	"momentum/internal/descent"
	"momentum/internal/durable"
	"momentum/internal/rundir"
	"momentum/internal/safetensors"
)

// groupImages are the training images with a small margin, and the others.
type groupImages struct{ small, large *descent.Data }

// newGroupImages copies both groups to the devices, if the run asks for them.
func (r *experiment) newGroupImages(train *datasets.Images, l descent.Layout) (g groupImages,
	err error) {
	if !r.tracksGroups() {
		return g, nil
	}
	l.Random = false
	var small, large []int
	for i, isSmall := range train.SmallMargin {
		if isSmall {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	if g.small, err = descent.NewData(r.backend, train.Select(small), l); err != nil {
		return g, err
	}
	if r.diagnoses(byGroup) {
		g.large, err = descent.NewData(r.backend, train.Select(large), l)
	}
	return g, err
}

// tracksGroups reports whether the parts of the momentum buffer are known along the run.
func (c *Config) tracksGroups() bool { return c.diagnoses(byGroup) || c.Intervene == keepOut }

// parts are what the small-margin images and the weight decay have put into the momentum buffer,
// which is linear in the gradients; the rest of it comes from the other images. Without momentum
// the buffer is the gradient. They follow the rule as the buffer does, and are rounded as it is.
type parts struct{ small, decay []float64 }

// newParts are the parts of an empty buffer.
func newParts(n int) *parts { return &parts{small: make([]float64, n), decay: make([]float64, n)} }

// take follows the buffer through the step of a rule from some weights, at which the small-margin
// images' part of ∇L is the gradient. The rule clipped ∇L by a factor.
func (p *parts) take(r descent.Rule, factor float64, gradient, weights []float64) {
	for i := range p.small {
		p.small[i] = round32(r.Gamma*p.small[i] + r.Gain()*factor*gradient[i])
		p.decay[i] = round32(r.Gamma*p.decay[i] + r.Gain()*r.WeightDecay*weights[i])
	}
}

// empty reports whether no gradient is in the buffer.
func (p *parts) empty() bool {
	return floats.Norm(p.small, 2) == 0 && floats.Norm(p.decay, 2) == 0
}

// clear empties the buffer.
func (p *parts) clear() {
	clear(p.small)
	clear(p.decay)
}

func round32(x float64) float64 { return float64(float32(x)) }

// partsFile holds the parts of the buffer, in the folder of a checkpoint.
const partsFile = "parts.safetensors"

// save writes the parts into the folder of a checkpoint.
func (p *parts) save(folder string) error {
	tensor := func(name string, x []float64) safetensors.Tensor {
		data := make([]float32, len(x))
		for i := range x {
			data[i] = float32(x[i])
		}
		return safetensors.Tensor{Name: name, Shape: []int{len(x)}, Data: data}
	}
	return durable.WriteFile(filepath.Join(folder, partsFile), func(w io.Writer) error {
		return safetensors.Write(w, []safetensors.Tensor{tensor("decay", p.decay),
			tensor("small_margin", p.small)}, nil)
	})
}

// load reads what save wrote.
func (p *parts) load(folder string) error {
	path := filepath.Join(folder, partsFile)
	tensors, err := safetensors.ReadFile(path)
	if err != nil {
		return err
	}
	for name, to := range map[string][]float64{"decay": p.decay, "small_margin": p.small} {
		i := slices.IndexFunc(tensors, func(t safetensors.Tensor) bool { return t.Name == name })
		if i < 0 || len(tensors[i].Data) != len(to) {
			return fmt.Errorf("%s: no %s of %d values", path, name, len(to))
		}
		for j, x := range tensors[i].Data {
			to[j] = float64(x)
		}
	}
	return nil
}

// gradientsByGroup are the norms of both groups' parts of ∇L, which add up to it, their cosine and,
// if they are known, their cosines with the first eigenvectors of the Hessian.
func (o *observation) gradientsByGroup() []rundir.Value {
	values := []rundir.Value{
		{Name: "gradient" + smallMargin, X: floats.Norm(o.small, 2)},
		{Name: "gradient" + largeMargin, X: floats.Norm(o.large, 2)},
		{Name: "gradient_cosine", X: cosine(o.small, o.large)},
	}
	return slices.Concat(values, o.topCosines(smallMargin, o.small),
		o.topCosines(largeMargin, o.large))
}

// topCosines are the sizes of the cosines of a vector with the first eigenvectors of the Hessian,
// as far as these are known.
func (o *observation) topCosines(ending string, v []float64) (values []rundir.Value) {
	for i, top := range o.top {
		values = append(values, rundir.Value{Name: ranked("top_cosine", i) + ending,
			X: math.Abs(cosine(top, v))})
	}
	return values
}

// marginsByGroup are quantiles of the margins of both groups, of the training and of the evaluated
// images.
func (t *training) marginsByGroup(ctx context.Context) (values []rundir.Value, err error) {
	for _, set := range []struct {
		prefix string
		data   *descent.Data
	}{{"", t.train}, {"test_", t.eval}} {
		logits, err := t.trainer.Logits(ctx, set.data)
		if err != nil {
			return nil, err
		}
		margins, small := set.data.Margins(logits)
		for _, group := range []struct {
			ending string
			small  bool
		}{{smallMargin, true}, {largeMargin, false}} {
			var of []float64
			for i, m := range margins {
				if small[i] == group.small {
					of = append(of, m)
				}
			}
			slices.Sort(of)
			for _, percent := range []int{10, 50, 90} {
				name := fmt.Sprintf("%smargin_q%d%s", set.prefix, percent, group.ending)
				values = append(values, rundir.Value{Name: t.evalColumn(name),
					X: stat.Quantile(float64(percent)/100, stat.Empirical, of, nil)})
			}
		}
	}
	return values, nil
}

// bufferByGroup is about the buffer b after a step at rate eta that clipped ∇L by a factor: the
// norms of its parts, its cosines, and what it takes, to first order, from the mean loss of the
// small-margin images. The past is what the steps before put into b: none in the first step, after
// a reset and without momentum, where a number would be the rounding of a difference.
func (t *training) bufferByGroup(o *observation, eta, factor float64) (values []rundir.Value,
	err error) {
	rule := t.trainer.Rule()
	p := t.parts
	b, err := t.trainer.Momentum()
	if err != nil {
		return nil, err
	}
	if !t.Rule().HasMomentum() {
		b = slices.Clone(p.small)
		floats.AddScaled(b, factor, o.large)
		floats.Add(b, p.decay)
	}
	large := slices.Clone(b) // the rest of the buffer
	floats.Sub(large, p.small)
	floats.Sub(large, p.decay)
	// The mean loss of the small-margin images has the gradient N/N_small · o.small.
	scale := eta * float64(t.train.N) / float64(t.groups.small.N)
	values = []rundir.Value{
		{Name: "buffer" + smallMargin, X: floats.Norm(p.small, 2)},
		{Name: "buffer" + largeMargin, X: floats.Norm(large, 2)},
		{Name: "buffer_decay", X: floats.Norm(p.decay, 2)},
		{Name: "buffer_cosine" + smallMargin, X: cosine(b, o.small)},
		{Name: "buffer_cosine" + largeMargin, X: cosine(b, o.large)},
		{Name: "decrease" + smallMargin, X: scale * floats.Dot(o.small, b)},
		{Name: "decrease" + smallMargin + "_by_large", X: scale * floats.Dot(o.small, large)},
	}
	if o.past {
		past := slices.Clone(large) // without this step's gradient
		floats.AddScaled(past, -rule.Gain()*factor, o.large)
		values = append(values, rundir.Value{Name: "decrease" + smallMargin + "_by_past_large",
			X: scale * floats.Dot(o.small, past)})
	}
	return append(values, o.topCosines("_buffer", b)...), nil
}

// cosine is that of the angle between two vectors, 0 if one of them is 0.
func cosine(a, b []float64) float64 {
	if length := floats.Norm(a, 2) * floats.Norm(b, 2); length > 0 {
		return floats.Dot(a, b) / length
	}
	return 0
}
