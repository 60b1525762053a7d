package figure

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	scaleGap = vg.Length(7) // between a heat map and its color scale
	scaleBar = vg.Length(8) // width of the color scale
)

// Shade is the color of t in [0, 1] on the scale of heat maps, from dark to
// light: the black body of Moreland (2016), whose lightness grows linearly in
// CIELAB, so that it is read by the color-blind and on black-and-white prints.
// Its ends are left out, which would be lost in black lines and white paper.
// It also serves curves that have an order, such as those of a row of learning
// rates; take t up to 0.7 for them, because lighter lines are faint.
func Shade(t float64) color.Color {
	scale := moreland.BlackBody()
	scale.SetMin(0)
	scale.SetMax(1)
	if math.IsNaN(t) {
		t = 0
	}
	c, err := scale.At(0.1 + 0.85*max(0, min(t, 1)))
	if err != nil {
		panic(fmt.Sprintf("figure: shade %g: %v", t, err)) // cannot be: the value is in the range
	}
	return color.NRGBAModel.Convert(c)
}

// resolved checks the map and sets the ends of its scale.
func (h Heat) resolved(logX, logY bool) (*Heat, error) {
	for _, c := range []struct {
		name    string
		centers []float64
		log     bool
	}{{"X", h.X, logX}, {"Y", h.Y, logY}} {
		if len(c.centers) == 0 {
			return nil, fmt.Errorf("%s: no centers, want at least one", c.name)
		}
		for i, v := range c.centers {
			if !(Axis{Log: c.log}).shows(v) || i > 0 && !(c.centers[i-1] < v) {
				return nil, fmt.Errorf("%s: center %d is %g, want finite increasing numbers, "+
					"positive ones on a logarithmic axis", c.name, i, v)
			}
		}
	}
	if len(h.Z) != len(h.Y) {
		return nil, fmt.Errorf("%d rows of Z, want %d as in Y", len(h.Z), len(h.Y))
	}
	for i, row := range h.Z {
		if len(row) != len(h.X) {
			return nil, fmt.Errorf("%d values in row %d of Z, want %d as in X", len(row), i,
				len(h.X))
		}
	}
	if err := h.scale().check(); err != nil {
		return nil, fmt.Errorf("scale: %w", err)
	}
	scale := h.scale().spanning(slices.Concat(h.Z...), true)
	h.Low, h.High = scale.Low, scale.High
	return &h, nil
}

// scale is the color scale, which is read like an axis.
func (h *Heat) scale() Axis { return Axis{h.Label, h.Low, h.High, h.Log} }

// missing says whether there are cells without a color.
func (h *Heat) missing() bool {
	return slices.ContainsFunc(slices.Concat(h.Z...),
		func(z float64) bool { return !h.scale().shows(z) })
}

// edges are where cells meet, and the outer ones as far from the first and the
// last center as the inner ones. A single cell reaches a half to both sides, or
// by a factor of √2.
func edges(centers []float64, log bool) []float64 {
	c := slices.Clone(centers)
	if log {
		for i := range c {
			c[i] = math.Log2(c[i])
		}
	}
	e := make([]float64, len(c)+1)
	for i := 1; i < len(c); i++ {
		e[i] = c[i-1]/2 + c[i]/2
	}
	last := len(c) - 1
	if last == 0 {
		e[0], e[1] = c[0]-0.5, c[0]+0.5
	} else {
		e[0], e[last+1] = 2*c[0]-e[1], 2*c[last]-e[last]
	}
	if log {
		for i := range e {
			e[i] = math.Exp2(e[i])
		}
	}
	return e
}

// heat draws the cells, a frame around them, and the color scale.
func (p panel) heat(h *Heat) {
	x, y := edges(h.X, p.Panel.X.Log), edges(h.Y, p.Panel.Y.Log)
	inside := func(v vg.Point) vg.Point {
		return vg.Point{X: max(p.Min.X, min(v.X, p.Max.X)), Y: max(p.Min.Y, min(v.Y, p.Max.Y))}
	}
	var missing []vg.Rectangle
	for i, row := range h.Z {
		for j, z := range row {
			// Cells reach under the next ones, so that no seam is seen.
			const more = vg.Length(0.4)
			cell := vg.Rectangle{Min: inside(p.point(x[j], y[i])), Max: p.point(x[j+1], y[i+1])}
			if h.scale().shows(z) {
				cell.Max = inside(cell.Max.Add(vg.Point{X: more, Y: more}))
				p.SetColor(Shade(h.scale().at(z)))
				p.Fill(cell.Path())
			} else {
				cell.Max = inside(cell.Max)
				missing = append(missing, cell)
			}
		}
	}
	for _, cell := range missing {
		hatch(p.Canvas, cell)
	}
	frame(p.Canvas, p.Rectangle)

	bar := draw.Canvas{Canvas: p.Canvas.Canvas, Rectangle: p.Rectangle}
	bar.Min.X = p.Max.X + scaleGap
	bar.Max.X = bar.Min.X + scaleBar
	const shades = 128
	for i := range shades {
		c := bar.Rectangle
		c.Min.Y = bar.Y(float64(i) / shades)
		p.SetColor(Shade((float64(i) + 0.5) / shades))
		p.Fill(c.Path()) // the next one covers the rest
	}
	frame(p.Canvas, bar.Rectangle)
	style := textStyle(tickSize, draw.XLeft, yMiddle)
	var widest vg.Length
	for _, t := range h.scale().ticks(bar.Size().Y,
		func(string) vg.Length { return 1.2 * tickSize }) {
		at := bar.Y(h.scale().at(t.Value))
		p.StrokeLine2(frameStyle, bar.Max.X, at, bar.Max.X+tickLength(t), at)
		p.FillText(style, vg.Point{X: bar.Max.X + tickLine + 2, Y: at}, t.Label)
		widest = max(widest, labelWidth(t.Label))
	}
	style = fit(textStyle(labelSize, draw.XCenter, draw.YTop), h.Label, bar.Size().Y+below)
	style.Rotation = math.Pi / 2
	p.FillText(style, vg.Point{X: bar.Max.X + tickLine + 2 + widest, Y: bar.Center().Y}, h.Label)
}

// scaleWidth is the width of what is drawn on the right of a heat map.
func (h *Heat) scaleWidth() vg.Length {
	var widest vg.Length
	for _, t := range h.scale().ticks(vg.Inch, func(string) vg.Length { return 0 }) {
		widest = max(widest, labelWidth(t.Label))
	}
	width := scaleGap + scaleBar + tickLine + 2 + widest
	if h.Label != "" {
		width += labelSize * 1.3
	}
	return width
}

func frame(c draw.Canvas, r vg.Rectangle) {
	c.SetLineStyle(frameStyle)
	c.Stroke(r.Path())
}

// hatch fills the rectangle with gray and oblique lines, which go on in the next
// rectangle.
func hatch(c draw.Canvas, r vg.Rectangle) {
	const apart = vg.Length(4)
	c.SetColor(color.Gray{Y: 0xe0})
	c.Fill(r.Path())
	style := draw.LineStyle{Color: color.Gray{Y: 0x90}, Width: 0.6}
	for k := vg.Length(math.Ceil(float64((r.Min.X + r.Min.Y) / apart))); k*apart <
		r.Max.X+r.Max.Y; k++ {
		// The line x + y = k apart, from the left or upper edge to the lower or right one.
		from, to := max(r.Min.X, k*apart-r.Max.Y), min(r.Max.X, k*apart-r.Min.Y)
		c.StrokeLine2(style, from, k*apart-from, to, k*apart-to)
	}
}
