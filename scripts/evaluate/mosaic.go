package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"momentum/datasets"
	"momentum/internal/figure"
	"momentum/internal/markdown"
)

// examplesInRow is the number of images in a row of the mosaic.
const examplesInRow = 8

// exampleRow is a row of the mosaic.
type exampleRow struct {
	title  string
	images []int // indices
}

// examples are the most certain images, the most certain of the wrong ones, and the least certain.
func (r *result) examples(most int) []exampleRow {
	var all, wrong []int
	for i := range r.labels {
		all = append(all, i)
	}
	slices.SortStableFunc(all, func(a, b int) int {
		return cmp.Compare(r.certainty(b), r.certainty(a))
	})
	for _, i := range all {
		if r.predicted[i] != int(r.labels[i]) {
			wrong = append(wrong, i)
		}
	}
	rows := []exampleRow{{"most certain", all[:min(most, len(all))]}}
	if len(wrong) > 0 {
		rows = append(rows, exampleRow{"most certain and wrong", wrong[:min(most, len(wrong))]})
	}
	least := slices.Clone(all[max(0, len(all)-most):])
	slices.Reverse(least)
	return append(rows, exampleRow{"least certain", least})
}

// examplesTable lists the images of the mosaic, row by row.
func (r *result) examplesTable(rows []exampleRow) string {
	var lines [][]string
	for _, row := range rows {
		for _, i := range row.images {
			lines = append(lines, []string{row.title, strconv.Itoa(i), r.classes[r.labels[i]],
				r.classes[r.predicted[i]], percent(r.certainty(i)),
				percent(r.probabilities[i][r.labels[i]])})
		}
	}
	return "\n" + markdown.Table([]string{"", "image", "label", "prediction", "its probability",
		"the label's"}, lines)
}

// mosaic is the picture of the images: a row for each reason, and under each image its label, its
// prediction and the probability of the prediction.
func (r *result) mosaic(rows []exampleRow, images *datasets.Images) figure.Tiles {
	tiles := figure.Tiles{
		Title: "label and, below it, prediction with its probability, red if wrong"}
	for _, row := range rows {
		t := figure.TileRow{Name: row.title}
		for _, i := range row.images {
			t.Images = append(t.Images, images.Image(i))
			t.Captions = append(t.Captions, []figure.Caption{{Text: r.classes[r.labels[i]]},
				{Text: fmt.Sprintf("%s %.0f%%", r.classes[r.predicted[i]], 100*r.certainty(i)),
					Marked: r.predicted[i] != int(r.labels[i])}})
		}
		tiles.Rows = append(tiles.Rows, t)
	}
	return tiles
}
