// Package table1 measures what the paper's Table 1 does: whether momentum changes the test accuracy
// on data without a feature to amplify. The inputs are Gaussian, and the labels come from random
// teacher networks.
//
// Every student network learns every teacher's labels by GD, GD+M, SGD and SGD+M at every rate, for
// several seeds (data.go, train.go). Held-out points choose the rate of each algorithm (select.go).
// The tables show the test accuracies and the differences paired by seed, beside the paper's
// (tables.go). -dry-run estimates the time (cost.go).
package table1

import (
	"fmt"
	"math"
	"slices"

	"momentum/internal/descent"
	"momentum/models"
)

// Settings are what the result depends on. The paper gives d, the numbers of points, the epochs and
// the batch. Widths, filter sizes, rates and γ are chosen here.
type Settings struct {
	Teachers []string `json:"teachers"` // names as models.ParseFeedforward takes them
	Students []string `json:"students"`

	Seed uint64 `json:"seed"` // of the first repetition; the others follow it
	// Seeds is the number of repetitions, each with its own points, teachers, initial weights and
	// order.
	Seeds int `json:"seeds"`

	D      int `json:"d"`      // dimension of a point
	Train  int `json:"train"`  // training points
	Valid  int `json:"valid"`  // held-out points, which choose the rates
	Test   int `json:"test"`   // test points
	Center int `json:"center"` // points whose median teacher output is the threshold of the labels

	MLPWidth       int `json:"mlp_width"`   // units of a student's hidden layer
	Filters        int `json:"filters"`     // filters of a student's convolution
	FilterSize     int `json:"filter_size"` // of students and teachers
	TeacherWidth   int `json:"teacher_width"`
	TeacherFilters int `json:"teacher_filters"`

	Epochs int `json:"epochs"`
	Batch  int `json:"batch"` // of SGD and SGD+M; the last batch of an epoch is shorter
	// Gamma is γ of GD+M and SGD+M in the damped form, in which η is the effective rate.
	Gamma float64   `json:"gamma"`
	Rates []float64 `json:"rates"` // η that every algorithm tries, ascending
}

// Default is the paper's setting. Each student except the linear one has more parameters than there
// are training points (1-CNN: 513), and teachers are smaller than students.
func Default() Settings {
	return Settings{
		Teachers: []string{"1-mlp", "2-mlp", "1-cnn", "2-cnn"},
		Students: []string{"linear", "1-mlp", "2-mlp", "1-cnn", "2-cnn"},
		Seed:     1, Seeds: 5, D: 30, Train: 500, Valid: 1000, Test: 5000, Center: 10000,
		MLPWidth: 64, Filters: 16, FilterSize: 3, TeacherWidth: 20, TeacherFilters: 4,
		Epochs: 1000, Batch: 128, Gamma: 0.9, Rates: []float64{0.1, 0.3, 1, 3, 10},
	}
}

// Validate refuses settings that cannot be run.
func (s Settings) Validate() error {
	for _, c := range []struct {
		name  string
		value int
	}{
		{"teachers", len(s.Teachers)}, {"students", len(s.Students)}, {"rates", len(s.Rates)},
		{"seeds", s.Seeds}, {"train", s.Train}, {"valid", s.Valid}, {"test", s.Test},
		{"center", s.Center}, {"epochs", s.Epochs}, {"batch", s.Batch},
	} {
		if c.value < 1 {
			return fmt.Errorf("table1: %s must be at least 1, got %d", c.name, c.value)
		}
	}
	if s.Batch > s.Train {
		return fmt.Errorf("table1: batch must be at most the %d training points, got %d", s.Train,
			s.Batch)
	}
	for i, eta := range s.Rates {
		if !(eta > 0) || math.IsInf(eta, 0) || i > 0 && eta <= s.Rates[i-1] {
			return fmt.Errorf("table1: rates must be positive, finite and ascending, got %v",
				s.Rates)
		}
	}
	if err := (descent.Rule{Form: descent.Damped, Gamma: s.Gamma}).Validate(); err != nil {
		return fmt.Errorf("table1: %w", err)
	}
	for i, name := range slices.Concat(s.Teachers, s.Students) {
		network := s.student
		if i < len(s.Teachers) {
			network = s.teacher
		}
		if _, err := network(name); err != nil {
			return fmt.Errorf("table1: %w", err)
		}
	}
	return nil
}

func (s Settings) teacher(name string) (models.Feedforward, error) {
	return models.ParseFeedforward(name, s.D, s.TeacherWidth, s.TeacherFilters, s.FilterSize)
}

func (s Settings) student(name string) (models.Feedforward, error) {
	return models.ParseFeedforward(name, s.D, s.MLPWidth, s.Filters, s.FilterSize)
}

// pairs are the algorithms without and with momentum, for the full batch and for batches.
func pairs() [][2]string { return [][2]string{{"gd", "gdm"}, {"sgd", "sgdm"}} }

// Networks is the number of networks that each student is trained as: all algorithms at all rates
// on all teachers, for all seeds.
func (s Settings) Networks() int { return len(s.Teachers) * len(s.Rates) * 4 * s.Seeds }
