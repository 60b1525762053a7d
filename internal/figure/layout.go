package figure

import (
	"context"
	"fmt"
	"image/color"
	"regexp"
	"slices"
	"strings"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	margin    = vg.Length(7)   // around the picture, below the title, and half the gap of panels
	titleSize = vg.Length(9.5) // of the picture's title
	noteSize  = vg.Length(7.5) // of the note
	noteLine  = vg.Length(10)  // from one line of the note to the next
	minSide   = vg.Length(40)  // of the area that the axes of a panel enclose
	belowAxes = vg.Length(27)  // height of the labels below a panel
)

// layout holds the sizes of a picture's parts. From top to bottom, these are the title, the one
// legend, the rows of panels, each with the texts above it, and the note. The texts are the
// panels' titles, the legends and the texts of marks, which therefore never cover a curve.
type layout struct {
	Picture
	width, height vg.Length
	legend        [][]entry // rows of the one legend; nil: each panel has its own
	note          []string
	textHeights   []vg.Length // of the texts above each row
	left, right   []vg.Length // width of the labels beside the axes of each column
	cell          vg.Point    // size of a panel with its labels
}

// layout checks the picture, sets the automatic ends of its axes and scales, and thins its lines.
func (p Picture) layout(ctx context.Context) (*layout, error) {
	l := &layout{Picture: p}
	l.Panels = make([][]Panel, len(p.Panels))
	for r, row := range p.Panels {
		for i, q := range row {
			if err := stopped(ctx); err != nil {
				return nil, err
			}
			q, err := q.resolved()
			if err != nil {
				return nil, fmt.Errorf("row %d, panel %d: %w", r+1, i+1, err)
			}
			l.Panels[r] = append(l.Panels[r], q)
			if i == len(l.left) {
				l.left, l.right = append(l.left, 0), append(l.right, 0)
			}
			left, right := q.sides()
			l.left[i], l.right[i] = max(l.left[i], left), max(l.right[i], right)
		}
	}
	rows, columns := len(l.Panels), len(l.left)
	if columns == 0 {
		return nil, fmt.Errorf("no panels, want at least one")
	}

	l.width = vg.Length(p.Width) * vg.Inch
	if p.Width == 0 {
		l.width = 3.6 * vg.Length(columns) * vg.Inch
	}
	if p.OneLegend {
		l.legend, _ = legendRows(takeLegends(l.Panels), l.width-2*margin)
	}
	l.note = wrap(textStyle(noteSize, draw.XLeft, draw.YTop), p.Note, l.width-2*margin)
	l.cell.X = (l.width-2*margin)/vg.Length(columns) -
		2*margin*vg.Length(columns-1)/vg.Length(columns)
	used := l.top() + l.bottom() + 2*margin*vg.Length(rows-1)
	for _, row := range l.Panels {
		height := vg.Length(0)
		for i, q := range row {
			height = max(height, q.textHeight(l.left[i], l.axesWidth(i)))
		}
		l.textHeights = append(l.textHeights, height)
		used += height
	}
	l.height = vg.Length(p.Height) * vg.Inch
	if p.Height == 0 {
		l.height = used + (2*vg.Inch+belowAxes)*vg.Length(rows)
	}
	l.cell.Y = (l.height - used) / vg.Length(rows)

	for i := range columns {
		x, y := l.axesWidth(i), l.cell.Y-belowAxes
		if !(x >= minSide && y >= minSide && l.width+l.height < 200*vg.Inch) {
			return nil, fmt.Errorf("%.3g by %.3g inches leave panels of %.0f by %.0f points, "+
				"want at least %.0f: choose another size",
				l.width/vg.Inch, l.height/vg.Inch, x, y, minSide)
		}
	}
	return l, nil
}

// axesWidth is the width of the axes in a column.
func (l *layout) axesWidth(column int) vg.Length {
	return l.cell.X - l.left[column] - l.right[column]
}

// top is the height of everything above the texts of the first row.
func (l *layout) top() vg.Length {
	height := margin
	if l.Title != "" {
		height += margin + l.titleStyle().Font.Size
	}
	return height + stripHeight*vg.Length(len(l.legend))
}

