package figure

import (
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	labelSize = 9.0                    // of an axis' label, the legend and the mark, points
	tickSize  = 8.0                    // of a tick's label
	tickLine  = vg.Length(3.5)         // length of a labelled tick
	columns   = 720                    // more than a panel of the PNG is wide, in pixels
	few       = 40                     // points of a curve up to which each gets a dot
	yMiddle   = draw.YAlignment(-0.38) // of digits; draw.YCenter counts the room for descenders
)

// axis is the range of a panel's side.
type axis struct {
	label     string
	low, high float64
	log       bool
}

// at is the place of v, 0 for low and 1 for high.
func (a axis) at(v float64) float64 {
	if a.log {
		low := math.Log(a.low)
		return (math.Log(v) - low) / (math.Log(a.high) - low)
	}
	return (v - a.low) / (a.high - a.low)
}

func (a axis) ticks() []plot.Tick {
	if a.log {
		return logTicks(a.low, a.high)
	}
	return linearTicks(a.low, a.high)
}

// panel is a rectangle with two axes. It is drawn here and not by plot.Plot,
// which moves its axes by the size of the labels and dots: panels side by side
// would not line up.
type panel struct {
	draw.Canvas // what the axes enclose
	x, y        axis
}

// newPanel draws the axes into the canvas: x below, y on the left.
func newPanel(c draw.Canvas, x, y axis) panel {
	const left, right, bottom = vg.Length(44), vg.Length(8), vg.Length(27)
	p := panel{draw.Crop(c, left, -right, bottom, 0), x, y}

	black, gray := draw.LineStyle{Color: color.Black, Width: 0.6}, draw.LineStyle{Color: gridColor, Width: 0.6}
	length := func(t plot.Tick) vg.Length {
		if t.IsMinor() {
			return tickLine / 2
		}
		return tickLine
	}
	style := textStyle(tickSize, draw.XRight, yMiddle)
	for _, t := range y.ticks() {
		at := p.point(x.low, t.Value)
		if !t.IsMinor() {
			p.StrokeLine2(gray, p.Min.X, at.Y, p.Max.X, at.Y)
			power(p.Canvas, style, vg.Point{X: p.Min.X - tickLine - 2, Y: at.Y}, t.Label)
		}
		p.StrokeLine2(black, p.Min.X-length(t), at.Y, p.Min.X, at.Y)
	}
	style = textStyle(tickSize, draw.XCenter, draw.YTop)
	for _, t := range x.ticks() {
		at := vg.Point{X: p.X(x.at(t.Value)), Y: p.Min.Y - tickLine}
		p.StrokeLine2(black, at.X, at.Y, at.X, p.Min.Y)
		p.FillText(style, vg.Point{X: at.X, Y: at.Y - 1}, t.Label)
	}
	p.StrokeLines(black, []vg.Point{{X: p.Min.X, Y: p.Max.Y}, p.Min, {X: p.Max.X, Y: p.Min.Y}})

	style = textStyle(labelSize, draw.XCenter, draw.YBottom)
	p.FillText(style, vg.Point{X: p.Center().X, Y: c.Min.Y}, x.label)
	style.YAlign, style.Rotation = draw.YTop, math.Pi/2
	p.FillText(style, vg.Point{X: c.Min.X, Y: p.Center().Y}, y.label)
	return p
}

func (p panel) point(x, y float64) vg.Point {
	return vg.Point{X: p.X(p.x.at(x)), Y: p.Y(p.y.at(y))}
}

// power writes a label that ends at the point, with what follows ^ raised.
func power(c draw.Canvas, style text.Style, at vg.Point, label string) {
	base, exponent, _ := strings.Cut(label, "^")
	small := style
	small.Font.Size *= 0.75
	c.FillText(small, vg.Point{X: at.X, Y: at.Y + style.Font.Size*0.4}, exponent)
	c.FillText(style, vg.Point{X: at.X - small.Width(exponent), Y: at.Y}, base)
}

// curve draws a line, with dots if there are few points, because a single one
// makes no line.
func (p panel) curve(xys plotter.XYs, c color.Color) {
	xys = thin(xys, p.x.low, p.x.high, columns)
	points := make([]vg.Point, len(xys))
	for i, v := range xys {
		points[i] = p.point(v.X, v.Y)
	}
	p.StrokeLines(draw.LineStyle{Color: c, Width: 1.25}, points)
	if len(points) > few {
		return
	}
	for _, at := range points {
		p.DrawGlyphNoClip(draw.GlyphStyle{Color: c, Radius: 1.6, Shape: draw.CircleGlyph{}}, at)
	}
}

