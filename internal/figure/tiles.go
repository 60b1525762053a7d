package figure

import (
	"fmt"
	"image"
	"image/color"
	"io"

	drawing "golang.org/x/image/draw"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"momentum/internal/durable"
)

// Tiles is a page of small images in rows and columns with names.
type Tiles struct {
	Title   string // in bold at the top, reduced to the width of the page
	Columns []string
	Rows    []TileRow
}

// TileRow is a row of images, one for each column.
type TileRow struct {
	Name   string
	Images []image.Image
}

const (
	tileSide = 128 // pixels of the PNG
	tileGap  = 4
	pixel    = vg.Inch / dpi // in points
)

// Write draws a PNG (200 dots per inch). Each pixel of an image becomes a square.
func (p Tiles) Write(path string) error {
	for _, row := range p.Rows {
		if len(row.Images) != len(p.Columns) {
			return fmt.Errorf("figure: %s: %d images in the row %q, want one for each of the %d "+
				"columns", path, len(row.Images), row.Name, len(p.Columns))
		}
	}
	style := textStyle(labelSize, draw.XLeft, yMiddle)
	var left vg.Length // width of the names of the rows
	for _, row := range p.Rows {
		left = max(left, style.Width(row.Name)+2*gap)
	}
	const step = (tileSide + tileGap) * pixel
	corner := vg.Point{X: margin + left, Y: 2*margin + titleSize + stripHeight}
	width := corner.X + step*vg.Length(len(p.Columns)) - tileGap*pixel + margin
	height := corner.Y + step*vg.Length(len(p.Rows)) - tileGap*pixel + margin
	picture := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))
	canvas := draw.New(picture)
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())

	title := textStyle(titleSize, draw.XCenter, draw.YTop)
	title = fit(bold(title), p.Title, width-2*margin)
	canvas.FillText(title, vg.Point{X: width / 2, Y: height - margin}, p.Title)
	for i, row := range p.Rows {
		middle := height - corner.Y - step*vg.Length(i) - tileSide*pixel/2
		canvas.FillText(style, vg.Point{X: margin, Y: middle}, row.Name)
	}
	for i, name := range p.Columns {
		style := fit(textStyle(labelSize, draw.XCenter, yMiddle), name, tileSide*pixel)
		canvas.FillText(style, vg.Point{X: corner.X + step*vg.Length(i) + tileSide*pixel/2,
			Y: height - corner.Y + stripHeight/2}, name)
	}

	first := image.Pt(int(corner.X/pixel), int(corner.Y/pixel))
	for i, row := range p.Rows {
		for j, tile := range row.Images {
			at := first.Add(image.Pt(j, i).Mul(tileSide + tileGap))
			drawing.NearestNeighbor.Scale(picture.Image(),
				image.Rectangle{Min: at, Max: at.Add(image.Pt(tileSide, tileSide))}, tile,
				tile.Bounds(), drawing.Src, nil)
		}
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: picture}.WriteTo(w)
		return err
	})
}
