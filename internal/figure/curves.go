// Package figure draws pictures of runs: pages of curves, dots and heat maps ([Picture]), and the
// curves of a run folder ([Curves]). A picture depends on nothing but the given values, so drawing
// it again gives the same bytes.
//
// The package lays out the axes itself. With gonum's plot.Align the panels line up too, but their
// size depends on the data, because a logarithmic axis reserves room for its label in the wrong
// place: in three test pictures of the same size, the panels are 125, 132 and 141 points high.
// Align also needs the ticks and the legends before it finds the widths that they must fit.
package figure

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"regexp"

	"momentum/internal/rundir"
)

// Curves draws dir/curves.svg and dir/curves.png from dir/metrics.jsonl and
// dir/config.json: on the left the training loss on a logarithmic scale, on the
// right the training and the test accuracy in percent, both against epochs.
//
// From each row it takes the values epoch, loss, train_accuracy and
// test_accuracy as far as they are there. A loss that is not finite and
// positive and an accuracy outside [0, 1] are left out; the first loss that is
// not finite is marked by a dashed line. The title is derived.title of
// config.json, or else the folder's name without its hash.
func Curves(dir string) error {
	path := filepath.Join(dir, "metrics.jsonl")
	rows, err := rundir.ReadMetrics(path)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("figure: %s: no rows, want at least one", path)
	}
	c := newCurves(rows)
	if c.title, err = title(dir); err != nil {
		return err
	}

	return c.picture().Write(filepath.Join(dir, "curves"))
}

var hashSuffix = regexp.MustCompile("-[0-9a-f]{10}$")

func title(dir string) (string, error) {
	_, derived, _, err := rundir.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var d struct{ Title string }
	if json.Unmarshal(derived, &d) == nil && d.Title != "" {
		return d.Title, nil
	}
	dir, err = filepath.Abs(dir)
	return hashSuffix.ReplaceAllString(filepath.Base(dir), ""), err
}

// curves is what the picture shows.
type curves struct {
	title         string
	first, last   float64 // epochs
	loss          Line
	train, test   Line // accuracies, percent
	diverged      bool
	divergedStep  int64
	divergedEpoch float64
}

func newCurves(rows []rundir.Row) curves {
	c := curves{train: Line{Name: "train"}, test: Line{Name: "test"}}
	for _, r := range rows {
		epoch, ok := r.Get("epoch")
		if !ok || !finite(epoch) {
			continue
		}
		c.first, c.last = min(c.first, epoch), max(c.last, epoch)
		if loss, ok := r.Get("loss"); ok && !finite(loss) && !c.diverged {
			c.diverged, c.divergedStep, c.divergedEpoch = true, r.Step, epoch
		} else if ok && finite(loss) && loss > 0 {
			c.loss.add(epoch, loss)
		}
		if a, ok := r.Get("train_accuracy"); ok && 0 <= a && a <= 1 {
			c.train.add(epoch, 100*a)
		}
		if a, ok := r.Get("test_accuracy"); ok && 0 <= a && a <= 1 {
			c.test.add(epoch, 100*a)
		}
	}
	if c.last == c.first {
		c.last = c.first + 1
	}
	return c
}

// add appends a point.
func (l *Line) add(x, y float64) { l.X, l.Y = append(l.X, x), append(l.Y, y) }

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func (c *curves) picture() Picture {
	epochs := Axis{Label: "epoch", Low: c.first, High: c.last}
	loss := Panel{X: epochs, Y: Axis{Label: "training loss (nats)", Log: true},
		Lines: []Line{c.loss}}
	accuracy := Panel{X: epochs, Y: Axis{Label: "accuracy (%)", High: 100},
		Lines: []Line{c.train, c.test}}
	if c.diverged {
		loss.Marks = []Mark{{X: c.divergedEpoch, Label: fmt.Sprintf("diverged at step %d",
			c.divergedStep)}}
		accuracy.Marks = []Mark{{X: c.divergedEpoch}}
	}
	return Picture{Title: c.title, Panels: [][]Panel{{loss, accuracy}}, Width: 7.2, Height: 2.9}
}
