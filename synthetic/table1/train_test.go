package table1

import (
	"math"
	"slices"
	"strings"
	"testing"

	"momentum/internal/backend/backendtest"
	"momentum/internal/seeds"
)

// Every lane of the linear student against the rule written out for one lane in float64, including
// the batches and their order. The test is long because it writes out the whole training.
func TestLinearByHand(t *testing.T) {
	s := tiny()
	s.Students = s.Students[:1]
	be := backendtest.Open(t)
	_, students := runTable(t, be, s)
	e := &experiment{Settings: s, be: goBackend(t)} // labels do not depend on the backend
	if err := e.draw(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, err := s.student("linear")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range students["linear"] {
		i, teacher := int(l.Seed-s.Seed), slices.Index(s.Teachers, l.Teacher)
		var w [7]float64 // the bias last
		for k, x := range f.Init(seeds.Stream(l.Seed, "init"))[0] {
			w[k] = float64(x)
		}
		output := func(x []float32) float64 {
			sum := w[6]
			for k := range x {
				sum += w[k] * float64(x[k])
			}
			return sum
		}
		batch, gamma := s.Train, 0.0
		if strings.HasPrefix(l.Algorithm, "s") {
			batch = s.Batch // steps of 8, 8 and 4 points
		}
		if strings.HasSuffix(l.Algorithm, "m") {
			gamma = s.Gamma
		}
		var g [7]float64
		order := seeds.Stream(l.Seed, "order")
		for range s.Epochs {
			for rows := range slices.Chunk(order.Perm(s.Train), batch) {
				var gradient [7]float64
				for _, r := range rows {
					x, y := e.train.x[i][r*6:(r+1)*6], float64(e.train.y[i][teacher][r])
					slope := -y / (1 + math.Exp(y*output(x))) / float64(len(rows))
					for k := range x {
						gradient[k] += slope * float64(x[k])
					}
					gradient[6] += slope
				}
				for k := range w {
					g[k] = gamma*g[k] + (1-gamma)*gradient[k]
					w[k] -= l.Rate * g[k]
				}
			}
		}
		accuracy := func(set *pointSet) (share, loss float64) {
			for r := range set.n {
				margin := float64(set.y[i][teacher][r]) * output(set.x[i][r*6:(r+1)*6])
				loss += math.Log1p(math.Exp(-margin)) / float64(set.n)
				if margin > 0 {
					share += 1 / float64(set.n)
				}
			}
			return share, loss
		}
		train, loss := accuracy(e.train)
		valid, _ := accuracy(e.valid)
		test, _ := accuracy(e.test)
		if math.Abs(l.TrainingLoss-loss) > 1e-5 || math.Abs(l.TrainingError-(1-train)) > 1e-9 ||
			math.Abs(l.ValidAccuracy-valid) > 1e-9 ||
			math.Abs(l.TestAccuracy-test) > 1e-9 || l.Diverged {
			t.Errorf("%+v: want loss %v, training error %v, valid %v, test %v", l, loss, 1-train,
				valid, test)
		}
	}
}

// A lane does not depend on the lanes beside it.
func TestLanesAreIndependent(t *testing.T) {
	s := tiny()
	s.Students = []string{"2-cnn"}
	_, all := runTable(t, goBackend(t), s)
	s.Teachers, s.Rates, s.Seeds, s.Seed = []string{"2-cnn"}, []float64{1}, 1, 4
	_, one := runTable(t, goBackend(t), s)
	for _, a := range one["2-cnn"] {
		b := trialLanes(all["2-cnn"], "2-cnn", a.Algorithm, 1)[1]
		if math.Abs(a.TrainingLoss-b.TrainingLoss) > 1e-5 || b.Seed != a.Seed ||
			a.TrainingLoss == 0 {
			t.Errorf("alone %+v, among others %+v", a, b)
		}
	}
}

func TestGammaZeroIsGD(t *testing.T) {
	s := tiny()
	s.Gamma = 0
	_, students := runTable(t, goBackend(t), s)
	for _, pair := range pairs() {
		for _, student := range s.Students {
			for _, rate := range s.Rates {
				plain := trialLanes(students[student], "1-mlp", pair[0], rate)
				momentum := trialLanes(students[student], "1-mlp", pair[1], rate)
				for i := range plain {
					plain[i].Algorithm = pair[1]
				}
				if !slices.Equal(momentum, plain) || len(momentum) != s.Seeds {
					t.Errorf("%s, %s at %v: %+v, want %+v", student, pair[1], rate, momentum, plain)
				}
			}
		}
	}
}

func TestDivergence(t *testing.T) {
	s := tiny()
	s.Rates = []float64{0.1, 1e39} // infinite in float32
	s.Students = []string{"2-cnn"}
	_, students := runTable(t, goBackend(t), s)
	for _, l := range students["2-cnn"] {
		if l.Diverged != (l.Rate == 1e39) ||
			l.Diverged && (l.TestAccuracy != 0 || l.TrainingLoss != 0) {
			t.Errorf("%+v", l)
		}
	}
	for _, cell := range s.result(students).Cells {
		for _, score := range cell.Scores {
			if score.Rate != 0.1 || score.Diverged != s.Seeds {
				t.Errorf("%+v: want the rate 0.1 and %d diverged lanes", score, s.Seeds)
			}
		}
	}
}