func (l *layout) titleStyle() text.Style {
	style := bold(textStyle(titleSize, draw.XCenter, draw.YTop))
	return fit(style, l.Title, l.width-2*margin)
}

// bottom is the height of everything below the panels of the last row.
func (l *layout) bottom() vg.Length {
	if len(l.note) == 0 {
		return margin
	}
	return 2*margin + noteLine*vg.Length(len(l.note))
}

func (l *layout) draw(canvas draw.Canvas) {
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())
	canvas.FillText(l.titleStyle(), vg.Point{X: canvas.Center().X, Y: canvas.Max.Y - margin},
		l.Title)
	l.drawLegend(canvas)

	top := canvas.Max.Y - l.top()
	var panels []panel
	for r, row := range l.Panels {
		top -= l.textHeights[r]
		for i, q := range row {
			c := canvas
			c.Min = vg.Point{X: canvas.Min.X + margin + (l.cell.X+2*margin)*vg.Length(i),
				Y: top - l.cell.Y}
			c.Max = c.Min.Add(l.cell)
			panels = append(panels, newPanel(c, q, l.left[i], l.right[i], l.textHeights[r]))
		}
		top -= l.cell.Y + 2*margin
	}
	for _, p := range panels {
		p.draw()
	}
	for _, p := range panels {
		p.marks()
	}
	style := textStyle(noteSize, draw.XLeft, draw.YTop)
	style.Color = markColor
	for i, line := range l.note {
		canvas.FillText(style, vg.Point{X: margin, Y: l.bottom() - margin - noteLine*vg.Length(i)},
			line)
	}
}

// tie is a sign between spaces, where no line is broken: so "η = 0.1" stays together.
var tie = regexp.MustCompile(` ([=≤≥<>≈±×]) `)

// wrap breaks the text between words into lines that fit, but not at no-break spaces.
func wrap(style text.Style, s string, room vg.Length) []string {
	var lines []string
	for paragraph := range strings.Lines(s) {
		line := ""
		paragraph = tie.ReplaceAllString(strings.TrimSuffix(paragraph, "\n"), "\u00a0$1\u00a0")
		for word := range strings.SplitSeq(paragraph, " ") {
			word = strings.ReplaceAll(word, "\u00a0", " ")
			if line != "" && style.Width(line+" "+word) > room {
				lines, line = append(lines, line), ""
			}
			line = strings.TrimSpace(line + " " + word)
		}
		lines = append(lines, line)
	}
	return lines
}

// resolved checks the panel, and sets the automatic ends of its axes and of its color scale.
func (p Panel) resolved() (Panel, error) {
	for _, a := range []struct {
		name string
		Axis
	}{{"x", p.X}, {"y", p.Y}} {
		if err := a.check(); err != nil {
			return p, fmt.Errorf("%s axis: %w", a.name, err)
		}
	}
	for _, l := range slices.Concat(p.Lines, p.Guides) {
		n := len(l.X)
		noBand := l.Low == nil && l.High == nil
		if len(l.Y) != n || !noBand && (len(l.Low) != n || len(l.High) != n) {
			return p, fmt.Errorf("line %q: %d, %d, %d and %d values in X, Y, Low and High, "+
				"want as many in each, or none in Low and High",
				l.Name, n, len(l.Y), len(l.Low), len(l.High))
		}
	}
	for _, q := range p.Points {
		if len(q.X) != len(q.Y) {
			return p, fmt.Errorf("points %q: %d and %d values in X and Y, want as many in each",
				q.Name, len(q.X), len(q.Y))
		}
	}
	if p.Heat != nil {
		h, err := p.Heat.resolved(p.X.Log, p.Y.Log)
		if err != nil {
			return p, fmt.Errorf("heat: %w", err)
		}
		p.Heat = h
	}
	p.X, p.Y = p.axes()
	p.Lines = slices.Clone(p.Lines)
	for i, l := range p.Lines {
		p.Lines[i] = l.thinned(p.X, p.Y)
	}
	return p, nil
}
