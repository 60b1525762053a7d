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

// shade is the color of t in [0, 1] on the scale of heat maps, from dark to light. It is the black
// body of Moreland (2016), whose lightness grows linearly in CIELAB, so color-blind readers and
// black-and-white prints keep the order. The ends of that scale are left out, because they would
// vanish next to black lines and on white paper.
func shade(t float64) color.Color {
	scale := moreland.BlackBody()
	scale.SetMin(0)
	scale.SetMax(1)
	if math.IsNaN(t) {
		t = 0
	}
	c, err := scale.At(0.1 + 0.85*max(0, min(t, 1)))
	if err != nil {
		panic(fmt.Sprintf("figure: shade %g: %v", t, err)) // impossible: the value is in the range
	}
	return color.NRGBAModel.Convert(c)
}

// resolved checks the map and sets the automatic ends of its scale.
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
	scale := h.scale().fitted(slices.Values(slices.Concat(h.Z...)), true)
	h.Low, h.High = scale.Low, scale.High
	return &h, nil
}

// scale is the color scale as an axis.
func (h *Heat) scale() Axis {
	return Axis{Label: h.Label, Low: h.Low, High: h.High, Log: h.Log}
}

// hasMissing reports whether there are cells without a color.
func (h *Heat) hasMissing() bool {
	return slices.ContainsFunc(slices.Concat(h.Z...),
		func(z float64) bool { return !h.scale().shows(z) })
}

// edges returns the edges of the cells: halfway between centers, and at the ends as far out as on
// the other side of the center. A single cell reaches 0.5 to both sides, or a factor of √2.
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
	clamp := func(v vg.Point) vg.Point {
		return vg.Point{X: max(p.Min.X, min(v.X, p.Max.X)), Y: max(p.Min.Y, min(v.Y, p.Max.Y))}
	}
	const overlap = vg.Length(0.4) // under the next cells, so that no seam is visible
	var missing []vg.Rectangle
	for i, row := range h.Z {
		for j, z := range row {
			corner := p.point(x[j+1], y[i+1])
			cell := vg.Rectangle{Min: clamp(p.point(x[j], y[i])), Max: clamp(corner)}
			if !h.scale().shows(z) {
				missing = append(missing, cell)
				continue
			}
			cell.Max = clamp(corner.Add(vg.Point{X: overlap, Y: overlap}))
			p.SetColor(shade(h.scale().position(z)))
			p.Fill(cell.Path())
		}
	}
	for _, cell := range missing {
		hatch(p.Canvas, cell)
	}
	frame(p.Canvas, p.Rectangle)
	p.colorScale(h.scale())
}

// colorScale draws the color scale to the right of the axes.
func (p panel) colorScale(scale Axis) {
	bar := p.Canvas
	bar.Min.X = p.Max.X + scaleGap
	bar.Max.X = bar.Min.X + scaleBar
	const shades = 128
	for i := range shades {
		c := bar.Rectangle
		c.Min.Y = bar.Y(float64(i) / shades)
		p.SetColor(shade((float64(i) + 0.5) / shades))
		p.Fill(c.Path()) // the next shade covers the rest
	}
	frame(p.Canvas, bar.Rectangle)
	style := textStyle(tickSize, draw.XLeft, yMiddle)
	x := bar.Max.X + majorTick + 2
	var widest vg.Length
	for _, t := range scale.ticks(bar.Size().Y, labelHeight) {
		y := bar.Y(scale.position(t.Value))
		p.StrokeLine2(frameStyle, bar.Max.X, y, bar.Max.X+tickLength(t), y)
		p.FillText(style, vg.Point{X: x, Y: y}, t.Label)
		widest = max(widest, labelWidth(t.Label))
	}
	style = fit(textStyle(labelSize, draw.XCenter, draw.YTop), scale.Label, bar.Size().Y+belowAxes)
	style.Rotation = math.Pi / 2
	p.FillText(style, vg.Point{X: x + widest, Y: bar.Center().Y}, scale.Label)
}

// scaleWidth is the width of the color scale with its labels.
func (h *Heat) scaleWidth() vg.Length {
	width := scaleGap + scaleBar + majorTick + 2 + h.scale().widestLabel()
	if h.Label != "" {
		width += labelSize * 1.3
	}
	return width
}

func frame(c draw.Canvas, r vg.Rectangle) {
	c.SetLineStyle(frameStyle)
	c.Stroke(r.Path())
}

// hatch fills the rectangle with gray and oblique lines, which continue in the next rectangle.
func hatch(c draw.Canvas, r vg.Rectangle) {
	const spacing = vg.Length(4)
	c.SetColor(color.Gray{Y: 0xe0})
	c.Fill(r.Path())
	style := draw.LineStyle{Color: color.Gray{Y: 0x90}, Width: 0.6}
	first := vg.Length(math.Ceil(float64((r.Min.X + r.Min.Y) / spacing)))
	for k := first; k*spacing < r.Max.X+r.Max.Y; k++ {
		// The line x + y = k·spacing, from the left or upper edge to the lower or right one.
		from, to := max(r.Min.X, k*spacing-r.Max.Y), min(r.Max.X, k*spacing-r.Min.Y)
		c.StrokeLine2(style, from, k*spacing-from, to, k*spacing-to)
	}
}