type entry struct {
	name  string
	color color.Color
}

// legend names curves above the panel's right end.
func (p panel) legend(entries ...entry) {
	const sample, gap = vg.Length(16), vg.Length(4)
	style := textStyle(labelSize, draw.XRight, yMiddle)
	x, y := p.Max.X, p.Max.Y+strip/2
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		p.FillText(style, vg.Point{X: x, Y: y}, e.name)
		x -= style.Width(e.name) + gap
		p.StrokeLine2(draw.LineStyle{Color: e.color, Width: 1.5}, x-sample, y, x, y)
		x -= sample + 3*gap
	}
}

// mark draws a dashed line at x, and a text above it.
func (p panel) mark(x float64, label string) {
	at := p.X(p.x.at(x))
	p.StrokeLine2(draw.LineStyle{Color: markColor, Width: 0.8, Dashes: []vg.Length{3, 2}}, at, p.Min.Y, at, p.Max.Y)
	style := textStyle(labelSize, draw.XCenter, yMiddle)
	style.Color = markColor
	half := style.Width(label) / 2
	at = max(p.Min.X+half, min(at, p.Max.X-half))
	p.FillText(style, vg.Point{X: at, Y: p.Max.Y + strip/2}, label)
}

func textStyle(size vg.Length, x draw.XAlignment, y draw.YAlignment) text.Style {
	return text.Style{
		Color: color.Black, XAlign: x, YAlign: y, Handler: plot.DefaultTextHandler,
		Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
	}
}

// linearTicks has at most seven labels: multiples of 1, 2 or 5 times a power of
// ten.
func linearTicks(low, high float64) []plot.Tick {
	const most = 6 // steps
	step := math.Pow10(int(math.Floor(math.Log10((high - low) / most))))
	for _, factor := range []float64{2, 2.5, 2} { // 1, 2, 5, 10
		if (high-low)/step > most {
			step *= factor
		}
	}
	var ticks []plot.Tick
	start := math.Ceil(low/step - 1e-9)
	for i := range most + 1 {
		v := (start + float64(i)) * step
		if v > high+1e-9*step {
			break
		}
		ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 6, 64)})
	}
	return ticks
}

// logTicks labels the powers of ten if there are two of them to see, else 1, 2
// and 5 times them, and for less than a factor of five whatever is round.
func logTicks(low, high float64) []plot.Tick {
	if high/low < 5 {
		return linearTicks(low, high)
	}
	from, to := int(math.Floor(math.Log10(low))), int(math.Floor(math.Log10(high)))
	every := 1 + (to-from)/7 // the powers that get a label
	plain := from >= -3 && to <= 3
	var ticks []plot.Tick
	for e := from; e <= to; e++ {
		for digit := 1; digit <= 9; digit++ {
			v := float64(digit) * math.Pow10(e)
			if v < low || v > high {
				continue
			}
			label := ""
			switch {
			case high/low < 100 && (digit == 1 || digit == 2 || digit == 5):
				label = strconv.FormatFloat(v, 'g', 3, 64)
			case high/low >= 100 && digit == 1 && e%every == 0 && plain:
				label = strconv.FormatFloat(v, 'g', 3, 64)
			case high/low >= 100 && digit == 1 && e%every == 0:
				label = "10^" + strings.Replace(strconv.Itoa(e), "-", "−", 1)
			}
			if label != "" || every == 1 {
				ticks = append(ticks, plot.Tick{Value: v, Label: label})
			}
		}
	}
	return ticks
}

// thin leaves at most four points in each of so many equal columns between
// first and last: the first, the lowest, the highest and the last one. Drawn
// with columns as wide as a pixel that looks the same, spikes included, and the
// last point stays (Jugel et al., "M4", VLDB 2014).
func thin(points plotter.XYs, first, last float64, columns int) plotter.XYs {
	if len(points) <= columns {
		return points
	}
	column := func(p plotter.XY) int { return int((p.X - first) / (last - first) * float64(columns)) }
	var kept plotter.XYs
	for start, end := 0, 0; start < len(points); start = end {
		low, high := start, start
		for end = start; end < len(points) && column(points[end]) == column(points[start]); end++ {
			if points[end].Y < points[low].Y {
				low = end
			}
			if points[end].Y > points[high].Y {
				high = end
			}
		}
		previous := -1
		for _, i := range []int{start, min(low, high), max(low, high), end - 1} {
			if i != previous {
				kept = append(kept, points[i])
			}
			previous = i
		}
	}
	return kept
}
