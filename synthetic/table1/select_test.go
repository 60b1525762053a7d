package table1

import (
	"math"
	"testing"
)

// handMade are lanes of one student and teacher with rates 0.1, 1 and 10 for two seeds.
func handMade() (Settings, map[string][]Lane) {
	s := Settings{Teachers: []string{"1-mlp"}, Students: []string{"linear"}, Seed: 1,
		Seeds: 2, Rates: []float64{0.1, 1, 10}}
	var lanes []Lane
	add := func(algorithm string, rate float64, diverged bool, valid, test [2]float64) {
		for i := range 2 {
			l := Lane{Teacher: "1-mlp", Algorithm: algorithm, Rate: rate, Seed: uint64(1 + i),
				ValidAccuracy: valid[i], TestAccuracy: test[i]}
			if i == 1 && diverged {
				l = Lane{Teacher: "1-mlp", Algorithm: algorithm, Rate: rate, Seed: 2,
					Diverged: true}
			}
			lanes = append(lanes, l)
		}
	}
	add("gd", 0.1, false, [2]float64{0.7, 0.8}, [2]float64{0.9, 0.9})
	add("gd", 1, false, [2]float64{0.8, 0.8}, [2]float64{0.70, 0.74}) // the best mean
	// The best of all, but one seed diverges.
	add("gd", 10, true, [2]float64{1, 0}, [2]float64{1, 0})
	add("gdm", 0.1, false, [2]float64{0.6, 0.6}, [2]float64{0.5, 0.5})
	add("gdm", 1, false, [2]float64{0.7, 0.7}, [2]float64{0.71, 0.76})
	add("gdm", 10, false, [2]float64{0.9, 0.9}, [2]float64{0.80, 0.82})
	for _, rate := range s.Rates {
		add("sgd", rate, true, [2]float64{0.5, 0.5}, [2]float64{0.5, 0.5})
		add("sgdm", rate, false, [2]float64{0.5, 0.5}, [2]float64{0.5, 0.5}) // a tie
	}
	return s, map[string][]Lane{"linear": lanes}
}

func TestResult(t *testing.T) {
	s, students := handMade()
	r := s.result(students)
	cell := r.Cells[0]
	for i, want := range []Score{
		{Algorithm: "gd", Rate: 1, Diverged: 1, Valid: 80, Paper: 93.48},
		{Algorithm: "gdm", Rate: 10, AtEdge: true, Valid: 90, Paper: 93.25},
		{Algorithm: "sgd", Diverged: 3},
		{Algorithm: "sgdm", Rate: 0.1, AtEdge: true, Valid: 50},
	} {
		got := cell.Scores[i]
		if got.Algorithm != want.Algorithm || got.Rate != want.Rate || got.AtEdge != want.AtEdge ||
			got.Diverged != want.Diverged || math.Abs(got.Valid-want.Valid) > 1e-9 ||
			got.Paper != want.Paper {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	// GD has 70 and 74 at its rate 1. GD+M has 80 and 82 at its rate 10, which is 10 and 8 more:
	// 9 ± 12.7062·√2/√2 (n = 2). At rate 1 it has 71 and 76, 1 and 2 more: 1.5 ± 12.7062·½.
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-3 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	near("GD", cell.Scores[0].Test.Mean, 72)
	near("gain", cell.Gains[0].Chosen.Mean, 9)
	near("its half-width", cell.Gains[0].Chosen.Half, 12.7062)
	near("gain at one rate", cell.Gains[0].Matched.Mean, 1.5)
	near("its half-width", cell.Gains[0].Matched.Half, 12.7062/2)
	near("the paper's gain", *cell.Gains[0].Paper, -0.23)
	near("overall", r.Overall[0].Chosen.Mean, 9)
	if cell.Gains[1].Chosen.N != 0 || cell.Gains[1].Paper != nil || r.Overall[1].Chosen.N != 0 {
		t.Errorf("a gain over an algorithm that diverged: %+v, %+v", cell.Gains[1], r.Overall[1])
	}

	// Test accuracies do not influence the rates.
	for i := range students["linear"] {
		students["linear"][i].TestAccuracy = 1 / float64(1+i)
	}
	for i, score := range s.result(students).Cells[0].Scores {
		if score.Rate != cell.Scores[i].Rate {
			t.Errorf("%s: the rate %v became %v with other test accuracies", score.Algorithm,
				cell.Scores[i].Rate, score.Rate)
		}
	}
}
