package imagerun

import (
	"fmt"

	"gonum.org/v1/gonum/floats"

	"momentum/internal/descent"
)

// The values of -intervene: experiments on what momentum remembers, as in the synthetic world.
const (
	// reset sets the buffer to zero once, at the fit: after the first step before which the mean
	// loss of the large-margin images is below InterveneAt.
	reset = "reset"
	// keepOut keeps the gradients of the large-margin images out of the buffer. They act at once,
	// at the effective rate.
	keepOut = "keep-out"
	// phase1 has momentum until the fit, and phase2 from the fit on, from an empty buffer. The
	// other phase is GD at the same effective rate.
	phase1 = "phase1"
	phase2 = "phase2"
)

var interventions = []string{reset, keepOut, phase1, phase2}

// interventionWaits reports whether an intervention waits for the fit.
func (c *Config) interventionWaits() bool { return c.Intervene != "" && c.Intervene != keepOut }

// resumeIntervention gives the trainer the γ of the present phase.
func (t *training) resumeIntervention() error {
	before := t.intervened == 0
	if t.Intervene == phase1 && !before || t.Intervene == phase2 && before {
		return t.trainer.SetGamma(0)
	}
	return nil
}

// stepRate is the rate at which the trainer's rule has the effective rate of the run's rule at eta:
// eta itself or, in a phase of GD, the effective rate.
func (t *training) stepRate(eta float64) float64 {
	if t.trainer.Rule() == t.Rule() {
		return eta
	}
	return t.Rule().EffectiveRate(eta)
}

// intervene acts after a step, whose stats it is given, at rate eta.
func (t *training) intervene(s descent.Stats, eta float64) error {
	switch {
	case t.Intervene == "":
		return nil
	case t.Intervene == keepOut:
		return t.keepOut(eta)
	case t.intervened > 0 || !(largeMarginLoss(s.Score, t.train) < t.InterveneAt):
		return nil
	}
	t.intervened = t.position.step
	t.bar.Println(fmt.Sprintf("          -intervene=%s after step %d", t.Intervene,
		t.position.step))
	switch t.Intervene {
	case phase1:
		return t.trainer.SetGamma(0)
	case phase2:
		if err := t.trainer.SetGamma(t.Momentum); err != nil {
			return err
		}
	}
	if t.parts != nil {
		t.parts.clear()
	}
	return t.trainer.SetMomentum(make([]float64, t.net.NumParams()))
}

// largeMarginLoss is the mean loss of the large-margin images of a set.
func largeMarginLoss(s descent.Score, d *descent.Data) float64 {
	return (s.Loss - s.SmallMarginLoss) * float64(d.N) / float64(d.N-d.SmallMargin)
}

// keepOut takes the large-margin images' gradient of the last step, g, out of the buffer again. The
// step has moved the weights by η·gain·g; it moves them by what is missing to the effective rate.
func (t *training) keepOut(eta float64) error {
	rule, p := t.Rule(), t.parts
	b, err := t.trainer.Momentum()
	if err != nil {
		return err
	}
	kept := make([]float64, len(b))
	floats.AddTo(kept, p.small, p.decay)
	g := make([]float64, len(b)) // times the gain
	floats.SubTo(g, b, kept)
	w, err := t.trainer.Values()
	if err != nil {
		return err
	}
	floats.AddScaled(w, -eta*rule.Gamma/(1-rule.Gamma), g)
	if err := t.trainer.SetValues(w); err != nil {
		return err
	}
	return t.trainer.SetMomentum(kept)
}
