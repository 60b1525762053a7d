package descent

import (
	"math"
	"testing"
)

func TestNotFinite(t *testing.T) {
	for _, c := range []struct {
		s    Stats
		want string
	}{
		{Stats{Score: Score{Loss: 1}, GradNorm: 2, UpdateNorm: 3, ParamNorm: 4}, ""},
		{Stats{Score: Score{Loss: math.NaN()}}, "train loss"},
		{Stats{GradNorm: math.Inf(1)}, "gradient norm"},
		{Stats{UpdateNorm: math.Inf(1)}, "update norm"},
		{Stats{ParamNorm: math.NaN()}, "parameter norm"},
	} {
		if got, _ := c.s.NotFinite(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.s, got, c.want)
		}
	}
}
