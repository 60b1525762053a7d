package figure

import (
	"cmp"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	labelSize = 9.0                    // of axis labels, panel titles, legends and marks, in points
	tickSize  = 8.0                    // of tick labels
	majorTick = vg.Length(3.5)         // length of a labeled tick
	gap       = vg.Length(4)           // between texts that are side by side
	dotLimit  = 40                     // points up to which a curve gets dots
	bandAlpha = 0x38                   // of 0xff
	yMiddle   = draw.YAlignment(-0.38) // middle of digits; draw.YCenter includes the descenders
)

var (
	gridColor  = color.Gray{Y: 0xe4}
	frameStyle = draw.LineStyle{Color: color.Black, Width: 0.6}
)

// panel is a Panel on paper.
type panel struct {
	draw.Canvas           // the area that the axes enclose
	Panel       Panel     // what to draw there
	left        vg.Length // width of the labels on the left
	textHeight  vg.Length // height of the texts above
	shift       vg.Length // of points to the right
}

// newPanel draws the axes into the canvas: x at the bottom, y on the left.
func newPanel(c draw.Canvas, contents Panel, left, right, textHeight vg.Length) panel {
	p := panel{draw.Crop(c, left, -right, belowAxes, 0), contents, left, textHeight, 0}
	x, y := contents.X, contents.Y

	grid := draw.LineStyle{Color: gridColor, Width: 0.6}
	style := textStyle(tickSize, draw.XRight, yMiddle)
	for _, t := range y.ticks(p.Size().Y, labelHeight) {
		height := p.Y(y.position(t.Value))
		if !t.IsMinor() {
			p.StrokeLine2(grid, p.Min.X, height, p.Max.X, height)
			p.FillText(style, vg.Point{X: p.Min.X - majorTick - 2, Y: height}, t.Label)
		}
		p.StrokeLine2(frameStyle, p.Min.X-tickLength(t), height, p.Min.X, height)
	}
	style = textStyle(tickSize, draw.XCenter, draw.YTop)
	for _, t := range x.ticks(p.Size().X, labelWidth) {
		end := vg.Point{X: p.X(x.position(t.Value)), Y: p.Min.Y - majorTick}
		p.StrokeLine2(frameStyle, end.X, p.Min.Y-tickLength(t), end.X, p.Min.Y)
		p.FillText(style, vg.Point{X: end.X, Y: end.Y - 1}, t.Label)
	}
	p.StrokeLines(frameStyle, []vg.Point{{X: p.Min.X, Y: p.Max.Y}, p.Min, {X: p.Max.X, Y: p.Min.Y}})

	style = fit(textStyle(labelSize, draw.XCenter, draw.YBottom), x.Label, p.Size().X+right)
	p.FillText(style, vg.Point{X: p.Center().X, Y: c.Min.Y}, x.Label)
	style = fit(textStyle(labelSize, draw.XCenter, draw.YTop), y.Label, c.Size().Y)
	style.Rotation = math.Pi / 2
	p.FillText(style, vg.Point{X: c.Min.X, Y: p.Center().Y}, y.Label)
	return p
}

// sides returns the widths of the labels on the left and of the color scale on the right.
func (p Panel) sides() (left, right vg.Length) {
	left, right = max(44, labelSize*1.3+p.Y.widestLabel()+majorTick+2), 8
	if p.Heat != nil {
		right = p.Heat.scaleWidth()
	}
	return left, right
}

// draw draws everything but the axes and the marks, and the title and the legend above.
func (p panel) draw() {
	if p.Panel.Heat != nil {
		p.heat(p.Panel.Heat)
	}
	for i, l := range slices.Backward(p.Panel.Lines) {
		p.band(l, colorOf(l.Color, i))
	}
	for i, l := range slices.Backward(p.Panel.Lines) {
		p.beside(i).curve(l, colorOf(l.Color, i))
	}
	p.dots()
	p.guides()
	p.legend()
}

// dots draws the points. Those of several groups that have the same shape and place stand side by
// side, since the last would hide the others.
func (p panel) dots() {
	const apart = 4.5
	type place struct {
		shape  Shape
		center vg.Point
	}
	at := func(q Points, j int) place { return place{q.Shape, p.point(q.X[j], q.Y[j])} }
	groups := map[place][]int{} // that have a point there
	for i, q := range p.Panel.Points {
		for j := range q.X {
			here := at(q, j)
			if p.shows(q.X[j], q.Y[j]) && p.Contains(here.center) &&
				!slices.Contains(groups[here], i) {
				groups[here] = append(groups[here], i)
			}
		}
	}
	for i, q := range p.Panel.Points {
		for j := range q.X {
			here := at(q, j)
			if n := slices.Index(groups[here], i); n >= 0 {
				shift := apart * (vg.Length(n) - vg.Length(len(groups[here])-1)/2)
				dot(p.Canvas, q, colorOf(q.Color, i), here.center.Add(vg.Point{X: shift}))
			}
		}
	}
}

// colorOf returns the color, or else that of the index.
func colorOf(c color.Color, index int) color.Color {
	return cmp.Or[color.Color](c, Category(index))
}

// beside is the panel as a line sees it: one with bars stands beside the others with bars.
func (p panel) beside(line int) panel {
	const apart = 3.5
	var first, n int
	for i, l := range p.Panel.Lines {
		if l.Bars {
			n++
			if i < line {
				first++
			}
		}
	}
	if p.Panel.Lines[line].Bars {
		p.shift = apart * (vg.Length(first) - vg.Length(n-1)/2)
	}
	return p
}

