package cubic

import (
	"fmt"
	"math"

	"momentum/internal/descent"
)

// Lane is one setting of the descent.
type Lane struct {
	descent.Rule
	Eta float64 // η

	// Interventions, for experiments on the mechanism.

	// AfterFit, if not nil, replaces rate and momentum from the step on at which Z1 is fitted
	// ([Fit1]).
	AfterFit *Phase `json:"Then"`
	// BypassZ1 keeps the gradient of Z1 out of the momentum buffer: it acts at once, as in GD.
	BypassZ1 bool `json:"Apart"`
}

// Phase is what changes when Z1 is fitted.
type Phase struct {
	Eta, Gamma float64
	Reset      bool // set the momentum buffer to zero
}

// Validate refuses values for which a lane is not defined.
func (l Lane) Validate() error {
	if err := l.Rule.Validate(); err != nil {
		return err
	}
	if !(l.Eta > 0) || math.IsInf(l.Eta, 0) {
		return fmt.Errorf("eta must be positive and finite, got %v", l.Eta)
	}
	if p := l.AfterFit; p != nil {
		late := Lane{Rule: l.Rule, Eta: p.Eta}
		late.Gamma = p.Gamma
		if err := late.Validate(); err != nil {
			return fmt.Errorf("after the fit of Z1: %w", err)
		}
	}
	return nil
}

// The columns of a lane's row of parameters. The late ones apply from the fit of Z1 on.
const (
	etaColumn = iota
	lateEtaColumn
	gammaColumn
	lateGammaColumn
	gainColumn
	lateGainColumn
	decayColumn
	resetColumn  // 1: set the buffer to zero at the fit
	bypassColumn // 1: keep the gradient of Z1 out of the buffer
	columnCount
)

// row is the lane as the executable takes it.
func (l Lane) row() []float64 {
	row := make([]float64, columnCount)
	late := l
	if p := l.AfterFit; p != nil {
		late.Eta, late.Gamma = p.Eta, p.Gamma
		if p.Reset {
			row[resetColumn] = 1
		}
	}
	if l.BypassZ1 {
		row[bypassColumn] = 1
	}
	row[etaColumn], row[lateEtaColumn] = l.Eta, late.Eta
	row[gammaColumn], row[lateGammaColumn] = l.Gamma, late.Gamma
	row[gainColumn], row[lateGainColumn] = l.Gain(), late.Gain()
	row[decayColumn] = l.WeightDecay
	return row
}

// Event is something whose first step is recorded for each lane. An event of step t shows in the
// weights before step t.
type Event int

// The events. Z1 and Z2 are the training samples with a large and with a small margin, and ℓ of a
// sample is sigmoid(−y f).
const (
	Fit1       Event = iota // the mean of ℓ over Z1 is below Options.Fitted
	Fit2                    // the same over Z2
	Zero1                   // no training error on Z1
	Zero2                   // no training error on Z2
	Zero                    // no training error
	Diverged                // weights or losses are no longer finite
	eventCount              // how many there are
)

func (e Event) String() string {
	return [...]string{"fit_1", "fit_2", "zero_1", "zero_2", "zero", "diverged"}[e]
}
