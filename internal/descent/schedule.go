package descent

import "math"

// Schedule is a learning rate as a function of the step.
type Schedule struct {
	Kind   string  // one of Schedules
	Peak   float64 // η after the warm-up
	Steps  int     // length of the run
	Warmup int     // steps of linear warm-up: step t has rate Peak·(t+1)/Warmup
}

// Schedules lists the values of [Schedule.Kind].
func Schedules() []string { return []string{"constant", "cosine", "step"} }

// Rate is η at step t, counted from 0. After the warm-up of W steps, with x = (t−W)/(Steps−W):
//
//	constant  Peak
//	cosine    Peak · (1 + cos πx)/2       Loshchilov and Hutter (2017), one cycle
//	step      Peak, Peak/10 from x = ½, Peak/100 from x = ¾
func (s Schedule) Rate(t int) float64 {
	if t < s.Warmup {
		return s.Peak * float64(t+1) / float64(s.Warmup)
	}
	x := float64(t-s.Warmup) / float64(max(1, s.Steps-s.Warmup))
	switch s.Kind {
	case "cosine":
		return s.Peak * (1 + math.Cos(math.Pi*x)) / 2
	case "step":
		switch {
		case x >= 0.75:
			return s.Peak * 0.01
		case x >= 0.5:
			return s.Peak * 0.1
		}
	}
	return s.Peak
}
