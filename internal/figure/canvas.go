package figure

import (
	"bytes"
	"fmt"
	"io"

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
