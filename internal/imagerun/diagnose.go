package imagerun

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/floats"

	"momentum/datasets"
	"momentum/internal/descent"
	"momentum/internal/lanczos"
	"momentum/internal/rundir"
	"momentum/internal/seeds"
)

// sharpness is the value of -diagnose that measures the curvature of the training loss.
const sharpness = "sharpness"

// The search for the largest eigenvalues ends at a residual of a thousandth of the largest, or
// after this many products, each of which takes as long as three gradients.
const (
	sharpnessTolerance = 1e-3
	sharpnessProducts  = 40
)

// normalizeDiagnosis clears the settings of a diagnosis that is off, and resolves those of one that
// is on.
func (c *Config) normalizeDiagnosis() {
	if c.Diagnose == "" {
		c.DiagnoseEvery, c.DiagnoseImages, c.Eigenvalues = 0, 0, 0
		return
	}
	c.DiagnoseEvery, c.Eigenvalues = cmp.Or(c.DiagnoseEvery, 10), cmp.Or(c.Eigenvalues, 1)
}

// validateDiagnosis is the part of Validate about the diagnosis.
func (c *Config) validateDiagnosis() error {
	if c.Diagnose == "" {
		return nil
	}
	return cmp.Or(
		check("diagnose", c.Diagnose == sharpness, "empty or "+sharpness,
			fmt.Sprintf("%q", c.Diagnose)),
		check("diagnose", !IsMiniBatch(c.Opt), "left out with mini-batches: the sharpness is that "+
			"of the full batch, which only gd and gdm step on", "-opt="+c.Opt),
		check("diagnose-every", c.DiagnoseEvery > 0, "at least 1 epoch", c.DiagnoseEvery),
		check("diagnose-images", c.DiagnoseImages >= 0 &&
			(c.Images == 0 || c.DiagnoseImages <= c.Images),
			"at most the number of training images", c.DiagnoseImages),
		check("eigenvalues", c.Eigenvalues > 0 && c.Eigenvalues <= sharpnessProducts/2,
			fmt.Sprintf("in [1, %d]", sharpnessProducts/2), c.Eigenvalues),
	)
}

// diagnosedImages are the training images whose loss is diagnosed.
func (r *experiment) diagnosedImages(train *datasets.Images, l descent.Layout) (*descent.Data,
	error) {
	n := r.DiagnoseImages
	if n == 0 || n >= train.N() || r.Diagnose == "" {
		return r.train, nil
	}
	l.Random = false
	return descent.NewData(r.backend, train.Slice(0, n), l)
}

// diagnosisFLOP is the most that the diagnoses of the run take.
func (r *experiment) diagnosisFLOP() float64 {
	if r.Diagnose == "" {
		return 0
	}
	diagnoses := (r.Epochs+r.DiagnoseEvery-1)/r.DiagnoseEvery + 1 // with the final weights'
	images := cmp.Or(r.DiagnoseImages, r.train.N)
	const asGradients = 3 // of a product
	return float64(diagnoses*(sharpnessProducts+1)*images) * asGradients * r.stepFLOP
}

// isDiagnosed reports whether the weights before an epoch are diagnosed.
func (c *Config) isDiagnosed(epoch int) bool {
	return c.Diagnose != "" && epoch%c.DiagnoseEvery == 0
}

// diagnoseBefore diagnoses the weights before the step of an epoch, and returns them.
func (t *training) diagnoseBefore(ctx context.Context, epoch int) (weights []float64,
	values []rundir.Value, err error) {
	if values, err = t.diagnose(ctx, epoch); err != nil {
		return nil, nil, err
	}
	weights, err = t.trainer.Values()
	return weights, values, err
}

// diagnoseStep measures the curvature uᵀHu / uᵀu along the step u that was just taken at rate eta,
// at the weights before it, and adds the stability limit at that rate. It cannot be cancelled: the
// weights are others meanwhile.
func (t *training) diagnoseStep(ctx context.Context, before []float64, eta float64) (
	values []rundir.Value, err error) {
	after, err := t.trainer.Values()
	if err != nil {
		return nil, err
	}
	if err := t.trainer.SetValues(before); err != nil {
		return nil, err
	}
	u := slices.Clone(after)
	floats.Sub(u, before)
	h, err := t.trainer.HessianProduct(context.WithoutCancel(ctx), t.diagnosed, u)
	if err != nil {
		return nil, err
	}
	if length := floats.Dot(u, u); length > 0 {
		values = append(values, rundir.Value{Name: "sharpness_update",
			X: floats.Dot(u, h) / length})
	}
	if limit := t.Rule().StabilityLimit(eta); !math.IsInf(limit, 0) {
		values = append(values, rundir.Value{Name: "stability_limit", X: limit})
	}
	return values, t.trainer.SetValues(after)
}

// diagnose measures the sharpness at the present weights: the largest eigenvalues of the Hessian of
// the training loss, and the residual of the first. An epoch has a random start of its own, so that
// a run that is resumed finds the same numbers.
func (t *training) diagnose(ctx context.Context, epoch int) (values []rundir.Value, err error) {
	random := seeds.Stream(t.Seed, fmt.Sprintf("diagnose/%d", epoch))
	o := lanczos.Options{Pairs: t.Eigenvalues, Iterations: sharpnessProducts,
		Tolerance: sharpnessTolerance}
	pairs, _, err := lanczos.Largest(t.net.NumParams(), o, random,
		func(v []float64) ([]float64, error) {
			return t.trainer.HessianProduct(ctx, t.diagnosed, v)
		})
	if err != nil {
		return nil, err
	}
	for i, p := range pairs {
		name := sharpness
		if i > 0 {
			name += "_" + strconv.Itoa(i+1)
		}
		values = append(values, rundir.Value{Name: name, X: p.Value})
		if i == 0 {
			values = append(values, rundir.Value{Name: "sharpness_residual", X: p.Residual})
		}
	}
	return values, nil
}

// diagnosisText is what the progress line says of a row's diagnosis, "" without one.
func diagnosisText(row rundir.Row) string {
	value, ok := row.Get(sharpness)
	if !ok {
		return ""
	}
	var text strings.Builder
	fmt.Fprintf(&text, "  sharpness %.4g", value)
	if limit, ok := row.Get("stability_limit"); ok {
		fmt.Fprintf(&text, " (limit %.4g)", limit)
	}
	return text.String()
}
