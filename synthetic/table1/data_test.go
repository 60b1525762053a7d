package table1

import (
	"math"
	"slices"
	"testing"
)

// Labels are balanced on points that did not determine the median: over 400 points, with a median
// of 400, to 4 standard errors of √(¼/400 + ¼/400). (A teacher so narrow that all its units may be
// off has the same output at many points.)
func TestLabels(t *testing.T) {
	s := tiny()
	s.Teachers = []string{"1-mlp", "2-mlp", "1-cnn", "2-cnn"}
	s.Train, s.Valid, s.Test, s.Center = 400, 400, 400, 400
	s.TeacherWidth, s.TeacherFilters = 20, 5
	e := &experiment{Settings: s, be: goBackend(t)}
	if err := e.draw(t.Context()); err != nil {
		t.Fatal(err)
	}
	for seed, byTeacher := range e.train.y {
		for k, y := range byTeacher {
			positive := 0
			for _, v := range y {
				if v == 1 {
					positive++
				} else if v != -1 {
					t.Fatalf("label %v", v)
				}
			}
			share, tolerance := float64(positive)/400, 4*math.Sqrt(0.25/400+0.25/400)
			if math.Abs(share-0.5) > tolerance {
				t.Errorf("seed %d, %s: a share of %v is positive", seed, s.Teachers[k], share)
			}
			if k > 0 && slices.Equal(y, byTeacher[0]) {
				t.Errorf("%s and %s give the same labels", s.Teachers[k], s.Teachers[0])
			}
		}
	}
	if slices.Equal(e.train.x[0], e.train.x[1]) ||
		slices.Equal(e.train.x[0][:60], e.test.x[0][:60]) {
		t.Error("two seeds or two purposes have the same points")
	}
}
