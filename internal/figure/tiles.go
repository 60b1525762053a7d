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

// Tiles is a page of small images in rows, with names and captions.
type Tiles struct {
	Title   string   // in bold at the top, reduced to the width of the page
	Columns []string // their names; without them rows may differ in length
	Rows    []TileRow
}

// TileRow is a row of images, one for each column.
type TileRow struct {
	Name     string
	Images   []image.Image
	Captions [][]Caption // of each image, line by line; may be left out
}

// Caption is a line below an image.
type Caption struct {
	Text   string
	Marked bool // in red
}

const (
	tileSide    = 128 // pixels of the PNG
	tileGap     = 4
	captionGap  = 14            // more, beside an image with captions
	captionLine = 28            // of text below an image
	pixel       = vg.Inch / dpi // in points
)

// tileLayout is where the tiles of a page are, in pixels of the PNG.
type tileLayout struct {
	corner        image.Point // of the first
	pitch         image.Point // from one to the next
	width, height vg.Length   // of the page
}

// layout places the tiles.
func (p Tiles) layout() tileLayout {
	style := textStyle(labelSize, draw.XLeft, yMiddle)
	l := tileLayout{pitch: image.Pt(tileSide+tileGap, tileSide+tileGap)}
	var left vg.Length // width of the names of the rows
	columns, lines := 0, 0
	for _, row := range p.Rows {
		left = max(left, style.Width(row.Name)+2*gap)
		columns = max(columns, len(row.Images))
		for _, caption := range row.Captions {
			lines = max(lines, len(caption))
		}
	}
	if lines > 0 {
		l.pitch = l.pitch.Add(image.Pt(captionGap, lines*captionLine+captionGap))
	}
	top := 2*margin + titleSize
	if len(p.Columns) > 0 {
		top += stripHeight
	}
	l.corner = image.Pt(int((margin+left)/pixel), int(top/pixel))
	l.width = margin + left + pixel*vg.Length(columns*l.pitch.X-tileGap) + margin
	l.height = top + pixel*vg.Length(len(p.Rows)*l.pitch.Y-tileGap) + margin
	return l
}

// Write draws a PNG (200 dots per inch). Each pixel of an image becomes a square.
func (p Tiles) Write(path string) error {
	for _, row := range p.Rows {
		if len(p.Columns) > 0 && len(row.Images) != len(p.Columns) {
			return fmt.Errorf("figure: %s: %d images in the row %q, want one for each of the %d "+
				"columns", path, len(row.Images), row.Name, len(p.Columns))
		}
	}
	l := p.layout()
	picture := vgimg.NewWith(vgimg.UseWH(l.width, l.height), vgimg.UseDPI(dpi))
	canvas := draw.New(pngCanvas{picture})
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())
	// at is the point right of and below the upper left corner of a tile.
	at := func(i, j int, x, y vg.Length) vg.Point {
		corner := l.corner.Add(image.Pt(j*l.pitch.X, i*l.pitch.Y))
		return vg.Point{X: vg.Length(corner.X)*pixel + x,
			Y: l.height - vg.Length(corner.Y)*pixel - y}
	}

	title := fit(bold(textStyle(titleSize, draw.XCenter, draw.YTop)), p.Title, l.width-2*margin)
	canvas.FillText(title, vg.Point{X: l.width / 2, Y: l.height - margin}, p.Title)
	for j, name := range p.Columns {
		style := fit(textStyle(labelSize, draw.XCenter, yMiddle), name, tileSide*pixel)
		canvas.FillText(style, at(0, j, tileSide*pixel/2, -stripHeight/2), name)
	}
	for i, row := range p.Rows {
		name := at(i, 0, 0, tileSide*pixel/2)
		name.X = margin
		canvas.FillText(textStyle(labelSize, draw.XLeft, yMiddle), name, row.Name)
		for j, captions := range row.Captions {
			for k, caption := range captions {
				style := fit(textStyle(labelSize, draw.XLeft, yMiddle), caption.Text,
					(tileSide+captionGap)*pixel)
				if caption.Marked {
					style.Color = color.RGBA{R: 0xb0, A: 0xff}
				}
				canvas.FillText(style, at(i, j, 0,
					pixel*vg.Length(tileSide+captionLine*k+captionLine/2)), caption.Text)
			}
		}
		for j, tile := range row.Images {
			corner := l.corner.Add(image.Pt(j*l.pitch.X, i*l.pitch.Y))
			drawing.NearestNeighbor.Scale(picture.Image(),
				image.Rectangle{Min: corner, Max: corner.Add(image.Pt(tileSide, tileSide))}, tile,
				tile.Bounds(), drawing.Src, nil)
		}
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: picture}.WriteTo(w)
		return err
	})
}
