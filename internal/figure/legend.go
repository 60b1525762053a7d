package figure

import (
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	sampleWidth = vg.Length(16) // of a line or a hatched cell in the legend
	stripHeight = vg.Length(15) // of a row of text above a panel
)

// entry is a name in the legend. draw draws the sample before it, to the left of end.
type entry struct {
	name string
	draw func(c draw.Canvas, end vg.Point)
}

func (p Panel) entries() []entry {
	var all []entry
	for i, l := range p.Lines {
		ink := colorOf(l.Color, i)
		all = append(all, entry{l.Name, func(c draw.Canvas, end vg.Point) {
			if l.Low != nil {
				c.SetColor(translucent(ink))
				c.Fill(sampleBox(end, 3).Path())
			}
			c.StrokeLine2(lineStyle(l, ink, 1.5), end.X-sampleWidth, end.Y, end.X, end.Y)
		}})
	}
	for i, q := range p.Points {
		all = append(all, entry{q.Name, func(c draw.Canvas, end vg.Point) {
			dot(c, q, colorOf(q.Color, i), vg.Point{X: end.X - 3, Y: end.Y})
		}})
	}
	if p.Heat != nil && p.Heat.hasMissing() {
		all = append(all, entry{"diverged", func(c draw.Canvas, end vg.Point) {
			hatch(c, sampleBox(end, 4))
		}})
	}
	return slices.DeleteFunc(all, func(e entry) bool { return e.name == "" })
}

// sampleBox is the rectangle of an area in the legend, twice as high as half.
func sampleBox(end vg.Point, half vg.Length) vg.Rectangle {
	return vg.Rectangle{Min: end.Add(vg.Point{X: -sampleWidth, Y: -half}),
		Max: end.Add(vg.Point{Y: half})}
}

// legendRows breaks the legend into rows no wider than the room. firstWidth is the width of the
// first row.
func (p Panel) legendRows(room vg.Length) (rows [][]entry, firstWidth vg.Length) {
	style := textStyle(labelSize, draw.XRight, yMiddle)
	var rowWidth vg.Length
	for _, e := range p.entries() {
		width := sampleWidth + gap + style.Width(e.name)
		if n := len(rows); n > 0 && rowWidth+3*gap+width <= room {
			rows[n-1], rowWidth = append(rows[n-1], e), rowWidth+3*gap+width
		} else {
			rows, rowWidth = append(rows, []entry{e}), width
		}
		if len(rows) == 1 {
			firstWidth = rowWidth
		}
	}
	return rows, firstWidth
}

// heading returns the rows of the legend for axes of the given width with labels on the left, and
// whether the title needs a row of its own above them.
func (p Panel) heading(left, width vg.Length) (rows [][]entry, titleRow bool) {
	rows, firstWidth := p.legendRows(width)
	title := textStyle(labelSize, draw.XLeft, yMiddle).Width(p.Title)
	return rows, title > 0 && (len(rows) == 0 || title+4*gap+firstWidth > left+width)
}

// textHeight is the height of the texts above the panel. From the top down these are the title, the
// legend, which starts beside the title if there is room, and the texts of the marks.
func (p Panel) textHeight(left, width vg.Length) vg.Length {
	legend, titleRow := p.heading(left, width)
	rows := len(legend)
	if titleRow {
		rows++
	}
	markRows := 0
	for _, t := range p.markTexts(width) {
		if t.Label != "" {
			markRows = max(markRows, t.row+1)
		}
	}
	height := stripHeight * vg.Length(rows+markRows)
	if p.Title != "" {
		height += 3 // away from the uppermost label of the y axis
	}
	return height
}

// legend draws the title, and the legend at the panel's right end.
func (p panel) legend() {
	width, y := p.Size().X, p.Max.Y+p.textHeight-stripHeight/2
	style := fit(textStyle(labelSize, draw.XLeft, yMiddle), p.Panel.Title, p.left+width)
	p.FillText(style, vg.Point{X: p.Min.X - p.left, Y: y}, p.Panel.Title)

	style = textStyle(labelSize, draw.XRight, yMiddle)
	rows, titleRow := p.Panel.heading(p.left, width)
	if titleRow {
		y -= stripHeight
	}
	for _, entries := range rows {
		x := p.Max.X
		for _, e := range slices.Backward(entries) {
			p.FillText(style, vg.Point{X: x, Y: y}, e.name)
			x -= style.Width(e.name) + gap
			e.draw(p.Canvas, vg.Point{X: x, Y: y})
			x -= sampleWidth + 3*gap
		}
		y -= stripHeight
	}
}