func (p panel) point(x, y float64) vg.Point {
	return vg.Point{X: p.X(p.Panel.X.position(x)) + p.shift, Y: p.Y(p.Panel.Y.position(y))}
}

func (p panel) shows(x, y float64) bool { return p.Panel.X.shows(x) && p.Panel.Y.shows(y) }

// segments returns the longest ranges [from, to) of x in which every point of each curve has a
// position.
func (p panel) segments(x []float64, curves ...[]float64) [][2]int {
	visible := func(i int) bool {
		return !slices.ContainsFunc(curves, func(y []float64) bool { return !p.shows(x[i], y[i]) })
	}
	var all [][2]int
	for from, to := 0, 0; from < len(x); from = to + 1 {
		for to = from; to < len(x) && visible(to); to++ {
		}
		if from < to {
			all = append(all, [2]int{from, to})
		}
	}
	return all
}

// path returns the positions of the points of a segment.
func (p panel) path(x, y []float64, segment [2]int) []vg.Point {
	points := make([]vg.Point, 0, segment[1]-segment[0])
	for i := segment[0]; i < segment[1]; i++ {
		points = append(points, p.point(x[i], y[i]))
	}
	return points
}

// band fills the area between l.Low and l.High.
func (p panel) band(l Line, c color.Color) {
	if l.Low == nil || l.Bars {
		return
	}
	for _, s := range p.segments(l.X, l.Low, l.High) {
		upper := p.path(l.X, l.High, s)
		slices.Reverse(upper)
		border := p.ClipPolygonXY(append(p.path(l.X, l.Low, s), upper...))
		if len(border) > 2 {
			p.FillPolygon(translucent(c), border)
		}
	}
}

// bars draws the bars of a line.
func (p panel) bars(l Line, c color.Color) {
	style := draw.LineStyle{Color: c, Width: 0.8}
	const half = vg.Length(1.6)
	for _, s := range p.segments(l.X, l.Low, l.High) {
		for i := s[0]; i < s[1]; i++ {
			low, high := p.point(l.X[i], l.Low[i]), p.point(l.X[i], l.High[i])
			side := vg.Point{X: half}
			for _, stroke := range [][]vg.Point{{low, high}, {low.Sub(side), low.Add(side)},
				{high.Sub(side), high.Add(side)}} {
				p.StrokeLines(style, p.clip(stroke)...)
			}
		}
	}
}

// curve draws a line, with its bars. If it has few points they get dots, because a single point
// makes no line; but not a dashed line of two points, which is a level and nothing measured.
func (p panel) curve(l Line, c color.Color) {
	style := lineStyle(l, c, 1.25)
	glyph := draw.GlyphStyle{Color: c, Radius: 1.6, Shape: draw.CircleGlyph{}}
	if l.Bars && l.Low != nil {
		p.bars(l, c)
	}
	for _, s := range p.segments(l.X, l.Y) {
		points := p.path(l.X, l.Y, s)
		p.StrokeLines(style, p.clip(points)...)
		level := l.Dashed && len(l.X) == 2
		if (level || len(l.X) > dotLimit) && len(points) > 1 && !l.Bars {
			continue
		}
		for _, center := range points {
			if p.Contains(center) {
				p.DrawGlyphNoClip(glyph, center)
			}
		}
	}
}

// clip cuts off what is outside. A line inside keeps its exact coordinates.
func (p panel) clip(points []vg.Point) [][]vg.Point {
	if !slices.ContainsFunc(points, func(v vg.Point) bool { return !p.Contains(v) }) {
		return [][]vg.Point{points}
	}
	return p.ClipLinesXY(points)
}

func lineStyle(l Line, c color.Color, width vg.Length) draw.LineStyle {
	style := draw.LineStyle{Color: c, Width: width}
	if l.Dashed {
		style.Dashes = []vg.Length{3.5, 1.75}
	}
	return style
}

func translucent(c color.Color) color.Color {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	n.A = bandAlpha
	return n
}

// dot draws a dot about 4 points wide.
func dot(c draw.Canvas, q Points, ink color.Color, center vg.Point) {
	const r = vg.Length(1.9)
	corners := map[Shape][]vg.Point{
		Square:   {{X: -0.9, Y: -0.9}, {X: 0.9, Y: -0.9}, {X: 0.9, Y: 0.9}, {X: -0.9, Y: 0.9}},
		Triangle: {{X: -1.1, Y: -0.8}, {X: 1.1, Y: -0.8}, {X: 0, Y: 1.2}},
		Diamond:  {{X: -1.2, Y: 0}, {X: 0, Y: -1.2}, {X: 1.2, Y: 0}, {X: 0, Y: 1.2}},
	}[q.Shape]
	var path vg.Path
	if len(corners) == 0 { // Circle
		path.Move(center.Add(vg.Point{X: r}))
		path.Arc(center, r, 0, 2*math.Pi)
	}
	for i, corner := range corners {
		if corner = center.Add(corner.Scale(r)); i == 0 {
			path.Move(corner)
		} else {
			path.Line(corner)
		}
	}
	path.Close()
	if q.Filled {
		c.SetColor(ink)
		c.Fill(path)
		return
	}
	c.SetLineStyle(draw.LineStyle{Color: ink, Width: 0.7})
	c.Stroke(path)
}
