package descent

import (
	"math"
	"strings"
	"testing"
)

// Law: the scores of the small-margin images and of the others add up to those of all images, and
// each part equals the score of its images alone. In steps and in evaluations, the chunks do not
// change this, and the separate scores do not change the step.
func TestSmallMarginImages(t *testing.T) {
	b := goBackend(t)
	rule := Rule{Form: Undamped, Gamma: 0.9}
	set := imageSet(7)
	plainData := uploaded(t, b, set, Layout{Chunk: 7, Random: true})
	set.SmallMargin = []bool{true, false, false, true, false, true, false}
	flagged := uploaded(t, b, set, Layout{Chunk: 7})
	flaggedChunks := uploaded(t, b, set, Layout{Chunk: 3, Random: true}) // 3+3+1 images
	plain := trainer(t, b, plainData, tiny, rule)
	// alone scores images at the weights of plain. It uses another trainer, so that the momentum of
	// plain stays; a rate of 0 leaves the weights.
	alone := func(indices ...int32) Score {
		tr := trainer(t, b, plainData, tiny, rule)
		for i := range plain.params {
			tr.set(i, plain.values(i))
		}
		return stepOn(t, tr, indices).Score
	}
	whole := trainer(t, b, flagged, tiny, rule)
	chunked := trainer(t, b, flaggedChunks, tiny, rule)
	for step := range 3 {
		small, others := alone(0, 3, 5), alone(1, 2, 4, 6)
		want, err := plain.Step(t.Context(), 0.1)
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range []*Trainer{whole, chunked} {
			evaluated, err := tr.Evaluate(t.Context(), tr.train)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tr.Step(t.Context(), 0.1)
			if err != nil {
				t.Fatal(err)
			}
			if e := distance([]float64{want.Loss, want.GradNorm, want.UpdateNorm, want.ParamNorm},
				[]float64{got.Loss, got.GradNorm, got.UpdateNorm, got.ParamNorm}); e > 1e-12 {
				t.Errorf("step %d, chunks of %d: small-margin flags change %+v to %+v", step,
					tr.train.Chunk, want, got)
			}
			for _, s := range []Score{got.Score, evaluated} {
				if math.Abs(s.SmallMarginLoss*7/3-small.Loss) > 1e-12 ||
					math.Abs((s.Loss-s.SmallMarginLoss)*7/4-others.Loss) > 1e-12 ||
					s.SmallMarginCorrect != small.Correct ||
					s.Correct-s.SmallMarginCorrect != others.Correct {
					t.Errorf("step %d, chunks of %d: %+v, want %+v of the small-margin images "+
						"and %+v of the others", step, tr.train.Chunk, s, small, others)
				}
			}
		}
	}
	// A mini-batch has a small-margin part too: here images 5 and 0 of four.
	s := stepOn(t, chunked, []int32{5, 1, 0, 6})
	if small := alone(0, 5); math.Abs(s.SmallMarginLoss*4/2-small.Loss) > 1e-12 ||
		s.SmallMarginCorrect != small.Correct {
		t.Errorf("mini-batch: %+v, want %+v of the small-margin images", s, small)
	}
	// Images without flags can be evaluated with a trainer of flagged images.
	if s, err := chunked.Evaluate(t.Context(), plainData); err != nil || s.SmallMarginLoss != 0 ||
		s.SmallMarginCorrect != 0 {
		t.Errorf("images without flags: %+v, %v", s, err)
	}
	set.SmallMargin = make([]bool, 6)
	if _, err := NewData(b, set, Layout{Chunk: 3}); err == nil || !strings.Contains(err.Error(),
		"6 small-margin flags, want one for each of the 7 images") {
		t.Error(err)
	}
}

// stepOn takes a step at rate 0, which leaves the weights.
func stepOn(t *testing.T, tr *Trainer, indices []int32) Stats {
	t.Helper()
	s, err := tr.StepOn(t.Context(), indices, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
