package figure

import (
	"cmp"
	"image/color"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

var markColor = color.Gray{Y: 0x60}

// markText is a mark with the place of its text. Lengths start at the left end of the axes.
type markText struct {
	Mark
	position   vg.Length // of the line
	start, end vg.Length // of the text
	row        int       // of the text, counted from the bottom
}

// markTexts returns the marks within the x axis. If the texts have room, each is centered above its
// mark, all in one row. Otherwise the texts are flags: the first ends at its mark if it can, the
// others start at theirs. The lines lead up to the flags, which are higher the further left they
// are.
func (p Panel) markTexts(width vg.Length) []markText {
	style := textStyle(labelSize, draw.XCenter, yMiddle)
	var all []markText
	for _, m := range p.Marks {
		position := vg.Length(p.X.position(m.X)) * width
		if p.X.shows(m.X) && 0 <= position && position <= width {
			w := style.Width(m.Label)
			start := max(0, min(position-w/2, width-w))
			all = append(all, markText{m, position, start, start + w, 0})
		}
	}
	slices.SortStableFunc(all, func(a, b markText) int { return cmp.Compare(a.X, b.X) })
	if !slices.ContainsFunc(all, func(t markText) bool {
		return slices.ContainsFunc(all, func(u markText) bool {
			return t.X < u.X && t.Label != "" && u.Label != "" && t.end+2*gap > u.start
		})
	}) {
		return all
	}
	for i, t := range slices.Backward(all) {
		w := t.end - t.start
		if left := t.position - gap/2 - w; i == 0 && left >= 0 {
			all[i].start, all[i].end = left, left+w
			break
		}
		t.start = max(0, min(t.position+gap/2, width-w))
		t.end = t.start + w
		for slices.ContainsFunc(all[i+1:], func(u markText) bool {
			return u.Label != "" && (u.row == t.row && t.end+gap > u.start || u.row > t.row &&
				t.start < u.position && u.position < t.end)
		}) {
			t.row++
		}
		all[i] = t
	}
	return all
}

// marks draws dashed lines, and their texts above.
func (p panel) marks() {
	for _, t := range p.Panel.markTexts(p.Size().X) {
		style := textStyle(labelSize, draw.XCenter, yMiddle)
		style.Color = cmp.Or[color.Color](t.Color, markColor)
		middle, top := t.heights()
		x := p.Min.X + t.position
		dashes := draw.LineStyle{Color: style.Color, Width: 0.8, Dashes: []vg.Length{3, 2}}
		p.StrokeLine2(dashes, x, p.Min.Y, x, p.Max.Y+top)
		p.FillText(style, vg.Point{X: p.Min.X + (t.start+t.end)/2, Y: p.Max.Y + middle}, t.Label)
	}
}

// heights are those of the middle of the text and of the end of the line, above the axes. The line
// ends beside its text, or below it if the text lies across, as near the right end it does.
func (t markText) heights() (middle, end vg.Length) {
	middle = stripHeight * (vg.Length(t.row) + 0.5)
	switch {
	case t.row == 0:
		return middle, 0
	case t.start < t.position && t.position < t.end:
		return middle, middle - labelSize/2
	}
	return middle, middle + labelSize/3
}
