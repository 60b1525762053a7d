package figure

import (
	"cmp"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const guideSize = 7.0 // of the guides' names

var guideColor = color.Gray{Y: 0x30}

// guides draws the guides, dark between white edges, which are visible on any color, or without
// edges, which would cut bars. Each name stands on its guide, or else, near the edge of the panel,
// above or below it, as near to the end as the panel and the earlier names allow.
func (p panel) guides() {
	style := textStyle(guideSize, draw.XCenter, yMiddle)
	var occupied []vg.Rectangle
	for _, l := range p.Panel.Guides {
		style.Color = cmp.Or[color.Color](l.Color, guideColor)
		var lines [][]vg.Point
		for _, s := range p.segments(l.X, l.Y) {
			lines = append(lines, p.clip(p.path(l.X, l.Y, s))...)
		}
		if !p.Panel.hasBars() {
			p.StrokeLines(draw.LineStyle{Color: color.White, Width: 2}, lines...)
		}
		p.StrokeLines(lineStyle(l, style.Color, 0.8), lines...)
		if l.Name == "" {
			continue
		}
		half := vg.Point{X: style.Width(l.Name)/2 + 1.5, Y: guideSize/2 + 1}
		if box, ok := p.room(waypoints(lines), half, occupied); ok {
			p.SetColor(color.White)
			p.Fill(box.Path())
			p.FillText(style, box.Min.Add(half), l.Name)
			occupied = append(occupied, box)
		}
	}
}

// room is a box of a size, given by its half, for the name of a guide along the way.
func (p panel) room(way []vg.Point, half vg.Point, occupied []vg.Rectangle) (vg.Rectangle, bool) {
	beside := half.Y + 1
	for _, shift := range []vg.Length{0, beside, -beside} {
		edge := vg.Point{X: 6, Y: 6}
		if shift != 0 {
			edge.Y = 0
		}
		for _, v := range way {
			center := v.Add(vg.Point{Y: shift})
			box := vg.Rectangle{Min: center.Sub(half), Max: center.Add(half)}
			overlaps := func(r vg.Rectangle) bool {
				return box.Min.X < r.Max.X && r.Min.X < box.Max.X && box.Min.Y < r.Max.Y &&
					r.Min.Y < box.Max.Y
			}
			if p.Contains(box.Min.Sub(edge)) && p.Contains(box.Max.Add(edge)) &&
				!slices.ContainsFunc(occupied, overlaps) {
				return box, true
			}
		}
	}
	return vg.Rectangle{}, false
}

// waypoints returns points on the lines at most two points apart, from the end of the last line to
// the start of the first.
func waypoints(lines [][]vg.Point) []vg.Point {
	var way []vg.Point
	for _, line := range slices.Backward(lines) {
		for i, v := range slices.Backward(line) {
			way = append(way, v)
			if i == 0 {
				break
			}
			step := line[i-1].Sub(v)
			n := math.Ceil(math.Hypot(float64(step.X), float64(step.Y)) / 2)
			for k := 1.0; k < n; k++ {
				way = append(way, v.Add(step.Scale(vg.Length(k/n))))
			}
		}
	}
	return way
}
