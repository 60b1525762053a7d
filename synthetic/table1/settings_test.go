package table1

import (
	"math"
	"strings"
	"testing"
)

// tiny are settings that take a moment.
func tiny() Settings {
	return Settings{
		Teachers: []string{"1-mlp", "2-cnn"}, Students: []string{"linear", "2-cnn"},
		Seed: 3, Seeds: 2, D: 6, Train: 20, Valid: 20, Test: 40, Center: 100,
		MLPWidth: 5, Filters: 3, FilterSize: 2, TeacherWidth: 4, TeacherFilters: 2,
		Epochs: 3, Batch: 8, Gamma: 0.5, Rates: []float64{0.1, 1},
	}
}

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Settings){
		"seeds must be at least 1":    func(s *Settings) { s.Seeds = 0 },
		"rates must be at least 1":    func(s *Settings) { s.Rates = nil },
		"ascending, got [1 0.1]":      func(s *Settings) { s.Rates = []float64{1, 0.1} },
		"finite and ascending":        func(s *Settings) { s.Rates = []float64{math.NaN()} },
		"at most the 500 training":    func(s *Settings) { s.Batch = 501 },
		"gamma must be in [0, 1)":     func(s *Settings) { s.Gamma = 1 },
		"unknown network \"1-tree\"":  func(s *Settings) { s.Teachers = []string{"1-tree"} },
		"width must be at least 1":    func(s *Settings) { s.Filters = 0 },
		"do not fit into 30":          func(s *Settings) { s.FilterSize = 16 },
		"epochs must be at least 1":   func(s *Settings) { s.Epochs = -1 },
		"students must be at least 1": func(s *Settings) { s.Students = nil },
	} {
		s := Default()
		change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}
