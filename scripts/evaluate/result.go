package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"momentum/internal/figure"
	"momentum/internal/markdown"
)

// result is what a network says about labelled images.
type result struct {
	classes        []string
	labels         []uint8
	probabilities  [][]float64 // [N][classes]
	predicted      []int       // [N]
	loss, accuracy float64
	confusion      [][]int // [label][prediction]: images
}

// newResult takes the logits [N][classes] of images.
func newResult(logits [][]float64, labels []uint8, classes []string) *result {
	r := &result{classes: classes, labels: labels}
	for range classes {
		r.confusion = append(r.confusion, make([]int, len(classes)))
	}
	n, correct := float64(len(logits)), 0
	for i, x := range logits {
		largest := slices.Max(x)
		sum := 0.0
		for _, v := range x {
			sum += math.Exp(v - largest)
		}
		var p []float64
		for _, v := range x {
			p = append(p, math.Exp(v-largest)/sum)
		}
		label, predicted := int(labels[i]), slices.Index(x, largest)
		r.probabilities = append(r.probabilities, p)
		r.predicted = append(r.predicted, predicted)
		r.confusion[label][predicted]++
		r.loss += (largest + math.Log(sum) - x[label]) / n
		if label == predicted {
			correct++
		}
	}
	r.accuracy = float64(correct) / n
	return r
}

// certainty is the probability of the prediction.
func (r *result) certainty(i int) float64 { return r.probabilities[i][r.predicted[i]] }

func percent(x float64) string { return fmt.Sprintf("%.2f%%", 100*x) }

// images is the number of images with a label.
func (r *result) images(label int) (n int) {
	for _, x := range r.confusion[label] {
		n += x
	}
	return n
}

// share is the share of the images with a label that have a prediction; 0 if there are none.
func (r *result) share(label, predicted int) float64 {
	return float64(r.confusion[label][predicted]) / float64(max(1, r.images(label)))
}

// classTable has the accuracy on each class.
func (r *result) classTable() string {
	var rows [][]string
	for c, name := range r.classes {
		predicted := 0
		for label := range r.classes {
			predicted += r.confusion[label][c]
		}
		row := []string{name, strconv.Itoa(r.images(c)), "–", strconv.Itoa(predicted), "–"}
		if n := r.images(c); n > 0 {
			row[2] = percent(r.share(c, c))
		}
		if predicted > 0 {
			row[4] = percent(float64(r.confusion[c][c]) / float64(predicted))
		}
		rows = append(rows, row)
	}
	return "\n" + markdown.Table([]string{"class", "images", "accuracy", "predicted as it",
		"of these right"}, rows)
}

// mostClasses is the number of classes up to which the whole confusion matrix is printed.
const mostClasses = 20

// confusionTable is the confusion matrix or, with many classes, its largest entries off the
// diagonal.
func (r *result) confusionTable() string {
	if len(r.classes) > mostClasses {
		return r.confusedPairs(10)
	}
	titles, rows := append([]string{"label \\ prediction"}, r.classes...), [][]string{}
	for label, name := range r.classes {
		row := []string{name}
		for _, n := range r.confusion[label] {
			row = append(row, strconv.Itoa(n))
		}
		rows = append(rows, row)
	}
	return "\n" + markdown.Table(titles, rows)
}

// confusedPairs lists the pairs of a label and a wrong prediction that are the most frequent.
func (r *result) confusedPairs(most int) string {
	type pair struct{ label, predicted, images int }
	var pairs []pair
	for label, row := range r.confusion {
		for predicted, n := range row {
			if n > 0 && label != predicted {
				pairs = append(pairs, pair{label, predicted, n})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.images, a.images) })
	var rows [][]string
	for _, p := range pairs[:min(most, len(pairs))] {
		rows = append(rows, []string{r.classes[p.label], r.classes[p.predicted],
			strconv.Itoa(p.images), percent(r.share(p.label, p.predicted))})
	}
	return "\nConfused most often:\n\n" + markdown.Table([]string{"label", "prediction", "images",
		"of the label's"}, rows)
}

// writeCSV writes the confusion matrix.
func (r *result) writeCSV(w io.Writer) error {
	text := csv.NewWriter(w)
	_ = text.Write(append([]string{"label"}, r.classes...)) // kept by the writer until Error
	for label, name := range r.classes {
		row := []string{name}
		for _, n := range r.confusion[label] {
			row = append(row, strconv.Itoa(n))
		}
		_ = text.Write(row)
	}
	text.Flush()
	return text.Error()
}

// picture is the confusion matrix as a heat map, with the first class at the top.
func (r *result) picture() figure.Picture {
	n := len(r.classes)
	heat := &figure.Heat{Label: "share of the label's images", High: 1}
	x := figure.Axis{Label: "prediction, by the label's number"}
	y := figure.Axis{}
	for c := range n {
		label := n - 1 - c // y grows upward
		heat.X, heat.Y = append(heat.X, float64(c)), append(heat.Y, float64(c))
		x.Names = append(x.Names, strconv.Itoa(c))
		y.Names = append(y.Names, fmt.Sprintf("%s  %d", r.classes[label], label))
		var row []float64
		for predicted := range n {
			row = append(row, r.share(label, predicted))
		}
		heat.Z = append(heat.Z, row)
	}
	size := max(4, 0.14*float64(n)) // inches of the matrix, with room for the names of all classes
	return figure.Picture{
		Title: fmt.Sprintf("Confusion matrix: %d images, accuracy %s", len(r.labels),
			percent(r.accuracy)),
		Width: size + 2, Height: size + 0.8,
		Panels: [][]figure.Panel{{{X: x, Y: y, Heat: heat}}},
	}
}

// classesOf is a table of the most likely classes of an image.
func (r *result) classesOf(image, most int) string {
	order := make([]int, len(r.classes))
	for c := range order {
		order[c] = c
	}
	p := r.probabilities[image]
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
	var rows [][]string
	for _, c := range order[:min(most, len(order))] {
		rows = append(rows, []string{r.classes[c], percent(p[c])})
	}
	return markdown.Table([]string{"class", "probability"}, rows)
}
