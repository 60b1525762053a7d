package imagerun

import (
	"cmp"
	"context"
	"errors"
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

// The values of -diagnose. sharpness measures the curvature of the training loss, critical the
// step at which the loss would rise, groups what the small-margin images and the others put into
// the steps, layers how long the steps of each stage are, noise how much the gradients of images
// differ.
const (
	sharpness = "sharpness"
	critical  = "critical"
	byGroup   = "groups"
	byLayer   = "layers"
	noise     = "noise"
)

var diagnoses = []string{sharpness, critical, byGroup, byLayer, noise}

// diagnoses reports whether a value is among those of -diagnose.
func (c *Config) diagnoses(what string) bool {
	return slices.Contains(strings.Split(c.Diagnose, ","), what)
}

// The search for the largest eigenvalues ends at a residual of a thousandth of the largest, or
// after this many products, each of which takes as long as three gradients.
const (
	sharpnessTolerance = 1e-3
	sharpnessProducts  = 40
)

// normalizeDiagnosis clears the settings of diagnoses and interventions that are off, and resolves
// those of the others.
func (c *Config) normalizeDiagnosis() {
	if c.Diagnose == "" {
		c.DiagnoseEvery = 0
	} else {
		c.DiagnoseEvery = cmp.Or(c.DiagnoseEvery, 10)
		words := strings.Split(c.Diagnose, ",")
		slices.SortStableFunc(words, func(a, b string) int { // one name for one set of diagnoses
			return slices.Index(diagnoses, a) - slices.Index(diagnoses, b)
		})
		c.Diagnose = strings.Join(slices.Compact(words), ",")
	}
	if c.diagnoses(sharpness) {
		c.Eigenvalues = cmp.Or(c.Eigenvalues, 1)
	} else {
		c.Eigenvalues = 0
	}
	if !c.diagnosesImages() {
		c.DiagnoseImages = 0
	}
	if c.interventionWaits() {
		c.InterveneAt = cmp.Or(c.InterveneAt, 0.1)
	} else {
		c.InterveneAt = 0
	}
}

// diagnosesImages reports whether a diagnosis is about the loss of DiagnoseImages images.
func (c *Config) diagnosesImages() bool {
	return c.diagnoses(sharpness) || c.diagnoses(critical) || c.diagnoses(noise)
}

// validateDiagnosis is the part of Validate about diagnoses and interventions.
func (c *Config) validateDiagnosis() error {
	needs := func(flag, value string, ok bool, what, got string) error {
		if value == "" || ok {
			return nil
		}
		return fmt.Errorf("-%s=%s needs %s, got %s", flag, value, what, got)
	}
	groups := "" // the flag that needs them
	if c.diagnoses(byGroup) {
		groups = "diagnose=" + byGroup
	} else if c.Intervene != "" {
		groups = "intervene=" + c.Intervene
	}
	flag, value, _ := strings.Cut(groups, "=")
	const additive = "a loss that is a sum over images, which batch normalization does not have"
	return cmp.Or(
		check("diagnose", c.Diagnose == "" || !slices.ContainsFunc(strings.Split(c.Diagnose, ","),
			func(word string) bool { return !slices.Contains(diagnoses, word) }),
			"some of "+strings.Join(diagnoses, ", ")+", with commas",
			fmt.Sprintf("%q", c.Diagnose)),
		check("intervene", c.Intervene == "" || slices.Contains(interventions, c.Intervene),
			"empty or one of "+strings.Join(interventions, ", "), fmt.Sprintf("%q", c.Intervene)),
		needs("diagnose", c.Diagnose, !IsMiniBatch(c.Opt), "the full batch, on which gd and gdm "+
			"step", "-opt="+c.Opt),
		needs("intervene", c.Intervene, c.Opt == "gdm", "-opt=gdm", "-opt="+c.Opt),
		needs("intervene", c.Intervene, c.Momentum > 0, "-momentum above 0",
			fmt.Sprint(c.Momentum)),
		needs(flag, value, c.SmallMargin > 0, "two groups of images: add -small-margin=0.1",
			"-small-margin=0"),
		needs(flag, value, c.Norm != "batch", additive, "-norm=batch"),
		needs("diagnose", noise, !c.diagnoses(noise) || c.Norm != "batch", additive, "-norm=batch"),
		needs("diagnose", noise, !c.diagnoses(noise) || c.DiagnoseImages != 1 && c.Images != 1,
			"at least two images", "1"),
		check("diagnose-every", c.DiagnoseEvery >= 0, "at least 0 epochs", c.DiagnoseEvery),
		check("diagnose-images", c.DiagnoseImages >= 0 &&
			(c.Images == 0 || c.DiagnoseImages <= c.Images),
			"at most the number of training images", c.DiagnoseImages),
		check("eigenvalues", c.Eigenvalues >= 0 && c.Eigenvalues <= sharpnessProducts/2,
			fmt.Sprintf("in [0, %d]", sharpnessProducts/2), c.Eigenvalues),
		check("intervene-at", c.InterveneAt >= 0 && !math.IsInf(c.InterveneAt, 0),
			"positive and finite", c.InterveneAt),
	)
}

// diagnosedImages are the training images whose loss is diagnosed.
func (r *experiment) diagnosedImages(train *datasets.Images) *datasets.Images {
	if n := r.DiagnoseImages; n > 0 && n < train.N() {
		return train.Slice(0, n)
	}
	return train
}

// copyDiagnosed copies the diagnosed images to the devices, unless they are there in chunks of the
// same size: for the noise of gradients in chunks of their own.
func (r *experiment) copyDiagnosed(train *datasets.Images, l descent.Layout) (err error) {
	set := r.diagnosedImages(train)
	l.Random = false
	if r.diagnosed = r.train; set != train {
		if r.diagnosed, err = descent.NewData(r.backend, set, l); err != nil {
			return err
		}
	}
	if !r.diagnoses(noise) {
		return nil
	}
	if l.Chunk = max(1, min(noiseChunk, set.N()/2)); l.Chunk == r.diagnosed.Chunk {
		r.noiseData = r.diagnosed
		return nil
	}
	r.noiseData, err = descent.NewData(r.backend, set, l)
	return err
}

// diagnosisFLOP is the most that the diagnoses and interventions of the run take.
func (r *experiment) diagnosisFLOP() (flop float64) {
	if r.tracksGroups() { // a gradient of the small-margin images each step
		flop = float64(r.Epochs*r.groups.small.N) * r.stepFLOP
	}
	if r.Diagnose == "" {
		return flop
	}
	diagnoses := float64((r.Epochs+r.DiagnoseEvery-1)/r.DiagnoseEvery + 1) // with the final one
	if r.diagnoses(sharpness) {
		const asGradients = 3 // of a product
		flop += diagnoses * float64((sharpnessProducts+1)*r.diagnosed.N) * asGradients *
			r.stepFLOP
	}
	if r.diagnoses(critical) {
		const evaluations = 12 // about
		flop += diagnoses * float64(r.diagnosed.N) * (r.stepFLOP + evaluations*r.forwardFLOP)
	}
	if r.diagnoses(noise) {
		flop += diagnoses * float64(r.noiseData.N) * r.stepFLOP
	}
	if r.diagnoses(byGroup) {
		flop += diagnoses * (float64(r.train.N)*r.stepFLOP +
			float64(r.train.N+r.eval.N)*r.forwardFLOP)
	}
	return flop
}

// observation is what the diagnoses and interventions of one step have seen so far.
type observation struct {
	diagnosed bool           // the step is one of those that are diagnosed
	before    []float64      // the weights before it, where something needs them
	top       [][]float64    // the first eigenvectors, with sharpness
	small     []float64      // the small-margin images' part of ∇L, if groups are tracked
	large     []float64      // that of the other images, with groups
	past      bool           // the step follows gradients of steps before it, with groups
	values    []rundir.Value // for the metrics
}

// observe looks at the weights before the step of an epoch, or at the final ones.
func (t *training) observe(ctx context.Context, epoch int, final bool) (o observation, err error) {
	o.diagnosed = t.Diagnose != "" && (final || epoch%t.DiagnoseEvery == 0)
	if t.parts != nil {
		if o.small, err = t.trainer.Gradient(ctx, t.groups.small, t.train.N); err != nil {
			return o, err
		}
	}
	if t.parts != nil || o.diagnosed && (t.diagnosesSteps() || t.diagnoses(byLayer)) {
		if o.before, err = t.trainer.Values(); err != nil {
			return o, err
		}
	}
	if o.diagnosed {
		err = t.diagnose(ctx, epoch, &o)
	}
	return o, err
}

// diagnosesSteps reports whether a diagnosis goes back to the weights before a step.
func (c *Config) diagnosesSteps() bool { return c.diagnoses(sharpness) || c.diagnoses(critical) }

// observeStep looks at the step that was just taken at rate eta, of which it is given the stats,
// and intervenes. It cannot be cancelled, since the step is not taken back.
func (t *training) observeStep(ctx context.Context, o *observation, eta float64,
	stats descent.Stats) error {
	ctx = context.WithoutCancel(ctx)
	if t.parts != nil {
		o.past = o.diagnosed && t.Rule().HasMomentum() && !t.parts.empty()
		t.parts.take(t.trainer.Rule(), stats.ClipFactor, o.small, o.before)
	}
	if o.diagnosed && t.diagnoses(byLayer) {
		after, err := t.trainer.Values()
		if err != nil {
			return err
		}
		o.values = append(o.values, stepsByLayer(t.net.Params(), o.before, after)...)
	}
	if o.diagnosed && t.diagnosesSteps() {
		if err := t.diagnoseStep(ctx, o, eta); err != nil {
			return err
		}
	}
	if o.diagnosed && t.diagnoses(byGroup) {
		buffer, err := t.bufferByGroup(o, eta, stats.ClipFactor)
		if err != nil {
			return err
		}
		o.values = append(o.values, buffer...)
	}
	return t.intervene(stats, eta)
}

// diagnose adds to an observation what can be said of the present weights.
func (t *training) diagnose(ctx context.Context, epoch int, o *observation) (err error) {
	var values []rundir.Value
	if t.diagnoses(sharpness) {
		if o.top, values, err = t.curvature(ctx, epoch); err != nil {
			return err
		}
		o.values = append(o.values, values...)
	}
	if t.diagnoses(noise) {
		if values, err = t.gradientNoise(ctx); err != nil {
			return err
		}
		o.values = append(o.values, values...)
	}
	if t.diagnoses(byGroup) {
		if o.large, err = t.trainer.Gradient(ctx, t.groups.large, t.train.N); err != nil {
			return err
		}
		o.values = append(o.values, o.gradientsByGroup()...)
		if values, err = t.marginsByGroup(ctx); err != nil {
			return err
		}
		o.values = append(o.values, values...)
	}
	return nil
}

// diagnoseStep adds to an observation what can be said, at the weights before it, of the step that
// was just taken at rate eta.
func (t *training) diagnoseStep(ctx context.Context, o *observation, eta float64) error {
	after, err := t.trainer.Values()
	if err != nil {
		return err
	}
	if err := t.trainer.SetValues(o.before); err != nil {
		return err
	}
	u := make([]float64, len(after))
	floats.SubTo(u, after, o.before)
	var values []rundir.Value
	if t.diagnoses(sharpness) {
		if values, err = t.curvatureAlong(ctx, u, eta); err != nil {
			return err
		}
		o.values = append(o.values, values...)
	}
	if t.diagnoses(critical) { // the last, since it moves the weights
		if values, err = t.criticalAlong(ctx, o.before, u); err != nil {
			return err
		}
		o.values = append(o.values, values...)
	}
	return t.trainer.SetValues(after)
}

// curvatureAlong is the curvature uᵀHu / uᵀu along a step u at rate eta, and the stability limit at
// that rate.
func (t *training) curvatureAlong(ctx context.Context, u []float64, eta float64) (
	values []rundir.Value, err error) {
	h, err := t.trainer.HessianProduct(ctx, t.diagnosed, u)
	if err != nil {
		return nil, err
	}
	if length := floats.Dot(u, u); length > 0 {
		values = append(values, rundir.Value{Name: "sharpness_update",
			X: floats.Dot(u, h) / length})
	}
	if limit := t.trainer.Rule().StabilityLimit(eta); !math.IsInf(limit, 0) {
		values = append(values, rundir.Value{Name: "stability_limit", X: limit})
	}
	return values, nil
}

// curvature measures the sharpness at the present weights: the largest eigenvalues of the Hessian
// of the training loss, their vectors, and the residual of the first. An epoch has a random start
// of its own, so that a run that is resumed finds the same numbers. There are none where the
// network overflows: the loss reports that.
func (t *training) curvature(ctx context.Context, epoch int) (top [][]float64,
	values []rundir.Value, err error) {
	random := seeds.Stream(t.Seed, fmt.Sprintf("diagnose/%d", epoch))
	o := lanczos.Options{Pairs: t.Eigenvalues, Iterations: sharpnessProducts,
		Tolerance: sharpnessTolerance}
	pairs, _, err := lanczos.Largest(t.net.NumParams(), o, random,
		func(v []float64) ([]float64, error) {
			return t.trainer.HessianProduct(ctx, t.diagnosed, v)
		})
	if errors.Is(err, lanczos.ErrNotFinite) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	for i, p := range pairs {
		top = append(top, p.Vector)
		values = append(values, rundir.Value{Name: ranked(sharpness, i), X: p.Value})
		if i == 0 {
			values = append(values, rundir.Value{Name: "sharpness_residual", X: p.Residual})
		}
	}
	return top, values, nil
}

// ranked is the name of the column of eigenvalue i from 0 on: name, name_2, …
func ranked(name string, i int) string {
	if i == 0 {
		return name
	}
	return name + "_" + strconv.Itoa(i+1)
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
