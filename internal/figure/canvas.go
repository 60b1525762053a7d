package figure

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// svgCanvas says how wide each text is in Liberation Sans, with the spaces at its ends. A reader
// who has another font sees its letters narrowed or widened to that, so that texts end where they
// should.
type svgCanvas struct {
	*vgsvg.Canvas
	widths []vg.Length // of all texts, in the order of the file
}

// FillString implements vg.Canvas.
func (c *svgCanvas) FillString(f font.Face, at vg.Point, s string) {
	c.widths = append(c.widths, f.Width(s))
	c.Canvas.FillString(f, at, s)
}

// WriteTo implements io.WriterTo. The font that all texts share stands at the beginning, where
// Arial and Helvetica, which have the same widths, follow Liberation.
func (c *svgCanvas) WriteTo(w io.Writer) (int64, error) {
	var all bytes.Buffer
	if _, err := c.Canvas.WriteTo(&all); err != nil {
		return 0, err
	}
	svg := bytes.ReplaceAll(all.Bytes(), []byte("font-family:Liberation Sans;font-variant:normal;"),
		nil)
	svg = bytes.Replace(svg, []byte("<svg "),
		[]byte(`<svg font-family="Liberation Sans, Arial, Helvetica, sans-serif" `), 1)
	var out bytes.Buffer
	for i, part := range bytes.Split(svg, []byte("<text ")) {
		if i > 0 {
			fmt.Fprintf(&out, `<text xml:space="preserve" textLength="%.5g" `+
				`lengthAdjust="spacingAndGlyphs" `, c.widths[i-1])
		}
		out.Write(part)
	}
	return out.WriteTo(w)
}

// pngCanvas places each letter where the widths of the font have it. The library kerns too much in
// small sizes, so that texts would end early, and leave a gap before an index.
type pngCanvas struct{ *vgimg.Canvas }

// FillString implements vg.Canvas.
func (c pngCanvas) FillString(f font.Face, at vg.Point, s string) {
	for i, r := range s {
		letter := string(r)
		x := f.Width(s[:i+len(letter)]) - f.Width(letter)
		c.Canvas.FillString(f, at.Add(vg.Point{X: x}), letter)
	}
}

// curveCanvas draws long lines piece by piece. The library keeps the pixels of a line in a list for
// each row of the picture, which it searches from the left for each new pixel: a line that
// oscillates over the width of a panel takes it seconds.
type curveCanvas struct {
	pngCanvas
	ctx    context.Context // once it has ended no long line is drawn
	dashes []vg.Length
	offset vg.Length // of the dashes
}

// SetLineDash implements vg.Canvas.
func (c *curveCanvas) SetLineDash(pattern []vg.Length, offset vg.Length) {
	c.dashes, c.offset = pattern, offset
	c.Canvas.SetLineDash(pattern, offset)
}

// A line of more than longLine corners is drawn in pieces of pieceLength.
const (
	longLine    = thinColumns
	pieceLength = 48
)

// Stroke implements vg.Canvas. Each piece of a long line has a segment in common with the one
// before, so that every corner lies within a piece; dashes go on where they were.
func (c *curveCanvas) Stroke(p vg.Path) {
	if len(p) <= longLine || !straight(p) {
		c.Canvas.Stroke(p)
		return
	}
	for start, end := 0, 0; start < len(p); start = end { // a path may have several lines
		for end = start + 1; end < len(p) && p[end].Type != vg.MoveComp; end++ {
		}
		c.strokeLine(p[start:end])
	}
	c.Canvas.SetLineDash(c.dashes, c.offset)
}

// strokeLine draws a line in pieces.
func (c *curveCanvas) strokeLine(line vg.Path) {
	offset := c.offset
	for start := 0; start == 0 || start < len(line)-2; start += pieceLength {
		if stopped(c.ctx) != nil {
			return
		}
		piece := slices.Clone(line[start:min(start+pieceLength+2, len(line))])
		piece[0].Type = vg.MoveComp
		c.Canvas.SetLineDash(c.dashes, offset)
		c.Canvas.Stroke(piece)
		for i := start; i < min(start+pieceLength, len(line)-1); i++ {
			d := line[i+1].Pos.Sub(line[i].Pos)
			offset += vg.Length(math.Hypot(float64(d.X), float64(d.Y)))
		}
	}
}

// straight reports whether a path has straight segments only.
func straight(p vg.Path) bool {
	return !slices.ContainsFunc(p, func(corner vg.PathComp) bool {
		return corner.Type != vg.MoveComp && corner.Type != vg.LineComp
	})
}
