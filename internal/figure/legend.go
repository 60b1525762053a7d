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
			if l.Low != nil && !l.Bars {
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

// width is the width of a sample and its name.
func (e entry) width() vg.Length {
	return sampleWidth + gap + textStyle(labelSize, draw.XRight, yMiddle).Width(e.name)
}

// legendRows breaks entries into rows no wider than the room. firstWidth is the width of the first
// row.
func legendRows(entries []entry, room vg.Length) (rows [][]entry, firstWidth vg.Length) {
	var rowWidth vg.Length
	for _, e := range entries {
		width := e.width()
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
	rows, firstWidth := legendRows(p.entries(), width)
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

// takeLegends takes the names out of all panels, and returns their entries for one legend.
func takeLegends(rows [][]Panel) (all []entry) {
	for _, row := range rows {
		for i := range row {
			p := &row[i]
			for _, e := range p.entries() {
				if !slices.ContainsFunc(all, func(o entry) bool { return o.name == e.name }) {
					all = append(all, e)
				}
			}
			p.Lines, p.Points = slices.Clone(p.Lines), slices.Clone(p.Points)
			for j := range p.Lines {
				p.Lines[j].Name = ""
			}
			for j := range p.Points {
				p.Points[j].Name = ""
			}
		}
	}
	return all
}

// drawLegend draws the legend of all panels, each row of it in the middle of the page.
func (l *layout) drawLegend(canvas draw.Canvas) {
	style := textStyle(labelSize, draw.XLeft, yMiddle)
	y := canvas.Max.Y - l.top() + stripHeight*vg.Length(len(l.legend)) - stripHeight/2
	for _, entries := range l.legend {
		width := 3 * gap * vg.Length(len(entries)-1)
		for _, e := range entries {
			width += e.width()
		}
		x := canvas.Center().X - width/2
		for _, e := range entries {
			e.draw(canvas, vg.Point{X: x + sampleWidth, Y: y})
			canvas.FillText(style, vg.Point{X: x + sampleWidth + gap, Y: y}, e.name)
			x += e.width() + 3*gap
		}
		y -= stripHeight
	}
}
