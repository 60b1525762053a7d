package table1

import (
	"cmp"
	"slices"

	"momentum/internal/stats"
)

// Result is Table 1, in percentages and in differences of percentages (points).
type Result struct {
	Settings Settings `json:"settings"`
	Cells    []Cell   `json:"cells"`
	// Overall are the gains averaged over the cells that have one, seed by seed.
	Overall []Gain `json:"overall"`
}

// Cell is a student of a teacher.
type Cell struct {
	Teacher string  `json:"teacher"`
	Student string  `json:"student"`
	Scores  []Score `json:"scores"` // gd, gdm, sgd, sgdm
	Gains   []Gain  `json:"gains"`  // gdm − gd, sgdm − sgd
}

// Score is an algorithm at its chosen rate: of the rates at which no seed diverged, the one with
// the best mean accuracy on held-out points, the smallest of equally good ones. Test points do not
// influence the choice.
type Score struct {
	Algorithm string  `json:"algorithm"`
	Rate      float64 `json:"rate"` // 0: every rate diverged, and the numbers below are missing
	// AtEdge marks the smallest and the largest rate tried: a wider grid may have a better one.
	AtEdge        bool           `json:"rate_at_edge"`
	Valid         float64        `json:"valid_percent"`
	Test          stats.Interval `json:"test_percent"`
	TestBySeed    []float64      `json:"test_percent_by_seed"`
	TrainingError float64        `json:"training_error_percent"` // mean
	TrainingLoss  float64        `json:"training_loss"`          // mean
	Diverged      int            `json:"diverged_lanes"`         // at all rates
	Paper         float64        `json:"paper_percent,omitempty"`
}

// Gain is the test accuracy with momentum minus that without, paired by seed.
type Gain struct {
	Algorithm string         `json:"algorithm"` // gdm or sgdm
	Chosen    stats.Interval `json:"chosen"`    // each algorithm at its own chosen rate
	// Matched has both at the rate chosen without momentum, which is the same effective rate.
	Matched stats.Interval `json:"matched"`
	Paper   *float64       `json:"paper,omitempty"`
}

// paperAccuracy is the paper's test accuracy of GD and GD+M in percent, the mean of 3 runs, or 0, 0
// for a pair that the paper does not have.
func paperAccuracy(teacher, student string) (gd, gdm float64) {
	row := map[string][10]float64{
		"1-mlp": {93.48, 93.25, 92.32, 92.18, 84.30, 83.68, 94.18, 94.12, 76.04, 76.12},
		"2-mlp": {93.45, 92.85, 91.02, 91.78, 83.82, 83.25, 94.14, 94.20, 75.50, 75.56},
		"1-cnn": {92.21, 92.34, 92.31, 92.33, 83.39, 83.44, 94.39, 94.39, 79.44, 78.32},
		"2-cnn": {91.04, 91.22, 91.51, 91.56, 82.44, 82.12, 93.91, 93.79, 80.86, 78.56},
	}[teacher]
	i := slices.Index([]string{"linear", "1-mlp", "2-mlp", "1-cnn", "2-cnn"}, student)
	if i < 0 {
		return 0, 0
	}
	return row[2*i], row[2*i+1]
}

// result chooses rates and compares algorithms, from the lanes of each student.
func (s Settings) result(students map[string][]Lane) Result {
	r := Result{Settings: s}
	var chosen, matched [2][][]float64 // the gains of each cell by seed, for the two pairs
	for _, teacher := range s.Teachers {
		for _, student := range s.Students {
			cell := Cell{Teacher: teacher, Student: student}
			for i, pair := range pairs() {
				plain := s.score(students[student], teacher, pair[0])
				momentum := s.score(students[student], teacher, pair[1])
				atPlainRate := testBySeed(trialLanes(students[student], teacher, pair[1],
					plain.Rate))
				own := stats.Paired(momentum.TestBySeed, plain.TestBySeed)
				same := stats.Paired(atPlainRate, plain.TestBySeed)
				chosen[i], matched[i] = append(chosen[i], own), append(matched[i], same)
				gain := Gain{Algorithm: pair[1], Chosen: stats.Mean95(own),
					Matched: stats.Mean95(same)}
				if gd, gdm := paperAccuracy(teacher, student); i == 0 && gd > 0 {
					difference := gdm - gd
					plain.Paper, momentum.Paper, gain.Paper = gd, gdm, &difference
				}
				cell.Scores = append(cell.Scores, plain, momentum)
				cell.Gains = append(cell.Gains, gain)
			}
			r.Cells = append(r.Cells, cell)
		}
	}
	for i, pair := range pairs() {
		r.Overall = append(r.Overall, Gain{
			Algorithm: pair[1], Chosen: stats.Mean95(meanBySeed(chosen[i])),
			Matched: stats.Mean95(meanBySeed(matched[i])),
		})
	}
	return r
}

// score chooses the rate of an algorithm.
func (s Settings) score(lanes []Lane, teacher, algorithm string) Score {
	score := Score{Algorithm: algorithm}
	for i, rate := range s.Rates {
		tried := trialLanes(lanes, teacher, algorithm, rate)
		test := testBySeed(tried)
		var valid, trainingError, loss float64
		for _, l := range tried {
			if l.Diverged {
				score.Diverged++
			}
			n := float64(len(tried))
			valid += 100 * l.ValidAccuracy / n
			trainingError += 100 * l.TrainingError / n
			loss += l.TrainingLoss / n
		}
		if test != nil && (score.Rate == 0 || valid > score.Valid) {
			score.Rate, score.AtEdge = rate, i == 0 || i == len(s.Rates)-1
			score.Valid, score.TrainingError, score.TrainingLoss = valid, trainingError, loss
			score.TestBySeed, score.Test = test, stats.Mean95(test)
		}
	}
	return score
}

// trialLanes are the lanes of a trial, by seed.
func trialLanes(lanes []Lane, teacher, algorithm string, rate float64) []Lane {
	var found []Lane
	for _, l := range lanes {
		if l.Teacher == teacher && l.Algorithm == algorithm && l.Rate == rate {
			found = append(found, l)
		}
	}
	slices.SortFunc(found, func(a, b Lane) int { return cmp.Compare(a.Seed, b.Seed) })
	return found
}

// testBySeed are test accuracies in percent, nil if a lane diverged.
func testBySeed(lanes []Lane) []float64 {
	var test []float64
	for _, l := range lanes {
		if l.Diverged {
			return nil
		}
		test = append(test, 100*l.TestAccuracy)
	}
	return test
}

// meanBySeed averages over the cells that have values, seed by seed.
func meanBySeed(cells [][]float64) []float64 {
	cells = slices.DeleteFunc(slices.Clone(cells), func(c []float64) bool { return len(c) == 0 })
	if len(cells) == 0 {
		return nil
	}
	mean := make([]float64, len(cells[0]))
	for _, c := range cells {
		for i, x := range c {
			mean[i] += x / float64(len(cells))
		}
	}
	return mean
}
