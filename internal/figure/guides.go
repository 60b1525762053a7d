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
// above or below it, as near to the end as the panel, the earlier names and the other guides allow.
// If they leave no room, the name covers a part of another guide.
func (p panel) guides() {
	style := textStyle(guideSize, draw.XCenter, yMiddle)
	var lines [][][]vg.Point // of each guide
	var ways [][]vg.Point
	for i, l := range p.Panel.Guides {
		lines = append(lines, nil)
		for _, s := range p.segments(l.X, l.Y) {
			lines[i] = append(lines[i], p.clip(p.path(l.X, l.Y, s))...)
		}
		ways = append(ways, waypoints(lines[i]))
	}
	var occupied []vg.Rectangle
	for i, l := range p.Panel.Guides {
		style.Color = cmp.Or[color.Color](l.Color, guideColor)
		if !p.Panel.hasBars() {
			p.StrokeLines(draw.LineStyle{Color: color.White, Width: 2}, lines[i]...)
		}
		p.StrokeLines(lineStyle(l, style.Color, 0.8), lines[i]...)
		if l.Name == "" {
			continue
		}
		half := vg.Point{X: style.Width(l.Name)/2 + 1.5, Y: guideSize/2 + 1}
		others := slices.Concat(slices.Delete(slices.Clone(ways), i, i+1)...)
		box, ok := p.room(ways[i], half, occupied, others)
		if !ok {
			box, ok = p.room(ways[i], half, occupied, nil)
		}
		if ok {
			p.SetColor(color.White)
			p.Fill(box.Path())
			p.FillText(style, box.Min.Add(half), l.Name)
			occupied = append(occupied, box)
		}
	}
}

// room is a box of a size, given by its half, for the name of a guide along the way. It keeps off
// the occupied boxes, and off the points of other guides.
func (p panel) room(way []vg.Point, half vg.Point, occupied []vg.Rectangle,
	others []vg.Point) (vg.Rectangle, bool) {
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
			covers := func(v vg.Point) bool {
				return box.Min.X <= v.X && v.X <= box.Max.X && box.Min.Y <= v.Y && v.Y <= box.Max.Y
			}
			if p.Contains(box.Min.Sub(edge)) && p.Contains(box.Max.Add(edge)) &&
				!slices.ContainsFunc(occupied, overlaps) &&
				!slices.ContainsFunc(others, covers) {
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
