package main

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"slices"
	"strconv"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"momentum/datasets"
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

// Sizes in the mosaic, in pixels.
const (
	scale      = 4                     // of a pixel of an image
	tile       = scale * datasets.Side // an image
	pitch      = tile + 10             // from image to image
	lineHeight = 15                    // of text
	rowHeight  = tile + 3*lineHeight + 14
	margin     = 10
)

// writeMosaic writes the images as a PNG: a row under its title, and under each image its label,
// its prediction and the probability of the prediction.
func writeMosaic(w io.Writer, rows []exampleRow, r *result, images *datasets.Images) error {
	canvas := image.NewRGBA(image.Rect(0, 0, examplesInRow*pitch+2*margin,
		len(rows)*rowHeight+2*margin))
	draw.Draw(canvas, canvas.Bounds(), image.White, image.Point{}, draw.Src)
	red := image.NewUniform(color.RGBA{R: 0xb0, A: 0xff})
	for k, row := range rows {
		top := margin + k*rowHeight
		title := row.title
		if k == 0 {
			title += ": the label, and below it the prediction with its probability, red if wrong"
		}
		text(canvas, image.Black, margin, top, title)
		for j, i := range row.images {
			corner := image.Pt(margin+j*pitch, top+lineHeight+2)
			draw.NearestNeighbor.Scale(canvas,
				image.Rectangle{Min: corner, Max: corner.Add(image.Pt(tile, tile))},
				images.Image(i), image.Rect(0, 0, datasets.Side, datasets.Side), draw.Src, nil)
			ink := image.Black
			if r.predicted[i] != int(r.labels[i]) {
				ink = red
			}
			text(canvas, image.Black, corner.X, corner.Y+tile, r.classes[r.labels[i]])
			text(canvas, ink, corner.X, corner.Y+tile+lineHeight, fmt.Sprintf("%s %.0f%%",
				r.classes[r.predicted[i]], 100*r.certainty(i)))
		}
	}
	return png.Encode(w, canvas)
}

// text writes a line whose upper left corner is given.
func text(canvas draw.Image, ink image.Image, x, y int, line string) {
	d := font.Drawer{Dst: canvas, Src: ink, Face: basicfont.Face7x13, Dot: fixed.P(x, y+12)}
	d.DrawString(line)
}
