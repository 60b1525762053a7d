package descent

import (
	"math"
	"testing"
)

func TestSchedule(t *testing.T) {
	for _, c := range []struct {
		s    Schedule
		t    int
		want float64
	}{
		{Schedule{Kind: "constant", Peak: 2, Steps: 100}, 99, 2},
		{Schedule{Kind: "constant", Peak: 2, Steps: 100, Warmup: 4}, 0, 0.5}, // 2·1/4
		{Schedule{Kind: "constant", Peak: 2, Steps: 100, Warmup: 4}, 3, 2},
		{Schedule{Kind: "cosine", Peak: 2, Steps: 100}, 0, 2},
		{Schedule{Kind: "cosine", Peak: 2, Steps: 100}, 50, 1},  // cos(π/2) = 0
		{Schedule{Kind: "cosine", Peak: 2, Steps: 90}, 30, 1.5}, // cos(π/3) = ½
		{Schedule{Kind: "cosine", Peak: 2, Steps: 100}, 100, 0}, // after the last step
		{Schedule{Kind: "cosine", Peak: 2, Steps: 110, Warmup: 10}, 60, 1},
		{Schedule{Kind: "step", Peak: 2, Steps: 100}, 49, 2},
		{Schedule{Kind: "step", Peak: 2, Steps: 100}, 50, 0.2},
		{Schedule{Kind: "step", Peak: 2, Steps: 100}, 74, 0.2},
		{Schedule{Kind: "step", Peak: 2, Steps: 100}, 75, 0.02},
	} {
		if got := c.s.Rate(c.t); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%+v at %d: %v, want %v", c.s, c.t, got, c.want)
		}
	}
}
